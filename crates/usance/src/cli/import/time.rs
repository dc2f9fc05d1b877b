//! The time of a row: RFC 3339, or a date and a time of day in UTC.

use super::cells::RowError;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Reads a time and gives it in RFC 3339 with microseconds, the precision that Usance keeps.
///
/// Further digits are cut and not rounded, so that a time never moves into the next billing period.
pub(super) fn parse_time(text: &str) -> Result<String, RowError> {
    let time = parse_timestamp(text.trim()).ok_or_else(|| {
        let text = RowError::shorten(text);
        RowError::new(
            "bad_time",
            format!(
                "\"{text}\" is not a time; write 2023-11-16T18:17:03Z, or 2023-11-16 18:17:03.25 for UTC"
            ),
        )
    })?;
    Ok(format!("{time:.6}"))
}

fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("0", rest),
        Some(rest) => rest.split_at(rest.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(rest.len())),
    };
    let [year, month, day] = numbers(date, b'-')?;
    let [hour, minute, second] = numbers(time, b':')?;
    let civil = DateTime::new(
        year,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second).ok()?,
        nanoseconds(fraction)?,
    );
    parse_offset(zone)?.to_timestamp(civil.ok()?).ok()
}

/// Splits `2023-11-16` or `18:17:03`; the widths are fixed, so `1-1-2023` is refused and not guessed.
fn numbers(text: &str, separator: u8) -> Option<[i16; 3]> {
    let middle = text.len().checked_sub(6)?;
    let bytes = text.as_bytes();
    if bytes.get(middle) != Some(&separator) || bytes.get(middle + 3) != Some(&separator) {
        return None;
    }
    Some([digits(&text[..middle])?, digits(&text[middle + 1..middle + 3])?, digits(&text[middle + 4..])?])
}

fn digits(text: &str) -> Option<i16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The first six digits of a fraction as nanoseconds.
fn nanoseconds(fraction: &str) -> Option<i32> {
    if fraction.is_empty() {
        return None;
    }
    let microseconds: i32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    microseconds.checked_mul(1000)
}

/// No zone is UTC; otherwise `Z`, `+01:00`, `+0100` or `+01`.
fn parse_offset(zone: &str) -> Option<Offset> {
    let zone = zone.trim_start();
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") || zone.eq_ignore_ascii_case("utc") {
        return Some(Offset::UTC);
    }
    let (sign, rest) = match zone.as_bytes().first()? {
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => (rest.get(..2)?, rest.get(2..)?),
        5 => rest.split_once(':').filter(|(hours, _)| hours.len() == 2)?,
        _ => return None,
    };
    let (hours, minutes) = (i32::from(digits(hours)?), i32::from(digits(minutes)?));
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()
}
