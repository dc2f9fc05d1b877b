//! What every benchmark prints: the machine, what happens, and numbers without floats.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread::available_parallelism;

/// Renders what the figures depend on.
pub(crate) fn facts(dir: &Path, settings: &[(String, String)]) -> String {
    let mut lines = vec![
        ("processor".to_owned(), field_of("/proc/cpuinfo", "model name")),
        (
            "cores".to_owned(),
            available_parallelism().map_or_else(|_| "?".to_owned(), |cores| cores.to_string()),
        ),
        ("memory".to_owned(), field_of("/proc/meminfo", "MemTotal")),
        ("load before".to_owned(), fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()),
        ("file system".to_owned(), file_system_of(dir)),
    ];
    lines.extend_from_slice(settings);
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<20} {value}\n")).collect();
    lines.concat()
}

/// Writes a number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Finds a value in a file of lines such as `MemTotal:  1024 kB`.
fn field_of(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or_else(|| "?".to_owned(), |(_, value)| value.trim().to_owned())
}

/// Names the type of the file system of a directory; in memory, a flush costs nothing and the figures mean little.
fn file_system_of(dir: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let holding = mounts.filter(|(place, _)| dir.starts_with(place)).max_by_key(|(place, _)| place.len());
    match holding {
        Some((place, "tmpfs")) => format!("tmpfs ({place}): NOT A DISK, commits are not durable here"),
        Some((place, kind)) => format!("{kind} ({place})"),
        None => "?".to_owned(),
    }
}

/// Returns the middle one, or the mean of the two in the middle.
pub(crate) fn median(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    let upper = figures.len() / 2;
    let lower = figures.len().saturating_sub(1) / 2;
    match (figures.get(lower), figures.get(upper)) {
        (Some(lower), Some(upper)) => u64::midpoint(*lower, *upper),
        _ => 0,
    }
}

/// Returns a duration in microseconds.
pub(crate) fn microseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Writes a number of tenths with one decimal.
pub(crate) fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

/// Writes a number of hundredths with two decimals.
pub(crate) fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// Tells the person who waits what happens; the figures alone go to standard output.
pub(crate) fn say(text: &str) {
    // Nobody reads: nobody misses it.
    drop(writeln!(io::stderr(), "{text}"));
}
