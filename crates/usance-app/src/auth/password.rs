//! Passwords of members: Argon2id, computed off the request threads and never many at once.

mod common;

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use usance_core::clock::Random;

use crate::error::{Code, Error, Faults, Result};

/// Hashes that may be computed at the same time; each takes 19 MiB.
const CONCURRENT_MAX: usize = 4;
/// Passwords that may wait for their turn; beyond, callers are asked to come again.
const WAITING_MAX: usize = 64;
/// How the hash of a password begins that is computed with the parameters of this version.
const CURRENT: &str = "$argon2id$v=19$m=19456,t=2,p=1$";
/// A hash of the same cost that no password has.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const LENGTH_MIN: usize = 12;
const BYTES_MAX: usize = 1024;
const SALT_BYTES: usize = 16;

/// Computes password hashes.
#[derive(Debug, Clone)]
pub struct PasswordHashing {
    permits: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for PasswordHashing {
    fn default() -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self { permits: Arc::new(Semaphore::new(CONCURRENT_MAX)), waiting: Arc::new(waiting) }
    }
}

/// A place among the passwords that wait for their turn.
#[derive(Debug)]
pub struct Place {
    permits: Arc<Semaphore>,
    _waiting: OwnedSemaphorePermit,
}

impl PasswordHashing {
    /// Takes a place, or asks the caller to come again: before an attempt is counted, so that none counts that nobody looked at.
    pub fn reserve(&self) -> Result<Place> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| {
            Error::refused(
                Code::TooManyRequests,
                "too many passwords wait to be checked: come again in a moment",
            )
        })?;
        Ok(Place { permits: Arc::clone(&self.permits), _waiting: waiting })
    }

    /// Hashes a password with a fresh salt into a PHC string.
    pub async fn hash(&self, random: &dyn Random, password: SecretString) -> Result<String> {
        self.reserve()?.hash(random, password).await
    }
}

impl Place {
    /// Hashes a password with a fresh salt into a PHC string.
    pub(crate) async fn hash(&self, random: &dyn Random, password: SecretString) -> Result<String> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt);
        let hashed = self.compute(move || {
            let hash: PasswordHash =
                Argon2::default().hash_password_with_salt(password.expose_secret().as_bytes(), &salt).ok()?;
            Some(hash.to_string())
        });
        hashed.await?.ok_or(Error::Internal("the password cannot be hashed"))
    }

    /// Whether a password is the one of a stored hash. Without a hash it costs the same, and is not.
    pub(crate) async fn verify(&self, password: SecretString, stored: Option<String>) -> Result<bool> {
        let known = stored.is_some();
        let verified = self.compute(move || {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(NOBODY)).ok()?;
            let password = password.expose_secret().as_bytes();
            // What is longer than any password can be is compared with nothing.
            let password = if password.len() > BYTES_MAX { &[][..] } else { password };
            Some(Argon2::default().verify_password(password, &hash).is_ok())
        });
        let verified = verified.await?.ok_or(Error::Internal("a stored password hash cannot be read"))?;
        metrics::counter!("usance_password_verifications_total").increment(1);
        Ok(verified && known)
    }

    /// Runs on a thread for blocking work, when it is its turn.
    async fn compute<T: Send + 'static>(&self, compute: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let _permit =
            self.permits.acquire().await.map_err(|_| Error::Internal("the password hashing is closed"))?;
        let computed = tokio::task::spawn_blocking(compute).await;
        computed.map_err(|_| Error::Internal("the password cannot be hashed"))
    }
}

/// Whether a stored hash should be made anew, because it was made with other parameters.
pub(crate) fn is_outdated(stored: &str) -> bool {
    !stored.starts_with(CURRENT)
}

/// Checks the rules for a new password: its length, and that it is neither only digits nor common nor close to
/// the person's own data.
pub(crate) fn check(faults: &mut Faults, pointer: &str, password: &SecretString, own_data: &[&str]) {
    let password = password.expose_secret();
    if password.chars().count() < LENGTH_MIN {
        faults.add(pointer, "too_short", "must have at least 12 characters");
    }
    if password.len() > BYTES_MAX {
        faults.add(pointer, "too_long", "must have at most 1024 bytes");
    }
    if only_digits(password) {
        faults.add(pointer, "only_digits", "must not consist of digits alone");
    }
    let length = password.chars().count();
    if (LENGTH_MIN..=BYTES_MAX).contains(&length) && !only_digits(password) && common::is_common(password) {
        faults.add(pointer, "too_common", "is made of words and keys that are guessed first: choose others");
    }
    let lower = password.to_lowercase();
    let words = own_data.iter().flat_map(|text| text.split(|symbol: char| !symbol.is_alphanumeric()));
    let parts = own_data.iter().copied().chain(words);
    let mut similar = parts.filter(|part| part.chars().count() >= 4).map(str::to_lowercase);
    // A password that is mostly the own name or address is guessed first.
    if similar.any(|part| part.len() * 2 > lower.len() && lower.contains(&part)) {
        faults.add(pointer, "too_similar", "must not be similar to your name, company or e-mail address");
    }
}

fn only_digits(password: &str) -> bool {
    !password.is_empty() && password.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
