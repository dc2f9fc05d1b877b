//! Minimum commitments: what the fees and the usage of a plan lack to the amount that was promised.

use jiff::tz::TimeZone;
use serde_json::json;
use usance_core::{
    commitment::true_up,
    decimal::decimal_text,
    money::Money,
    period::Period,
    proration::{Proration, ServiceEnd, fraction, prorate},
    subscription::Item,
};
use usance_db::{TenantTx, line_items};

use super::{LineDraft, Offer};
use crate::error::Result;

/// A stretch of a plan whose commitment is settled.
pub(super) struct Stretch<'a> {
    pub(super) offer: &'a Offer,
    pub(super) item: Item,
    pub(super) service: Period,
    pub(super) full: Period,
    pub(super) end: ServiceEnd,
    pub(super) policy: Proration,
    pub(super) time_zone: &'a TimeZone,
}

/// The line that makes the fees and usage of a stretch up to the plan's minimum; none where they reach it. The lines are
/// those that are billed now; fees in advance were billed before and count as well, as far as they are not given back.
pub(super) async fn line(
    tx: &mut TenantTx,
    stretch: &Stretch<'_>,
    lines: &[LineDraft],
) -> Result<Option<LineDraft>> {
    if stretch.offer.plan.version.policies.minimum.is_none() {
        return Ok(None);
    }
    let before =
        line_items::sum_advance(tx, stretch.item.id, stretch.item.plan_version, stretch.service).await?;
    missing(stretch, lines, before)
}

/// The same for a stretch whose fees in advance that were billed before are known, in minor units.
pub(super) fn missing(stretch: &Stretch<'_>, lines: &[LineDraft], before: i64) -> Result<Option<LineDraft>> {
    let Stretch { offer, item, service, full, .. } = *stretch;
    let Some(minimum) = offer.plan.version.policies.minimum else { return Ok(None) };
    let share = fraction(stretch.policy, service, full, stretch.time_zone, stretch.end);
    let committed = prorate(minimum, share, offer.currency)?;
    let now = lines.iter().filter(|line| line.item == Some(item.id) && counts(line, service));
    let used = now.map(|line| line.amount.minor()).sum::<i64>() + before;
    let missing = true_up(committed.money, Money::new(used, offer.currency))?;
    if missing.minor() == 0 {
        return Ok(None);
    }
    let steps = json!([
        { "kind": "minimum", "from": null, "up_to": null, "quantity": "1", "unit": decimal_text(committed.exact), "amount": decimal_text(committed.exact) },
        { "kind": "used", "from": null, "up_to": null, "quantity": "-1", "unit": used_text(used, offer), "amount": used_text(-used, offer) },
    ]);
    Ok(Some(LineDraft {
        subscription: lines.iter().find_map(|line| line.subscription),
        item: Some(item.id),
        description: format!("{}: minimum commitment", offer.plan.plan.name),
        arithmetic: steps,
        place: (i16::MAX - 1, 0),
        ..LineDraft::new("minimum", service, missing, missing.to_decimal())
    }))
}

/// Whether a line that is billed now is for the stretch: its usage and fees in arrears, and fees in advance that are
/// given back beyond it.
fn counts(line: &LineDraft, service: Period) -> bool {
    match line.kind {
        "usage" | "credit" => true,
        "fee" => line.period.end <= service.end,
        _ => false,
    }
}

fn used_text(minor: i64, offer: &Offer) -> String {
    decimal_text(Money::new(minor, offer.currency).to_decimal())
}
