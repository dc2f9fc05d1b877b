//! Filters as JSON: an object of properties, each with the list of its values.

use serde_json::{Map, Value};
use usance_core::metering::Filter;

/// Writes filters as they are stored and shown.
pub fn to_json(filters: &[Filter]) -> Value {
    let member = |filter: &Filter| (filter.property.clone(), Value::from(filter.values.clone()));
    Value::Object(filters.iter().map(member).collect::<Map<_, _>>())
}

/// Reads stored filters; nothing if they are no object of lists of texts.
pub(crate) fn read(value: &Value) -> Option<Vec<Filter>> {
    let filter = |(property, values): (&String, &Value)| {
        let values = values.as_array()?.iter().map(|value| value.as_str().map(str::to_owned));
        Some(Filter { property: property.clone(), values: values.collect::<Option<_>>()? })
    };
    value.as_object()?.iter().map(filter).collect()
}
