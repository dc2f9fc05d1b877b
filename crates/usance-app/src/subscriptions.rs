//! Subscriptions: a customer, a plan version, and billing periods without gap or overlap.

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;
use usance_core::{
    ids::{CustomerId, SubscriptionId},
    period::{Alignment, BillingCycle, BillingInterval, IntervalUnit},
};
use usance_db::{
    Page, PageRequest, TenantTx, catalog_versions,
    customers::Customer,
    plans::PlanVersion,
    subscriptions::{self, Subscription},
};

use crate::{
    Cx,
    catalog::plans,
    customers,
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
    pub quantity: Option<i32>,
}

/// A subscription with the code of its plan and the number of its version.
#[derive(Debug, Clone)]
pub struct SubscriptionOfPlan {
    /// The subscription.
    pub subscription: Subscription,
    /// The plan's code.
    pub plan: String,
    /// The plan version's number.
    pub plan_version: i32,
}

/// Starts a subscription. Events that waited for it are rated; periods that have passed already are billed at once.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateSubscription) -> Result<SubscriptionOfPlan> {
    let tenant_now = cx.tenant_now(tx).await?;
    let start_at = input.start_at.unwrap_or(tenant_now);
    check_instant("/start_at", start_at, cx.now)?;
    let quantity = input.quantity.unwrap_or(1);
    if quantity < 0 {
        return Err(Error::field("/quantity", "out_of_range", "must not be negative"));
    }
    tx.lock_catalog().await?;
    let customer = customers::get(tx, &input.customer).await.map_err(|error| {
        let detail = "there is no customer with this id or external_id: create it first";
        name_missing(error, "/customer", "unknown_customer", detail)
    })?;
    let plan = plans::get(tx, &input.plan).await.map_err(|error| {
        let detail = "there is no plan with this code: create it first";
        name_missing(error, "/plan", "unknown_plan", detail)
    })?;
    if plan.version.currency != customer.currency {
        let detail =
            format!("the plan is in {} and the customer in {}", plan.version.currency, customer.currency);
        return Err(Error::refused(Code::CurrencyMismatch, detail));
    }
    if subscriptions::find_rival(tx, customer.id, plan.version.id).await?.is_some() {
        let detail = "another subscription of the customer prices a meter of this plan: an event would be billed twice";
        return Err(Error::refused(Code::SubscriptionExists, detail));
    }
    let period = billing_cycle(&plan.version, &customer, start_at)?.period_containing(start_at)?;
    let subscription = Subscription {
        id: SubscriptionId::from_uuid(cx.app.ids.next()),
        customer_id: customer.id,
        plan_version_id: plan.version.id,
        status: "active".to_owned(),
        quantity,
        start_at,
        period,
        ended_at: None,
        created_at: cx.now,
    };
    subscriptions::insert(tx, &subscription).await?;
    catalog_versions::bump(tx).await?;
    work::rate_unbilled(cx, tx).await?;
    work::schedule(tx, work::Kind::OpenSubscription, subscription.id.uuid(), start_at).await?;
    work::schedule(tx, work::Kind::ClosePeriod, subscription.id.uuid(), period.end).await?;
    announce(
        cx,
        tx,
        "subscription.created",
        json!({ "id": subscription.id, "customer": customer.id, "plan": plan.plan.code }),
    )
    .await?;
    Ok(SubscriptionOfPlan { subscription, plan: plan.plan.code, plan_version: plan.version.version })
}

/// Names the field if what it names does not exist; any other error stays.
fn name_missing(error: Error, pointer: &str, code: &'static str, detail: &'static str) -> Error {
    let missing = matches!(&error, Error::Refused(refusal) if refusal.code == Code::NotFound);
    if missing { Error::field(pointer, code, detail) } else { error }
}

/// The rhythm of a subscription's periods, in the customer's time zone.
pub(crate) fn billing_cycle(
    version: &PlanVersion,
    customer: &Customer,
    anchor: Timestamp,
) -> Result<BillingCycle> {
    let unreadable = Error::Internal("a stored billing cycle cannot be read");
    let unit = IntervalUnit::parse(&version.interval_unit);
    let count = u16::try_from(version.interval_count).ok();
    let (Some(unit), Some(count), Some(alignment), Ok(time_zone)) =
        (unit, count, Alignment::parse(&version.alignment), TimeZone::get(&customer.time_zone))
    else {
        return Err(unreadable);
    };
    Ok(BillingCycle { interval: BillingInterval::new(unit, count)?, alignment, time_zone, anchor })
}

/// Finds a subscription.
pub async fn get(tx: &mut TenantTx, id: SubscriptionId) -> Result<SubscriptionOfPlan> {
    let subscription = subscriptions::find(tx, id).await?.ok_or_else(|| Error::not_found("subscription"))?;
    with_plan(tx, subscription).await
}

/// Lists subscriptions, of one customer or of all.
pub async fn list(
    tx: &mut TenantTx,
    customer: Option<&str>,
    page: PageRequest,
) -> Result<Page<SubscriptionOfPlan>> {
    let customer = find_filter(tx, customer).await?;
    let page = subscriptions::list(tx, customer, page).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for subscription in page.items {
        items.push(with_plan(tx, subscription).await?);
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

async fn with_plan(tx: &mut TenantTx, subscription: Subscription) -> Result<SubscriptionOfPlan> {
    let plan = usance_db::plans::get_of_version(tx, subscription.plan_version_id).await?;
    let version = usance_db::plans::get_version(tx, subscription.plan_version_id).await?;
    Ok(SubscriptionOfPlan { subscription, plan: plan.code, plan_version: version.version })
}
