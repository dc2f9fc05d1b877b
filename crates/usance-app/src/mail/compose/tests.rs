use jiff::Timestamp;
use lettre::message::Mailbox;
use usance_core::ids::MailId;
use uuid::Uuid;

use super::{Letter, Mail, Paragraph, Way, compose};

fn mail(name: &str, to: &str) -> Mail {
    Mail {
        id: MailId::from_uuid(Uuid::nil()),
        created_at: Timestamp::UNIX_EPOCH,
        letter: Letter {
            to: to.to_owned(),
            from_name: Some(name.to_owned()),
            reply_to: None,
            subject: format!("An invoice of {name}"),
            paragraphs: vec![
                Paragraph::Text(format!("It is from {name}.")),
                Paragraph::Code("pr_token".repeat(12)),
            ],
        },
    }
}

fn from() -> Mailbox {
    "Usance <billing@example.com>".parse().unwrap()
}

fn written(name: &str, way: Way) -> String {
    String::from_utf8(compose(&from(), &mail(name, "ada@example.com"), way).unwrap().1).unwrap()
}

#[test]
fn a_mail_has_what_mails_need_and_is_the_same_each_time() {
    let text = written("Acme", Way::SevenBit);

    for line in [
        "From: Acme <billing@example.com>",
        "To: ada@example.com",
        "Subject: An invoice of Acme",
        "Date: Thu, 01 Jan 1970 00:00:00 +0000",
        "Message-ID: <mail_00000000000000000000000000@example.com>",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
    assert!(text.contains(&"pr_token".repeat(12)), "{text}");
    assert_eq!(text, written("Acme", Way::SevenBit));
}

#[test]
fn a_line_feed_in_a_name_begins_no_header_and_markup_no_element() {
    for name in
        ["A\r\nBcc: eve@example.com", "A\nBcc: eve@example.com", "A\rBcc: eve@example.com", "A\r\n\r\nBcc: x"]
    {
        let text = written(name, Way::EightBit);

        let (headers, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<_> = headers.lines().filter_map(|line| line.split_once(": ")).map(|it| it.0).collect();
        let expected =
            ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];
        assert_eq!(names, expected);
        assert!(text.replace("\r\n", "").bytes().all(|byte| byte != b'\r' && byte != b'\n'), "{text:?}");
    }
    let text = written("<script>alert(1)</script>", Way::EightBit);
    assert!(!text.split("text/html").nth(1).unwrap().contains("<script>"), "{text}");
}

#[test]
fn other_alphabets_are_encoded_where_the_way_is_narrow() {
    let narrow = written("Zoë & Łukasz Žižek", Way::SevenBit);
    let wide = written("Zoë & Łukasz Žižek", Way::EightBit);

    assert!(narrow.is_ascii(), "{narrow}");
    assert!(wide.contains("It is from Zoë & Łukasz Žižek."), "{wide}");
}

#[test]
fn an_address_that_holds_more_than_one_is_none() {
    for to in [
        "ada@example.com, eve@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada",
        "<ada@example.com>",
    ] {
        assert!(compose(&from(), &mail("Acme", to), Way::SevenBit).is_err(), "{to}");
    }
}
