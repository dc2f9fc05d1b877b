//! Threshold invoices, and the invoices that close their periods.

use jiff::{Timestamp, tz::TimeZone};
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    catalog::price::ChargeModel,
    decimal::{exact_add, parse_decimal},
    fraction::Fraction,
    money::Money,
    period::Period,
    progressive::{Progress, Threshold, ThresholdScope, UsageAmount, closing_credit, cross},
    proration::{ServiceEnd, split},
};

use super::{
    Case, Outcome, bill, charge, currency,
    dates::days_later,
    fees::{in_cents, share_of},
    invoices::shown,
    line, proration, refused,
};
use crate::case::{Fields, same};

/// A subscription while its events arrive.
struct Running<'c, 'v> {
    case: &'c Case<'v>,
    thresholds: Vec<Threshold>,
    crossed: Vec<Threshold>,
    lifetime: Decimal,
    period: Decimal,
    invoiced: Money,
}

/// The invoice that closes a period.
struct Closing {
    fees: Money,
    credit: Money,
    total: Money,
}

impl<'c, 'v> Running<'c, 'v> {
    fn new(case: &'c Case<'v>) -> Result<Self, String> {
        let params = case.params();
        let is_lifetime = params.flag_opt("lifetime").unwrap_or_default();
        let scope = if is_lifetime { ThresholdScope::Lifetime } else { ThresholdScope::EachPeriod };
        let mut thresholds = Vec::new();
        for amount in params.decimals("thresholds_cents")? {
            let minor = i64::try_from(amount).map_err(refused)?;
            thresholds.push(Threshold { amount: Money::new(minor, currency(case)?), scope });
        }
        let invoiced = Money::zero(currency(case)?);
        let (crossed, lifetime, period) = (Vec::new(), Decimal::ZERO, Decimal::ZERO);
        Ok(Self { case, thresholds, crossed, lifetime, period, invoiced })
    }

    fn usage_fee(&self, quantity: Decimal) -> Result<Money, String> {
        let unit = self.case.params().decimal("unit_price")?;
        share_of(self.case, charge(&ChargeModel::PerUnit { unit }, quantity)?.exact, Fraction::WHOLE)
    }

    /// Adds an event, and gives the invoice that it brings about.
    fn add(&mut self, event: Fields) -> Result<Option<Money>, String> {
        let value = event.decimal("value")?;
        self.lifetime = exact_add(self.lifetime, value).map_err(refused)?;
        self.period = exact_add(self.period, value).map_err(refused)?;
        let usage =
            UsageAmount { lifetime: self.usage_fee(self.lifetime)?, period: self.usage_fee(self.period)? };
        let progress = Progress { crossed: &self.crossed, invoiced: self.invoiced };
        let Some(crossing) = cross(&self.thresholds, progress, usage).map_err(refused)? else {
            return Ok(None);
        };
        self.crossed.extend(crossing.crossed);
        if let Some(amount) = crossing.invoice {
            self.invoiced = self.invoiced.checked_add(amount).map_err(refused)?;
        }
        Ok(crossing.invoice)
    }

    /// Bills the period with a share of the plan's fee, and starts the next one.
    fn close(&mut self, share: Fraction) -> Result<Closing, String> {
        let params = self.case.params();
        let mut lines = vec![line(self.usage_fee(self.period)?, &[])];
        if params.text_opt("pay") != Some("advance") {
            lines.push(line(
                share_of(self.case, in_cents(self.case, params, "plan_amount_cents")?, share)?,
                &[],
            ));
        }
        let fees = bill(currency(self.case)?, &lines)?.total;
        let credit = closing_credit(fees, self.invoiced).map_err(refused)?.credit;
        self.period = Decimal::ZERO;
        self.invoiced = Money::zero(fees.currency());
        self.crossed.retain(|threshold| threshold.scope == ThresholdScope::Lifetime);
        Ok(Closing { fees, credit, total: fees.checked_sub(credit).map_err(refused)? })
    }

    /// Adds every event, and compares the invoice of each with the expected one, which may be none.
    fn add_all(&mut self) -> Outcome {
        let mut invoices = Vec::new();
        for event in self.case.events() {
            invoices.push(self.add(event)?.map(|amount| shown(self.case, amount)));
        }
        let expected = amounts(self.case.expected())?;
        if invoices == expected {
            return Ok(());
        }
        Err(format!("threshold_invoices are {invoices:?}, expected {expected:?}"))
    }
}

/// The expected threshold invoices, of which some are none.
fn amounts(expected: Fields) -> Result<Vec<Option<Decimal>>, String> {
    let amount = |value: &Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => parse_decimal(text).map(Some).map_err(refused),
        Value::Number(number) => parse_decimal(&number.to_string()).map(Some).map_err(refused),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err("a threshold invoice is no number".to_owned())
        }
    };
    expected.array("threshold_invoices")?.iter().map(amount).collect()
}

fn check_closing(case: &Case, expected: Fields, closing: &Closing) -> Outcome {
    for (name, actual) in [
        ("fees", closing.fees),
        ("period_end_fees", closing.fees),
        ("progressive_credit", closing.credit),
        ("total", closing.total),
        ("period_end_total", closing.total),
    ] {
        if expected.has(name) {
            same(name, expected.decimal(name)?, shown(case, actual))?;
        }
    }
    Ok(())
}

pub(super) fn one_period(case: &Case) -> Outcome {
    let mut running = Running::new(case)?;
    running.add_all()?;
    check_closing(case, case.expected().object("period_end")?, &running.close(Fraction::WHOLE)?)
}

pub(super) fn terminated(case: &Case) -> Outcome {
    let (params, utc) = (case.params(), TimeZone::UTC);
    let mut running = Running::new(case)?;
    running.add_all()?;
    let start = Timestamp::UNIX_EPOCH;
    let full = Period { start, end: days_later(start, params.whole("period_days")?, &utc)? };
    // The last day that is used is the one of the termination.
    let cut = days_later(start, params.whole("days_used")? - 1, &utc)?;
    let used = split(proration(case)?, full, cut, full, &utc, ServiceEnd::Termination).used;
    check_closing(case, case.expected().object("termination")?, &running.close(used)?)
}

pub(super) fn lifetime(case: &Case) -> Outcome {
    let mut running = Running::new(case)?;
    let events = case.events();
    for (index, expected) in case.expected().objects("by_period")?.into_iter().enumerate() {
        let number = i64::try_from(index).map_err(refused)? + 1;
        let mut invoices = Vec::new();
        for event in &events {
            if event.whole("period")? == number {
                invoices.extend(running.add(*event)?.map(|amount| shown(case, amount)));
            }
        }
        let wanted: Vec<Decimal> = amounts(expected)?.into_iter().flatten().collect();
        if invoices != wanted {
            return Err(format!(
                "threshold_invoices of period {number} are {invoices:?}, expected {wanted:?}"
            ));
        }
        check_closing(case, expected, &running.close(Fraction::WHOLE)?)?;
    }
    Ok(())
}
