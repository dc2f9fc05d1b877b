use secrecy::SecretString;

use super::check;
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
    assert_eq!(codes(&"x".repeat(1025)), ["too_long"]);
}
