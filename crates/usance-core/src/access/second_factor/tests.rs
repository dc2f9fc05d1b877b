use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{PresentedCode, TotpSecret, recovery_code};
use crate::clock::Random;

struct Repeating(&'static [u8]);

impl Random for Repeating {
    fn fill(&self, buffer: &mut [u8]) {
        self.0.iter().cycle().zip(buffer).for_each(|(value, byte)| *byte = *value);
    }
}

/// The secret of RFC 6238, appendix B.
fn published() -> TotpSecret {
    TotpSecret::generate(&Repeating(b"12345678901234567890"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Time and code of RFC 6238, appendix B, for SHA-1; six digits are the last six of its eight.
const VECTORS: [(i64, &str); 6] = [
    (59, "94287082"),
    (1_111_111_109, "07081804"),
    (1_111_111_111, "14050471"),
    (1_234_567_890, "89005924"),
    (2_000_000_000, "69279037"),
    (20_000_000_000, "65353130"),
];

#[test]
fn the_published_codes_are_accepted_for_their_step_and_one_to_each_side() {
    for (second, code) in VECTORS {
        let (code, step) = (&code[2..], second / 30);
        for (shift, accepted) in [(-60, false), (-30, true), (0, true), (30, true), (60, false)] {
            let seen = published().accept(code, None, at(second + shift));
            assert_eq!(seen, accepted.then_some(step), "{code} {shift}");
        }
    }
}

#[test]
fn a_code_of_the_last_accepted_step_or_an_older_one_is_refused() {
    let (second, code) = (1_234_567_890, "005924");
    let step = second / 30;

    assert_eq!(published().accept(code, Some(step - 1), at(second)), Some(step));
    assert_eq!(published().accept(code, Some(step), at(second)), None);
    assert_eq!(published().accept(code, Some(step + 1), at(second + 30)), None);
}

#[test]
fn what_is_no_code_is_refused() {
    for text in ["", "00592", "0059240", "+05924", "00592a", "٠٠٥٩٢٤", "005925"] {
        assert_eq!(published().accept(text, None, at(1_234_567_890)), None, "{text}");
    }
    assert_eq!(published().accept("287082", None, at(-59)), None);
}

#[test]
fn a_secret_is_what_its_text_says() {
    let text = published().reveal();

    assert_eq!(text.expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    assert_eq!(TotpSecret::parse(text.expose_secret()), Ok(published()));
    assert_eq!(format!("{:?}", published()), "TotpSecret");
    for nonsense in ["", "GEZDGNBVGY3TQOJQ", "not base 32", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBV"] {
        assert!(TotpSecret::parse(nonsense).is_err(), "{nonsense}");
    }
}

#[test]
fn an_authenticator_is_told_issuer_account_and_secret() {
    let url = |email: &str| published().otpauth_url(email, "acme").expose_secret().to_owned();

    assert_eq!(
        url("ada+x@acme.example"),
        "otpauth://totp/Usance:ada%2Bx%40acme.example%20%28acme%29?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Usance"
    );
    assert!(url("a:b@acme.example").starts_with("otpauth://totp/Usance:a_b%40acme.example"));
}

#[test]
fn a_recovery_code_is_read_however_it_is_typed() {
    let code = recovery_code(&Repeating(&[0x12, 0x34, 0x56, 0x78, 0x9a]));
    let read = PresentedCode::read(&code).unwrap();

    assert_eq!((code.len(), code.matches('-').count()), (19, 3));
    assert_eq!(read, PresentedCode::Recovery(code.replace('-', "")));
    assert_eq!(PresentedCode::read(&format!(" {} ", code.to_uppercase().replace('-', " "))), Some(read));
    let alike = PresentedCode::read("OIL0-0000-0000-0000");
    assert_eq!(alike, Some(PresentedCode::Recovery("0110000000000000".to_owned())));
    assert_eq!(PresentedCode::read("123 456"), Some(PresentedCode::Totp("123456".to_owned())));
    for nonsense in ["", "12345", "1234567", "uuuu-uuuu-uuuu-uuuu", "12345٦", &"0".repeat(65)] {
        assert_eq!(PresentedCode::read(nonsense), None, "{nonsense}");
    }
}

#[test]
fn every_bit_of_randomness_is_in_the_code() {
    let plain = recovery_code(&Repeating(&[0]));
    for bit in 0..80 {
        let bytes: Vec<u8> = (0..10).map(|index| if index == bit / 8 { 1 << (bit % 8) } else { 0 }).collect();
        let code = recovery_code(&Repeating(bytes.leak()));
        assert_ne!(code, plain, "bit {bit}");
    }
}
