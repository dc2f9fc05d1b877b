//! The adapters of aggregations and of rounded quantities.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    catalog::{
        meter::Aggregation,
        price::{ChargeModel, PriceTerms},
        rounding::{QuantityRounding, RoundingMode},
    },
    metering::{Aggregated, Carried, MeterValue, Point, aggregate, short_hash},
    period::Period,
    rating::{Run, Usage},
};

use super::{prices, rated};
use crate::{Outcome, case::Case};

pub(super) fn weighted_sum(case: &Case) -> Outcome {
    let scale = case.params().whole_opt("round")?;
    let scale = scale.map(i8::try_from).transpose().map_err(|_| "unsupported: the rounding")?;
    let rounding = scale.map(|scale| QuantityRounding { mode: RoundingMode::HalfUp, scale });
    let aggregated = weighted(case, rounding)?;
    case.check_decimal("quantity", aggregated.quantity)
}

pub(super) fn weighted_sum_price(case: &Case) -> Outcome {
    let aggregated = weighted(case, None)?;
    let terms = PriceTerms::from(ChargeModel::PerUnit { unit: case.params().decimal("unit_price")? });
    let charge = rated(&terms, &Usage::of(aggregated.quantity), Run::Final)?;
    case.check_amount("amount", charge.exact)?;
    if case.expected().has("closing_units") {
        case.check_decimal("closing_units", level(&aggregated.closing)?)?;
    }
    Ok(())
}

fn weighted(case: &Case, rounding: Option<QuantityRounding>) -> Result<Aggregated, String> {
    let params = case.params();
    let period = Period { start: params.time("period_start")?, end: params.time("period_end_exclusive")? };
    let opening = params.decimal_opt("initial")?.map_or(Carried::Nothing, Carried::Level);
    let mut points = Vec::new();
    for event in case.events() {
        points.push(point(event.time("at")?, points.len(), event.decimal("delta")?));
    }
    aggregate(Aggregation::WeightedSum, rounding, period, &opening, &points)
        .map_err(|error| error.to_string())
}

/// Folds the events period by period, each of which starts with what the one before it closed with.
pub(super) fn recurring_sum(case: &Case) -> Outcome {
    let terms = prices::terms(case, "tiered_graduated")?;
    let events = case.events();
    let numbers = events.iter().map(|event| event.whole("period")).collect::<Result<Vec<_>, _>>()?;
    let last = numbers.iter().copied().max().unwrap_or_default();
    let mut carried = Carried::Nothing;
    let mut quantity = Decimal::ZERO;
    for number in numbers.iter().copied().min().unwrap_or_default()..=last {
        let period = Period { start: Timestamp::UNIX_EPOCH, end: Timestamp::MAX };
        let mut points = Vec::new();
        for event in
            events.iter().zip(&numbers).filter(|(_, period)| **period == number).map(|(event, _)| event)
        {
            for _ in 0..event.whole_opt("count")?.unwrap_or(1) {
                points.push(point(period.start, points.len(), event.decimal("value")?));
            }
        }
        let aggregated = aggregate(Aggregation::Sum, None, period, &carried, &points);
        let aggregated = aggregated.map_err(|error| error.to_string())?;
        (quantity, carried) = (aggregated.quantity, aggregated.closing);
        let name = format!("period_{number}_units");
        if case.expected().has(&name) {
            case.check_decimal(&name, quantity)?;
        }
    }
    let charge = rated(&terms, &Usage::of(quantity), Run::Final)?;
    case.check_amount("amount", charge.exact)
}

pub(super) fn round_quantity(case: &Case) -> Outcome {
    let rounding = prices::rounding(case.params().text("mode")?, case.params().whole("precision")?)?;
    let rounded = rounding.round(case.usage().decimal("quantity")?).map_err(|error| error.to_string())?;
    case.check_decimal("quantity", rounded)
}

fn point(at: Timestamp, number: usize, value: Decimal) -> Point {
    Point { at, id_hash: short_hash(number.to_string().as_bytes()), value: MeterValue::Decimal(value) }
}

fn level(carried: &Carried) -> Result<Decimal, String> {
    match carried {
        Carried::Level(level) => Ok(*level),
        Carried::Nothing | Carried::Members(_) => Err("the period closes without a level".to_owned()),
    }
}
