//! How a customer is taxed: by rates of its own, by the rates of a region, or not at all.

use serde_json::{Value, json};
use usance_core::{
    decimal::{decimal_text, parse_decimal},
    invoice::{TaxBehavior, TaxRate},
};
use usance_db::{
    TenantTx,
    customers::Customer,
    tax_rates::{self, StoredTaxRate},
};

use crate::{
    error::{Error, Faults, Result},
    fields::{check_text, read_percent},
};

const RATES_MAX: usize = 10;
const REGION_LENGTH_MAX: usize = 32;

/// How a customer is to be taxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tax {
    /// Not at all.
    Exempt,
    /// By these rates (name, percent), each on every line and on top of it.
    Rates(Vec<(String, String)>),
    /// By all tax rates of this region, whatever they are at the time of the invoice.
    Region(String),
}

/// What a customer's lines are taxed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerTax {
    /// Each applies to every line; none if the customer is exempt.
    pub rates: Vec<TaxRate>,
    /// Whether the lines' amounts hold the tax already.
    pub inclusive: bool,
}

impl CustomerTax {
    /// How the tax relates to the amounts.
    pub const fn behavior(&self) -> TaxBehavior {
        if self.inclusive { TaxBehavior::Inclusive } else { TaxBehavior::Exclusive }
    }
}

/// Reads the rates by which a customer is taxed now.
pub async fn rates_of(tx: &mut TenantTx, customer: &Customer) -> Result<CustomerTax> {
    let Some(region) = region_of(&customer.tax) else {
        return Ok(CustomerTax { rates: own_rates(customer)?, inclusive: false });
    };
    let rates = tax_rates::list_of_region(tx, region).await?;
    // The last rate of a region with customers cannot be archived.
    let first = rates.first().ok_or(Error::Internal("the tax region of a customer has no rates"))?;
    let inclusive = first.inclusive;
    let rate = |rate: StoredTaxRate| TaxRate { name: rate.name, percent: rate.percent };
    Ok(CustomerTax { rates: rates.into_iter().map(rate).collect(), inclusive })
}

fn region_of(tax: &Value) -> Option<&str> {
    tax.get("region").and_then(Value::as_str)
}

/// The rates that a customer names itself.
pub(crate) fn own_rates(customer: &Customer) -> Result<Vec<TaxRate>> {
    let unreadable = Error::Internal("a stored tax rate cannot be read");
    let Some(rates) = customer.tax.get("rates").and_then(Value::as_array) else { return Ok(Vec::new()) };
    let rate = |rate: &Value| {
        let name = rate.get("name")?.as_str()?.to_owned();
        let percent = parse_decimal(rate.get("percent")?.as_str()?).ok()?;
        Some(TaxRate { name, percent })
    };
    rates.iter().map(rate).collect::<Option<Vec<_>>>().ok_or(unreadable)
}

/// Refuses a region that has no rates. The catalogue must be locked, so that it keeps one.
pub(crate) async fn check_region(tx: &mut TenantTx, tax: &Value) -> Result<()> {
    let Some(region) = region_of(tax) else { return Ok(()) };
    if !tax_rates::list_of_region(tx, region).await?.is_empty() {
        return Ok(());
    }
    let detail = format!("there is no tax rate of the region {region}: create one first");
    Err(Error::field("/tax/region", "unknown_region", detail))
}

/// Reads how a customer is taxed into the form in which it is stored.
pub(crate) fn stored_tax(faults: &mut Faults, tax: &Tax) -> Value {
    match tax {
        Tax::Exempt => json!({ "exempt": true }),
        Tax::Region(region) => json!({ "region": read_region(faults, "/tax/region", region) }),
        Tax::Rates(rates) => stored_rates(faults, rates),
    }
}

fn stored_rates(faults: &mut Faults, rates: &[(String, String)]) -> Value {
    if rates.len() > RATES_MAX {
        faults.add("/tax/rates", "too_many", format!("must have at most {RATES_MAX} rates"));
    }
    let mut stored = Vec::new();
    for (index, (name, percent)) in rates.iter().enumerate() {
        check_text(faults, &format!("/tax/rates/{index}/name"), name);
        if let Some(percent) = read_percent(faults, &format!("/tax/rates/{index}/percent"), percent) {
            stored.push(json!({ "name": name, "percent": decimal_text(percent) }));
        }
    }
    json!({ "rates": stored })
}

/// A region's name in lower case: a country or a part of it such as `US-CA`, or any word such as `eu`.
pub(crate) fn read_region(faults: &mut Faults, pointer: &str, text: &str) -> String {
    let region = text.trim().to_lowercase();
    check_text(faults, pointer, &region);
    if region.chars().count() > REGION_LENGTH_MAX {
        faults.add(pointer, "too_long", format!("must have at most {REGION_LENGTH_MAX} characters"));
    }
    region
}
