//! Checks before the first request that every column the import needs is there.

use super::file::open_rows;
use super::mapping::Mapping;
use super::options::{Format, ImportOptions, Origin};
use super::source::RowSource;
use anyhow::{Context as _, bail};
use std::collections::BTreeSet;
use std::io::Read;

/// The lines of NDJSON that are looked at: a key may be absent in some of them.
const SAMPLE_ROWS_MAX: usize = 100;
/// The names that a message lists.
const NAMES_SHOWN_MAX: usize = 50;

/// Finds the time column and refuses a plan that names a column which the file does not have.
pub(super) fn find_time_column(options: &ImportOptions) -> anyhow::Result<Option<String>> {
    let mut source = open_rows(&options.file, options.format)?;
    resolve(options, &mut source).with_context(|| options.file.display().to_string())
}

fn resolve<R: Read>(options: &ImportOptions, source: &mut RowSource<R>) -> anyhow::Result<Option<String>> {
    let wanted = wanted_columns(options);
    let (names, found) = match options.format {
        Format::Delimited { .. } => {
            let names = source.header().names().to_vec();
            refuse_duplicates(&names, &wanted, options.mappings.is_empty())?;
            let found = names.iter().cloned().collect();
            (names, found)
        }
        Format::Ndjson => sample_objects(source, &wanted)?,
    };
    if names.is_empty() {
        bail!("the file is empty");
    }
    let missing: Vec<&str> = wanted.iter().copied().filter(|name| !found.contains(*name)).collect();
    if !missing.is_empty() {
        bail!("{}", unknown_columns(&missing, &names, options));
    }
    match &options.time_column {
        Some(column) => Ok(Some(column.clone())),
        None => guess_time_column(&names),
    }
}

fn wanted_columns(options: &ImportOptions) -> BTreeSet<&str> {
    let origins = [&options.customer, &options.event_type].into_iter().filter_map(Origin::column);
    let named = options.id_column.iter().chain(&options.time_column).chain(origins).map(String::as_str);
    named.chain(options.mappings.iter().flat_map(Mapping::columns)).collect()
}

/// A column name that is there twice is ambiguous as soon as it is used.
fn refuse_duplicates(names: &[String], wanted: &BTreeSet<&str>, all_used: bool) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| !name.is_empty()) {
        if !seen.insert(name) && (all_used || wanted.contains(name.as_str())) {
            bail!("the header names the column {name} twice; rename one of them");
        }
    }
    Ok(())
}

/// Looks at the first lines for their keys and for the columns that are wanted.
fn sample_objects<R: Read>(
    source: &mut RowSource<R>,
    wanted: &BTreeSet<&str>,
) -> anyhow::Result<(Vec<String>, BTreeSet<String>)> {
    let mut names = BTreeSet::new();
    let mut found = BTreeSet::new();
    let mut fault = None;
    for _ in 0..SAMPLE_ROWS_MAX {
        if source.advance()?.is_none() {
            break;
        }
        match source.cells() {
            Err(err) => fault = Some(err),
            Ok(cells) => {
                names.extend(cells.iter().map(|(name, _)| name.to_owned()));
                found.extend(wanted.iter().filter(|name| cells.has(name)).map(|name| (*name).to_owned()));
            }
        }
    }
    if names.is_empty()
        && let Some(fault) = fault
    {
        bail!("no line at the beginning of the file can be read as NDJSON: {}", fault.detail);
    }
    Ok((names.into_iter().collect(), found))
}

fn unknown_columns(missing: &[&str], names: &[String], options: &ImportOptions) -> String {
    let mut shown = names.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > NAMES_SHOWN_MAX {
        shown.push_str(", …");
    }
    let noun = if missing.len() == 1 { "column" } else { "columns" };
    let mut text = format!("the file has no {noun} {}; its columns are: {shown}", missing.join(", "));
    // A hyphen in a name reads as a subtraction.
    if let Some(mapping) =
        options.mappings.iter().find(|mapping| names.iter().any(|name| name == mapping.source()))
    {
        let (property, name) = (&mapping.property, mapping.source());
        let hint = format!("; a name with + or - needs double quotes: --map '{property}=\"{name}\"'");
        text.push_str(&hint);
    }
    text
}

/// Looks for a column named `time` or `timestamp`, in any case.
fn guess_time_column(names: &[String]) -> anyhow::Result<Option<String>> {
    let is_time =
        |name: &&String| name.eq_ignore_ascii_case("time") || name.eq_ignore_ascii_case("timestamp");
    let candidates: Vec<&String> = names.iter().filter(is_time).collect();
    match candidates.as_slice() {
        [] => Ok(None),
        [name] => Ok(Some((*name).clone())),
        [first, second, ..] => {
            bail!("both {first} and {second} could be the time of the rows; choose one with --time")
        }
    }
}
