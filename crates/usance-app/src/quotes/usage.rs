//! The usage of a quote, read into what each price needs to know.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, tz::TimeZone};
use rust_decimal::Decimal;
use usance_core::{
    catalog::{
        meter::Aggregation,
        price::{ChargeModel, WindowSize},
    },
    decimal::exact_add,
    money::Money,
    period::Period,
    proration::calendar_days_between,
    rating::{Needs, RateError, Run, Usage, WindowUsage, rate},
};
use usance_db::customers::Customer;

use crate::{
    billing::{Offer, OfferPrice, time_zone},
    error::{Faults, Result},
    fields::read_decimal,
};

const EVENTS_MAX: usize = 10_000;
/// Hours of about ten years.
const WINDOWS_MAX: usize = 100_000;
const SECONDS_PER_HOUR: i64 = 3600;

/// Usage as sent; which members count depends on the price.
#[derive(Debug, Clone, Default)]
pub struct QuotedUsage {
    /// A decimal; by the meter's aggregation over the events if absent.
    pub quantity: Option<String>,
    /// The value of each event, in their order.
    pub events: Vec<String>,
    /// How many events there are, where only their number counts.
    pub event_count: Option<u64>,
    /// The sum of the prices that the events carry, in major units.
    pub event_amount: Option<String>,
    /// Hours of the day, and what was used in one such hour or day; the others have no usage.
    pub windows: Vec<(u8, String)>,
}

/// Notes the fees that the quantity does not fit.
pub(crate) fn check_fees(faults: &mut Faults, offer: &Offer, quantity: u32) {
    for price in offer.prices.iter().filter(|price| price.meter.is_none()) {
        check_rated(faults, "/quantity", offer, price, &Usage::of(price.fixed_quantity(quantity)));
    }
}

/// Reads the usage of every metered price, in the order of the prices. Every fault is noted.
pub(crate) fn read_usages(
    faults: &mut Faults,
    offer: &Offer,
    sent: &BTreeMap<String, QuotedUsage>,
    (period, customer): (Period, &Customer),
) -> Result<Vec<Usage>> {
    let time_zone = time_zone(customer)?;
    let nothing = QuotedUsage::default();
    let mut named = BTreeSet::new();
    let mut usages = Vec::new();
    for price in offer.prices.iter().filter(|price| price.meter.is_some()) {
        let (pointer, sent) = match find(offer, price, sent) {
            Some((name, sent)) => {
                named.insert(name);
                (format!("/usage/{}", name.replace('~', "~0").replace('/', "~1")), sent)
            }
            None => ("/usage".to_owned(), &nothing),
        };
        let mut reading = Reading { faults: &mut *faults, pointer: &pointer, sent };
        let usage = reading.usage(price, (period, &time_zone));
        check_rated(faults, &pointer, offer, price, &usage);
        usages.push(usage);
    }
    for name in sent.keys().filter(|name| !named.contains(name.as_str())) {
        let pointer = format!("/usage/{}", name.replace('~', "~0").replace('/', "~1"));
        let split = offer.prices.iter().any(|price| meter_code(price) == Some(name));
        let (code, detail) = if split {
            ("ambiguous", "several prices of the plan split this meter: give the usage of each by its code")
        } else {
            ("unknown_meter", "no price of the plan is by this meter")
        };
        faults.add(&pointer, code, detail);
    }
    Ok(usages)
}

fn meter_code(price: &OfferPrice) -> Option<&str> {
    price.meter.as_ref().map(|meter| meter.code.as_str())
}

/// The usage by the meter, or by the code of the price where several prices split the meter.
fn find<'a>(
    offer: &Offer,
    price: &OfferPrice,
    sent: &'a BTreeMap<String, QuotedUsage>,
) -> Option<(&'a str, &'a QuotedUsage)> {
    let by_name = |name: &str| sent.get_key_value(name).map(|(name, usage)| (name.as_str(), usage));
    let meter = meter_code(price)?;
    let prices = offer.prices.iter().filter(|other| meter_code(other) == Some(meter)).count();
    if prices == 1 { by_name(meter) } else { by_name(&price.price.code) }
}

fn check_rated(faults: &mut Faults, pointer: &str, offer: &Offer, price: &OfferPrice, usage: &Usage) {
    let rated = rate(&price.terms, usage, Run::Final)
        .and_then(|charge| Money::from_exact(charge.exact, offer.currency).map_err(RateError::from));
    if let Err(error) = rated {
        faults.add(pointer, "not_rateable", format!("cannot be priced by `{}`: {error}", price.price.code));
    }
}

/// One usage that is being read.
struct Reading<'a> {
    faults: &'a mut Faults,
    pointer: &'a str,
    sent: &'a QuotedUsage,
}

impl Reading<'_> {
    fn usage(&mut self, price: &OfferPrice, period: (Period, &TimeZone)) -> Usage {
        let events = self.events();
        let quantity = match &self.sent.quantity {
            Some(text) => self.positive("quantity", text),
            None => self.aggregate(price, &events),
        };
        let counted = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let event_count = self.sent.event_count.unwrap_or(counted);
        let event_amount = self.sent.event_amount.clone();
        let event_amount = event_amount.map(|text| self.positive("event_amount", &text)).unwrap_or_default();
        let windows = match price.terms.needs() {
            Needs::Windows { size, empty } => self.windows(size, empty, period),
            Needs::Nothing | Needs::Quantity | Needs::EventAmounts | Needs::Events => Vec::new(),
        };
        self.require(price, quantity, event_count);
        Usage { quantity, event_count, event_amount, events, windows }
    }

    fn positive(&mut self, name: &str, text: &str) -> Decimal {
        let pointer = format!("{}/{name}", self.pointer);
        let value = read_decimal(self.faults, &pointer, text).unwrap_or_default();
        if value < Decimal::ZERO {
            self.faults.add(&pointer, "out_of_range", "must not be negative");
            return Decimal::ZERO;
        }
        value
    }

    fn events(&mut self) -> Vec<Decimal> {
        if self.sent.events.len() > EVENTS_MAX {
            let pointer = format!("{}/events", self.pointer);
            self.faults.add(&pointer, "too_many", format!("must have at most {EVENTS_MAX} events"));
            return Vec::new();
        }
        let sent = self.sent;
        let events = sent.events.iter().enumerate();
        events.map(|(index, text)| self.positive(&format!("events/{index}"), text)).collect()
    }

    /// What the price's meter makes of the events.
    fn aggregate(&mut self, price: &OfferPrice, events: &[Decimal]) -> Decimal {
        let Some(meter) = price.meter.as_ref().filter(|_| !events.is_empty()) else { return Decimal::ZERO };
        let aggregated = match meter.aggregation {
            Aggregation::Count => Some(Decimal::from(events.len())),
            Aggregation::Sum => {
                events.iter().try_fold(Decimal::ZERO, |sum, value| exact_add(sum, *value)).ok()
            }
            Aggregation::Max => events.iter().copied().max(),
            Aggregation::Min => events.iter().copied().min(),
            Aggregation::Latest => events.last().copied(),
            Aggregation::UniqueCount => {
                Some(Decimal::from(events.iter().copied().collect::<BTreeSet<_>>().len()))
            }
            Aggregation::Average | Aggregation::WeightedSum => None,
        };
        aggregated.unwrap_or_else(|| {
            let pointer = format!("{}/quantity", self.pointer);
            let detail = "does not follow from the values of events alone: say what the meter shows";
            self.faults.add(&pointer, "required", detail);
            Decimal::ZERO
        })
    }

    /// Refuses usage that would be priced too low because something of it is not said.
    fn require(&mut self, price: &OfferPrice, quantity: Decimal, event_count: u64) {
        let missing = match price.terms.needs() {
            Needs::Nothing => None,
            Needs::Quantity => {
                let per_event = matches!(
                    &price.terms.model,
                    ChargeModel::Percentage(percentage) if !percentage.fixed_amount_per_event.is_zero()
                );
                (per_event && event_count == 0 && !quantity.is_zero()).then_some("event_count")
            }
            Needs::Events => (self.sent.events.is_empty() && !quantity.is_zero()).then_some("events"),
            Needs::EventAmounts => {
                (self.sent.event_amount.is_none() && !quantity.is_zero()).then_some("event_amount")
            }
            Needs::Windows { .. } => {
                (self.sent.windows.is_empty() && !quantity.is_zero()).then_some("windows")
            }
        };
        if let Some(name) = missing {
            let pointer = format!("{}/{name}", self.pointer);
            let detail =
                format!("is needed: `{}` depends on it and not on the quantity alone", price.price.code);
            self.faults.add(&pointer, "required", detail);
        }
    }

    /// The windows that are sent, and where they count too, the others of the period at zero.
    fn windows(
        &mut self,
        size: WindowSize,
        empty: bool,
        (period, tz): (Period, &TimeZone),
    ) -> Vec<WindowUsage> {
        let mut free = hours_of_windows(size, period, tz);
        let sent = self.sent;
        if sent.windows.len() > free.len().min(WINDOWS_MAX) {
            let pointer = format!("{}/windows", self.pointer);
            self.faults.add(&pointer, "too_many", "are more than a period has");
            return Vec::new();
        }
        let mut windows = Vec::with_capacity(sent.windows.len());
        for (index, (hour, text)) in sent.windows.iter().enumerate() {
            let quantity = self.positive(&format!("windows/{index}/quantity"), text);
            if let Some(position) = free.iter().position(|free| free == hour) {
                free.swap_remove(position);
                windows.push(WindowUsage { hour: *hour, quantity });
            } else {
                let pointer = format!("{}/windows/{index}/hour", self.pointer);
                self.faults.add(&pointer, "out_of_range", "is no hour of the period, or not so often");
            }
        }
        if empty {
            windows.extend(free.into_iter().map(|hour| WindowUsage { hour, quantity: Decimal::ZERO }));
        }
        windows
    }
}

/// The hour of the day of every window of a period, at most [`WINDOWS_MAX`]; 0 for days.
fn hours_of_windows(size: WindowSize, period: Period, tz: &TimeZone) -> Vec<u8> {
    match size {
        WindowSize::Day => {
            let days =
                usize::try_from(calendar_days_between(period.start, period.end, tz)).unwrap_or_default();
            vec![0; days.min(WINDOWS_MAX)]
        }
        WindowSize::Hour => {
            let hours = period.end.duration_since(period.start).as_secs() / SECONDS_PER_HOUR;
            let hour = |index| {
                let at = period.start.saturating_add(SignedDuration::from_hours(index)).unwrap_or(period.end);
                u8::try_from(tz.to_datetime(at).hour()).unwrap_or_default()
            };
            (0..hours).take(WINDOWS_MAX).map(hour).collect()
        }
    }
}
