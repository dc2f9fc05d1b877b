//! Questions that are answered from memory.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    decimal::parse_decimal,
    decimal::stored_decimal,
    entitlement::{Decision, Reason, Use, decide, entitled, leading},
    ids::CustomerId,
};
use usance_db::features;

use super::{memory::Known, refresh, rights::Rights};
use crate::{
    Cx,
    error::{Error, Result},
};

/// What is to be used by whom.
#[derive(Debug, Clone)]
pub struct Question {
    /// Our id of the customer, or the tenant's own name for it.
    pub customer: String,
    /// Code of the feature.
    pub feature: String,
    /// A decimal; 1 if absent.
    pub quantity: Option<String>,
}

/// An answer, and what it was given from.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The customer.
    pub customer: CustomerId,
    /// Code of the feature.
    pub feature: String,
    /// Whether the quantity may be used.
    pub decision: Decision,
    /// Family or code of the customer's plan.
    pub tier: Option<String>,
    /// The word of the subscription's state.
    pub tier_status: Option<&'static str>,
    /// Where the customer finds a greater plan.
    pub upgrade_url: String,
    /// When the answer was true, by the wall clock.
    pub as_of: Timestamp,
    /// The tenant's time of the answer.
    pub now: Timestamp,
}

/// What a customer may use.
#[derive(Debug, Clone)]
pub struct Access {
    /// The customer.
    pub customer: CustomerId,
    /// Family or code of the customer's plan.
    pub tier: Option<String>,
    /// The word of the subscription's state.
    pub tier_status: Option<&'static str>,
    /// By code.
    pub features: Vec<FeatureAccess>,
    /// Where the customer finds a greater plan.
    pub upgrade_url: String,
    /// When the answer was true, by the wall clock.
    pub as_of: Timestamp,
}

/// What a customer may use of a feature.
#[derive(Debug, Clone)]
pub struct FeatureAccess {
    /// Code of the feature.
    pub feature: String,
    /// Whether one more of it may be used.
    pub decision: Decision,
}

/// Answers whether a customer may use a quantity of a feature. The answer is at most a second old and reserves nothing.
pub async fn check(cx: &Cx, question: &Question) -> Result<Checked> {
    let quantity = read_quantity("?quantity", question.quantity.as_deref())?;
    let remembered = refresh::find(cx, &cx.customer_name(&question.customer)).await?;
    let checked = answer(cx, &remembered.known(), &question.feature, quantity);
    if checked.decision.reason == Some(Reason::FeatureNotIncluded) {
        require_feature(cx, &question.feature).await?;
    }
    Ok(checked)
}

/// Lists what a customer may use of every feature that its subscriptions know. The answer is at most a second old.
pub async fn access(cx: &Cx, customer: &str) -> Result<Access> {
    let remembered = refresh::find(cx, &cx.customer_name(customer)).await?;
    let known = remembered.known();
    let granted: BTreeSet<&String> =
        known.rights.subscriptions.iter().flat_map(|it| it.grants.keys()).collect();
    let now = known.rights.tenant_now(cx.now);
    let (tier, tier_status) = tier(&known.rights, now);
    let features = granted.into_iter().map(|code| FeatureAccess {
        feature: code.clone(),
        decision: decision(&known, code, Decimal::ONE, now),
    });
    Ok(Access {
        customer: remembered.customer,
        tier,
        tier_status,
        features: features.collect(),
        upgrade_url: upgrade_url(cx),
        as_of: known.as_of,
    })
}

/// Reads a quantity above zero; one if absent.
pub(super) fn read_quantity(pointer: &str, text: Option<&str>) -> Result<Decimal> {
    let Some(text) = text else { return Ok(Decimal::ONE) };
    let quantity = parse_decimal(text).and_then(stored_decimal).ok().filter(|it| *it > Decimal::ZERO);
    quantity.ok_or_else(|| {
        let detail =
            "must be a decimal string above zero with at most 16 digits before and 12 after the point";
        Error::field(pointer, "malformed_decimal", detail)
    })
}

fn answer(cx: &Cx, known: &Known, feature: &str, quantity: Decimal) -> Checked {
    let now = known.rights.tenant_now(cx.now);
    let decision = decision(known, feature, quantity, now);
    Checked { as_of: known.as_of, ..checked(cx, &known.rights, feature, decision, now) }
}

/// A decision that is true now, with what is said about the customer.
pub(super) fn checked(
    cx: &Cx,
    rights: &Rights,
    feature: &str,
    decision: Decision,
    now: Timestamp,
) -> Checked {
    let (tier, tier_status) = tier(rights, now);
    Checked {
        customer: rights.customer,
        feature: feature.to_owned(),
        decision,
        tier,
        tier_status,
        upgrade_url: upgrade_url(cx),
        as_of: cx.now,
        now,
    }
}

fn decision(known: &Known, feature: &str, quantity: Decimal, now: Timestamp) -> Decision {
    match entitled(&known.rights.subscriptions, feature, now) {
        Err(reason) => Decision::refused(reason),
        Ok(entitled) => match known.uses.get(&entitled.feature) {
            Some(of) => decide(&entitled, of, quantity, now),
            None => decide(&entitled, &Use::default(), quantity, now),
        },
    }
}

fn tier(rights: &Rights, now: Timestamp) -> (Option<String>, Option<&'static str>) {
    let leading = leading(&rights.subscriptions, now);
    leading.map(|(subscription, status)| (subscription.tier.clone(), status.as_str())).unzip()
}

/// The page of the source systems; a server that knows its own address says where it is.
fn upgrade_url(cx: &Cx) -> String {
    format!("{}/billing/upgrade", cx.app.public_url.as_deref().unwrap_or_default())
}

/// Tells a feature that is not granted from one that does not exist.
pub(super) async fn require_feature(cx: &Cx, code: &str) -> Result<()> {
    let memory = cx.app.entitlements.scope(cx.app.db.generations(), cx.scope);
    if memory.knows_feature(code) {
        return Ok(());
    }
    let mut tx = cx.begin_as_tenant().await?;
    features::find(&mut tx, code).await?.ok_or_else(|| Error::not_found("feature"))?;
    memory.remember_feature(code);
    Ok(())
}
