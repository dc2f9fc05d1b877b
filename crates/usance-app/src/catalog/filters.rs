//! Reads which events a meter or a price is about, and by which properties its usage is told apart.

use std::collections::{BTreeMap, HashSet};

use usance_core::metering::Filter;

use crate::{
    error::Faults,
    fields::{check_optional_text, check_text},
};

const PROPERTIES_MAX: usize = 20;
const VALUES_MAX: usize = 100;

/// Filters as sent: of each property the values that count.
pub type SentFilters = BTreeMap<String, Vec<String>>;

/// Reads filters; without any, every event passes.
pub(super) fn read_filters(faults: &mut Faults, pointer: &str, sent: SentFilters) -> Vec<Filter> {
    if sent.len() > PROPERTIES_MAX {
        faults.add(pointer, "too_many", format!("must have at most {PROPERTIES_MAX} properties"));
        return Vec::new();
    }
    let mut filters = Vec::new();
    for (property, values) in sent {
        let pointer = format!("{pointer}/{}", property.replace('~', "~0").replace('/', "~1"));
        check_text(faults, &pointer, &property);
        check_values(faults, &pointer, &values);
        filters.push(Filter { property, values });
    }
    filters
}

fn check_values(faults: &mut Faults, pointer: &str, values: &[String]) {
    if values.is_empty() || values.len() > VALUES_MAX {
        faults.add(pointer, "out_of_range", format!("must have 1 to {VALUES_MAX} values"));
        return;
    }
    for (index, value) in values.iter().enumerate() {
        check_optional_text(faults, &format!("{pointer}/{index}"), value);
    }
    refuse_repeated(faults, pointer, values);
}

/// Checks the properties that usage is grouped by.
pub(super) fn check_group_by(faults: &mut Faults, pointer: &str, properties: &[String]) {
    if properties.len() > PROPERTIES_MAX {
        faults.add(pointer, "too_many", format!("must have at most {PROPERTIES_MAX} properties"));
        return;
    }
    for (index, property) in properties.iter().enumerate() {
        check_text(faults, &format!("{pointer}/{index}"), property);
    }
    refuse_repeated(faults, pointer, properties);
}

fn refuse_repeated(faults: &mut Faults, pointer: &str, texts: &[String]) {
    let mut seen = HashSet::new();
    for (index, text) in texts.iter().enumerate() {
        if !seen.insert(text) {
            faults.add(&format!("{pointer}/{index}"), "repeated", "must be different from the ones before");
        }
    }
}
