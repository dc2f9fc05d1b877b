//! Charge models as JSON parameters, as they are sent, shown and stored; money as decimal strings in major units.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use usance_core::{
    catalog::price::{ChargeModel, PackageRounding, Tier},
    decimal::decimal_text,
};

use crate::{
    error::{Error, Faults, Result},
    fields::read_decimal,
};

/// The models that can be chosen, for messages.
const KINDS: [&str; 5] = ["flat", "per_unit", "graduated", "volume", "package"];

/// The parameters of a model, as they are shown and stored.
pub fn parameters(model: &ChargeModel) -> Value {
    let text = |value: &Decimal| Value::from(decimal_text(*value));
    match model {
        ChargeModel::Flat { amount } => json!({ "amount": text(amount) }),
        ChargeModel::PerUnit { unit } => json!({ "unit": text(unit) }),
        ChargeModel::Graduated { tiers } | ChargeModel::Volume { tiers } => {
            let tier = |tier: &Tier| json!({ "up_to": tier.up_to.as_ref().map(text), "unit": text(&tier.unit), "flat": text(&tier.flat) });
            json!({ "tiers": tiers.iter().map(tier).collect::<Vec<_>>() })
        }
        ChargeModel::Package { amount, package_size, free_units, rounding } => json!({
            "amount": text(amount),
            "package_size": text(package_size),
            "free_units": text(free_units),
            "rounding": rounding.as_str(),
        }),
    }
}

/// Reads a stored model.
pub fn charge_model(kind: &str, parameters: &Value) -> Result<ChargeModel> {
    let mut faults = Faults::default();
    let members = parameters.as_object().cloned().unwrap_or_default();
    let model = read_charge_model(&mut faults, "", kind, &members);
    faults.check().map_err(|_| Error::Internal("a stored price cannot be read"))?;
    model.ok_or(Error::Internal("a stored price cannot be read"))
}

/// Reads a model from a request; every fault is noted under the pointer of the price.
pub(crate) fn read_charge_model(
    faults: &mut Faults,
    pointer: &str,
    kind: &str,
    members: &Map<String, Value>,
) -> Option<ChargeModel> {
    let mut reader = Reader { faults, pointer, members, known: Vec::new() };
    let model = match kind {
        "flat" => reader.required("amount").map(|amount| ChargeModel::Flat { amount }),
        "per_unit" => reader.required("unit").map(|unit| ChargeModel::PerUnit { unit }),
        "graduated" => reader.tiers().map(|tiers| ChargeModel::Graduated { tiers }),
        "volume" => reader.tiers().map(|tiers| ChargeModel::Volume { tiers }),
        "package" => reader.package(),
        _ => {
            let detail = format!("must be one of {}", KINDS.join(", "));
            faults.add(&format!("{pointer}/charge_model"), "unknown_charge_model", detail);
            return None;
        }
    };
    reader.refuse_unknown();
    let model = model?;
    for fault in model.faults() {
        faults.add(&format!("{pointer}/{}", fault.field), "invalid_price", fault.fault.to_string());
    }
    Some(model)
}

struct Reader<'a> {
    faults: &'a mut Faults,
    pointer: &'a str,
    members: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl Reader<'_> {
    fn required(&mut self, name: &'static str) -> Option<Decimal> {
        self.known.push(name);
        let pointer = format!("{}/{name}", self.pointer);
        read_required(self.faults, &pointer, self.members.get(name))
    }

    fn optional(&mut self, name: &'static str) -> Option<Decimal> {
        self.known.push(name);
        let pointer = format!("{}/{name}", self.pointer);
        read_optional(self.faults, &pointer, self.members.get(name)).map(Option::unwrap_or_default)
    }

    fn package(&mut self) -> Option<ChargeModel> {
        let amount = self.required("amount");
        let package_size = self.required("package_size");
        let free_units = self.optional("free_units");
        self.known.push("rounding");
        let rounding = match self.members.get("rounding") {
            None | Some(Value::Null) => Some(PackageRounding::default()),
            Some(word) => word.as_str().and_then(PackageRounding::parse),
        };
        if rounding.is_none() {
            self.faults.add(&format!("{}/rounding", self.pointer), "unknown_rounding", "must be up or down");
        }
        Some(ChargeModel::Package {
            amount: amount?,
            package_size: package_size?,
            free_units: free_units?,
            rounding: rounding?,
        })
    }

    fn tiers(&mut self) -> Option<Vec<Tier>> {
        self.known.push("tiers");
        let Some(tiers) = self.members.get("tiers").and_then(Value::as_array) else {
            self.faults.add(
                &format!("{}/tiers", self.pointer),
                "required",
                "must be a list of tiers {up_to, unit, flat}",
            );
            return None;
        };
        let read: Vec<_> = tiers.iter().enumerate().map(|(index, tier)| self.tier(index, tier)).collect();
        read.into_iter().collect()
    }

    fn tier(&mut self, index: usize, tier: &Value) -> Option<Tier> {
        let pointer = format!("{}/tiers/{index}", self.pointer);
        let Some(members) = tier.as_object() else {
            self.faults.add(&pointer, "malformed", "must be an object {up_to, unit, flat}");
            return None;
        };
        if let Some(unknown) = members.keys().find(|name| !["up_to", "unit", "flat"].contains(&name.as_str()))
        {
            self.faults.add(
                &format!("{pointer}/{unknown}"),
                "unknown_field",
                "a tier has up_to, unit and flat",
            );
        }
        let up_to = read_optional(self.faults, &format!("{pointer}/up_to"), members.get("up_to"));
        let unit = read_optional(self.faults, &format!("{pointer}/unit"), members.get("unit"));
        let flat = read_optional(self.faults, &format!("{pointer}/flat"), members.get("flat"));
        Some(Tier { up_to: up_to?, unit: unit?.unwrap_or_default(), flat: flat?.unwrap_or_default() })
    }

    fn refuse_unknown(&mut self) {
        for name in self.members.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let detail = format!("this charge model has the parameters {}", self.known.join(", "));
            self.faults.add(&format!("{}/{name}", self.pointer), "unknown_field", detail);
        }
    }
}

fn read_required(faults: &mut Faults, pointer: &str, value: Option<&Value>) -> Option<Decimal> {
    let read = read_optional(faults, pointer, value)?;
    if read.is_none() {
        faults.add(pointer, "required", "must be a decimal string such as \"0.001\"");
    }
    read
}

/// `None` is a fault that was noted; `Some(None)` is an absent value.
#[expect(clippy::option_option, reason = "absent and faulty are different")]
fn read_optional(faults: &mut Faults, pointer: &str, value: Option<&Value>) -> Option<Option<Decimal>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => read_decimal(faults, pointer, text).map(Some),
        Some(_) => {
            faults.add(
                pointer,
                "not_a_string",
                "must be a decimal in quotes, such as \"0.001\", so that no digit is lost",
            );
            None
        }
    }
}
