//! Discounts: coupons that a customer redeems, for all of its subscriptions or for one.

use jiff::Timestamp;
use serde_json::json;
use usance_core::ids::{DiscountId, SubscriptionId};
use usance_db::{
    Page, PageRequest, TenantTx,
    coupons::{self, Coupon},
    customers::{self as stored_customers, Customer},
    discounts::{self, Discount, NewDiscount},
    plans, subscriptions,
};

use crate::{
    Cx, customers,
    error::{Code, Error, Refusal, Result},
    outbox::announce,
};

/// Discounts of a customer that a quote looks through, the newest ones.
const DISCOUNTS_MAX: u16 = 1000;

/// Redeems a coupon for a customer, or for one subscription of it, which must be stored already.
///
/// The coupon is locked: however many redeem it at once, it is not redeemed more often than it may be.
pub async fn redeem(
    cx: &Cx,
    tx: &mut TenantTx,
    customer: &Customer,
    subscription: Option<SubscriptionId>,
    code: &str,
) -> Result<Discount> {
    stored_customers::lock(tx, customer.id).await?;
    let Some(coupon) = coupons::lock(tx, code).await? else {
        let detail = "there is no coupon with this code: create it first";
        return Err(Error::field("/coupon", "unknown_coupon", detail));
    };
    let now = cx.tenant_now(tx).await?;
    check_redeemable(&coupon, now)?;
    check_currency(&coupon, &customer.currency)?;
    if let Some(subscription) = subscription {
        check_plan(tx, &coupon, subscription).await?;
    }
    if discounts::is_applied(tx, coupon.id, customer.id, subscription).await? {
        let detail = "the customer has a discount of this coupon that has not ended";
        return Err(Error::refused(Code::DiscountExists, detail));
    }
    let discount = NewDiscount {
        id: DiscountId::from_uuid(cx.app.ids.next()),
        customer_id: customer.id,
        subscription_id: subscription,
        coupon_id: coupon.id,
        periods_left: if coupon.duration == "once" { Some(1) } else { coupon.duration_periods },
        fixed_left_minor: coupon.amount_minor.filter(|_| coupon.duration == "once"),
        created_at: now,
    };
    discounts::apply(tx, &discount).await?;
    coupons::count_redemption(tx, coupon.id).await?;
    let data = json!({ "id": discount.id, "customer": customer.id, "subscription": subscription, "coupon": coupon.code });
    announce(cx, tx, "discount.created", data).await?;
    let discount = discounts::find(tx, discount.id).await?;
    discount.ok_or(Error::Internal("a discount cannot be read back"))
}

fn check_redeemable(coupon: &Coupon, now: Timestamp) -> Result<()> {
    if coupon.archived_at.is_some() {
        return Err(not_redeemable("archived", "the coupon is archived".to_owned()));
    }
    if let Some(redeem_by) = coupon.redeem_by.filter(|redeem_by| *redeem_by <= now) {
        return Err(not_redeemable("expired", format!("the coupon could be redeemed until {redeem_by}")));
    }
    if let Some(max) = coupon.max_redemptions.filter(|max| *max <= coupon.times_redeemed) {
        let detail =
            format!("the coupon was redeemed {} times and may be {max} times", coupon.times_redeemed);
        return Err(not_redeemable("used_up", detail));
    }
    Ok(())
}

fn not_redeemable(reason: &'static str, detail: String) -> Error {
    Refusal::new(Code::CouponNotRedeemable, detail).with("reason", reason).into()
}

fn check_currency(coupon: &Coupon, charged: &str) -> Result<()> {
    match &coupon.currency {
        Some(currency) if currency != charged => {
            let detail = format!("the coupon is in {currency} and the customer in {charged}");
            Err(Error::refused(Code::CurrencyMismatch, detail))
        }
        Some(_) | None => Ok(()),
    }
}

/// Finds a coupon that could be redeemed now for a plan.
pub(crate) async fn find_redeemable(
    tx: &mut TenantTx,
    code: &str,
    now: Timestamp,
    (plan, currency): (&str, &str),
) -> Result<Coupon> {
    let Some(coupon) = coupons::find(tx, code).await? else {
        let detail = "there is no coupon with this code: create it first";
        return Err(Error::field("/coupon", "unknown_coupon", detail));
    };
    check_redeemable(&coupon, now)?;
    check_currency(&coupon, currency)?;
    check_plan_code(&coupon, plan)?;
    Ok(coupon)
}

/// Lists the discounts of a customer that every new subscription to a plan has, in the order in which they are taken off.
pub(crate) async fn list_of_all_subscriptions(
    tx: &mut TenantTx,
    customer: &Customer,
    plan: &str,
) -> Result<Vec<Discount>> {
    let every = PageRequest { limit: DISCOUNTS_MAX, after: None };
    let mut found = Vec::new();
    for discount in discounts::list(tx, customer.id, every).await?.items {
        if discount.ended_at.is_some() || discount.subscription_id.is_some() {
            continue;
        }
        let coupon = coupons::find(tx, &discount.coupon_code).await?;
        if coupon.is_some_and(|coupon| check_plan_code(&coupon, plan).is_ok()) {
            found.push(discount);
        }
    }
    // The list is newest first.
    found.reverse();
    Ok(found)
}

async fn check_plan(tx: &mut TenantTx, coupon: &Coupon, subscription: SubscriptionId) -> Result<()> {
    if coupon.plans.is_empty() {
        return Ok(());
    }
    let subscription =
        subscriptions::find(tx, subscription).await?.ok_or_else(|| Error::not_found("subscription"))?;
    let item = subscription.items.first().ok_or(Error::Internal("a subscription has no plan"))?;
    let plan = plans::get_of_version(tx, item.plan_version_id).await?;
    check_plan_code(coupon, &plan.code)
}

fn check_plan_code(coupon: &Coupon, plan: &str) -> Result<()> {
    if coupon.plans.is_empty() || coupon.plans.iter().any(|code| code == plan) {
        return Ok(());
    }
    let detail = format!("the coupon is for {} and the plan is {plan}", coupon.plans.join(", "));
    Err(not_redeemable("other_plan", detail))
}

/// Redeems a coupon for all subscriptions of a customer.
pub async fn create(cx: &Cx, tx: &mut TenantTx, customer: &str, coupon: &str) -> Result<Discount> {
    let customer = customers::get(tx, customer).await?;
    redeem(cx, tx, &customer, None, coupon).await
}

/// Lists a customer's discounts, with those that have ended.
pub async fn list(tx: &mut TenantTx, customer: &str, page: PageRequest) -> Result<Page<Discount>> {
    let customer = customers::get(tx, customer).await?;
    Ok(discounts::list(tx, customer.id, page).await?)
}

/// Ends a customer's discount; invoices that it is on stay.
pub async fn remove(cx: &Cx, tx: &mut TenantTx, customer: &str, id: DiscountId) -> Result<()> {
    let customer = customers::get(tx, customer).await?;
    let now = cx.tenant_now(tx).await?;
    if discounts::end(tx, customer.id, id, now).await? {
        return Ok(());
    }
    Err(Error::not_found("discount"))
}
