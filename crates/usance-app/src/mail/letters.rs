//! What the letters say.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use usance_core::{
    invoice::document::{amount_text, date_text},
    money::Money,
};

use super::compose::{
    Letter,
    Paragraph::{self, Code, Text},
};
use crate::App;

/// Names that others gave are cut: a letter must not become somebody else's leaflet.
const NAME_CHARS_MAX: usize = 80;
const GREETING: &str = "Hello,";

/// Where a page of the tenant's staff takes the token. It stands behind `#`, so that no server on the way writes it down.
fn to_be_redeemed(app: &App, page: &str, route: &str, token: &SecretString) -> Vec<Paragraph> {
    let token = token.expose_secret();
    let mut paragraphs = Vec::new();
    if let Some(public_url) = &app.public_url {
        paragraphs.push(Paragraph::Link(format!("{public_url}/{page}#token={token}")));
    }
    paragraphs.push(text(format!("This is the token, for POST /api/v1/auth/tenants/{route}:")));
    paragraphs.push(Code(token.to_owned()));
    paragraphs
}

fn text(text: impl Into<String>) -> Paragraph {
    Text(text.into())
}

/// A name that somebody gave, without addresses that a mail program would make a link of.
fn named(name: &str) -> String {
    let short: String = name.chars().take(NAME_CHARS_MAX).collect();
    short.replace("://", " ").replace("www.", "www ")
}

fn of_usance(to: String, subject: String, paragraphs: Vec<Paragraph>) -> Letter {
    Letter { to, from_name: None, reply_to: None, subject, paragraphs }
}

/// Asks a member to prove its address.
pub(crate) fn verify_email(app: &App, to: String, company: &str, token: &SecretString) -> Letter {
    let mut paragraphs = vec![
        text(GREETING),
        text(format!(
            "this address was given for a member of {}. Please confirm that it is yours.",
            named(company)
        )),
    ];
    paragraphs.extend(to_be_redeemed(app, "verify-email", "verify-email", token));
    paragraphs.push(text("It works once, within 24 hours. If you did not give the address, do nothing."));
    of_usance(to, "Confirm your e-mail address".to_owned(), paragraphs)
}

/// Lets a member set another password.
pub(crate) fn reset_password(
    app: &App,
    to: String,
    (company, slug): (&str, &str),
    token: &SecretString,
) -> Letter {
    let company = named(company);
    let mut paragraphs = vec![
        text(GREETING),
        text(format!(
            "somebody asked to reset your password at {company} ({slug}). If it was you, choose a new one."
        )),
    ];
    paragraphs.extend(to_be_redeemed(app, "reset-password", "password-reset", token));
    paragraphs.push(text(
        "It works once, within 30 minutes. If you did not ask for it, do nothing: your password stays as it is.",
    ));
    of_usance(to, format!("Reset your password at {company}"), paragraphs)
}

/// Tells a member that its password is another one.
pub(crate) fn password_changed(to: String, company: &str, at: Timestamp) -> Letter {
    let company = named(company);
    let paragraphs = vec![
        text(GREETING),
        text(format!("your password at {company} was changed at {}.", at.strftime("%Y-%m-%d %H:%M UTC"))),
        text("If it was not you, reset your password at once, and tell an owner of the account."),
    ];
    of_usance(to, format!("Your password at {company} was changed"), paragraphs)
}

/// Invites somebody to a tenant's staff.
pub(crate) fn invitation(
    app: &App,
    to: String,
    (company, role): (&str, &str),
    token: &SecretString,
) -> Letter {
    let company = named(company);
    let mut paragraphs =
        vec![text(GREETING), text(format!("you are invited to join {company} with the role {role}."))];
    paragraphs.extend(to_be_redeemed(app, "accept-invitation", "invitations/accept", token));
    paragraphs.push(text("It works once, within 7 days. If you do not know why you got it, do nothing."));
    Letter {
        from_name: Some(company.clone()),
        ..of_usance(to, format!("You are invited to join {company}"), paragraphs)
    }
}

/// What a customer is told of an invoice.
pub(crate) struct InvoiceFacts<'a> {
    pub(crate) seller: &'a str,
    pub(crate) seller_email: &'a str,
    pub(crate) number: &'a str,
    pub(crate) total: Money,
    pub(crate) amount_due: Money,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) page: &'a str,
    pub(crate) livemode: bool,
}

/// Brings an invoice to its customer.
pub(crate) fn invoice(to: String, facts: &InvoiceFacts<'_>) -> Letter {
    let seller = named(facts.seller);
    let currency = facts.total.currency().code();
    let mut paragraphs = vec![text(GREETING)];
    if !facts.livemode {
        paragraphs.push(text("this is a test: nothing was sold, and nothing is to be paid."));
    }
    let total = amount_text(facts.total);
    paragraphs
        .push(text(format!("here is the invoice {} of {seller} over {currency} {total}.", facts.number)));
    let due = amount_text(facts.amount_due);
    let date = facts.due_at.map(|at| date_text(at.to_zoned(jiff::tz::TimeZone::UTC).date()));
    paragraphs.push(text(match date.filter(|_| facts.amount_due.minor() > 0) {
        Some(date) => format!("{currency} {due} is due on {date}."),
        None => format!("Still due: {currency} {due}."),
    }));
    paragraphs.push(Paragraph::Link(facts.page.to_owned()));
    let test = if facts.livemode { "" } else { "[Test] " };
    Letter {
        from_name: Some(seller.clone()),
        reply_to: Some(facts.seller_email.to_owned()),
        ..of_usance(to, format!("{test}Invoice {} from {seller}", facts.number), paragraphs)
    }
}

/// What goes wrong with an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WebhookTrouble {
    Failing,
    Dead,
    Disabled,
}

impl WebhookTrouble {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Dead => "dead",
            Self::Disabled => "disabled",
        }
    }
}

/// Tells the staff of an endpoint that does not take what it is sent. Of its address only the host is told, because the rest
/// may hold a secret.
pub(crate) fn webhook_trouble(
    to: String,
    trouble: WebhookTrouble,
    endpoint: &str,
    host: &str,
    livemode: bool,
) -> Letter {
    let mode = crate::audit::mode(livemode);
    let (subject, detail) = match trouble {
        WebhookTrouble::Failing => (
            "A webhook endpoint does not answer",
            "a delivery has failed five times. It is tried again, later and later, for three days.",
        ),
        WebhookTrouble::Dead => (
            "A webhook delivery was given up",
            "a delivery has failed ten times and is given up. POST /api/v1/deliveries/{id}/replay sends it again.",
        ),
        WebhookTrouble::Disabled => (
            "A webhook endpoint was disabled",
            "the endpoint is gone or has failed for five days. It is told nothing until you enable it again with \
             PATCH /api/v1/webhook-endpoints/{id}.",
        ),
    };
    let paragraphs = vec![
        text(GREETING),
        text(detail),
        text(format!("Endpoint: {endpoint} ({mode} mode) at {}", named(host))),
        text("GET /api/v1/deliveries tells what it answered. You get this mail once a day at most."),
    ];
    of_usance(to, format!("{subject} ({mode} mode)"), paragraphs)
}
