//! Reads the text fields that many requests share.

use std::{collections::BTreeMap, ops::RangeInclusive};

use usance_core::{
    decimal::{SCALE_MAX, parse_decimal, stored_decimal},
    money::Currency,
};

use rust_decimal::Decimal;

use crate::error::Faults;

const CODE_LENGTH_MAX: usize = 64;
const TEXT_LENGTH_MAX: usize = 255;
const PARAGRAPHS_LENGTH_MAX: usize = 2000;
const MEMBERS_MAX: usize = 50;
const MEMBER_NAME_LENGTH_MAX: usize = 64;
const MEMBER_LENGTH_MAX: usize = 500;

/// A code: letters, digits, `_`, `-` and `.`, so that it can stand in a path.
pub(crate) fn check_code(faults: &mut Faults, pointer: &str, code: &str) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if code.is_empty() || code.len() > CODE_LENGTH_MAX || !code.bytes().all(allowed) {
        faults.add(pointer, "invalid_code", "use 1 to 64 letters, digits, underscores, hyphens or dots");
    }
}

/// A text for people: not empty, not too long, no control characters.
pub(crate) fn check_text(faults: &mut Faults, pointer: &str, text: &str) {
    if text.trim().is_empty() {
        faults.add(pointer, "required", "must not be empty");
    }
    check_optional_text(faults, pointer, text);
}

/// The same, but it may be empty.
pub(crate) fn check_optional_text(faults: &mut Faults, pointer: &str, text: &str) {
    if text.len() > TEXT_LENGTH_MAX {
        faults.add(pointer, "too_long", "must have at most 255 bytes");
    }
    if text.chars().any(char::is_control) {
        faults.add(pointer, "control_character", "must not hold control characters");
    }
}

/// A text of several lines that may be empty.
pub(crate) fn check_paragraphs(faults: &mut Faults, pointer: &str, text: &str) {
    if text.chars().count() > PARAGRAPHS_LENGTH_MAX {
        faults.add(pointer, "too_long", format!("must have at most {PARAGRAPHS_LENGTH_MAX} characters"));
    }
    if text.chars().any(|symbol| symbol.is_control() && symbol != '\n') {
        faults.add(pointer, "control_character", "must not hold control characters other than line feeds");
    }
}

/// An object of texts: few, short, and all of them storable.
pub(crate) fn check_members(faults: &mut Faults, pointer: &str, members: &BTreeMap<String, String>) {
    if members.len() > MEMBERS_MAX {
        faults.add(pointer, "too_many", format!("must have at most {MEMBERS_MAX} members"));
        return;
    }
    for (name, value) in members {
        let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        if name.contains('\0') || value.contains('\0') {
            faults.add(&pointer, "unstorable_text", "must not hold a NUL character, which cannot be stored");
        }
        if name.chars().count() > MEMBER_NAME_LENGTH_MAX {
            let detail = format!("its name must have at most {MEMBER_NAME_LENGTH_MAX} characters");
            faults.add(&pointer, "name_too_long", detail);
        }
        if value.chars().count() > MEMBER_LENGTH_MAX {
            faults.add(&pointer, "too_long", format!("must have at most {MEMBER_LENGTH_MAX} characters"));
        }
    }
}

/// An address that mail could reach: one `@` with something on both sides, no spaces. Returned in lower case.
pub(crate) fn read_email(faults: &mut Faults, pointer: &str, email: &str) -> String {
    let parts = email.split_once('@');
    let plausible = parts.is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains('@')
    });
    if !plausible
        || email.len() > TEXT_LENGTH_MAX
        || email.chars().any(|symbol| symbol.is_whitespace() || symbol.is_control())
    {
        faults.add(pointer, "invalid_email", "must be an e-mail address such as ada@example.com");
    }
    email.to_lowercase()
}

/// An ISO 4217 code in upper case.
pub(crate) fn read_currency(faults: &mut Faults, pointer: &str, code: &str) -> Option<Currency> {
    let currency = Currency::parse(code).ok();
    if currency.is_none() {
        faults.add(
            pointer,
            "unknown_currency",
            "must be an ISO 4217 currency code in upper case, such as USD",
        );
    }
    currency
}

/// A decimal that can be stored: 28 digits, 12 of them after the point.
pub(crate) fn read_decimal(faults: &mut Faults, pointer: &str, text: &str) -> Option<Decimal> {
    let value = parse_decimal(text).and_then(stored_decimal).ok();
    if value.is_none() {
        let detail = format!(
            "must be a decimal string with at most 16 digits before and {SCALE_MAX} after the point, such as \"0.001\""
        );
        faults.add(pointer, "malformed_decimal", detail);
    }
    value
}

/// A percentage, 0 to 100.
pub(crate) fn read_percent(faults: &mut Faults, pointer: &str, text: &str) -> Option<Decimal> {
    let percent = read_decimal(faults, pointer, text)?;
    if percent < Decimal::ZERO || percent > Decimal::ONE_HUNDRED {
        faults.add(pointer, "out_of_range", "must be 0 to 100");
    }
    Some(percent)
}

/// A whole number within a range.
pub(crate) fn read_whole(
    faults: &mut Faults,
    pointer: &str,
    value: i32,
    range: RangeInclusive<i16>,
) -> Option<i16> {
    let value = i16::try_from(value).ok().filter(|value| range.contains(value));
    if value.is_none() {
        faults.add(pointer, "out_of_range", format!("must be {} to {}", range.start(), range.end()));
    }
    value
}

/// One of few words.
pub(crate) fn check_word(faults: &mut Faults, pointer: &str, word: &str, words: &[&str]) {
    if !words.contains(&word) {
        faults.add(pointer, "unknown_word", format!("must be one of {}", words.join(", ")));
    }
}
