//! Prices as JSON, as they are sent, shown and stored; money and quantities as decimal strings, money in major units.

mod models;
mod reader;
mod terms;

use serde_json::{Map, Value};
use usance_core::catalog::price::PriceTerms;
use usance_db::plans::Price;

use crate::error::{Error, Faults, Result};

pub(crate) use reader::Reader;

pub(crate) use models::parameters;
pub(crate) use terms::members;

/// Reads everything of a stored price that decides its amount.
pub fn price_terms(price: &Price) -> Result<PriceTerms> {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut members = object(&price.parameters);
    members.extend(object(&price.terms));
    let mut faults = Faults::default();
    let terms = read_price_terms(&mut faults, "", &price.charge_model, &members);
    faults.check().map_err(|_| Error::Internal("a stored price cannot be read"))?;
    terms.ok_or(Error::Internal("a stored price cannot be read"))
}

/// Reads the model and the terms of a price from a request; every fault is noted under the pointer of the price.
pub(crate) fn read_price_terms(
    faults: &mut Faults,
    pointer: &str,
    kind: &str,
    price: &Map<String, Value>,
) -> Option<PriceTerms> {
    let mut reader = Reader::new(faults, pointer, price);
    let model = models::read(&mut reader, kind);
    // The terms are read in any case, so that all faults of a price are named at once.
    let terms = terms::read(&mut reader, model.as_ref().ok());
    if model.is_ok() {
        reader.refuse_unknown("this charge model and its terms have");
    }
    let terms = terms.ok().flatten()?;
    for fault in terms.faults() {
        faults.add(&format!("{pointer}/{}", fault.field), "invalid_price", fault.fault.to_string());
    }
    Some(terms)
}
