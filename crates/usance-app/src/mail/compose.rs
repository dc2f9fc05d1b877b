//! A mail as text: headers that nobody can add to, and the same content for people who read text and for those who read HTML.

use askama::Template;
use jiff::Timestamp;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use serde::{Deserialize, Serialize};
use usance_core::ids::MailId;

/// Lines of mail have 998 bytes at most (RFC 5322, 2.1.1).
const LINE_BYTES_MAX: usize = 998;

/// What a letter says, paragraph by paragraph.
#[derive(Serialize, Deserialize)]
pub(crate) enum Paragraph {
    /// Words.
    Text(String),
    /// An address that leads somewhere.
    Link(String),
    /// A text to be copied.
    Code(String),
}

/// Recipient and content, as they are sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    /// The recipient's address.
    pub(crate) to: String,
    /// In whose name the mail comes; the operator's own if absent.
    pub(crate) from_name: Option<String>,
    /// Who reads answers.
    pub(crate) reply_to: Option<String>,
    pub(crate) subject: String,
    pub(crate) paragraphs: Vec<Paragraph>,
}

impl std::fmt::Debug for Letter {
    /// It may hold a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Letter")
    }
}

/// A letter under its id.
#[derive(Debug)]
pub struct Mail {
    pub(crate) id: MailId,
    pub(crate) created_at: Timestamp,
    pub(crate) letter: Letter,
}

/// Which bytes the way to the reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// ASCII alone.
    SevenBit,
    /// Text as it is.
    EightBit,
}

/// The mail cannot be written: an address is none.
#[derive(Debug, thiserror::Error)]
#[error("the mail cannot be written")]
pub(crate) struct CannotCompose;

#[derive(Template)]
#[template(path = "mail.html")]
struct HtmlPart<'a> {
    subject: &'a str,
    paragraphs: &'a [Paragraph],
}

/// Writes a mail with its envelope. The same mail is the same bytes each time.
pub(crate) fn compose(from: &Mailbox, mail: &Mail, way: Way) -> Result<(Envelope, Vec<u8>), CannotCompose> {
    let Mail { id, created_at, letter } = mail;
    let to: Address = letter.to.parse().map_err(|_| CannotCompose)?;
    let subject = one_line(&letter.subject);
    let name = letter.from_name.as_deref().map(one_line).or_else(|| from.name.clone());
    let sender = Mailbox::new(name, from.email.clone());
    let mut message = Message::builder()
        .from(sender)
        .to(Mailbox::new(None, to.clone()))
        .subject(subject.as_str())
        .date((*created_at).into())
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        // Nobody's holiday is an answer to this (RFC 3834).
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    if let Some(reply_to) = &letter.reply_to {
        message = message.reply_to(Mailbox::new(None, reply_to.parse().map_err(|_| CannotCompose)?));
    }
    let html = HtmlPart { subject: &subject, paragraphs: &letter.paragraphs };
    let html = html.render().map_err(|_| CannotCompose)?;
    let parts = MultiPart::builder()
        .kind(lettre::message::MultiPartKind::Alternative)
        .boundary(id.to_string())
        .build()
        .singlepart(
            SinglePart::builder().header(ContentType::TEXT_PLAIN).body(plain(&letter.paragraphs, way)),
        )
        .singlepart(SinglePart::html(html));
    let message = message.multipart(parts).map_err(|_| CannotCompose)?;
    let envelope = Envelope::new(Some(from.email.clone()), vec![to]).map_err(|_| CannotCompose)?;
    Ok((envelope, message.formatted()))
}

/// A line feed in a name must not begin a header.
fn one_line(text: &str) -> String {
    text.chars().map(|symbol| if symbol.is_control() { ' ' } else { symbol }).collect()
}

/// Tokens and links stay in one piece where the way allows it: people copy them out of what they see.
fn plain(paragraphs: &[Paragraph], way: Way) -> Body {
    let blocks = paragraphs.iter().map(|paragraph| match paragraph {
        Paragraph::Text(text) => one_line(text),
        Paragraph::Link(text) | Paragraph::Code(text) => format!("    {}", one_line(text)),
    });
    let text = blocks.collect::<Vec<_>>().join("\r\n\r\n") + "\r\n";
    let fits = text.lines().all(|line| line.len() <= LINE_BYTES_MAX);
    match way {
        Way::SevenBit | Way::EightBit if fits && text.is_ascii() => {
            Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::SevenBit)
        }
        Way::EightBit if fits => {
            Body::dangerous_pre_encoded(text.into_bytes(), ContentTransferEncoding::EightBit)
        }
        Way::SevenBit | Way::EightBit => Body::new(text),
    }
}

#[cfg(test)]
mod tests;
