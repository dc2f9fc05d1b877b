//! How a receiver can tell that a message is ours: the signatures of the Standard Webhooks specification, and one of the
//! body alone for receivers that know no other.

use aws_lc_rs::hmac;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::{clock::Random, hexadecimal};

const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64 bytes.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
const BYTES_GENERATED: usize = 32;

/// The secret that an endpoint and we share.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Vec<u8>);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

/// A text is no secret: `whsec_` and 24 to 64 bytes in base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is whsec_ and 24 to 64 bytes in base64")]
pub struct InvalidSecret;

impl SigningSecret {
    /// Makes one of 32 bytes.
    pub fn generate(random: &dyn Random) -> Self {
        let mut bytes = vec![0; BYTES_GENERATED];
        random.fill(&mut bytes);
        Self(bytes)
    }

    /// Reads the text that a receiver holds too.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        if (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }

    /// The text that a receiver needs.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}", BASE64_STANDARD.encode(&self.0)).into()
    }
}

/// The value of `webhook-signature`: one signature for each secret that is valid, over id, time of the attempt and the
/// bytes that are sent.
pub fn signatures(secrets: &[SigningSecret], id: &str, at: Timestamp, body: &[u8]) -> String {
    let sign = |secret: &SigningSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{id}.{}.", at.as_second()).as_bytes());
        context.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// The value of `X-Webhook-Signature`: HMAC-SHA256 of the bytes that are sent, keyed with the text of the secret, in
/// lower-case hexadecimal.
pub fn body_signature(secret: &SigningSecret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().expose_secret().as_bytes());
    hexadecimal(hmac::sign(&key, body).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn instant() -> Timestamp {
        Timestamp::from_second(1_614_265_330).unwrap()
    }

    #[test]
    fn the_vector_of_the_specification_is_reproduced() {
        let secret = SigningSecret::parse(SECRET).unwrap();
        let signature = signatures(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", instant(), BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let secrets = [SECRET, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
            .map(|text| SigningSecret::parse(text).unwrap());
        let both = signatures(&secrets, "msg_1", instant(), BODY);
        let alone = secrets.map(|secret| signatures(&[secret], "msg_1", instant(), BODY));
        assert_eq!(both, alone.join(" "));
        assert_ne!(alone[0], alone[1]);
    }

    #[test]
    fn the_body_alone_is_signed_with_the_text_of_the_secret() {
        // printf '%s' '{"test": 2432232314}' | openssl dgst -sha256 -hmac whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
        let secret = SigningSecret::parse(SECRET).unwrap();
        assert_eq!(
            body_signature(&secret, BODY),
            "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"
        );
    }

    #[test]
    fn a_text_that_is_no_secret_is_refused() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_AAAA",
            "whsec_?",
            &format!("whsec_{}", "A".repeat(88)),
        ] {
            assert_eq!(SigningSecret::parse(text), Err(InvalidSecret), "{text}");
        }
    }

    #[test]
    fn a_secret_is_read_as_it_was_revealed_and_hidden_otherwise() {
        struct Sevens;
        impl Random for Sevens {
            fn fill(&self, buffer: &mut [u8]) {
                buffer.fill(7);
            }
        }
        let secret = SigningSecret::generate(&Sevens);
        assert_eq!(SigningSecret::parse(secret.reveal().expose_secret()), Ok(secret.clone()));
        assert_eq!(format!("{secret:?}"), "SigningSecret");
    }
}
