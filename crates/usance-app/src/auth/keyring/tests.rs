use secrecy::{ExposeSecret, SecretString};
use usance_core::clock::Random;

use super::Keyring;

struct Counting;

impl Random for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        (1..).zip(buffer).for_each(|(value, byte)| *byte = value);
    }
}

fn keyring() -> Keyring {
    Keyring::parse(&Keyring::generate(&Counting)).unwrap()
}

#[test]
fn a_sealed_text_is_opened_at_its_own_place_only() {
    let sealed = keyring().seal(&Counting, &["tenants", "ten_1"], "whsec_x");

    assert_eq!(keyring().open(&["tenants", "ten_1"], &sealed).unwrap().expose_secret(), "whsec_x");
    for place in [&["tenants", "ten_2"][..], &["tenantst", "en_1"], &["tenants"], &[]] {
        assert!(keyring().open(place, &sealed).is_err(), "{place:?}");
    }
}

#[test]
fn a_damaged_or_truncated_text_is_not_opened() {
    let sealed = keyring().seal(&Counting, &["a"], "secret");

    for index in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[index] ^= 1;
        assert!(keyring().open(&["a"], &damaged).is_err(), "byte {index}");
        assert!(keyring().open(&["a"], &sealed[..index]).is_err(), "length {index}");
    }
}

#[test]
fn a_secret_of_the_wrong_form_is_refused() {
    for secret in ["", "short", "AAAA", "!!!!"] {
        assert!(Keyring::parse(&SecretString::from(secret)).is_err(), "{secret}");
    }
}
