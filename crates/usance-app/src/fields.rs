//! Reads the text fields that many requests share.

use usance_core::{
    decimal::{SCALE_MAX, parse_decimal, stored_decimal},
    money::Currency,
};

use rust_decimal::Decimal;

use crate::error::Faults;

const CODE_LENGTH_MAX: usize = 64;
const TEXT_LENGTH_MAX: usize = 255;

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
