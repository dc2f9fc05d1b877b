//! Grants of credits, what they pay, and what they cost.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    catalog::price::{ChargeModel, Tier},
    commitment::true_up,
    fraction::Fraction,
    invoice::{InvoiceTerms, LineInput, TaxRounding, total},
    money::Money,
    wallet::{BurnDown, Grant, ResetTerms, apply_credits, burn_down, prepaid_applied, reset, topup},
};

use super::{
    Case, Outcome, bill, cents, charge, check_if_expected, currency, dates::instant, fees::share_of, line,
    major, refused, tax,
};
use crate::case::{Fields, same};

fn grant(fields: Fields) -> Result<Grant, String> {
    let time = |name| fields.text_opt(name).map(instant).transpose();
    let priority = fields.whole_opt("priority")?.unwrap_or_default();
    Ok(Grant {
        id: fields.text("id")?.to_owned(),
        amount: fields.decimal("amount")?,
        priority: u16::try_from(priority).map_err(refused)?,
        effective_at: time("effective")?.unwrap_or(Timestamp::MIN),
        expires_at: time("expires")?,
        created_at: time("created")?.unwrap_or(Timestamp::MIN),
    })
}

fn used(case: &Case, grants: &[Grant]) -> Result<BurnDown, String> {
    burn_down(grants, case.usage().decimal("quantity")?, Timestamp::UNIX_EPOCH).map_err(refused)
}

pub(super) fn burn(case: &Case) -> Outcome {
    let grants: Vec<Grant> =
        case.params().objects("grants")?.into_iter().map(grant).collect::<Result<_, _>>()?;
    let burnt = used(case, &grants)?;
    let expected = case.expected().object("balances")?;
    for balance in &burnt.balances {
        same(&format!("balances.{}", balance.id), expected.decimal(&balance.id)?, balance.amount)?;
    }
    case.check_decimal("overage", burnt.overage)
}

pub(super) fn start_over(case: &Case) -> Outcome {
    let params = case.params();
    let granted = grant(params.object("grant")?)?;
    let burnt = used(case, std::slice::from_ref(&granted))?;
    let balances = burnt.balances.iter();
    let left: Vec<Grant> =
        balances.map(|balance| Grant { amount: balance.amount, ..granted.clone() }).collect();
    let terms = ResetTerms {
        max_rollover: params.decimal_opt("max_rollover")?,
        min_rollover: params.decimal_opt("min_rollover")?.unwrap_or_default(),
        preserve_overage: params.flag_opt("preserve_overage").unwrap_or_default(),
    };
    let after = reset(&left, &terms, burnt.overage, Timestamp::UNIX_EPOCH).map_err(refused)?;
    let balance = after.balances.first().ok_or("there is no balance")?;
    case.check_decimal("balance", balance.amount)
}

fn tier(fields: Fields) -> Result<Tier, String> {
    let price = |name| Ok::<Decimal, String>(fields.decimal_opt(name)?.unwrap_or_default());
    Ok(Tier {
        up_to: fields.decimal_opt("up_to")?,
        unit: price("unit")?,
        flat: price("flat")?,
        cap: fields.decimal_opt("cap")?,
    })
}

pub(super) fn credits_over_lines(case: &Case) -> Outcome {
    let params = case.params();
    let money = |amount| share_of(case, major(case, amount)?, Fraction::WHOLE);
    let tiers = params.objects("tiers")?.into_iter().map(tier).collect::<Result<_, _>>()?;
    let rated = charge(&ChargeModel::Graduated { tiers }, case.usage().decimal("quantity")?)?;
    // A step that costs nothing is no line.
    let steps = rated.steps.iter().filter(|step| !step.amount.is_zero());
    let mut lines: Vec<Money> = steps.map(|step| money(step.amount)).collect::<Result<_, _>>()?;
    if let Some(minimum) = params.decimal_opt("minimum_amount")? {
        let billed = subtotal(case, &lines)?;
        let missing = true_up(money(minimum)?, billed).map_err(refused)?;
        lines.extend(Some(missing).filter(|missing| missing.minor() > 0));
    }
    let credits: Vec<Money> = params.decimals("credits")?.into_iter().map(money).collect::<Result<_, _>>()?;
    let applied = apply_credits(&lines, &credits).map_err(refused)?;
    case.check_money_list("credits_per_line", &applied.by_line)?;
    let paid = subtotal(case, &applied.by_line)?;
    case.check_money("total", subtotal(case, &lines)?.checked_sub(paid).map_err(refused)?)
}

fn subtotal(case: &Case, amounts: &[Money]) -> Result<Money, String> {
    let lines: Vec<LineInput> = amounts.iter().map(|amount| line(*amount, &[])).collect();
    Ok(bill(currency(case)?, &lines)?.subtotal)
}

pub(super) fn prepaid(case: &Case) -> Outcome {
    let (params, usage, currency) = (case.params(), case.usage(), currency(case)?);
    let fees = if usage.has("precise_fee_cents") {
        let fees = usage.decimals("precise_fee_cents")?;
        fees.into_iter().map(|fee| cents(currency, fee)).collect::<Result<_, _>>()?
    } else {
        vec![major(case, usage.decimal("fee")?)?]
    };
    let balance = if params.has("wallet_balance_cents") {
        cents(currency, params.decimal("wallet_balance_cents")?)?
    } else {
        major(case, params.decimal("wallet_balance")?)?
    };
    let balance = share_of(case, balance, Fraction::WHOLE)?;
    let rates = tax(params.decimal_opt("tax_percent")?);
    let lines = fees.into_iter().map(|fee| LineInput::from_exact(fee, currency, rates.clone()));
    // The cases compute the tax once, on the sum of the rounded fees.
    let terms = InvoiceTerms { tax_rounding: TaxRounding::Invoice, ..InvoiceTerms::plain(currency) };
    let lines = lines.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    let invoice = total(&terms, &lines).map_err(refused)?;
    let applied = prepaid_applied(invoice.total, balance).map_err(refused)?;
    check_if_expected(case, "fees", invoice.subtotal)?;
    check_if_expected(case, "taxes", invoice.tax)?;
    check_if_expected(case, "sub_total_including_taxes", invoice.total)?;
    check_if_expected(case, "prepaid_applied", applied)?;
    check_if_expected(case, "total", invoice.total.checked_sub(applied).map_err(refused)?)?;
    check_if_expected(case, "wallet_balance", balance.checked_sub(applied).map_err(refused)?)
}

pub(super) fn buy(case: &Case) -> Outcome {
    let rate = case.params().decimal("rate_amount")?;
    let bought = topup(case.usage().decimal("paid_credits")?, rate, currency(case)?).map_err(refused)?;
    case.check_decimal("credits", bought.credits)?;
    case.check_decimal("invoice_total_cents", Decimal::from(bought.price.minor()))
}
