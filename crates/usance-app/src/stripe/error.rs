//! What Stripe answers when it does not do what was asked.

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

const MESSAGE_CHARS_MAX: usize = 300;
const CODE_LENGTH_MAX: usize = 64;
/// Stands for the key, should an answer repeat it.
const REDACTED: &str = "****";

/// Kinds of failure, by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StripeErrorKind {
    /// It could not be reached, or did not answer in time: it may have done what was asked.
    Unreachable,
    /// It answered what cannot be read.
    Unreadable,
    /// The operator's own key or platform is not accepted.
    Authentication,
    /// The key may not do this, or not to this account.
    Permission,
    /// What was asked cannot be done.
    InvalidRequest,
    /// The same thing is being done, or was done in another way under the same idempotency key.
    Conflict,
    /// Too much was asked.
    RateLimited,
    /// A fault of Stripe.
    Api,
}

impl StripeErrorKind {
    fn of(status: StatusCode) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Authentication,
            StatusCode::FORBIDDEN => Self::Permission,
            StatusCode::CONFLICT => Self::Conflict,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            _ if status.is_client_error() => Self::InvalidRequest,
            _ if status.is_server_error() => Self::Api,
            _ => Self::Unreadable,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Stripe could not be reached",
            Self::Unreadable => "Stripe answered something that cannot be read",
            Self::Authentication => "Stripe does not accept the platform's credentials",
            Self::Permission => "Stripe does not permit this",
            Self::InvalidRequest => "Stripe refused the request",
            Self::Conflict => "Stripe is busy with the same request",
            Self::RateLimited => "Stripe was asked too much at once",
            Self::Api => "Stripe failed",
        }
    }
}

/// Why Stripe did not do what was asked. Its `Display` holds nothing that Stripe wrote, so that it can be logged.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .kind.as_str())]
pub struct StripeError {
    /// What can be done about it.
    pub kind: StripeErrorKind,
    /// Of the answer, if there was one.
    pub status: Option<u16>,
    /// Stripe's own word, for example `account_invalid` or `invalid_grant`.
    pub code: Option<String>,
    /// Stripe's own sentence; the operator's key is not in it. May be empty.
    pub message: String,
    /// Names the request at Stripe.
    pub request_id: Option<String>,
}

/// An error of the API is an object, one of OAuth (RFC 6749) a word.
#[derive(Deserialize)]
struct Body {
    error: Field,
    error_description: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Field {
    Api {
        code: Option<String>,
        #[serde(rename = "type")]
        error_type: Option<String>,
        message: Option<String>,
    },
    OAuth(String),
}

impl StripeError {
    pub(super) fn unreachable() -> Self {
        let kind = StripeErrorKind::Unreachable;
        Self { kind, status: None, code: None, message: String::new(), request_id: None }
    }

    pub(super) fn unreadable(status: StatusCode, request_id: Option<String>) -> Self {
        let kind = StripeErrorKind::Unreadable;
        Self { kind, status: Some(status.as_u16()), code: None, message: String::new(), request_id }
    }

    /// Reads the answer to a request that failed.
    pub(super) fn read(
        status: StatusCode,
        request_id: Option<String>,
        body: &[u8],
        secret: &SecretString,
    ) -> Self {
        let (code, message) = match serde_json::from_slice(body) {
            Ok(Body { error: Field::Api { code, error_type, message }, .. }) => {
                (code.or(error_type), message)
            }
            Ok(Body { error: Field::OAuth(code), error_description }) => (Some(code), error_description),
            Err(_) => (None, None),
        };
        let message = message.unwrap_or_default().replace(secret.expose_secret(), REDACTED);
        Self {
            kind: StripeErrorKind::of(status),
            status: Some(status.as_u16()),
            code: code.filter(|code| is_word(code) && !code.contains(secret.expose_secret())),
            message: message.chars().filter(|char| !char.is_control()).take(MESSAGE_CHARS_MAX).collect(),
            request_id,
        }
    }

    /// Whether the platform may not use the account any more: it was disconnected or closed. A key that may not read accounts
    /// at all is refused with the same status, but another code.
    pub fn is_account_gone(&self) -> bool {
        self.kind == StripeErrorKind::Permission && self.code.as_deref() == Some("account_invalid")
    }

    /// Whether OAuth knows no connection between the platform and the account.
    pub(crate) fn is_not_connected(&self) -> bool {
        self.code.as_deref() == Some("invalid_client")
    }

    /// What the caller may read of it. What Stripe writes about the operator's own key is not for tenants.
    pub fn details(&self) -> String {
        let answer = match (self.status, &self.code) {
            (Some(status), Some(code)) => format!(" ({status} {code})"),
            (Some(status), None) => format!(" ({status})"),
            (None, _) => String::new(),
        };
        let is_about_key = matches!(self.kind, StripeErrorKind::Authentication | StripeErrorKind::Permission);
        if self.message.is_empty() || is_about_key {
            return format!("{self}{answer}");
        }
        format!("{self}{answer}: {}", self.message)
    }
}

fn is_word(code: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=CODE_LENGTH_MAX).contains(&code.len()) && code.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> StripeError {
        let status = StatusCode::from_u16(status).unwrap();
        StripeError::read(status, None, body.as_bytes(), &SecretString::from("sk_test_hush"))
    }

    #[test]
    fn both_shapes_of_errors_are_read() {
        let api = read(
            403,
            r#"{"error":{"code":"account_invalid","type":"invalid_request_error","message":"no access"}}"#,
        );
        let oauth = read(400, r#"{"error":"invalid_grant","error_description":"code is used"}"#);
        let fault = read(502, "<html>Bad gateway</html>");

        assert!(api.is_account_gone());
        assert_eq!(api.details(), "Stripe does not permit this (403 account_invalid)");
        assert_eq!(
            (oauth.kind, oauth.code.as_deref()),
            (StripeErrorKind::InvalidRequest, Some("invalid_grant"))
        );
        assert_eq!(oauth.details(), "Stripe refused the request (400 invalid_grant): code is used");
        assert_eq!((fault.kind, fault.details().as_str()), (StripeErrorKind::Api, "Stripe failed (502)"));
    }

    #[test]
    fn a_key_without_the_right_to_read_accounts_does_not_mean_that_one_is_gone() {
        let refused = read(403, r#"{"error":{"code":"more_permissions_required","message":"no"}}"#);

        assert!(!refused.is_account_gone());
    }

    #[test]
    fn an_answer_that_repeats_the_key_does_not_show_it() {
        let refused = read(401, r#"{"error":{"code":"sk_test_hush","message":"Invalid key: sk_test_hush"}}"#);

        assert_eq!(refused.details(), "Stripe does not accept the platform's credentials (401)");
        assert!(!format!("{refused:?}").contains("hush"));
    }
}
