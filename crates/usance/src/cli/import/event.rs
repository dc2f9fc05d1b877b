//! Turns a row into the event that is sent.

use super::cells::{Cells, RowError};
use super::identity::RowIdentity;
use super::mapping::{Mapping, Value, value_of};
use super::options::{ImportOptions, Origin};
use super::time::parse_time;
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Serialize, ser};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The limit of the API for one event; a larger one would get the whole request refused.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// How rows become events: which column gives what.
#[derive(Debug)]
pub(super) struct EventPlan {
    id: EventId,
    time_column: Option<String>,
    customer: Origin,
    event_type: Origin,
    properties: Properties,
}

/// An event in the form that is sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BuiltEvent {
    /// The id, to find the row again in the server's answer.
    pub(super) id: String,
    /// The event as JSON text.
    pub(super) json: String,
}

#[derive(Debug)]
enum EventId {
    Column(String),
    Row(RowIdentity),
}

#[derive(Debug)]
enum Properties {
    Mapped(Vec<Mapping>),
    AllExcept(BTreeSet<String>),
}

#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
    customer: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(serialize_with = "serialize_properties")]
    properties: Vec<(&'a str, Value<'a>)>,
}

impl EventPlan {
    /// Fixes the plan for a file whose time column and identity are known.
    pub(super) fn new(options: &ImportOptions, time_column: Option<String>, identity: RowIdentity) -> Self {
        let properties = if options.mappings.is_empty() {
            let mut used: BTreeSet<String> = options.id_column.iter().chain(&time_column).cloned().collect();
            used.extend(
                [&options.customer, &options.event_type].into_iter().filter_map(Origin::column).cloned(),
            );
            Properties::AllExcept(used)
        } else {
            Properties::Mapped(options.mappings.clone())
        };
        Self {
            id: options.id_column.clone().map_or(EventId::Row(identity), EventId::Column),
            time_column,
            customer: options.customer.clone(),
            event_type: options.event_type.clone(),
            properties,
        }
    }

    /// Builds the event of the row that starts at this line.
    pub(super) fn build(&self, line: u64, cells: &Cells<'_>) -> Result<BuiltEvent, RowError> {
        let id = match &self.id {
            EventId::Column(column) => required_text(cells, column)?.into_owned(),
            EventId::Row(identity) => identity.row_id(line),
        };
        let time = match &self.time_column {
            Some(column) => Some(parse_time(&required_text(cells, column)?)?),
            None => None,
        };
        let event = Event {
            id: &id,
            kind: self.event_type.read(cells)?,
            customer: self.customer.read(cells)?,
            time,
            properties: self.properties.read(cells)?,
        };
        let json = serde_json::to_string(&event).map_err(|err| RowError::new("bad_row", err.to_string()))?;
        if json.len() > EVENT_BYTES_MAX {
            return Err(RowError::new("event_too_large", "the event of this row is larger than 64 KiB"));
        }
        Ok(BuiltEvent { id, json })
    }
}

impl Origin {
    /// The column, if the value is not fixed.
    pub(super) fn column(&self) -> Option<&String> {
        match self {
            Self::Fixed(_) => None,
            Self::Column(column) => Some(column),
        }
    }

    fn read<'a>(&'a self, cells: &'a Cells<'_>) -> Result<Cow<'a, str>, RowError> {
        match self {
            Self::Fixed(value) => Ok(Cow::Borrowed(value)),
            Self::Column(column) => required_text(cells, column),
        }
    }
}

impl Properties {
    /// A column without a name (the index that some tools write first) cannot be a property and is left out.
    fn read<'a>(&'a self, cells: &'a Cells<'_>) -> Result<Vec<(&'a str, Value<'a>)>, RowError> {
        match self {
            Self::Mapped(mappings) => {
                let mut properties = Vec::with_capacity(mappings.len());
                for mapping in mappings {
                    properties
                        .extend(mapping.evaluate(cells)?.map(|value| (mapping.property.as_str(), value)));
                }
                Ok(properties)
            }
            Self::AllExcept(used) => Ok(cells
                .iter()
                .filter(|(name, _)| !name.is_empty() && !used.contains(*name))
                .filter_map(|(name, cell)| Some((name, value_of(cell)?)))
                .collect()),
        }
    }
}

fn required_text<'a>(cells: &'a Cells<'_>, column: &str) -> Result<Cow<'a, str>, RowError> {
    cells.text(column)?.ok_or_else(|| RowError::new("missing_value", format!("column {column} is empty")))
}

fn serialize_properties<S: Serializer>(
    properties: &[(&str, Value<'_>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(properties.len()))?;
    for (name, value) in properties {
        match value {
            // Raw, so that a number keeps every digit it was written with.
            Value::Json(json) => {
                let json: &RawValue = serde_json::from_str(json).map_err(ser::Error::custom)?;
                map.serialize_entry(name, json)?;
            }
            Value::Text(text) => map.serialize_entry(name, text)?,
        }
    }
    map.end()
}
