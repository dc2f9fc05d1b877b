//! The second factor of a sign-in: codes of an authenticator (RFC 6238, in the one form that all of them know), and recovery
//! codes for the day on which it is lost.

use jiff::Timestamp;
use secrecy::SecretString;
use totp_rs::{Builder, Secret, Totp};

use crate::clock::Random;

/// What authenticators show above the code.
const ISSUER: &str = "Usance";
/// As many as a key of HMAC-SHA-1 should have (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
/// The text of 80 random bits.
const RECOVERY_BYTES: usize = 10;
const RECOVERY_GROUP_LENGTH: usize = 4;
/// Crockford's base 32: no two of its symbols look alike.
const RECOVERY_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Nobody types more than this by mistake.
const PRESENTED_LENGTH_MAX: usize = 64;

/// What an authenticator and we share.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Secret);

impl std::fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TotpSecret")
    }
}

/// A text is no secret: 160 bits in base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret of an authenticator is 160 bits in base 32")]
pub struct InvalidTotpSecret;

impl TotpSecret {
    /// Makes one of 160 bits.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; SECRET_BYTES];
        random.fill(&mut bytes);
        Self(Secret::from(bytes))
    }

    /// Reads the text that the authenticator holds too.
    pub fn parse(text: &str) -> Result<Self, InvalidTotpSecret> {
        let secret = Secret::try_from_base32(text).map_err(|_| InvalidTotpSecret)?;
        if secret.as_ref().len() == SECRET_BYTES { Ok(Self(secret)) } else { Err(InvalidTotpSecret) }
    }

    /// The text that is typed into an authenticator.
    pub fn reveal(&self) -> SecretString {
        self.0.to_base32().into()
    }

    /// The address whose QR code an authenticator scans. It names the tenant too: who works for two has two codes.
    pub fn otpauth_url(&self, email: &str, tenant: &str) -> SecretString {
        // The colon ends the name of the issuer.
        let account = format!("{email} ({tenant})").replace(':', "_");
        let totp = self.builder().with_issuer(Some(ISSUER)).with_account_name(account).build_noncompliant();
        totp.to_url().expect("the account has a name without a colon").into()
    }

    /// The time step of a code, if it is the code of the present step, the one before or the one after, and of a later step
    /// than the last that was accepted: a code is worth something once.
    pub fn accept(&self, code: &str, last_step: Option<i64>, now: Timestamp) -> Option<i64> {
        let seconds = u64::try_from(now.as_second()).ok()?;
        let step = self.totp().check(code, seconds)?;
        i64::try_from(step).ok().filter(|step| last_step.is_none_or(|last| *step > last))
    }

    fn totp(&self) -> Totp {
        self.builder().build_noncompliant()
    }

    /// SHA-1, six digits, thirty seconds and one step of skew are what the library takes unasked: authenticators know
    /// nothing else for certain.
    fn builder(&self) -> Builder {
        Builder::new().with_secret(self.0.clone())
    }
}

/// What a member types who is asked for a second factor.
#[derive(Clone, PartialEq, Eq)]
pub enum PresentedCode {
    /// Six digits of an authenticator.
    Totp(String),
    /// A recovery code in the form in which it is hashed.
    Recovery(String),
}

impl std::fmt::Debug for PresentedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Totp(_) => "Totp",
            Self::Recovery(_) => "Recovery",
        })
    }
}

impl PresentedCode {
    /// Reads what was typed; groups, upper case and symbols that look alike make no difference.
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > PRESENTED_LENGTH_MAX {
            return None;
        }
        let symbols = text.chars().filter(|symbol| !matches!(symbol, ' ' | '-'));
        let code: String = symbols.map(|symbol| symbol.to_ascii_lowercase()).collect();
        if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Totp(code));
        }
        let code = code.replace('o', "0").replace(['i', 'l'], "1");
        let is_recovery = code.len() == RECOVERY_BYTES * 8 / 5
            && code.bytes().all(|byte| RECOVERY_ALPHABET.contains(&byte));
        is_recovery.then_some(Self::Recovery(code))
    }
}

/// Makes a recovery code in groups of four.
pub fn recovery_code(random: &dyn Random) -> String {
    let mut bytes = [0; RECOVERY_BYTES];
    random.fill(&mut bytes);
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let mut code = String::new();
    for position in 0..RECOVERY_BYTES * 8 / 5 {
        if position > 0 && position % RECOVERY_GROUP_LENGTH == 0 {
            code.push('-');
        }
        let index = usize::try_from(bits >> (5 * position) & 31).expect("an index below 32 fits");
        code.push(char::from(RECOVERY_ALPHABET[index]));
    }
    code
}

#[cfg(test)]
mod tests;
