//! Subscriptions: a customer, a plan version, and billing periods without gap or overlap.

mod advance;
mod buying;
mod change;
pub(crate) mod state;

pub(crate) use advance::advance;
pub use change::{
    CancelSubscription, ChangeSubscription, ChangeWhen, cancel, change, pause, resume, uncancel,
};
pub(crate) use change::{move_to_version, note_payment_failed, note_recovered};

use buying::Buying;
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};
use serde_json::json;
use usance_core::{
    ids::{CustomerId, SubscriptionId},
    subscription::{LifecycleError, SubscriptionState, Trial, TrialEnd, pass_time},
};
use usance_db::{
    Page, PageRequest, TenantTx, catalog_versions,
    plans::{PlanPolicies, Price},
    subscriptions::{self, Subscription},
};

use crate::{
    Cx,
    billing::{Offers, time_zone},
    catalog::{
        overrides::PriceOverride,
        plans::{CreateEntitlement, PlanAtVersion},
    },
    coupons, customers, entitlements,
    error::{Code, Error, Result},
    outbox::announce,
    test_clock::check_instant,
    work,
};

/// A new subscription.
#[derive(Debug)]
pub struct CreateSubscription {
    /// Our id of the customer, or the tenant's own name for it.
    pub customer: String,
    /// Code of the plan; its newest version is taken.
    pub plan: String,
    /// When it begins; now if absent.
    pub start_at: Option<Timestamp>,
    /// Seats; 1 if absent.
    pub quantity: Option<u32>,
    /// Codes and quantities of add-ons.
    pub add_ons: Vec<AddOn>,
    /// Prices of the plan that are other ones for this subscription.
    pub overrides: Vec<PriceOverride>,
    /// A coupon that is redeemed for this subscription.
    pub coupon: Option<String>,
    /// Whether the plan's trial comes first; true if absent.
    pub trial: Option<bool>,
    /// What the subscription grants of features instead of its plan.
    pub entitlements: Vec<CreateEntitlement>,
}

/// An add-on that is bought with a plan.
#[derive(Debug, Clone)]
pub struct AddOn {
    /// Its code.
    pub code: String,
    /// Seats; 1 if absent.
    pub quantity: Option<u32>,
}

/// A subscription with the codes and versions of what it buys.
#[derive(Debug, Clone)]
pub struct SubscriptionOfPlan {
    /// The subscription.
    pub subscription: Subscription,
    /// Code and version number of each item's plan, in the order of the items.
    pub plans: Vec<(String, i32)>,
    /// What its plan costs, in the order of the invoice.
    pub prices: Vec<Price>,
    /// Whether some of these prices are its own and not the plan's.
    pub overridden: bool,
    /// The code of the plan that a planned change leads to.
    pub scheduled_plan: Option<String>,
}

/// Starts a subscription. Events that waited for it are rated; periods that have passed already are billed in their turn.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateSubscription) -> Result<SubscriptionOfPlan> {
    let tenant_now = cx.tenant_now(tx).await?;
    let start_at = input.start_at.unwrap_or(tenant_now);
    check_instant("/start_at", start_at, cx.now)?;
    tx.lock_catalog().await?;
    let customer = customers::get(tx, &input.customer).await.map_err(|error| {
        let detail = "there is no customer with this id or external_id: create it first";
        name_missing(error, "/customer", "unknown_customer", detail)
    })?;
    let mut buying = Buying { cx, customer: &customer, subscription: None, offers: Offers::default() };
    let plan = buying.plan(tx, &input.plan, &input.overrides).await?;
    let mut items = vec![buying.item(tx, plan, input.quantity, None, "/quantity").await?];
    buying.add_ons(tx, &input.add_ons, &[], &mut items).await?;
    let terms = state::terms(items, &buying.offers)?;
    let trial = if input.trial == Some(false) {
        None
    } else {
        let policies = &buying.offers.get(plan)?.plan.version.policies;
        trial_from(policies, start_at, time_zone(&customer)?)?
    };
    let state =
        SubscriptionState::new(start_at, time_zone(&customer)?, &terms, trial).map_err(lifecycle_error)?;
    let mut stored = Subscription {
        id: SubscriptionId::from_uuid(cx.app.ids.next()),
        customer_id: customer.id,
        status: String::new(),
        start_at,
        anchor_at: start_at,
        period: state.open.period,
        full_period: state.open.full,
        trial: None,
        cancel_at: None,
        scheduled: None,
        ended_at: None,
        created_at: cx.now,
        items: Vec::new(),
    };
    state::store(&state, &mut stored);
    subscriptions::insert(tx, &stored).await?;
    if !input.entitlements.is_empty() {
        entitlements::replace_own(tx, stored.id, &input.entitlements).await?;
    }
    if let Some(coupon) = &input.coupon {
        coupons::redeem(cx, tx, &customer, Some(stored.id), coupon).await?;
    }
    let data = json!({ "id": stored.id, "customer": customer.id, "plan": input.plan });
    announce(cx, tx, "subscription.created", data).await?;
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    work::schedule(tx, work::Kind::AdvanceSubscription, stored.id.uuid(), start_at).await?;
    if start_at <= tenant_now {
        begin(cx, tx, &buying, stored.clone(), &state).await?;
    }
    get(tx, stored.id).await
}

/// What a subscription pays when it begins is billed with the request that begins it.
async fn begin(
    cx: &Cx,
    tx: &mut TenantTx,
    buying: &Buying<'_>,
    stored: Subscription,
    state: &SubscriptionState,
) -> Result<()> {
    let (next, effects) = pass_time(state).map_err(lifecycle_error)?;
    let customers = [(buying.customer.id, buying.customer.clone())].into();
    let at = stored.start_at;
    let moves = vec![advance::Move { stored, next, effects, at, proration: None }];
    advance::settle(cx, tx, &buying.offers, &customers, moves).await
}

/// The trial of a plan that begins at an instant: hours, or days of the customer's calendar.
fn trial_from(policies: &PlanPolicies, start_at: Timestamp, time_zone: TimeZone) -> Result<Option<Trial>> {
    let Some((unit, count)) = &policies.trial else { return Ok(None) };
    let out_of_range =
        |_| Error::field("/start_at", "out_of_range", "the trial ends beyond the range of dates");
    let ends_at = if unit == "hour" {
        start_at.checked_add(SignedDuration::from_hours(i64::from(*count))).map_err(out_of_range)?
    } else {
        let local = Zoned::new(start_at, time_zone);
        let span = jiff::Span::new().try_days(*count).map_err(out_of_range)?;
        local.checked_add(span).map_err(out_of_range)?.timestamp()
    };
    let then =
        TrialEnd::parse(&policies.trial_then).ok_or(Error::Internal("a stored trial cannot be read"))?;
    Ok(Some(Trial { ends_at, then }))
}

/// Says why a command does not fit the state of a subscription.
pub(crate) fn lifecycle_error(error: LifecycleError) -> Error {
    match error {
        LifecycleError::NotAllowed { .. } | LifecycleError::NotCanceling => {
            Error::refused(Code::SubscriptionState, error.to_string())
        }
        LifecycleError::IntervalUnprorated => Error::field(
            "/proration",
            "not_allowed",
            format!("{error}: choose when = period_end, or another proration"),
        ),
        LifecycleError::NotAhead => Error::field("/at", "not_ahead", "must be later than now"),
        LifecycleError::NoItems => Error::Internal("a subscription has no plan"),
        LifecycleError::Period(error) => Error::Period(error),
    }
}

/// Names the field if what it names does not exist; any other error stays.
pub(crate) fn name_missing(error: Error, pointer: &str, code: &'static str, detail: &'static str) -> Error {
    let missing = matches!(&error, Error::Refused(refusal) if refusal.code == Code::NotFound);
    if missing { Error::field(pointer, code, detail) } else { error }
}

/// Finds a subscription.
pub async fn get(tx: &mut TenantTx, id: SubscriptionId) -> Result<SubscriptionOfPlan> {
    let subscription = subscriptions::find(tx, id).await?.ok_or_else(|| Error::not_found("subscription"))?;
    let mut offers = Offers::default();
    with_plans(tx, &mut offers, subscription).await
}

/// Lists subscriptions, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<&str>,
    page: PageRequest,
) -> Result<Page<SubscriptionOfPlan>> {
    let customer = find_filter(tx, customer).await?;
    let page = subscriptions::list(tx, customer, page).await?;
    let mut offers = Offers::default();
    let mut items = Vec::with_capacity(page.items.len());
    for subscription in page.items {
        items.push(with_plans(tx, &mut offers, subscription).await?);
    }
    Ok(Page { items, has_more: page.has_more })
}

/// Resolves the customer of a filter.
pub(crate) async fn find_filter(tx: &mut TenantTx, customer: Option<&str>) -> Result<Option<CustomerId>> {
    match customer {
        Some(name) => Ok(Some(customers::get(tx, name).await?.id)),
        None => Ok(None),
    }
}

async fn with_plans(
    tx: &mut TenantTx,
    offers: &mut Offers,
    subscription: Subscription,
) -> Result<SubscriptionOfPlan> {
    offers.load(tx, state::versions(&subscription).into_iter()).await?;
    let mut plans = Vec::with_capacity(subscription.items.len());
    for item in &subscription.items {
        let PlanAtVersion { plan, version, .. } = &offers.get(item.plan_version_id)?.plan;
        plans.push((plan.code.clone(), version.version));
    }
    let scheduled_plan = match state::planned_version(&subscription) {
        None => None,
        Some(version) => Some(offers.get(version)?.plan.plan.code.clone()),
    };
    let plan = subscription.items.first().ok_or(Error::Internal("a subscription has no plan"))?;
    let PlanAtVersion { prices, version, .. } = &offers.get(plan.plan_version_id)?.plan;
    let (prices, overridden) = (prices.clone(), version.override_of.is_some());
    Ok(SubscriptionOfPlan { subscription, plans, prices, overridden, scheduled_plan })
}
