use secrecy::SecretString;

use super::{PasswordHashing, check, is_outdated};
use crate::error::{Error, Faults};

fn codes(password: &str) -> Vec<&'static str> {
    let mut faults = Faults::default();
    check(
        &mut faults,
        "/password",
        &SecretString::from(password),
        &["ada.lovelace@example.com", "Analytical Engines"],
    );
    match faults.check() {
        Ok(()) => Vec::new(),
        Err(Error::Refused(refusal)) => refusal.fields.iter().map(|fault| fault.code).collect(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_password_must_be_long_not_only_digits_and_not_the_own_name() {
    assert_eq!(codes("correct horse battery"), Vec::<&str>::new());
    assert_eq!(codes("elevenchars"), ["too_short"]);
    assert_eq!(codes("twelve chars"), Vec::<&str>::new());
    assert_eq!(codes("123456789012"), ["only_digits"]);
    assert_eq!(codes("Analytical123"), ["too_similar"]);
    assert_eq!(codes("Ada.Lovelace@example.com"), ["too_similar"]);
    assert_eq!(codes(&"x".repeat(1025)), ["too_long"]);
}

#[test]
fn a_password_of_common_words_and_rows_of_keys_is_refused() {
    for common in [
        "password1234",
        "P@ssw0rd2024!",
        "qwertyuiop12",
        "aaaaaaaaaaaa",
        "abcabcabcabc",
        "letmeinletmein",
        "1q2w3e4r5t6y",
        "Welcome12345!",
        "adminadmin123",
        "poiuytrewq09",
        "iloveyou2023",
    ] {
        assert_eq!(codes(common), ["too_common"], "{common}");
    }
    for own in ["gravel-tulip-9-bone", "3f9a-77c1-e02b-5d48", "my pass is a river", "Zeppelinstrasse 4"] {
        assert_eq!(codes(own), Vec::<&str>::new(), "{own}");
    }
}

struct Zeros;

impl usance_core::clock::Random for Zeros {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(0);
    }
}

#[tokio::test]
async fn a_password_is_verified_and_nobody_has_one() {
    let place = PasswordHashing::default().reserve().unwrap();
    let stored = place.hash(&Zeros, "correct horse battery".into()).await.unwrap();

    let verify = |password: &str, stored: Option<&str>| {
        place.verify(password.to_owned().into(), stored.map(str::to_owned))
    };

    assert!(!is_outdated(&stored) && is_outdated("$argon2id$v=19$m=4096,t=3,p=1$x$y"));
    assert!(verify("correct horse battery", Some(&stored)).await.unwrap());
    assert!(!verify("Correct horse battery", Some(&stored)).await.unwrap());
    assert!(!verify("", None).await.unwrap());
    assert!(!verify(&"x".repeat(5000), Some(&stored)).await.unwrap());
}
