use aws_lc_rs::rand::fill;
use secrecy::{ExposeSecret, SecretString};
use usance_core::clock::Random;

use super::{KeyKind, generate, is_well_formed, mask};

struct System;

impl Random for System {
    fn fill(&self, buffer: &mut [u8]) {
        fill(buffer).unwrap();
    }
}

#[test]
fn a_key_names_its_kind_and_mode() {
    for (kind, livemode, prefix) in [
        (KeyKind::Secret, true, "sk_live_"),
        (KeyKind::Secret, false, "sk_test_"),
        (KeyKind::Publishable, true, "pk_live_"),
        (KeyKind::Publishable, false, "pk_test_"),
    ] {
        let key = generate(&System, kind, livemode);
        assert!(key.expose_secret().starts_with(prefix));
        assert!(is_well_formed(key.expose_secret()));
    }
}

#[test]
fn any_single_wrong_character_is_noticed() {
    let key = generate(&System, KeyKind::Secret, false);
    let key = key.expose_secret();

    for index in 0..key.len() {
        let mut wrong = key.as_bytes().to_vec();
        wrong[index] = if wrong[index] == b'x' { b'y' } else { b'x' };
        assert!(!is_well_formed(std::str::from_utf8(&wrong).unwrap()), "character {index}");
    }
    assert!(!is_well_formed(&key[1..]));
    assert!(!is_well_formed(""));
}

#[test]
fn a_mask_shows_the_first_eight_and_the_last_four_characters() {
    let key = SecretString::from("sk_test_abcdefghijklmnop");

    assert_eq!(mask(&key), "sk_test_****...mnop");
}
