//! API keys: `sk_test_` or `pk_live_` and the like, 43 random characters, and a checksum of 6.
//!
//! The checksum refuses a mistyped key without a look into the database. A secret key is stored as a keyed hash alone: it
//! holds 256 bits of randomness, so that a slow password hash would protect nothing.

use secrecy::{ExposeSecret, SecretString};
use usance_core::clock::Random;

use super::keyring::{Keyring, sha256};

/// Which pepper hashes new keys.
pub const PEPPER_VERSION: i16 = 1;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const PREFIX_LENGTH: usize = "sk_test_".len();

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Everything; it stays on a server.
    Secret,
    /// What a browser may see.
    Publishable,
}

impl KeyKind {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Publishable => "publishable",
        }
    }

    const fn prefix(self, livemode: bool) -> &'static str {
        match (self, livemode) {
            (Self::Secret, true) => "sk_live_",
            (Self::Secret, false) => "sk_test_",
            (Self::Publishable, true) => "pk_live_",
            (Self::Publishable, false) => "pk_test_",
        }
    }
}

/// Makes a new key.
pub fn generate(random: &dyn Random, kind: KeyKind, livemode: bool) -> SecretString {
    let mut key = String::from(kind.prefix(livemode));
    key.push_str(&random_text(random, RANDOM_LENGTH));
    let checksum = checksum(&key);
    key.push_str(&checksum);
    key.into()
}

/// Whether a text has the form of a key and its checksum is right.
pub fn is_well_formed(key: &str) -> bool {
    if key.len() != PREFIX_LENGTH + RANDOM_LENGTH + CHECKSUM_LENGTH || !key.is_ascii() {
        return false;
    }
    let (body, sum) = key.split_at(PREFIX_LENGTH + RANDOM_LENGTH);
    checksum(body) == sum
}

/// The keyed hash under which a key is stored and found.
pub fn hash(keyring: &Keyring, key: &SecretString) -> Vec<u8> {
    keyring.hash("api key", key.expose_secret())
}

/// What may be shown of a secret key: its first 8 and last 4 characters.
pub fn mask(key: &SecretString) -> String {
    let key = key.expose_secret();
    format!("{}****...{}", &key[..PREFIX_LENGTH], &key[key.len() - 4..])
}

/// Random letters and digits, each equally likely.
pub(crate) fn random_text(random: &dyn Random, length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut buffer = [0; 64];
    while text.len() < length {
        random.fill(&mut buffer);
        // 248 is the greatest multiple of 62 in a byte: above it, some characters would be more likely.
        let fair = buffer.iter().filter(|byte| **byte < 248);
        text.extend(fair.take(length - text.len()).map(|byte| char::from(ALPHABET[usize::from(byte % 62)])));
    }
    text
}

fn checksum(text: &str) -> String {
    let digest = sha256(text.as_bytes());
    let mut value = digest.iter().take(4).fold(0_usize, |value, byte| value << 8 | usize::from(*byte));
    let mut sum = String::with_capacity(CHECKSUM_LENGTH);
    for _ in 0..CHECKSUM_LENGTH {
        sum.push(char::from(ALPHABET[value % 62]));
        value /= 62;
    }
    sum
}

#[cfg(test)]
mod tests;
