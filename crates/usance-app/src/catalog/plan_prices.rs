//! The prices of a plan version, read from a request and checked against each other.

use serde_json::{Map, Value};
use usance_core::{
    catalog::price::{ChargeModel, PayTiming, PriceTerms, QuantityBasis},
    ids::PriceId,
    metering::overlaps,
};
use usance_db::{
    TenantTx,
    meters::{self, Meter},
    plans::Price,
};

use super::filters::{SentFilters, check_group_by, read_filters};
use crate::{
    Cx,
    error::{Faults, Result},
    fields::{check_code, check_text},
    prices::{members, parameters, read_price_terms},
};

/// A price as sent.
#[derive(Debug, Clone)]
pub struct CreatePrice {
    /// Unique in the plan.
    pub code: String,
    /// For people; the code if absent.
    pub name: Option<String>,
    /// Code of the meter.
    pub meter: Option<String>,
    /// Which model.
    pub charge_model: String,
    /// The model's parameters and the terms around it.
    pub parameters: Map<String, Value>,
    /// The events that are priced; all of the meter if absent.
    pub filters: Option<SentFilters>,
    /// The properties whose groups are rated each on its own.
    pub group_by: Option<Vec<String>>,
    /// The property in which an event carries its own price.
    pub amount_property: Option<String>,
    /// `advance` or `arrears`; fixed fees and seats default to advance, usage to arrears.
    pub pay: Option<String>,
}

/// Reads a price that is sent at a pointer, for a position on the invoice; nothing if its model cannot be read.
pub(super) async fn read_price(
    cx: &Cx,
    tx: &mut TenantTx,
    faults: &mut Faults,
    (pointer, position): (&str, usize),
    input: &CreatePrice,
) -> Result<Option<Price>> {
    check_code(faults, &format!("{pointer}/code"), &input.code);
    let name = input.name.clone().unwrap_or_else(|| input.code.clone());
    check_text(faults, &format!("{pointer}/name"), &name);
    let terms = read_price_terms(faults, pointer, &input.charge_model, &input.parameters);
    let Some(terms) = terms else { return Ok(None) };
    let meter = match &input.meter {
        Some(code) => meters::find(tx, code).await?.filter(|meter| meter.archived_at.is_none()),
        None => None,
    };
    check_meter(faults, pointer, input, meter.as_ref(), &terms.model);
    check_amount_property(faults, pointer, input, &terms.model);
    let filters =
        read_filters(faults, &format!("{pointer}/filters"), input.filters.clone().unwrap_or_default());
    let group_by = input.group_by.clone().unwrap_or_default();
    check_group_by(faults, &format!("{pointer}/group_by"), &group_by);
    let pay = read_pay(faults, pointer, input, &terms);
    Ok(Some(Price {
        id: PriceId::from_uuid(cx.app.ids.next()),
        position: i16::try_from(position).unwrap_or(i16::MAX),
        code: input.code.clone(),
        name,
        meter_id: meter.as_ref().map(|meter| meter.id),
        meter_code: meter.map(|meter| meter.code),
        charge_model: terms.model.kind().to_owned(),
        parameters: parameters(&terms.model),
        terms: members(&terms),
        filters,
        group_by,
        amount_property: input.amount_property.clone(),
        pay: pay.as_str().to_owned(),
    }))
}

fn check_meter(
    faults: &mut Faults,
    pointer: &str,
    input: &CreatePrice,
    meter: Option<&Meter>,
    model: &ChargeModel,
) {
    let is_usage = model.is_usage();
    match (&input.meter, meter, is_usage) {
        (Some(_), None, _) => faults.add(
            &format!("{pointer}/meter"),
            "unknown_meter",
            "there is no meter with this code: create it first",
        ),
        (None, _, true) => {
            faults.add(&format!("{pointer}/meter"), "required", "a price by usage names its meter");
        }
        (Some(_), Some(_), false) => {
            let detail = match model.basis() {
                QuantityBasis::Fixed | QuantityBasis::Usage => "a flat price has no meter: leave it out",
                QuantityBasis::Subscription => {
                    "this price takes the subscription's quantity: leave the meter out"
                }
            };
            faults.add(&format!("{pointer}/meter"), "not_allowed", detail);
        }
        (Some(_), Some(_), true) | (None, _, false) => {}
    }
    let about_events = [
        ("filters", input.filters.as_ref().is_some_and(|filters| !filters.is_empty())),
        ("group_by", input.group_by.as_ref().is_some_and(|properties| !properties.is_empty())),
    ];
    for (name, _) in about_events.into_iter().filter(|(_, is_set)| *is_set && !is_usage) {
        let detail = "only a price by usage is about events: leave it out";
        faults.add(&format!("{pointer}/{name}"), "not_allowed", detail);
    }
}

fn check_amount_property(faults: &mut Faults, pointer: &str, input: &CreatePrice, model: &ChargeModel) {
    let pointer = format!("{pointer}/amount_property");
    let is_dynamic = matches!(model, ChargeModel::Dynamic { .. });
    match &input.amount_property {
        None if is_dynamic => {
            let detail =
                "a dynamic price names the property in which an event carries its price, in major units";
            faults.add(&pointer, "required", detail);
        }
        Some(_) if !is_dynamic => {
            faults.add(
                &pointer,
                "not_allowed",
                "only a dynamic price reads amounts from events: leave it out",
            );
        }
        Some(property) => check_text(faults, &pointer, property),
        None => {}
    }
}

fn read_pay(faults: &mut Faults, pointer: &str, input: &CreatePrice, terms: &PriceTerms) -> PayTiming {
    let is_usage = terms.model.is_usage();
    let default = if is_usage { PayTiming::Arrears } else { PayTiming::Advance };
    let pay = input.pay.as_deref().map_or(Some(default), PayTiming::parse);
    match pay {
        None => faults.add(&format!("{pointer}/pay"), "unknown_pay", "must be advance or arrears"),
        Some(PayTiming::Advance) if is_usage => {
            faults.add(
                &format!("{pointer}/pay"),
                "not_allowed",
                "usage is known only after the period: use arrears",
            );
        }
        Some(PayTiming::Advance | PayTiming::Arrears) => {}
    }
    pay.unwrap_or(default)
}

/// Refuses prices that would charge one event twice: they are on one meter, and no property tells them apart.
pub(super) fn refuse_overlaps(faults: &mut Faults, prices: &[Price]) {
    for (index, price) in prices.iter().enumerate() {
        let is_same_meter = |earlier: &&Price| price.meter_id.is_some() && earlier.meter_id == price.meter_id;
        let mut earlier = prices.iter().take(index).filter(is_same_meter);
        let Some(other) = earlier.find(|earlier| overlaps(&earlier.filters, &price.filters)) else {
            continue;
        };
        let detail = format!(
            "an event could be charged by `{}` too, on the same meter: filter both by one property with different values",
            other.code
        );
        faults.add(&format!("/prices/{}/filters", price.position), "overlapping", detail);
    }
}
