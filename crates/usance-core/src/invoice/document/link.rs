//! Addresses that a document may link to.

/// The longest address that is accepted, in bytes; a QR code holds no more than about 2,900.
const LENGTH_MAX: usize = 2000;

/// An `http` or `https` address without spaces or control characters; never one that a click would execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    /// Reads an address; anything else than an absolute web address of at most 2,000 bytes gives nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\');
        let is_valid = !rest.is_empty() && text.len() <= LENGTH_MAX && rest.chars().all(is_plain);
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns the address as it was read.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
