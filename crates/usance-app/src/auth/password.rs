//! Passwords of members: Argon2id, computed off the request threads and never many at once.

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, password_hash::phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use usance_core::clock::Random;

use crate::error::{Error, Faults, Result};

/// Hashes that may be computed at the same time; each takes 19 MiB.
const CONCURRENT_MAX: usize = 4;
const LENGTH_MIN: usize = 12;
const BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;

/// Computes password hashes.
#[derive(Debug, Clone)]
pub struct PasswordHashing {
    permits: Arc<Semaphore>,
}

impl Default for PasswordHashing {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(CONCURRENT_MAX)) }
    }
}

impl PasswordHashing {
    /// Hashes a password with a fresh salt into a PHC string.
    pub async fn hash(&self, random: &dyn Random, password: SecretString) -> Result<String> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt);
        let _permit =
            self.permits.acquire().await.map_err(|_| Error::Internal("the password hashing is closed"))?;
        let hashed = tokio::task::spawn_blocking(move || {
            let hash: PasswordHash =
                Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), &salt).ok()?;
            Some(hash.to_string())
        });
        hashed.await.ok().flatten().ok_or(Error::Internal("the password cannot be hashed"))
    }
}

/// Checks the rules for a new password: its length, and that it is neither only digits nor close to the person's own data.
pub(crate) fn check(faults: &mut Faults, pointer: &str, password: &SecretString, own_data: &[&str]) {
    let password = password.expose_secret();
    if password.chars().count() < LENGTH_MIN {
        faults.add(pointer, "too_short", "must have at least 12 characters");
    }
    if password.len() > BYTES_MAX {
        faults.add(pointer, "too_long", "must have at most 1024 bytes");
    }
    if !password.is_empty() && password.bytes().all(|byte| byte.is_ascii_digit()) {
        faults.add(pointer, "only_digits", "must not consist of digits alone");
    }
    let lower = password.to_lowercase();
    let parts = own_data.iter().flat_map(|text| text.split(|symbol: char| !symbol.is_alphanumeric()));
    let mut similar = parts.filter(|part| part.chars().count() >= 4).map(str::to_lowercase);
    // A password that is mostly the own name or address is guessed first.
    if similar.any(|part| lower.contains(&part) && part.len() * 2 > lower.len()) {
        faults.add(pointer, "too_similar", "must not be similar to your name, company or e-mail address");
    }
}

#[cfg(test)]
mod tests;
