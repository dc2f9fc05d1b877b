//! The parameters of each charge model.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use usance_core::{
    catalog::price::{ChargeModel, Curve, CurveDiscount, PackageRounding, PercentTier, Percentage, Tier},
    decimal::decimal_text,
};

use super::reader::{Noted, Read, Reader};

/// The models that can be chosen, for messages.
const KINDS: [&str; 10] = [
    "flat",
    "per_unit",
    "graduated",
    "volume",
    "package",
    "percentage",
    "graduated_percentage",
    "dynamic",
    "seat",
    "curve",
];

/// The parameters of a model, as they are shown and stored.
pub(crate) fn parameters(model: &ChargeModel) -> Value {
    match model {
        ChargeModel::Flat { amount } => json!({ "amount": text(*amount) }),
        ChargeModel::PerUnit { unit } => json!({ "unit": text(*unit) }),
        ChargeModel::Graduated { tiers } | ChargeModel::Volume { tiers } => {
            json!({ "tiers": tiers.iter().map(tier_members).collect::<Vec<_>>() })
        }
        ChargeModel::Package { amount, package_size, free_units, rounding } => json!({
            "amount": text(*amount),
            "package_size": text(*package_size),
            "free_units": text(*free_units),
            "rounding": rounding.as_str(),
        }),
        ChargeModel::Percentage(percentage) => json!({
            "rate_percent": text(percentage.rate_percent),
            "fixed_amount_per_event": text(percentage.fixed_amount_per_event),
            "free_events": percentage.free_events,
            "free_units_total": percentage.free_units_total.map(text),
            "per_event_min": percentage.per_event_min.map(text),
            "per_event_max": percentage.per_event_max.map(text),
        }),
        ChargeModel::GraduatedPercentage { tiers } => {
            let tier = |tier: &PercentTier| {
                json!({
                    "up_to": tier.up_to.map(text),
                    "rate_percent": text(tier.rate_percent),
                    "flat": text(tier.flat),
                })
            };
            json!({ "tiers": tiers.iter().map(tier).collect::<Vec<_>>() })
        }
        ChargeModel::Dynamic { multiplier } => json!({ "multiplier": text(*multiplier) }),
        ChargeModel::Seat { unit, minimum_seats, maximum_seats } => json!({
            "unit": text(*unit),
            "minimum_seats": minimum_seats.map(text),
            "maximum_seats": maximum_seats.map(text),
        }),
        ChargeModel::Curve(curve) => curve_members(curve),
    }
}

fn text(value: Decimal) -> Value {
    Value::from(decimal_text(value))
}

fn tier_members(tier: &Tier) -> Value {
    let mut members = Map::new();
    members.insert("up_to".to_owned(), tier.up_to.map_or(Value::Null, text));
    members.insert("unit".to_owned(), text(tier.unit));
    members.insert("flat".to_owned(), text(tier.flat));
    members.extend(tier.cap.map(|cap| ("cap".to_owned(), text(cap))));
    Value::Object(members)
}

fn curve_members(curve: &Curve) -> Value {
    let discount =
        |discount: &CurveDiscount| json!({ "from": text(discount.from), "percent": text(discount.percent) });
    json!({
        "unit_floor": text(curve.unit_floor),
        "unit_spread": text(curve.unit_spread),
        "decay": text(curve.decay),
        "minimum": text(curve.minimum),
        "discounts": curve.discounts.iter().map(discount).collect::<Vec<_>>(),
    })
}

/// Reads a model of the given kind.
pub(super) fn read(reader: &mut Reader<'_>, kind: &str) -> Read<ChargeModel> {
    match kind {
        "flat" => Ok(ChargeModel::Flat { amount: reader.decimal("amount")? }),
        "per_unit" => Ok(ChargeModel::PerUnit { unit: reader.decimal("unit")? }),
        "graduated" => Ok(ChargeModel::Graduated { tiers: tiers(reader)? }),
        "volume" => Ok(ChargeModel::Volume { tiers: tiers(reader)? }),
        "package" => package(reader),
        "percentage" => Ok(ChargeModel::Percentage(percentage(reader)?)),
        "graduated_percentage" => Ok(ChargeModel::GraduatedPercentage { tiers: percent_tiers(reader)? }),
        "dynamic" => {
            let multiplier = reader.decimal_opt("multiplier")?.unwrap_or(Decimal::ONE);
            Ok(ChargeModel::Dynamic { multiplier })
        }
        "seat" => {
            let unit = reader.decimal("unit");
            let minimum_seats = reader.decimal_opt("minimum_seats");
            let maximum_seats = reader.decimal_opt("maximum_seats");
            Ok(ChargeModel::Seat {
                unit: unit?,
                minimum_seats: minimum_seats?,
                maximum_seats: maximum_seats?,
            })
        }
        "curve" => Ok(ChargeModel::Curve(curve(reader)?)),
        _ => {
            let detail = format!("must be one of {}", KINDS.join(", "));
            Err(reader.fault("charge_model", "unknown_charge_model", &detail))
        }
    }
}

fn package(reader: &mut Reader<'_>) -> Read<ChargeModel> {
    let amount = reader.decimal("amount");
    let package_size = reader.decimal("package_size");
    let free_units = reader.decimal_or_zero("free_units");
    let rounding = reader.word_opt("rounding", PackageRounding::parse, "up or down");
    Ok(ChargeModel::Package {
        amount: amount?,
        package_size: package_size?,
        free_units: free_units?,
        rounding: rounding?.unwrap_or_default(),
    })
}

fn required<T>(reader: &mut Reader<'_>, name: &str, form: &str, list: Read<Option<Vec<T>>>) -> Read<Vec<T>> {
    match list? {
        Some(list) => Ok(list),
        None => Err(reader.fault(name, "required", &format!("must be a list of objects {form}"))),
    }
}

fn tiers(reader: &mut Reader<'_>) -> Read<Vec<Tier>> {
    const FORM: &str = "{up_to, unit, flat}, and cap where a tier has one";
    let tiers = reader.objects_opt("tiers", FORM, |tier| {
        let up_to = tier.decimal_opt("up_to");
        let unit = tier.decimal_or_zero("unit");
        let flat = tier.decimal_or_zero("flat");
        let cap = tier.decimal_opt("cap");
        Ok(Tier { up_to: up_to?, unit: unit?, flat: flat?, cap: cap? })
    });
    required(reader, "tiers", FORM, tiers)
}

fn percent_tiers(reader: &mut Reader<'_>) -> Read<Vec<PercentTier>> {
    const FORM: &str = "{up_to, rate_percent, flat}";
    let tiers = reader.objects_opt("tiers", FORM, |tier| {
        let up_to = tier.decimal_opt("up_to");
        let rate_percent = tier.decimal_or_zero("rate_percent");
        let flat = tier.decimal_or_zero("flat");
        Ok(PercentTier { up_to: up_to?, rate_percent: rate_percent?, flat: flat? })
    });
    required(reader, "tiers", FORM, tiers)
}

fn percentage(reader: &mut Reader<'_>) -> Read<Percentage> {
    let rate_percent = reader.decimal("rate_percent");
    let fixed_amount_per_event = reader.decimal_or_zero("fixed_amount_per_event");
    let free_events = reader.whole_opt("free_events");
    let free_units_total = reader.decimal_opt("free_units_total");
    let per_event_min = reader.decimal_opt("per_event_min");
    let per_event_max = reader.decimal_opt("per_event_max");
    Ok(Percentage {
        rate_percent: rate_percent?,
        fixed_amount_per_event: fixed_amount_per_event?,
        free_events: free_events?,
        free_units_total: free_units_total?,
        per_event_min: per_event_min?,
        per_event_max: per_event_max?,
    })
}

fn curve(reader: &mut Reader<'_>) -> Read<Curve> {
    let unit_floor = reader.decimal("unit_floor");
    let unit_spread = reader.decimal("unit_spread");
    let decay = reader.decimal("decay");
    let minimum = reader.decimal_or_zero("minimum");
    let discounts = reader.objects_opt("discounts", "{from, percent}", |discount| {
        let from = discount.decimal("from");
        let percent = discount.decimal("percent");
        Ok::<_, Noted>(CurveDiscount { from: from?, percent: percent? })
    });
    Ok(Curve {
        unit_floor: unit_floor?,
        unit_spread: unit_spread?,
        decay: decay?,
        minimum: minimum?,
        discounts: discounts?.unwrap_or_default(),
    })
}
