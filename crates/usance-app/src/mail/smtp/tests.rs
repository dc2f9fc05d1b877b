use secrecy::{ExposeSecret, SecretString};

use super::{Privacy, SmtpServer};

fn parse(address: &str) -> Option<SmtpServer> {
    SmtpServer::parse(&SecretString::from(address))
}

#[test]
fn mails_go_over_tls_unless_the_server_is_on_this_machine_or_it_is_said_otherwise() {
    for (address, port, privacy) in [
        ("smtps://mail.example.com", 465, Privacy::Tls),
        ("smtps://127.0.0.1:1465", 1465, Privacy::Tls),
        ("smtp://mail.example.com", 587, Privacy::StartTls),
        ("smtp://mail.example.com:25/", 25, Privacy::StartTls),
        ("smtp://mail.example.com?tls=none", 587, Privacy::Plain),
        ("smtp://localhost:1025", 1025, Privacy::Plain),
        ("smtp://127.0.0.1", 587, Privacy::Plain),
        ("smtp://[::1]", 587, Privacy::Plain),
        ("smtp://127.0.0.1?tls=required", 587, Privacy::StartTls),
        ("smtp://10.0.0.1", 587, Privacy::StartTls),
    ] {
        let server = parse(address).unwrap_or_else(|| panic!("{address}"));
        assert_eq!((server.port, server.privacy), (port, privacy), "{address}");
    }
}

#[test]
fn a_password_is_decoded_and_does_not_show() {
    let server = parse("smtps://ada%40example.com:a%3Ab%25c@mail.example.com").unwrap();

    let (user, password) = server.credentials.clone().unwrap();
    assert_eq!((user.as_str(), password.expose_secret()), ("ada@example.com", "a:b%c"));
    assert!(!format!("{server:?}").contains("a:b%c"));
}

#[test]
fn what_would_send_a_password_in_the_clear_or_means_nothing_is_refused() {
    for address in [
        "smtp://ada:secret@mail.example.com?tls=none",
        "smtp://ada@mail.example.com",
        "smtp://mail.example.com?tls=maybe",
        "smtps://mail.example.com?tls=none",
        "smtp://mail.example.com/path",
        "smtp://ada:a%0d%0ab@mail.example.com",
        "https://mail.example.com",
        "mail.example.com",
        "smtp://",
    ] {
        assert!(parse(address).is_none(), "{address}");
    }
    assert!(parse("smtp://ada:secret@localhost").is_some());
}
