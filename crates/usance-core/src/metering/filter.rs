//! Filters: which events a meter or a price is about, by the values of their properties.

#[cfg(test)]
mod tests;

use super::{Properties, Scalar};

/// A property and the values that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The name of a property of the event.
    pub property: String,
    /// The values as text: a number as in canonical properties, `true` and `false`.
    pub values: Vec<String>,
}

impl Filter {
    /// Tells whether an event has the property with one of the values; 5 and "5" are one value.
    pub fn matches(&self, properties: &Properties) -> bool {
        let has = |text: &str| self.values.iter().any(|value| value == text);
        match properties.get(&self.property) {
            None => false,
            Some(Scalar::Number(text)) => has(text),
            Some(Scalar::Text(text)) => has(&text),
            Some(Scalar::Bool(true)) => has("true"),
            Some(Scalar::Bool(false)) => has("false"),
        }
    }
}

/// Tells whether an event passes every filter; no filters let every event pass.
pub fn matches_all(filters: &[Filter], properties: &Properties) -> bool {
    filters.iter().all(|filter| filter.matches(properties))
}

/// Tells whether an event could pass both lists, so that two prices of one meter would both charge it.
///
/// Two lists are apart only if they name a property in common and no value of it.
pub fn overlaps(left: &[Filter], right: &[Filter]) -> bool {
    let is_apart = |one: &Filter, other: &Filter| {
        one.property == other.property && !one.values.iter().any(|value| other.values.contains(value))
    };
    !left.iter().any(|one| right.iter().any(|other| is_apart(one, other)))
}
