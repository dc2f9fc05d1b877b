//! Coupons: what is taken off, for how long, and who may redeem it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use jiff::Timestamp;
use serde_json::json;
use usance_core::ids::{CouponId, PlanId};
use usance_db::{
    Page, PageRequest, TenantTx,
    coupons::{self, Coupon},
    plans,
};

use crate::{
    Change, Cx,
    error::{Code, Error, Faults, Result},
    fields::{check_code, check_members, check_text, check_word, read_currency, read_percent},
    outbox::announce,
};

pub use crate::discounts::redeem;

/// For one invoice, for a number of billing periods, or for all of them.
const DURATIONS: [&str; 3] = ["once", "repeating", "forever"];
const DURATION_PERIODS_MAX: i32 = 1200;
const PLANS_MAX: usize = 100;
/// Seconds since 1970, up to the year 2200: what the database can hold and a person can mean.
const REDEEM_BY_SECONDS: RangeInclusive<i64> = 0..=7_258_118_400;

/// A new coupon. Exactly one of `percent` and `amount` must be there.
#[derive(Debug)]
pub struct CreateCoupon {
    /// Unique in the tenant and mode.
    pub code: String,
    /// For people; the code if absent.
    pub name: Option<String>,
    /// A decimal above 0, at most 100.
    pub percent: Option<String>,
    /// Minor units and their currency.
    pub amount: Option<(i64, String)>,
    /// `once`, `repeating` or `forever`.
    pub duration: String,
    /// Billing periods of a repeating coupon.
    pub duration_periods: Option<i32>,
    /// How often it may be redeemed in all.
    pub max_redemptions: Option<i32>,
    /// From this instant of the tenant's time on it cannot be redeemed.
    pub redeem_by: Option<Timestamp>,
    /// Codes of the plans that it is limited to; all plans if absent or empty.
    pub plans: Option<Vec<String>>,
    /// The tenant's own data.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What is to change of a coupon; what it takes off never changes.
#[derive(Debug, Default)]
pub struct UpdateCoupon {
    /// For people.
    pub name: Option<String>,
    /// How often it may be redeemed in all, from the beginning.
    pub max_redemptions: Change<i32>,
    /// From this instant of the tenant's time on it cannot be redeemed.
    pub redeem_by: Change<Timestamp>,
    /// The tenant's own data.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Adds a coupon.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateCoupon) -> Result<Coupon> {
    let mut faults = Faults::default();
    check_value(&mut faults, &input);
    check_duration(&mut faults, &input);
    let percent = input.percent.as_deref().and_then(|percent| read_percent(&mut faults, "/percent", percent));
    if percent.is_some_and(|percent| percent.is_zero()) {
        faults.add("/percent", "out_of_range", "must be above 0");
    }
    let (codes, plans) = read_plans(tx, &mut faults, input.plans.unwrap_or_default()).await?;
    let mut coupon = Coupon {
        id: CouponId::from_uuid(cx.app.ids.next()),
        name: String::new(),
        percent,
        amount_minor: input.amount.as_ref().map(|(amount, _)| *amount),
        currency: input.amount.map(|(_, currency)| currency),
        duration: input.duration,
        duration_periods: input.duration_periods,
        max_redemptions: None,
        times_redeemed: 0,
        redeem_by: None,
        plans: codes,
        metadata: json!({}),
        created_at: cx.now,
        updated_at: cx.now,
        archived_at: None,
        code: input.code,
    };
    check_code(&mut faults, "/code", &coupon.code);
    let rest = UpdateCoupon {
        name: Some(input.name.unwrap_or_else(|| coupon.code.clone())),
        max_redemptions: input.max_redemptions.map_or(Change::Keep, Change::Set),
        redeem_by: input.redeem_by.map_or(Change::Keep, Change::Set),
        metadata: input.metadata,
    };
    apply(&mut faults, &mut coupon, rest);
    faults.check()?;
    coupons::insert(tx, &coupon, &plans).await.map_err(|error| {
        let detail = "a coupon with this code exists";
        Error::on_conflict(error, "coupons_code_key", Code::CouponExists, detail)
    })?;
    announce(cx, tx, "coupon.created", json!({ "id": coupon.id, "code": coupon.code })).await?;
    Ok(coupon)
}

fn check_value(faults: &mut Faults, input: &CreateCoupon) {
    match (&input.percent, &input.amount) {
        (Some(_), Some(_)) => {
            faults.add("/amount", "ambiguous", "a coupon has either a percent or an amount: leave one out");
        }
        (None, None) => faults.add("/percent", "required", "a coupon has either a percent or an amount"),
        (Some(_), None) => {}
        (None, Some((amount, currency))) => {
            if *amount <= 0 {
                faults.add("/amount/amount_minor", "out_of_range", "must be above 0");
            }
            read_currency(faults, "/amount/currency", currency);
        }
    }
}

fn check_duration(faults: &mut Faults, input: &CreateCoupon) {
    check_word(faults, "/duration", &input.duration, &DURATIONS);
    let pointer = "/duration_periods";
    match (input.duration == "repeating", input.duration_periods) {
        (true, None) => faults.add(pointer, "required", "a repeating coupon says for how many periods"),
        (true, Some(periods)) if !(1..=DURATION_PERIODS_MAX).contains(&periods) => {
            faults.add(pointer, "out_of_range", format!("must be 1 to {DURATION_PERIODS_MAX}"));
        }
        (false, Some(_)) => {
            faults.add(pointer, "not_allowed", "only a repeating coupon has periods: leave it out");
        }
        (true, Some(_)) | (false, None) => {}
    }
}

/// The plans' codes in order, and their ids.
async fn read_plans(
    tx: &mut TenantTx,
    faults: &mut Faults,
    codes: Vec<String>,
) -> Result<(Vec<String>, Vec<PlanId>)> {
    if codes.len() > PLANS_MAX {
        faults.add("/plans", "too_many", format!("must have at most {PLANS_MAX} plans"));
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut known, mut ids) = (BTreeSet::new(), Vec::new());
    for (index, code) in codes.into_iter().enumerate() {
        let pointer = format!("/plans/{index}");
        let Some(plan) = plans::find(tx, &code).await?.filter(|plan| plan.archived_at.is_none()) else {
            faults.add(&pointer, "unknown_plan", "there is no plan with this code: create it first");
            continue;
        };
        if known.insert(code) {
            ids.push(plan.id);
        } else {
            faults.add(&pointer, "repeated", "must be different from the ones before");
        }
    }
    Ok((known.into_iter().collect(), ids))
}

fn apply(faults: &mut Faults, coupon: &mut Coupon, input: UpdateCoupon) {
    if let Some(name) = input.name {
        check_text(faults, "/name", &name);
        coupon.name = name;
    }
    if let Change::Set(max_redemptions) = input.max_redemptions
        && max_redemptions < 1
    {
        faults.add("/max_redemptions", "out_of_range", "must be 1 or more");
    }
    input.max_redemptions.apply(&mut coupon.max_redemptions);
    if let Change::Set(redeem_by) = input.redeem_by
        && !REDEEM_BY_SECONDS.contains(&redeem_by.as_second())
    {
        faults.add("/redeem_by", "out_of_range", "must lie between 1970 and 2200");
    }
    input.redeem_by.apply(&mut coupon.redeem_by);
    if let Some(metadata) = input.metadata {
        check_members(faults, "/metadata", &metadata);
        coupon.metadata = json!(metadata);
    }
}

/// Finds a coupon by its code.
pub async fn get(tx: &mut TenantTx, code: &str) -> Result<Coupon> {
    let coupon = coupons::find(tx, code).await?.filter(|coupon| coupon.archived_at.is_none());
    coupon.ok_or_else(|| Error::not_found("coupon"))
}

/// Lists the coupons.
pub async fn list(tx: &mut TenantTx, page: PageRequest) -> Result<Page<Coupon>> {
    Ok(coupons::list(tx, page).await?)
}

/// Changes name, limits and metadata.
pub async fn update(cx: &Cx, tx: &mut TenantTx, code: &str, input: UpdateCoupon) -> Result<Coupon> {
    let mut coupon = lock(tx, code).await?;
    let mut faults = Faults::default();
    apply(&mut faults, &mut coupon, input);
    faults.check()?;
    coupon.updated_at = cx.now;
    coupons::update(tx, &coupon).await?;
    Ok(coupon)
}

/// Archives a coupon: it cannot be redeemed any more, and discounts that it gave go on.
pub async fn archive(cx: &Cx, tx: &mut TenantTx, code: &str) -> Result<()> {
    let mut coupon = lock(tx, code).await?;
    coupon.archived_at = Some(cx.now);
    coupon.updated_at = cx.now;
    coupons::update(tx, &coupon).await?;
    Ok(())
}

async fn lock(tx: &mut TenantTx, code: &str) -> Result<Coupon> {
    let coupon = coupons::lock(tx, code).await?.filter(|coupon| coupon.archived_at.is_none());
    coupon.ok_or_else(|| Error::not_found("coupon"))
}
