//! What a subscription is made of, what can be asked of it, and what comes of that.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::ids::{PlanVersionId, SubscriptionItemId};
use crate::period::{Alignment, BillingInterval, Period, PeriodError};
use crate::proration::ServiceEnd;

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionStatus {
    /// It has not begun.
    Incomplete,
    /// The trial runs: usage and fees are free.
    Trialing,
    /// It is billed.
    Active,
    /// It is billed, and a payment has failed.
    PastDue,
    /// Nothing is counted or billed until it is resumed.
    Paused,
    /// It has ended.
    Canceled,
}

/// How long a billing period is and what it is aligned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The length of a full period.
    pub interval: BillingInterval,
    /// Calendar or anniversary.
    pub alignment: Alignment,
}

/// Something that is bought: the plan, or an add-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Stays the same when the plan version or the quantity changes.
    pub id: SubscriptionItemId,
    /// What is bought.
    pub plan_version: PlanVersionId,
    /// Seats.
    pub quantity: u32,
    /// Usage and fees in arrears are billed up to here.
    pub from: Timestamp,
    /// Since when, in the open period, the quantity holds.
    pub seats_from: Timestamp,
}

/// What is to be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedItem {
    /// An item that is there already, or a new one.
    pub id: SubscriptionItemId,
    /// What is bought.
    pub plan_version: PlanVersionId,
    /// Seats.
    pub quantity: u32,
}

/// The terms that a change leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Of the plan and every add-on.
    pub rhythm: Rhythm,
    /// The plan first.
    pub items: Vec<WantedItem>,
}

/// The billing period that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPeriod {
    /// What is billed when it ends.
    pub period: Period,
    /// The uncut period around it, which a proration divides by.
    pub full: Period,
}

/// What happens when a trial ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrialEnd {
    /// The subscription becomes active and is billed.
    Convert,
    /// The subscription ends.
    Cancel,
}

/// A time before the first billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The first instant after the trial.
    pub ends_at: Timestamp,
    /// What happens then.
    pub then: TrialEnd,
}

/// A change that waits for its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledChange {
    /// When it takes effect.
    pub at: Timestamp,
    /// What it leads to.
    pub terms: Terms,
}

/// Everything that decides what happens next to a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct SubscriptionState {
    /// Where it stands.
    pub status: SubscriptionStatus,
    /// When it begins.
    pub start_at: Timestamp,
    /// What anniversary periods count from.
    pub anchor: Timestamp,
    /// The customer's time zone.
    pub time_zone: TimeZone,
    /// The length of its periods.
    pub rhythm: Rhythm,
    /// The open period; the last one of a subscription that is paused or canceled.
    pub open: OpenPeriod,
    /// The plan first, then add-ons.
    pub items: Vec<Item>,
    /// The trial, also after it has ended.
    pub trial: Option<Trial>,
    /// When it is to end.
    pub cancel_at: Option<Timestamp>,
    /// A change that is to come.
    pub scheduled: Option<ScheduledChange>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What can be asked of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionCommand {
    /// Buy something else.
    Change(Terms, ChangeTiming),
    /// End it.
    Cancel(CancelTiming),
    /// Take back a cancellation that is to come.
    Uncancel,
    /// Stop counting and billing; fees in advance are given back.
    Pause,
    /// Go on after a pause.
    Resume,
    /// An invoice could not be collected.
    PaymentFailed,
    /// No invoice is overdue any more.
    PaymentRecovered,
    /// The dunning ladder ended without money and the policy is to cancel.
    DunningExhausted,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeTiming {
    /// At once: what ends is settled, what begins is charged for the rest of the period.
    Now,
    /// At once and without proration: the whole period is billed by the new terms when it ends, and fees in advance
    /// follow with the next one.
    NowUnprorated,
    /// When the open period ends.
    PeriodEnd,
    /// At a time to come, like `Now`.
    At(Timestamp),
}

/// When a cancellation takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTiming {
    /// At once; fees in advance are given back for the rest of the period.
    NowWithCredit,
    /// At once; nothing is given back.
    NowWithoutCredit,
    /// When the open period, or the trial, ends.
    PeriodEnd,
}

/// What is to be billed, credited or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Charge the price of the trial.
    TrialFee {
        /// The trial.
        service: Period,
    },
    /// Note that a stretch of an item is settled without a bill: it was a trial.
    Free {
        /// Which item.
        item: Item,
        /// The stretch.
        service: Period,
    },
    /// Charge the fees in advance of an item.
    Advance {
        /// Which item.
        item: Item,
        /// What is charged.
        service: Period,
        /// What a proration divides by.
        full: Period,
        /// All fees, or only those that depend on the quantity.
        fees: Fees,
    },
    /// Bill the usage and the fees in arrears of an item; those by quantity from the item's `seats_from` on.
    Arrears {
        /// Which item.
        item: Item,
        /// What is billed.
        service: Period,
        /// What a proration divides by.
        full: Period,
        /// Why the service ends.
        end: ServiceEnd,
    },
    /// Bill the fees in arrears that depend on the quantity, which changes; the usage goes on.
    ArrearsSeats {
        /// The item with the quantity that ends.
        item: Item,
        /// What is billed.
        service: Period,
        /// What a proration divides by.
        full: Period,
    },
    /// Give back fees in advance for a service that is not rendered.
    Credit {
        /// Which item.
        item: Item,
        /// What is given back.
        service: Period,
        /// What a proration divides by.
        full: Period,
        /// Why the service ends.
        end: ServiceEnd,
        /// All fees, or only those that depend on the quantity.
        fees: Fees,
    },
    /// Tell the outside world.
    Announce(SubscriptionEvent),
}

/// Which fees of an item are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fees {
    /// All of them.
    All,
    /// Those that depend on the quantity.
    Seats,
}

/// What the outside world is told of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionEvent {
    /// It is billed from now on.
    Activated,
    /// Its terms, or its end, changed.
    Updated,
    /// A payment failed.
    PastDue,
    /// Counting and billing stop.
    Paused,
    /// Counting and billing go on.
    Resumed,
    /// It has ended.
    Canceled,
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LifecycleError {
    /// The status does not allow the command.
    #[error("a subscription that is {} cannot be {command}", status.as_str())]
    NotAllowed {
        /// Where the subscription stands.
        status: SubscriptionStatus,
        /// What was asked for, as a participle.
        command: &'static str,
    },
    /// There is no cancellation to take back.
    #[error("no cancellation is planned")]
    NotCanceling,
    /// A change of the interval starts a new period, which cannot be left unprorated.
    #[error("a change of the billing interval without proration can only happen when the period ends")]
    IntervalUnprorated,
    /// A planned time is not ahead.
    #[error("the time of the change is not in the future")]
    NotAhead,
    /// The terms have no item.
    #[error("a subscription needs a plan")]
    NoItems,
    /// A billing period cannot be computed.
    #[error("the billing period cannot be computed")]
    Period(#[from] PeriodError),
}

/// The next state and what it brings with it, in order.
pub type Step = (SubscriptionState, Vec<Effect>);

impl SubscriptionStatus {
    const ALL: [Self; 6] =
        [Self::Incomplete, Self::Trialing, Self::Active, Self::PastDue, Self::Paused, Self::Canceled];

    /// Returns the word of the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Paused => "paused",
            Self::Canceled => "canceled",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

impl TrialEnd {
    /// Returns `convert` or `cancel`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Cancel => "cancel",
        }
    }

    /// Reads `convert` or `cancel`.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Convert, Self::Cancel].into_iter().find(|end| end.as_str() == word)
    }
}

impl SubscriptionEvent {
    /// Returns the type of the outbox event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activated => "subscription.activated",
            Self::Updated => "subscription.updated",
            Self::PastDue => "subscription.past_due",
            Self::Paused => "subscription.paused",
            Self::Resumed => "subscription.resumed",
            Self::Canceled => "subscription.canceled",
        }
    }
}

impl Effect {
    /// Tells whether there is something to bill or to settle, beyond telling about it.
    pub const fn is_billing(&self) -> bool {
        match self {
            Self::Announce(_) => false,
            Self::TrialFee { .. }
            | Self::Free { .. }
            | Self::Advance { .. }
            | Self::Arrears { .. }
            | Self::ArrearsSeats { .. }
            | Self::Credit { .. } => true,
        }
    }
}
