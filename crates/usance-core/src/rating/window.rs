//! Windows: each hour or day is rated on its own and measured against its commitment.

use rust_decimal::Decimal;

use super::step::{ANY, StepKind, Steps};
use super::{CommitmentUse, RateError, Run, Usage, WindowUsage, convert, models};
use crate::catalog::price::{ChargeModel, Commitment, Committed, FirstTierFlat, PriceTerms, WindowPricing};
use crate::decimal::{DecimalError, exact_add, exact_mul, exact_sub};

/// Adds the steps of all windows, and returns the quantity and what became of the commitments.
///
/// A window without usage costs nothing but its true-up, whatever the flat fees of the model are.
pub(super) fn push(
    steps: &mut Steps,
    terms: &PriceTerms,
    pricing: &WindowPricing,
    windows: &[WindowUsage],
    run: Run,
) -> Result<(Decimal, CommitmentUse), RateError> {
    let (mut total, mut used) = (Decimal::ZERO, CommitmentUse::default());
    let (mut priced, mut adjusted) = (Steps::default(), Steps::default());
    for window in windows {
        let quantity = convert(terms.conversion.as_ref(), window.quantity)?;
        let (model, commitment) = match pricing.time_of_day(window.hour) {
            Some(time) => (time.model.as_ref().unwrap_or(&terms.model), time.commitment.as_ref()),
            None => (&terms.model, pricing.commitment.as_ref()),
        };
        total = exact_add(total, quantity)?;
        let window_steps = rated(model, quantity, terms.first_tier_flat)?;
        let cost = window_steps.total();
        priced.merge(window_steps)?;
        match commitment {
            None => used.utilized = exact_add(used.utilized, cost)?,
            Some(commitment) => {
                let committed = committed_amount(commitment, model, terms.first_tier_flat)?;
                push_commitment(&mut adjusted, &mut used, commitment, [cost, committed], run)?;
            }
        }
    }
    steps.merge(priced)?;
    steps.merge(adjusted)?;
    if !used.true_up.is_zero() {
        steps.push(StepKind::TrueUp, ANY, Decimal::ONE, used.true_up)?;
    }
    Ok((total, used))
}

fn rated(model: &ChargeModel, quantity: Decimal, first_tier_flat: FirstTierFlat) -> Result<Steps, RateError> {
    let mut steps = Steps::default();
    if !quantity.is_zero() {
        models::push(&mut steps, model, quantity, &Usage::of(quantity), first_tier_flat)?;
    }
    Ok(steps)
}

fn committed_amount(
    commitment: &Commitment,
    model: &ChargeModel,
    first_tier_flat: FirstTierFlat,
) -> Result<Decimal, RateError> {
    match commitment.committed {
        Committed::Amount(amount) => Ok(amount),
        Committed::Quantity(quantity) if quantity < Decimal::ZERO => Err(RateError::NegativeQuantity),
        Committed::Quantity(quantity) => Ok(rated(model, quantity, first_tier_flat)?.total()),
    }
}

/// Sets the cost of a window against what it committed to.
fn push_commitment(
    steps: &mut Steps,
    used: &mut CommitmentUse,
    commitment: &Commitment,
    [cost, committed]: [Decimal; 2],
    run: Run,
) -> Result<(), DecimalError> {
    used.utilized = exact_add(used.utilized, cost.min(committed))?;
    if cost > committed {
        let beyond = exact_sub(cost, committed)?;
        used.overage = exact_add(used.overage, exact_mul(beyond, commitment.overage_factor)?)?;
        let surcharge = exact_sub(commitment.overage_factor, Decimal::ONE)?;
        if !surcharge.is_zero() {
            let mut overage = Steps::default();
            overage.push(StepKind::Overage, ANY, beyond, surcharge)?;
            steps.merge(overage)?;
        }
    } else if commitment.true_up && run == Run::Final {
        used.true_up = exact_add(used.true_up, exact_sub(committed, cost)?)?;
    }
    Ok(())
}
