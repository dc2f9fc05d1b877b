//! One secret of the installation, and the keys that are derived from it for each purpose.

use aws_lc_rs::{aead, digest, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use usance_core::clock::Random;

/// Bytes of the installation's secret.
const SECRET_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// The form of what [`Keyring::seal`] writes.
const SEAL_VERSION: u8 = 1;

/// The secret of the installation is not 32 bytes in base64.
#[derive(Debug, thiserror::Error)]
#[error("must be 32 bytes in base64, for example the output of: openssl rand -base64 32")]
pub struct InvalidSecret;

/// What was sealed cannot be opened: another installation's secret, another place, or damage.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value cannot be opened")]
pub struct CannotOpen;

/// Derives keys. It never shows the secret.
pub struct Keyring {
    secret: hmac::Key,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

impl Keyring {
    /// Reads the installation's secret.
    pub fn parse(secret: &SecretString) -> Result<Self, InvalidSecret> {
        let bytes = STANDARD.decode(secret.expose_secret().trim()).map_err(|_| InvalidSecret)?;
        if bytes.len() != SECRET_BYTES {
            return Err(InvalidSecret);
        }
        Ok(Self { secret: hmac::Key::new(hmac::HMAC_SHA256, &bytes) })
    }

    /// Makes a secret for a new installation.
    pub fn generate(random: &dyn Random) -> SecretString {
        let mut bytes = [0; SECRET_BYTES];
        random.fill(&mut bytes);
        STANDARD.encode(bytes).into()
    }

    /// The keyed hash under which a secret text is stored: HMAC-SHA-256.
    pub(crate) fn hash(&self, purpose: &str, text: &str) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.derive(purpose));
        hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    }

    /// A key for one purpose: the one block of HKDF-Expand (RFC 5869) with the purpose as its info.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.secret, format!("usance {purpose} 1").as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// Encrypts with AES-256-GCM, bound to a place: what is moved to another place cannot be opened.
    pub(crate) fn seal(&self, random: &dyn Random, place: &[&str], text: &str) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let mut sealed = text.as_bytes().to_vec();
        self.sealing_key()
            .seal_in_place_append_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                associated_data(place),
                &mut sealed,
            )
            .expect("a text in memory is shorter than the limit of AES-GCM");
        [&[SEAL_VERSION][..], &nonce, &sealed].concat()
    }

    /// Decrypts what was sealed for the same place.
    pub fn open(&self, place: &[&str], sealed: &[u8]) -> Result<SecretString, CannotOpen> {
        let (&version, rest) = sealed.split_first().ok_or(CannotOpen)?;
        if version != SEAL_VERSION || rest.len() < NONCE_BYTES {
            return Err(CannotOpen);
        }
        let (nonce, ciphertext) = rest.split_at(NONCE_BYTES);
        let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| CannotOpen)?;
        let mut buffer = ciphertext.to_vec();
        let text = self
            .sealing_key()
            .open_in_place(nonce, associated_data(place), &mut buffer)
            .map_err(|_| CannotOpen)?;
        String::from_utf8(text.to_vec()).map(SecretString::from).map_err(|_| CannotOpen)
    }

    fn sealing_key(&self) -> aead::LessSafeKey {
        let key =
            aead::UnboundKey::new(&aead::AES_256_GCM, &self.derive("seal")).expect("the key has 32 bytes");
        aead::LessSafeKey::new(key)
    }
}

// Each part carries its length, so that ("ab", "c") and ("a", "bc") are different places.
fn associated_data(place: &[&str]) -> aead::Aad<Vec<u8>> {
    let mut data = vec![SEAL_VERSION];
    for part in place {
        data.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        data.extend(part.as_bytes());
    }
    aead::Aad::from(data)
}

/// SHA-256, for tokens that are random enough to need no key.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}

#[cfg(test)]
mod tests;
