//! One published case, read without rounding.

use std::{cell::RefCell, collections::BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    decimal::{decimal_text, parse_decimal},
    money::{Currency, Money},
};

use super::Outcome;

/// A case of the file.
pub(crate) struct Case<'a> {
    value: &'a Value,
    expectations_read: RefCell<BTreeSet<String>>,
}

/// The members of an object in a case.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    value: &'a Value,
    read: Option<&'a RefCell<BTreeSet<String>>>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(value: &'a Value) -> Self {
        Self { value, expectations_read: RefCell::default() }
    }

    fn word(&self, name: &str) -> &'a str {
        self.value.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &'a str {
        self.word("id")
    }

    pub(crate) fn model(&self) -> &'a str {
        self.word("model")
    }

    pub(crate) fn portability(&self) -> &'a str {
        self.word("portability")
    }

    /// The policy that the case is about, such as `day_proration_inclusive`.
    pub(crate) fn policy(&self) -> Option<&'a str> {
        self.portability().strip_prefix("policy:")
    }

    /// The vendor whose own rule the case states.
    pub(crate) fn vendor(&self) -> Option<&'a str> {
        self.portability().strip_prefix("vendor:")
    }

    /// Tells whether amounts are whole minor units; they are in major units otherwise.
    pub(crate) fn is_minor(&self) -> bool {
        self.word("money_unit") == "minor"
    }

    pub(crate) fn params(&self) -> Fields<'a> {
        Fields::of(self.value.get("params"))
    }

    pub(crate) fn usage(&self) -> Fields<'a> {
        Fields::of(self.value.get("usage"))
    }

    pub(crate) fn expected(&self) -> Fields<'_> {
        Fields { read: Some(&self.expectations_read), ..Fields::of(self.value.get("expected")) }
    }

    /// The events of the case, in their order; none where the case states a total.
    pub(crate) fn events(&self) -> Vec<Fields<'a>> {
        let events = self.value.get("events").and_then(Value::as_array);
        events.into_iter().flatten().map(|event| Fields::of(Some(event))).collect()
    }

    pub(crate) fn has_events(&self) -> bool {
        self.value.get("events").is_some_and(|events| !events.is_null())
    }

    /// The currency of the case; US dollars where it names none.
    pub(crate) fn currency(&self) -> Result<Currency, String> {
        let code = self.params().text_opt("currency").or_else(|| self.usage().text_opt("currency"));
        Currency::parse(code.unwrap_or("USD")).map_err(|error| error.to_string())
    }

    /// Compares a plain number of the expectations.
    pub(crate) fn check_decimal(&self, name: &str, actual: Decimal) -> Outcome {
        same(name, self.expected().decimal(name)?, actual)
    }

    /// Compares an amount of the expectations, in the case's unit, with an exact amount in major units or that amount
    /// rounded to the currency; the product gives both.
    pub(crate) fn check_amount(&self, name: &str, exact: Decimal) -> Outcome {
        let rounded = Money::from_exact(exact, self.currency()?).map_err(|error| error.to_string())?;
        let expected = self.expected().decimal(name)?;
        let (exact, rounded) = if self.is_minor() {
            (None, Decimal::from(rounded.minor()))
        } else {
            (Some(exact), rounded.to_decimal())
        };
        if exact == Some(expected) { Ok(()) } else { same(name, expected, rounded) }
    }

    /// Compares an amount of the expectations with a rounded one.
    pub(crate) fn check_money(&self, name: &str, actual: Money) -> Outcome {
        same(name, self.expected().decimal(name)?, self.in_unit(actual))
    }

    /// Compares a list of amounts of the expectations with rounded ones.
    pub(crate) fn check_money_list(&self, name: &str, actual: &[Money]) -> Outcome {
        let actual: Vec<Decimal> = actual.iter().map(|money| self.in_unit(*money)).collect();
        self.check_decimals(name, &actual)
    }

    /// Compares a list of plain numbers of the expectations.
    pub(crate) fn check_decimals(&self, name: &str, actual: &[Decimal]) -> Outcome {
        let expected = self.expected().decimals(name)?;
        if expected == actual {
            return Ok(());
        }
        let text = |values: &[Decimal]| {
            values.iter().map(|value| decimal_text(*value)).collect::<Vec<_>>().join(", ")
        };
        Err(format!("{name} is [{}], expected [{}]", text(actual), text(&expected)))
    }

    /// A money amount as a number of the case's unit.
    fn in_unit(&self, money: Money) -> Decimal {
        if self.is_minor() { Decimal::from(money.minor()) } else { money.to_decimal() }
    }

    pub(crate) fn all_expectations_read(&self) -> Outcome {
        let read = self.expectations_read.borrow();
        let unread: Vec<&str> =
            self.expected().names().into_iter().filter(|name| !read.contains(*name)).collect();
        if unread.is_empty() {
            Ok(())
        } else {
            Err(format!("unsupported: nothing checks {}", unread.join(", ")))
        }
    }
}

/// Tells a difference between a plain expected number and the product's.
pub(crate) fn same(name: &str, expected: Decimal, actual: Decimal) -> Outcome {
    if expected == actual {
        return Ok(());
    }
    Err(format!("{name} is {}, expected {}", decimal_text(actual), decimal_text(expected)))
}

impl<'a> Fields<'a> {
    fn of(value: Option<&'a Value>) -> Self {
        Self { value: value.unwrap_or(&Value::Null), read: None }
    }

    fn get(self, name: &str) -> Option<&'a Value> {
        if let Some(read) = self.read {
            read.borrow_mut().insert(name.to_owned());
        }
        self.value.get(name).filter(|value| !value.is_null())
    }

    fn names(self) -> Vec<&'a str> {
        self.value.as_object().into_iter().flat_map(|members| members.keys()).map(String::as_str).collect()
    }

    /// Tells whether the member is there and not null.
    pub(crate) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn decimal(self, name: &str) -> Result<Decimal, String> {
        self.decimal_opt(name)?.ok_or_else(|| format!("the case has no `{name}`"))
    }

    pub(crate) fn decimal_opt(self, name: &str) -> Result<Option<Decimal>, String> {
        self.get(name).map(|value| decimal_of(name, value)).transpose()
    }

    pub(crate) fn decimals(self, name: &str) -> Result<Vec<Decimal>, String> {
        self.array(name)?.iter().map(|value| decimal_of(name, value)).collect()
    }

    pub(crate) fn whole(self, name: &str) -> Result<i64, String> {
        self.whole_opt(name)?.ok_or_else(|| format!("the case has no `{name}`"))
    }

    pub(crate) fn whole_opt(self, name: &str) -> Result<Option<i64>, String> {
        let whole = |value: Decimal| i64::try_from(value).ok().filter(|_| value.fract().is_zero());
        match self.decimal_opt(name)? {
            None => Ok(None),
            Some(value) => whole(value).map(Some).ok_or_else(|| format!("`{name}` is no whole number")),
        }
    }

    pub(crate) fn text(self, name: &str) -> Result<&'a str, String> {
        self.text_opt(name).ok_or_else(|| format!("the case has no `{name}`"))
    }

    pub(crate) fn text_opt(self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(Value::as_str)
    }

    pub(crate) fn flag_opt(self, name: &str) -> Option<bool> {
        self.get(name).and_then(Value::as_bool)
    }

    pub(crate) fn time(self, name: &str) -> Result<Timestamp, String> {
        let text = self.text(name)?;
        text.parse().map_err(|error| format!("`{name}` is no time: {error}"))
    }

    pub(crate) fn object_opt(self, name: &str) -> Option<Self> {
        self.get(name).filter(|value| value.is_object()).map(|value| Self::of(Some(value)))
    }

    pub(crate) fn object(self, name: &str) -> Result<Self, String> {
        self.object_opt(name).ok_or_else(|| format!("the case has no object `{name}`"))
    }

    pub(crate) fn objects(self, name: &str) -> Result<Vec<Self>, String> {
        Ok(self.array(name)?.iter().map(|value| Self::of(Some(value))).collect())
    }

    /// The elements of a list as they are.
    pub(crate) fn array(self, name: &str) -> Result<&'a [Value], String> {
        let array = self.get(name).and_then(Value::as_array);
        array.map(Vec::as_slice).ok_or_else(|| format!("the case has no list `{name}`"))
    }
}

fn decimal_of(name: &str, value: &Value) -> Result<Decimal, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err(format!("`{name}` is no number"));
        }
    };
    parse_decimal(&text).map_err(|error| format!("`{name}` {error}"))
}
