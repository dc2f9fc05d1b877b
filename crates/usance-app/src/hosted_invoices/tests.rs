use secrecy::SecretString;

use super::*;

fn keyring(byte: u8) -> Keyring {
    let secret = base64::engine::general_purpose::STANDARD.encode([byte; 32]);
    Keyring::parse(&SecretString::from(secret)).unwrap()
}

fn hosted(livemode: bool) -> HostedInvoice {
    let scope = Scope { tenant: TenantId::from_uuid(Uuid::from_u128(7)), livemode };
    HostedInvoice { scope, invoice: InvoiceId::from_uuid(Uuid::from_u128(9)) }
}

#[test]
fn a_token_names_its_invoice_in_its_mode() {
    for livemode in [false, true] {
        let token = hosted(livemode).token(&keyring(1));

        assert_eq!(HostedInvoice::read(&keyring(1), &token), Some(hosted(livemode)));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    }
}

#[test]
fn a_token_with_any_other_bit_or_of_another_installation_names_nothing() {
    let token = hosted(false).token(&keyring(1));
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();

    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(HostedInvoice::read(&keyring(1), &URL_SAFE_NO_PAD.encode(forged)), None, "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(HostedInvoice::read(&keyring(1), &URL_SAFE_NO_PAD.encode(&bytes[..length])), None);
    }
    assert_eq!(HostedInvoice::read(&keyring(2), &token), None);
    for text in ["", "!", "ä", &format!("{token}A"), &format!("{token}=")] {
        assert_eq!(HostedInvoice::read(&keyring(1), text), None, "{text}");
    }
}
