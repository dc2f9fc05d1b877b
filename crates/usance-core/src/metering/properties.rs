//! The properties of an event in canonical form: sorted keys, decimals without superfluous digits, minimal escapes.
//!
//! Two texts that mean the same have one canonical form, which is what is hashed and what is stored. The reader is
//! strict, bounded in depth, and refuses what PostgreSQL's `jsonb` cannot hold, so that one bad event can never fail the
//! transaction of its neighbours.

use std::{borrow::Cow, fmt::Write as _};

/// How many objects and arrays may lie within each other.
pub const DEPTH_MAX: usize = 32;
/// The digits that a number may have when it is written out without an exponent.
const NUMBER_DIGITS_MAX: usize = 1_000;

/// Why properties cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PropertiesError {
    /// Not one JSON object, or one that says a key twice.
    #[error("not one valid JSON object")]
    Malformed,
    /// More levels than [`DEPTH_MAX`].
    #[error("nested more than 32 levels deep")]
    TooDeep,
    /// A NUL character or half a surrogate pair.
    #[error("a string holds a character that cannot be stored")]
    UnstorableText,
    /// A number with more than a thousand digits.
    #[error("a number has too many digits")]
    NumberTooLong,
}

/// A member's value, where it is no object or array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar<'a> {
    /// A number as canonical literal text.
    Number(&'a str),
    /// A string, decoded.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Bool(bool),
}

/// Properties in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Properties {
    canonical: String,
}

impl Properties {
    /// No properties at all.
    pub fn empty() -> Self {
        Self { canonical: String::from("{}") }
    }

    /// Reads one JSON object.
    pub fn parse(json: &str) -> Result<Self, PropertiesError> {
        let mut reader = Reader { rest: json };
        let mut canonical = String::with_capacity(json.len());
        reader.skip_space();
        if !reader.rest.starts_with('{') {
            return Err(PropertiesError::Malformed);
        }
        reader.value(0, &mut canonical)?;
        reader.skip_space();
        if reader.rest.is_empty() { Ok(Self { canonical }) } else { Err(PropertiesError::Malformed) }
    }

    /// The canonical text.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Finds a member of the object; `None` if it is absent, null, an object or an array.
    pub fn get(&self, name: &str) -> Option<Scalar<'_>> {
        let mut reader = Reader { rest: self.canonical.strip_prefix('{')? };
        while reader.rest.starts_with('"') {
            let key = reader.string().ok()?;
            reader.rest = reader.rest.strip_prefix(':')?;
            let found = key == name;
            let start = reader.rest;
            reader.skip_value();
            if found {
                return scalar(&start[..start.len() - reader.rest.len()]);
            }
            reader.rest = reader.rest.strip_prefix(',').unwrap_or(reader.rest);
        }
        None
    }
}

fn scalar(text: &str) -> Option<Scalar<'_>> {
    match text.as_bytes().first()? {
        b'"' => Reader { rest: text }.string().ok().map(Scalar::Text),
        b't' => Some(Scalar::Bool(true)),
        b'f' => Some(Scalar::Bool(false)),
        b'-' | b'0'..=b'9' => Some(Scalar::Number(text)),
        _ => None,
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn take(&mut self, symbol: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self, depth: usize, out: &mut String) -> Result<(), PropertiesError> {
        if depth >= DEPTH_MAX {
            return Err(PropertiesError::TooDeep);
        }
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(depth, out),
            Some(b'[') => self.array(depth, out),
            Some(b'"') => {
                write_string(&self.string()?, out);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => self.word(out),
        }
    }

    fn object(&mut self, depth: usize, out: &mut String) -> Result<(), PropertiesError> {
        self.take('{');
        let mut members: Vec<(Cow<'a, str>, String)> = Vec::new();
        if !self.take('}') {
            loop {
                self.skip_space();
                let key = self.string()?;
                if !self.take(':') {
                    return Err(PropertiesError::Malformed);
                }
                let mut value = String::new();
                self.value(depth + 1, &mut value)?;
                members.push((key, value));
                if self.take('}') {
                    break;
                }
                if !self.take(',') {
                    return Err(PropertiesError::Malformed);
                }
            }
        }
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(PropertiesError::Malformed);
        }
        out.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }

    fn array(&mut self, depth: usize, out: &mut String) -> Result<(), PropertiesError> {
        self.take('[');
        out.push('[');
        if !self.take(']') {
            loop {
                self.value(depth + 1, out)?;
                if self.take(']') {
                    break;
                }
                if !self.take(',') {
                    return Err(PropertiesError::Malformed);
                }
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    fn word(&mut self, out: &mut String) -> Result<(), PropertiesError> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                out.push_str(word);
                return Ok(());
            }
        }
        Err(PropertiesError::Malformed)
    }

    fn string(&mut self) -> Result<Cow<'a, str>, PropertiesError> {
        let body = self.rest.strip_prefix('"').ok_or(PropertiesError::Malformed)?;
        let end = body
            .bytes()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
            .ok_or(PropertiesError::Malformed)?;
        if body.as_bytes()[end] == b'"' {
            self.rest = &body[end + 1..];
            return Ok(Cow::Borrowed(&body[..end]));
        }
        let mut decoded = String::from(&body[..end]);
        let mut chars = body[end..].chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => decoded.push(escape(&mut chars)?),
                Some(symbol) if symbol >= ' ' => decoded.push(symbol),
                _ => return Err(PropertiesError::Malformed),
            }
        }
        self.rest = chars.as_str();
        Ok(Cow::Owned(decoded))
    }

    fn digits(&mut self) -> &'a str {
        let end = self.rest.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    fn number(&mut self, out: &mut String) -> Result<(), PropertiesError> {
        let negative = self.rest.starts_with('-');
        if negative {
            self.rest = &self.rest[1..];
        }
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(PropertiesError::Malformed);
        }
        let mut fraction = "";
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
            fraction = self.digits();
            if fraction.is_empty() {
                return Err(PropertiesError::Malformed);
            }
        }
        let exponent = self.exponent()?;
        write_decimal(negative, whole, fraction, exponent, out)
    }

    fn exponent(&mut self) -> Result<i64, PropertiesError> {
        let Some(rest) = self.rest.strip_prefix(['e', 'E']) else { return Ok(0) };
        let negative = rest.starts_with('-');
        self.rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let digits = self.digits();
        if digits.is_empty() {
            return Err(PropertiesError::Malformed);
        }
        let digits = digits.trim_start_matches('0');
        if digits.len() > 6 {
            return Err(PropertiesError::NumberTooLong);
        }
        let magnitude: i64 =
            if digits.is_empty() { 0 } else { digits.parse().map_err(|_| PropertiesError::Malformed)? };
        Ok(if negative { -magnitude } else { magnitude })
    }

    /// Passes over one canonical value without looking into it.
    fn skip_value(&mut self) {
        let mut depth = 0_usize;
        let mut in_string = false;
        let mut escaped = false;
        let bytes = self.rest.as_bytes();
        let end = bytes.iter().position(|byte| {
            if in_string {
                in_string = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
                return false;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth > 0 => depth -= 1,
                b'}' | b']' | b',' if depth == 0 => return true,
                _ => {}
            }
            false
        });
        self.rest = &self.rest[end.unwrap_or(bytes.len())..];
    }
}

fn escape(chars: &mut std::str::Chars<'_>) -> Result<char, PropertiesError> {
    Ok(match chars.next() {
        Some('"') => '"',
        Some('\\') => '\\',
        Some('/') => '/',
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some('u') => return unicode_escape(chars),
        _ => return Err(PropertiesError::Malformed),
    })
}

fn unicode_escape(chars: &mut std::str::Chars<'_>) -> Result<char, PropertiesError> {
    let first = hex4(chars)?;
    let code = if (0xd800..0xdc00).contains(&first) {
        if chars.next() != Some('\\') || chars.next() != Some('u') {
            return Err(PropertiesError::UnstorableText);
        }
        let second = hex4(chars)?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(PropertiesError::UnstorableText);
        }
        0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)
    } else {
        first
    };
    if code == 0 {
        Err(PropertiesError::UnstorableText)
    } else {
        char::from_u32(code).ok_or(PropertiesError::UnstorableText)
    }
}

fn hex4(chars: &mut std::str::Chars<'_>) -> Result<u32, PropertiesError> {
    let mut code = 0;
    for _ in 0..4 {
        let digit = chars.next().and_then(|symbol| symbol.to_digit(16)).ok_or(PropertiesError::Malformed)?;
        code = code * 16 + digit;
    }
    Ok(code)
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
    } else {
        for symbol in text.chars() {
            match symbol {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                control if control < ' ' => {
                    write!(out, "\\u{:04x}", u32::from(control)).expect("writing to a string cannot fail");
                }
                other => out.push(other),
            }
        }
    }
    out.push('"');
}

/// Writes `whole.fraction * 10^exponent` without exponent, leading or trailing zeros; zero has no sign.
fn write_decimal(
    negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i64,
    out: &mut String,
) -> Result<(), PropertiesError> {
    let mut digits = format!("{whole}{fraction}");
    let mut scale = i64::try_from(fraction.len()).map_err(|_| PropertiesError::NumberTooLong)? - exponent;
    digits.drain(..digits.len() - digits.trim_start_matches('0').len());
    while scale > 0 && digits.ends_with('0') {
        digits.pop();
        scale -= 1;
    }
    if digits.is_empty() {
        out.push('0');
        return Ok(());
    }
    let padding = usize::try_from(scale.unsigned_abs()).map_err(|_| PropertiesError::NumberTooLong)?;
    if digits.len().saturating_add(padding) > NUMBER_DIGITS_MAX {
        return Err(PropertiesError::NumberTooLong);
    }
    if negative {
        out.push('-');
    }
    if scale <= 0 {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', padding));
    } else if digits.len() > padding {
        let (whole, fraction) = digits.split_at(digits.len() - padding);
        out.push_str(whole);
        out.push('.');
        out.push_str(fraction);
    } else {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', padding - digits.len()));
        out.push_str(&digits);
    }
    Ok(())
}
