//! Quotes: what a period of a plan would cost, through the same functions as the invoice. Nothing is stored.

mod usage;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_core::{
    discount::Coupon,
    ids::CustomerId,
    invoice::{InvoiceTerms, InvoiceTotals, LineTotal, TaxBehavior},
    money::{Currency, Money},
    period::Period,
};
use usance_db::{TenantTx, customers::Customer};

pub use usage::QuotedUsage;
pub(crate) use usage::{check_fees, read_usages};

use crate::{
    Cx,
    billing::{LineDraft, Offer, Offers, coupon_of, full_period, quote_lines, total_lines},
    catalog::plans::{self, CreatePlan, PlanAtVersion, PlanKind},
    customers, discounts,
    error::{Code, Error, Faults, Result},
    subscriptions::name_missing,
    tax::{self, Tax},
};

/// Seats that a quote may be about.
pub(crate) const QUANTITY_MAX: u32 = 1_000_000;

/// What is to be quoted.
#[derive(Debug)]
pub struct CreateQuote {
    /// One that exists, or one that does not.
    pub plan: QuotedPlan,
    /// By code of a meter, or of a price where several prices split a meter; no usage if absent.
    pub usage: BTreeMap<String, QuotedUsage>,
    /// Seats; 1 if absent.
    pub quantity: Option<u32>,
    /// Code of a coupon, as if it were redeemed now.
    pub coupon: Option<String>,
    /// Decides time zone, tax and discounts.
    pub customer: Option<String>,
    /// Instead of a customer's; none if both are absent.
    pub tax: Option<Tax>,
}

/// The plan of a quote.
#[derive(Debug)]
pub enum QuotedPlan {
    /// The newest version of the plan with this code.
    Code(String),
    /// A plan that is not stored; its meters and features must be there.
    Inline(Box<CreatePlan>),
}

/// What a full billing period would cost.
#[derive(Debug, Clone)]
pub struct Quote {
    /// Code of the plan.
    pub plan: String,
    /// ISO 4217.
    pub currency: Currency,
    /// The full period around now.
    pub period: Period,
    /// In the order of the invoice.
    pub lines: Vec<QuoteLine>,
    /// Code of each coupon and what it takes off.
    pub discounts: Vec<(String, Money)>,
    /// How the tax relates to the lines' amounts.
    pub tax_behavior: TaxBehavior,
    /// The sums of the lines.
    pub totals: InvoiceTotals,
}

/// A line of a quote.
#[derive(Debug, Clone)]
pub struct QuoteLine {
    /// `fee` or `usage`.
    pub kind: &'static str,
    /// Code of the price; absent of a line that no price makes.
    pub price: Option<String>,
    /// For the customer to read.
    pub description: String,
    /// What was rated.
    pub quantity: Decimal,
    /// The steps that led to the exact amount, as on an invoice.
    pub arithmetic: Value,
    /// Amounts and taxes.
    pub total: LineTotal,
}

/// A coupon on its way into a quote.
struct Taken {
    code: String,
    coupon: Coupon,
}

/// Computes a quote.
pub async fn create(cx: &Cx, tx: &mut TenantTx, input: CreateQuote) -> Result<Quote> {
    let now = cx.tenant_now(tx).await?;
    let plan = find_plan(cx, tx, &input.plan).await?;
    let (code, version) = (plan.plan.code.clone(), plan.version.id);
    let customer = find_customer(tx, &input, &plan.version.currency, now).await?;
    let mut offers = Offers::default();
    offers.insert(tx, plan).await?;
    let offer = offers.get(version)?.clone();
    let period = full_period(&offer, &customer, now)?;
    let quantity = read_quantity(input.quantity)?;
    let mut faults = Faults::default();
    check_fees(&mut faults, &offer, quantity);
    let usages = read_usages(&mut faults, &offer, &input.usage, (period, &customer))?;
    faults.check()?;
    let taken = coupons(tx, &input, &customer, (&code, offer.currency), now).await?;
    let tax = tax::rates_of(tx, &customer).await?;
    let coupons: Vec<Coupon> = taken.iter().map(|taken| taken.coupon).collect();
    let terms = InvoiceTerms {
        tax_behavior: tax.behavior(),
        coupons: &coupons,
        coupon_order: offer.coupon_order,
        ..InvoiceTerms::plain(offer.currency)
    };
    let lines = quote_lines(&offers, version, &customer, period, (quantity, usages)).map_err(too_large)?;
    let totals = total_lines(&terms, &tax, &lines).map_err(too_large)?;
    Ok(Quote {
        plan: code,
        currency: offer.currency,
        period,
        lines: lines
            .into_iter()
            .zip(totals.lines.clone())
            .map(|(line, total)| quote_line(&offer, line, total))
            .collect(),
        discounts: taken
            .into_iter()
            .zip(&totals.discount_by_coupon)
            .map(|(taken, amount)| (taken.code, *amount))
            .collect(),
        tax_behavior: terms.tax_behavior,
        totals,
    })
}

async fn find_plan(cx: &Cx, tx: &mut TenantTx, plan: &QuotedPlan) -> Result<PlanAtVersion> {
    match plan {
        QuotedPlan::Code(code) => plans::get(tx, PlanKind::Plan, code).await.map_err(|error| {
            name_missing(error, "/plan", "unknown_plan", "there is no plan with this code: create it first")
        }),
        QuotedPlan::Inline(input) => {
            plans::read_unstored(cx, tx, input).await.map_err(|error| error.under("/plan"))
        }
    }
}

fn read_quantity(quantity: Option<u32>) -> Result<u32> {
    let quantity = quantity.unwrap_or(1);
    if quantity > QUANTITY_MAX {
        return Err(Error::field("/quantity", "out_of_range", format!("must be 0 to {QUANTITY_MAX}")));
    }
    Ok(quantity)
}

/// The customer of the quote, or somebody in UTC with the given tax.
async fn find_customer(
    tx: &mut TenantTx,
    input: &CreateQuote,
    currency: &str,
    now: Timestamp,
) -> Result<Customer> {
    let Some(name) = &input.customer else {
        let mut somebody = anybody(currency, now);
        if let Some(tax) = &input.tax {
            let mut faults = Faults::default();
            somebody.tax = tax::stored_tax(&mut faults, tax);
            faults.check()?;
            tax::check_region(tx, &somebody.tax).await?;
        }
        return Ok(somebody);
    };
    if input.tax.is_some() {
        return Err(Error::field("/tax", "not_allowed", "a customer has a tax of its own: leave one out"));
    }
    let customer = customers::get(tx, name).await.map_err(|error| {
        let detail = "there is no customer with this id or external_id: create it first";
        name_missing(error, "/customer", "unknown_customer", detail)
    })?;
    if customer.currency != currency {
        let detail = format!("the plan is in {currency} and the customer in {}", customer.currency);
        return Err(Error::refused(Code::CurrencyMismatch, detail));
    }
    Ok(customer)
}

/// A customer that nobody has: in UTC and without tax.
pub(crate) fn anybody(currency: &str, now: Timestamp) -> Customer {
    Customer {
        id: CustomerId::from_uuid(uuid::Uuid::nil()),
        external_id: None,
        name: String::new(),
        email: None,
        currency: currency.to_owned(),
        time_zone: "UTC".to_owned(),
        tax: json!({ "exempt": true }),
        address: json!({}),
        metadata: json!({}),
        created_at: now,
        updated_at: now,
    }
}

/// What the customer has for all of its subscriptions, then the coupon of the quote.
async fn coupons(
    tx: &mut TenantTx,
    input: &CreateQuote,
    customer: &Customer,
    (plan, currency): (&str, Currency),
    now: Timestamp,
) -> Result<Vec<Taken>> {
    let mut taken = Vec::new();
    if input.customer.is_some() {
        for discount in discounts::list_of_all_subscriptions(tx, customer, plan).await? {
            let fixed_minor = discount.fixed_left_minor.or(discount.amount_minor);
            let coupon = coupon_of(discount.percent, fixed_minor, currency)?;
            taken.push(Taken { code: discount.coupon_code, coupon });
        }
    }
    if let Some(code) = &input.coupon {
        let found = discounts::find_redeemable(tx, code, now, (plan, currency.code())).await?;
        let coupon = coupon_of(found.percent, found.amount_minor, currency)?;
        taken.push(Taken { code: found.code, coupon });
    }
    Ok(taken)
}

fn quote_line(offer: &Offer, line: LineDraft, total: LineTotal) -> QuoteLine {
    let price = offer.prices.iter().find(|price| Some(price.price.id) == line.price);
    QuoteLine {
        kind: line.kind,
        price: price.map(|price| price.price.code.clone()),
        description: line.description,
        quantity: line.quantity,
        arithmetic: line.arithmetic,
        total,
    }
}

/// Each price was rated before: what fails then is the size of a sum.
fn too_large(error: Error) -> Error {
    if matches!(error, Error::Rate(_) | Error::Money(_) | Error::Invoice(_)) {
        return Error::field("/usage", "too_large", "gives an amount that is too large");
    }
    error
}
