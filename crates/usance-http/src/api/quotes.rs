//! Quotes: what a period would cost, by the engine that bills it.

use std::{collections::BTreeMap, fmt};

use axum::{http::StatusCode, response::Response};
use futures_util::FutureExt;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use usance_app::quotes::{self, Quote, QuoteLine, QuotedPlan, QuotedUsage};
use usance_core::{decimal::decimal_text, invoice::TaxAmount, money::Money};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Ref,
        schema::{ObjectBuilder, OneOfBuilder, Schema},
    },
};

use super::{customers::TaxBody, plans::CreatePlan};
use crate::{
    error::ApiResult,
    extract::{Mutation, objects},
    wire::{MoneyView, PeriodView, ProblemView},
};

/// The plan of a quote: a code, or everything that makes a plan.
#[derive(Debug)]
pub(crate) enum QuotedPlanBody {
    /// Code of a plan; its newest version is taken.
    Code(String),
    /// A plan that is not stored; its meters and features must be there.
    Inline(Box<CreatePlan>),
}

impl<'de> Deserialize<'de> for QuotedPlanBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlanVisitor)
    }
}

struct PlanVisitor;

impl<'de> Visitor<'de> for PlanVisitor {
    type Value = QuotedPlanBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the code of a plan, or a plan")
    }

    fn visit_str<E: serde::de::Error>(self, code: &str) -> Result<Self::Value, E> {
        Ok(QuotedPlanBody::Code(code.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let plan = CreatePlan::deserialize(MapAccessDeserializer::new(members))?;
        Ok(QuotedPlanBody::Inline(Box::new(plan)))
    }
}

/// Usage: a quantity, or whatever else the price depends on.
#[derive(Debug)]
pub(crate) enum QuotedUsageBody {
    /// A decimal string.
    Quantity(String),
    /// Its parts.
    Parts(QuotedUsageParts),
}

/// The parts of usage.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotedUsageParts {
    /// A decimal string; what the meter makes of the events if absent.
    quantity: Option<String>,
    /// The value of each event, as decimal strings.
    #[serde(default)]
    events: Vec<String>,
    /// How many events there are; those that are listed if absent.
    event_count: Option<u64>,
    /// The sum of the prices that the events carry: a decimal string of major units.
    event_amount: Option<String>,
    /// The hours, or days, with usage, where a price is by them.
    #[serde(default, deserialize_with = "objects")]
    #[schema(inline)]
    windows: Vec<QuotedWindowBody>,
}

/// The usage of one hour or day.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotedWindowBody {
    /// 0 to 23; 0 for a day.
    #[serde(default)]
    hour: u8,
    /// A decimal string.
    quantity: String,
}

impl<'de> Deserialize<'de> for QuotedUsageBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UsageVisitor)
    }
}

struct UsageVisitor;

impl<'de> Visitor<'de> for UsageVisitor {
    type Value = QuotedUsageBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal string such as \"1200\", or an object")
    }

    fn visit_str<E: serde::de::Error>(self, quantity: &str) -> Result<Self::Value, E> {
        Ok(QuotedUsageBody::Quantity(quantity.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let parts = QuotedUsageParts::deserialize(MapAccessDeserializer::new(members))?;
        Ok(QuotedUsageBody::Parts(parts))
    }
}

impl From<QuotedUsageBody> for QuotedUsage {
    fn from(body: QuotedUsageBody) -> Self {
        match body {
            QuotedUsageBody::Quantity(quantity) => Self { quantity: Some(quantity), ..Self::default() },
            QuotedUsageBody::Parts(parts) => {
                let QuotedUsageParts { quantity, events, event_count, event_amount, windows } = parts;
                let windows = windows.into_iter().map(|window| (window.hour, window.quantity)).collect();
                Self { quantity, events, event_count, event_amount, windows }
            }
        }
    }
}

/// What is to be quoted: a full billing period of a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"plan": "starter", "usage": {"calls": "1100", "tokens": "5000"}, "tax": {"rates": [{"name": "tax", "percent": "8"}]}}))]
pub(crate) struct CreateQuote {
    /// Code of a plan, or a plan as it would be created.
    #[schema(schema_with = plan_schema)]
    plan: QuotedPlanBody,
    /// By code of a meter, or of a price where several prices of the plan split a meter. Groups are not told apart.
    #[serde(default)]
    #[schema(schema_with = usage_schema)]
    usage: BTreeMap<String, QuotedUsageBody>,
    /// Seats; 1 if absent.
    quantity: Option<u32>,
    /// Code of a coupon, as if it were redeemed now.
    coupon: Option<String>,
    /// Id or `external_id` of a customer, whose tax, time zone and discounts count.
    customer: Option<String>,
    /// Instead of a customer's; no tax if both are absent.
    tax: Option<TaxBody>,
    /// `full`: a full billing period; the only one, and the one if absent.
    period: Option<String>,
}

fn plan_schema() -> Schema {
    OneOfBuilder::new().item(String::schema()).item(Ref::from_schema_name("CreatePlan")).build().into()
}

fn usage_schema() -> Schema {
    let usage = OneOfBuilder::new().item(String::schema()).item(QuotedUsageParts::schema()).build();
    ObjectBuilder::new().additional_properties(Some(Schema::from(usage))).build().into()
}

impl TryFrom<CreateQuote> for quotes::CreateQuote {
    type Error = usance_app::error::Error;

    fn try_from(body: CreateQuote) -> Result<Self, Self::Error> {
        let CreateQuote { plan, usage, quantity, coupon, customer, tax, period } = body;
        if period.is_some_and(|period| period != "full") {
            return Err(Self::Error::field("/period", "unknown_word", "must be full"));
        }
        let plan = match plan {
            QuotedPlanBody::Code(code) => QuotedPlan::Code(code),
            QuotedPlanBody::Inline(plan) => QuotedPlan::Inline(Box::new((*plan).into())),
        };
        let usage = usage.into_iter().map(|(name, usage)| (name, usage.into())).collect();
        Ok(Self { plan, usage, quantity, coupon, customer, tax: tax.map(Into::into) })
    }
}

/// A line of a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteLineView {
    /// `fee` or `usage`.
    kind: &'static str,
    /// Code of the price.
    price: Option<String>,
    description: String,
    /// Decimal; seats, or 1, for a fixed fee.
    quantity: String,
    /// Major units, before the one rounding.
    exact_amount: String,
    /// Before discount and tax.
    amount: MoneyView,
    discount: MoneyView,
    tax: MoneyView,
    /// `kind, from, up_to, quantity, unit, amount` per step; the amounts sum to the exact amount.
    #[schema(value_type = Vec<Object>)]
    arithmetic: Value,
}

/// What a coupon takes off a quote.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteDiscountView {
    /// Code of the coupon.
    coupon: String,
    amount: MoneyView,
}

/// The tax of a quote by one rate.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteTaxView {
    name: String,
    percent: String,
    amount: MoneyView,
}

/// What a full billing period would cost.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuoteView {
    /// Code of the plan.
    plan: String,
    currency: String,
    /// The full period around now.
    period: PeriodView,
    lines: Vec<QuoteLineView>,
    discounts: Vec<QuoteDiscountView>,
    taxes: Vec<QuoteTaxView>,
    subtotal: MoneyView,
    discount: MoneyView,
    tax: MoneyView,
    /// `exclusive`: the tax comes on top; `inclusive`: the amounts hold it already.
    tax_behavior: &'static str,
    total: MoneyView,
}

fn money(amount: Money) -> MoneyView {
    MoneyView::new(amount.minor(), amount.currency().code())
}

impl From<QuoteLine> for QuoteLineView {
    fn from(line: QuoteLine) -> Self {
        let tax_minor = line.total.taxes.iter().map(|tax| tax.amount.minor()).sum();
        Self {
            kind: line.kind,
            price: line.price,
            description: line.description,
            quantity: decimal_text(line.quantity),
            exact_amount: decimal_text(line.total.exact),
            amount: money(line.total.amount),
            discount: money(line.total.discount),
            tax: MoneyView::new(tax_minor, line.total.amount.currency().code()),
            arithmetic: line.arithmetic,
        }
    }
}

impl From<Quote> for QuoteView {
    fn from(quote: Quote) -> Self {
        let totals = quote.totals;
        let discount = |(coupon, amount)| QuoteDiscountView { coupon, amount: money(amount) };
        let tax = |tax: TaxAmount| QuoteTaxView {
            name: tax.name,
            percent: decimal_text(tax.percent),
            amount: money(tax.amount),
        };
        Self {
            plan: quote.plan,
            currency: quote.currency.code().to_owned(),
            period: quote.period.into(),
            lines: quote.lines.into_iter().map(Into::into).collect(),
            discounts: quote.discounts.into_iter().map(discount).collect(),
            taxes: totals.tax_by_rate.into_iter().map(tax).collect(),
            subtotal: money(totals.subtotal),
            discount: money(totals.discount),
            tax: money(totals.tax),
            tax_behavior: quote.tax_behavior.as_str(),
            total: money(totals.total),
        }
    }
}

/// Quote a plan
///
/// What a full billing period with some usage would cost, computed as its invoice would be. Nothing is stored.
#[utoipa::path(post, path = "/quotes", tag = "Selling", request_body = CreateQuote, responses(
    (status = 200, description = "The quote", body = QuoteView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_quote(request: Mutation<CreateQuote>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, |cx, tx, body: CreateQuote| {
            async move { Ok(QuoteView::from(quotes::create(cx, tx, body.try_into()?).await?)) }.boxed()
        })
        .await
}
