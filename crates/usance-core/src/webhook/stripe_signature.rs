//! How Stripe signs what it sends: scheme `v1` of the header `Stripe-Signature`
//! (<https://docs.stripe.com/webhooks#verify-manually>).

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use crate::hexadecimal;

/// How far the time of a signature may lie from ours. Stripe signs each attempt anew.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Why a message is not taken for Stripe's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StripeSignatureFault {
    /// The header has no time, two times, or no signature of the scheme.
    #[error("the header must be t=<seconds>,v1=<signature>")]
    Malformed,
    /// No signature is that of the body with the secret.
    #[error("no signature is of these bytes with the secret of this endpoint")]
    Mismatch,
    /// It was signed too long ago, or ahead of our time.
    #[error("it was signed more than five minutes from now")]
    Stale,
}

/// Verifies the header over the bytes as they came. `secret` is the whole text, `whsec_` included. Any of several signatures is
/// enough: Stripe signs with two secrets while one gives way to the other.
pub fn verify_stripe_signature(
    header: &str,
    body: &[u8],
    secret: &SecretString,
    now: Timestamp,
) -> Result<(), StripeSignatureFault> {
    let parts = || header.split(',').filter_map(|part| part.split_once('='));
    let values = |name| parts().filter(move |(key, _)| *key == name).map(|(_, value)| value);
    let mut times = values("t");
    let (Some(time), None) = (times.next(), times.next()) else {
        return Err(StripeSignatureFault::Malformed);
    };
    let seconds = time.parse().map_err(|_| StripeSignatureFault::Malformed)?;
    let signed_at = Timestamp::from_second(seconds).map_err(|_| StripeSignatureFault::Malformed)?;
    let mut signatures = values("v1").peekable();
    if signatures.peek().is_none() {
        return Err(StripeSignatureFault::Malformed);
    }
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body);
    let expected = hexadecimal(context.sign().as_ref());
    let is_expected =
        |signature: &str| verify_slices_are_equal(signature.as_bytes(), expected.as_bytes()).is_ok();
    if !signatures.any(is_expected) {
        return Err(StripeSignatureFault::Mismatch);
    }
    if now.duration_since(signed_at).abs() > TOLERANCE {
        return Err(StripeSignatureFault::Stale);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const SIGNED_AT: i64 = 1_795_000_000;

    fn secret() -> SecretString {
        "whsec_peer".into()
    }

    fn signature(signed: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret().expose_secret().as_bytes());
        hexadecimal(hmac::sign(&key, signed.as_bytes()).as_ref())
    }

    fn verify(header: &str, seconds_later: i64) -> Result<(), StripeSignatureFault> {
        let now = Timestamp::from_second(SIGNED_AT + seconds_later).unwrap();
        verify_stripe_signature(header, BODY, &secret(), now)
    }

    #[test]
    fn five_minutes_are_tolerated_in_either_direction() {
        let header = format!("t={SIGNED_AT},v1={}", signature(&format!("{SIGNED_AT}.{{\"id\":\"evt_1\"}}")));

        for seconds in [-300, -1, 0, 300] {
            assert_eq!(verify(&header, seconds), Ok(()), "{seconds}");
        }
        for seconds in [-301, 301] {
            assert_eq!(verify(&header, seconds), Err(StripeSignatureFault::Stale), "{seconds}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough_and_nothing_is_trimmed_or_guessed() {
        let good = signature(&format!("{SIGNED_AT}.{{\"id\":\"evt_1\"}}"));
        let bad = "0".repeat(64);
        for header in [
            format!("t={SIGNED_AT},v1={good},v1={bad}"),
            format!("t={SIGNED_AT},v1={bad},v1={good},v0={bad}"),
            format!("v1={good},t={SIGNED_AT}"),
        ] {
            assert_eq!(verify(&header, 0), Ok(()), "{header}");
        }
        for (header, fault) in [
            (String::new(), StripeSignatureFault::Malformed),
            (format!("t={SIGNED_AT}"), StripeSignatureFault::Malformed),
            (format!("v1={good}"), StripeSignatureFault::Malformed),
            (format!("t={SIGNED_AT},v0={good}"), StripeSignatureFault::Malformed),
            (format!("t={SIGNED_AT}, v1={good}"), StripeSignatureFault::Malformed),
            (format!("t={SIGNED_AT},t={SIGNED_AT},v1={good}"), StripeSignatureFault::Malformed),
            (format!("t={}9,v1={good}", i64::MAX), StripeSignatureFault::Malformed),
            (format!("t={},v1={good}", i64::MAX), StripeSignatureFault::Malformed),
            (format!("t={SIGNED_AT},v1={}", good.to_uppercase()), StripeSignatureFault::Mismatch),
            (format!("t={SIGNED_AT},v1={}", &good[..63]), StripeSignatureFault::Mismatch),
            (format!("t={SIGNED_AT},v1="), StripeSignatureFault::Mismatch),
            (format!("t=0{SIGNED_AT},v1={good}"), StripeSignatureFault::Mismatch),
        ] {
            assert_eq!(verify(&header, 0), Err(fault), "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_signature_and_none_panics(header in "[tv01=,a-f.+-]{0,200}", seconds in any::<i32>()) {
            prop_assert!(verify(&header, i64::from(seconds)).is_err());
        }
    }
}
