//! The terms around a charge model.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use usance_core::{
    catalog::{
        price::{
            ChargeModel, Commitment, Committed, ConversionOperation, FirstTierFlat, PriceTerms, TimeOfDay,
            UnitConversion, WindowPricing, WindowSize,
        },
        rounding::{QuantityRounding, RoundingMode},
    },
    decimal::decimal_text,
};

use super::{
    models::{self, parameters},
    reader::{Read, Reader},
};

const CONVERSION_FORM: &str = "{operation, factor, rounding, precision}";
const WINDOW_FORM: &str = "{size, commitment, times_of_day}";
const COMMITMENT_FORM: &str = "{amount or quantity, overage_factor, true_up}";
const TIME_OF_DAY_FORM: &str = "{from_hour, to_hour, commitment} and a charge model with its parameters";

/// The terms that are set, as they are shown and stored; an object.
pub(crate) fn members(terms: &PriceTerms) -> Value {
    let mut members = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        members.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("unit_config", terms.conversion.as_ref().map(conversion_members));
    set("usage_discount", terms.usage_discount.map(text));
    set("discount_percent", terms.discount_percent.map(text));
    set("minimum_amount", terms.minimum.map(text));
    set("maximum_amount", terms.maximum.map(text));
    let first_tier_flat = match terms.first_tier_flat {
        FirstTierFlat::Charge => None,
        FirstTierFlat::Skip => Some(Value::from(terms.first_tier_flat.as_str())),
    };
    set("first_tier_flat", first_tier_flat);
    set("window", terms.window.as_ref().map(window_members));
    Value::Object(members)
}

fn text(value: Decimal) -> Value {
    Value::from(decimal_text(value))
}

fn conversion_members(conversion: &UnitConversion) -> Value {
    json!({
        "operation": conversion.operation.as_str(),
        "factor": text(conversion.factor),
        "rounding": conversion.rounding.map_or("none", |rounding| rounding.mode.as_str()),
        "precision": conversion.rounding.map_or(0, |rounding| rounding.scale),
    })
}

fn window_members(window: &WindowPricing) -> Value {
    json!({
        "size": window.size.as_str(),
        "commitment": window.commitment.as_ref().map(commitment_members),
        "times_of_day": window.times_of_day.iter().map(time_of_day_members).collect::<Vec<_>>(),
    })
}

fn commitment_members(commitment: &Commitment) -> Value {
    let (name, committed) = match commitment.committed {
        Committed::Amount(amount) => ("amount", amount),
        Committed::Quantity(quantity) => ("quantity", quantity),
    };
    json!({
        name: text(committed),
        "overage_factor": text(commitment.overage_factor),
        "true_up": commitment.true_up,
    })
}

fn time_of_day_members(time: &TimeOfDay) -> Value {
    let mut members = Map::new();
    members.insert("from_hour".to_owned(), Value::from(time.from_hour));
    members.insert("to_hour".to_owned(), Value::from(time.to_hour));
    if let Some(model) = &time.model {
        members.insert("charge_model".to_owned(), Value::from(model.kind()));
        members.extend(parameters(model).as_object().cloned().unwrap_or_default());
    }
    members.insert("commitment".to_owned(), time.commitment.as_ref().map_or(Value::Null, commitment_members));
    Value::Object(members)
}

/// Reads the terms around a model, which is absent where it could not be read itself.
pub(super) fn read(reader: &mut Reader<'_>, model: Option<&ChargeModel>) -> Read<Option<PriceTerms>> {
    let conversion = reader.object_opt("unit_config", CONVERSION_FORM, conversion);
    let usage_discount = reader.decimal_opt("usage_discount");
    let discount_percent = reader.decimal_opt("discount_percent");
    let minimum = reader.decimal_opt("minimum_amount");
    let maximum = reader.decimal_opt("maximum_amount");
    let first_tier_flat = reader.word_opt("first_tier_flat", FirstTierFlat::parse, "charge or skip");
    let window = reader.object_opt("window", WINDOW_FORM, window);
    let Some(model) = model else { return Ok(None) };
    Ok(Some(PriceTerms {
        model: model.clone(),
        conversion: conversion?,
        usage_discount: usage_discount?,
        discount_percent: discount_percent?,
        minimum: minimum?,
        maximum: maximum?,
        first_tier_flat: first_tier_flat?.unwrap_or_default(),
        window: window?,
    }))
}

fn conversion(reader: &mut Reader<'_>) -> Read<UnitConversion> {
    let operation = reader.word_opt("operation", ConversionOperation::parse, "multiply or divide");
    let factor = reader.decimal("factor");
    let rounding = reader.word_opt("rounding", rounding_mode, "none, half_up, ceil or floor");
    let scale = reader.whole_opt("precision");
    let Some(operation) = operation? else {
        return Err(reader.fault("operation", "required", "must be multiply or divide"));
    };
    let scale = scale?.unwrap_or_default();
    let rounding = rounding?.flatten().map(|mode| QuantityRounding { mode, scale });
    Ok(UnitConversion { operation, factor: factor?, rounding })
}

/// Reads a mode, or `none`.
#[expect(clippy::option_option, reason = "an unknown word and no rounding are different")]
fn rounding_mode(word: &str) -> Option<Option<RoundingMode>> {
    if word == "none" { Some(None) } else { RoundingMode::parse(word).map(Some) }
}

fn window(reader: &mut Reader<'_>) -> Read<WindowPricing> {
    let size = reader.word_opt("size", WindowSize::parse, "hour or day");
    let commitment = reader.object_opt("commitment", COMMITMENT_FORM, commitment);
    let times_of_day = reader.objects_opt("times_of_day", TIME_OF_DAY_FORM, time_of_day);
    let Some(size) = size? else { return Err(reader.fault("size", "required", "must be hour or day")) };
    Ok(WindowPricing { size, commitment: commitment?, times_of_day: times_of_day?.unwrap_or_default() })
}

fn commitment(reader: &mut Reader<'_>) -> Read<Commitment> {
    let amount = reader.decimal_opt("amount");
    let quantity = reader.decimal_opt("quantity");
    let overage_factor = reader.decimal_opt("overage_factor");
    let true_up = reader.flag("true_up");
    let committed = match (amount?, quantity?) {
        (Some(amount), None) => Committed::Amount(amount),
        (None, Some(quantity)) => Committed::Quantity(quantity),
        (None, None) => return Err(reader.fault("amount", "required", "must have an amount or a quantity")),
        (Some(_), Some(_)) => {
            return Err(reader.fault(
                "quantity",
                "ambiguous",
                "has either an amount or a quantity, not both",
            ));
        }
    };
    let overage_factor = overage_factor?.unwrap_or(Decimal::ONE);
    Ok(Commitment { committed, overage_factor, true_up: true_up? })
}

fn time_of_day(reader: &mut Reader<'_>) -> Read<TimeOfDay> {
    let from_hour = reader.whole_opt("from_hour");
    let to_hour = reader.whole_opt("to_hour");
    let commitment = reader.object_opt("commitment", COMMITMENT_FORM, commitment);
    let model = match reader.text_opt("charge_model")? {
        None => None,
        Some(kind) => Some(models::read(reader, kind)?),
    };
    match (from_hour?, to_hour?) {
        (Some(from_hour), Some(to_hour)) => {
            Ok(TimeOfDay { from_hour, to_hour, model, commitment: commitment? })
        }
        (None, _) => Err(reader.fault("from_hour", "required", "must be an hour of the day, 0 to 23")),
        (_, None) => Err(reader.fault("to_hour", "required", "must be an hour of the day, 1 to 24")),
    }
}
