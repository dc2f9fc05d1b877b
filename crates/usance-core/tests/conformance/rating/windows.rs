//! The adapters of windows and their commitments.

use rust_decimal::Decimal;
use usance_core::{
    catalog::price::{ChargeModel, Commitment, Committed, PriceTerms, TimeOfDay, WindowPricing, WindowSize},
    rating::{Run, Usage, WindowUsage},
};

use super::{prices, rated};
use crate::{
    Outcome,
    case::{Case, Fields},
};

pub(super) fn bucketed(case: &Case) -> Outcome {
    let mut terms = prices::priced(case.params().object("price")?)?;
    prices::limit(&mut terms, case.params())?;
    terms.window = Some(hourly(None, Vec::new()));
    let windows = case.usage().decimals("bucket_quantities")?;
    check(case, &terms, plain_windows(&windows))
}

pub(super) fn commitment(case: &Case) -> Outcome {
    let mut terms = PriceTerms::from(ChargeModel::PerUnit { unit: case.params().decimal("unit")? });
    terms.window = Some(hourly(committed(case.params())?, Vec::new()));
    let windows = case.usage().decimals("window_quantities")?;
    check(case, &terms, plain_windows(&windows))
}

pub(super) fn time_of_day(case: &Case) -> Outcome {
    let (base, bucket) = (case.params().object("base")?, case.params().object("bucket")?);
    let hours = bucket.decimals("hours")?;
    let hour = |index: usize| {
        hours.get(index).and_then(|hour| u8::try_from(*hour).ok()).ok_or("the hours are no hours")
    };
    let time = TimeOfDay {
        from_hour: hour(0)?,
        to_hour: hour(1)?,
        model: Some(ChargeModel::PerUnit { unit: bucket.decimal("unit")? }),
        commitment: committed(bucket)?,
    };
    let mut terms = PriceTerms::from(ChargeModel::PerUnit { unit: base.decimal("unit")? });
    terms.window = Some(hourly(committed(base)?, vec![time]));
    let mut windows = Vec::new();
    for window in case.usage().objects("windows")? {
        let hour = u8::try_from(window.whole("hour")?).map_err(|_| "the hour is no hour")?;
        windows.push(WindowUsage { hour, quantity: window.decimal("quantity")? });
    }
    check(case, &terms, windows)
}

fn hourly(commitment: Option<Commitment>, times_of_day: Vec<TimeOfDay>) -> WindowPricing {
    WindowPricing { size: WindowSize::Hour, commitment, times_of_day }
}

fn plain_windows(quantities: &[Decimal]) -> Vec<WindowUsage> {
    quantities.iter().map(|quantity| WindowUsage { hour: 0, quantity: *quantity }).collect()
}

fn committed(params: Fields) -> Result<Option<Commitment>, String> {
    let amount = params.decimal_opt("commitment_amount")?.map(Committed::Amount);
    let quantity = params.decimal_opt("commitment_quantity")?.map(Committed::Quantity);
    let Some(committed) = amount.or(quantity) else { return Ok(None) };
    let overage_factor = params.decimal_opt("overage_factor")?.unwrap_or(Decimal::ONE);
    Ok(Some(Commitment { committed, overage_factor, true_up: params.flag_opt("true_up").unwrap_or(false) }))
}

fn check(case: &Case, terms: &PriceTerms, windows: Vec<WindowUsage>) -> Outcome {
    let charge = rated(terms, &Usage { windows, ..Usage::default() }, Run::Final)?;
    case.check_amount("amount", charge.exact)?;
    let used = charge.commitment.ok_or("the charge does not tell how its commitments were used")?;
    for (name, amount) in [("utilized", used.utilized), ("overage", used.overage), ("true_up", used.true_up)]
    {
        if case.expected().has(name) {
            case.check_amount(name, amount)?;
        }
    }
    Ok(())
}
