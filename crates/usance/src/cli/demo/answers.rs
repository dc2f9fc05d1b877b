//! The parts of the API's answers that the demo reads.

use rust_decimal::Decimal;
use secrecy::SecretString;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

/// An answer of which nothing is read.
pub(super) type Ignored = IgnoredAny;

/// `POST /auth/tenants/register/`
#[derive(Debug, Deserialize)]
pub(super) struct Registered {
    pub(super) tenant: Tenant,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tenant {
    pub(super) company_name: String,
    pub(super) email: String,
    pub(super) api_key_test_secret: SecretString,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Money {
    pub(super) amount_minor: i64,
    pub(super) currency: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Period {
    pub(super) start: jiff::Timestamp,
    pub(super) end: jiff::Timestamp,
}

/// `GET /invoices/{id}`
#[derive(Debug, Deserialize)]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) number: Option<String>,
    pub(super) status: String,
    pub(super) period: Period,
    pub(super) lines: Vec<Line>,
    pub(super) subtotal: Money,
    pub(super) tax: Money,
    pub(super) total: Money,
    pub(super) amount_due: Money,
}

#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) quantity: Decimal,
    pub(super) amount: Money,
}

/// `GET /invoices/{id}/explain`
#[derive(Debug, Deserialize)]
pub(super) struct Explanation {
    pub(super) invoice: Invoice,
    pub(super) plan: Plan,
    pub(super) lines: Vec<ExplainedLine>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Plan {
    pub(super) code: String,
    pub(super) version: i32,
}

#[derive(Debug, Deserialize)]
pub(super) struct ExplainedLine {
    /// Id of the line of the invoice.
    pub(super) line: String,
    pub(super) price: String,
    pub(super) charge_model: String,
    pub(super) parameters: Value,
    pub(super) exact_amount: Decimal,
    pub(super) amount: Money,
    pub(super) arithmetic: Vec<Step>,
    pub(super) taxes: Vec<Tax>,
    pub(super) events: Option<Events>,
}

/// One multiplication.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) quantity: Decimal,
    pub(super) unit: Decimal,
    pub(super) amount: Decimal,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tax {
    pub(super) name: String,
    pub(super) percent: Decimal,
    /// In the currency of the line.
    pub(super) amount_minor: i64,
}

/// The usage events behind a line.
#[derive(Debug, Deserialize)]
pub(super) struct Events {
    pub(super) count: u64,
    pub(super) first_at: Option<jiff::Timestamp>,
    pub(super) last_at: Option<jiff::Timestamp>,
    pub(super) digest: String,
}
