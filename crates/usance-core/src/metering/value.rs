//! What one event means to one meter.

use rust_decimal::Decimal;

use crate::{
    catalog::meter::Aggregation,
    decimal::{parse_decimal, stored_decimal},
};

use super::{MeterValue, Properties, RejectReason, Scalar, short_hash};

/// Reads a meter's value from the properties of an event.
pub fn meter_value(
    aggregation: Aggregation,
    value_property: Option<&str>,
    properties: &Properties,
) -> Result<MeterValue, RejectReason> {
    let Some(name) = value_property else { return Ok(MeterValue::One) };
    let value = properties.get(name).ok_or(RejectReason::MissingValue)?;
    if !aggregation.needs_decimal() {
        // Values are the same if they read the same: 5 and "5" are one value.
        return Ok(MeterValue::Hash(match &value {
            Scalar::Number(text) => short_hash(text.as_bytes()),
            Scalar::Text(text) => short_hash(text.as_bytes()),
            Scalar::Bool(true) => short_hash(b"true"),
            Scalar::Bool(false) => short_hash(b"false"),
        }));
    }
    Ok(MeterValue::Decimal(decimal(&value)?))
}

/// Reads the price, in major units, that an event carries in a property.
pub fn amount_value(property: &str, properties: &Properties) -> Result<Decimal, RejectReason> {
    decimal(&properties.get(property).ok_or(RejectReason::MissingValue)?)
}

fn decimal(value: &Scalar<'_>) -> Result<Decimal, RejectReason> {
    let text = match value {
        Scalar::Number(text) => *text,
        Scalar::Text(text) => text.as_ref(),
        Scalar::Bool(_) => return Err(RejectReason::MalformedDecimal),
    };
    parse_decimal(text).and_then(stored_decimal).map_err(|_| RejectReason::MalformedDecimal)
}
