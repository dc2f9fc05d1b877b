//! Why mails are sent, and how many of a kind an address gets.

use jiff::SignedDuration;

/// So many in a window that begins with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MailLimit {
    pub(crate) mails: i32,
    pub(crate) window: SignedDuration,
}

impl MailLimit {
    const fn per_hour(mails: i32) -> Self {
        Self { mails, window: SignedDuration::from_hours(1) }
    }
}

/// Why a mail is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailKind {
    VerifyEmail,
    Invitation,
    /// Somebody asks for a reset: not a mail yet, but what becomes one for each member with the address.
    ResetRequest,
    ResetPassword,
    PasswordChanged,
    Invoice,
    Webhook,
}

impl MailKind {
    const ALL: [Self; 7] = [
        Self::VerifyEmail,
        Self::Invitation,
        Self::ResetRequest,
        Self::ResetPassword,
        Self::PasswordChanged,
        Self::Invoice,
        Self::Webhook,
    ];

    /// The word in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::Invitation => "invitation",
            Self::ResetRequest => "reset_request",
            Self::ResetPassword => "reset_password",
            Self::PasswordChanged => "password_changed",
            Self::Invoice => "invoice",
            Self::Webhook => "webhook",
        }
    }

    /// Reads the word back.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// How many an address gets from all tenants together. Each kind counts for itself, so that nobody keeps one kind away by
    /// causing another.
    ///
    /// Resets are counted as they are asked for, and their window is as long as their tokens live: whoever uses it up for
    /// somebody else leaves a token in the mailbox that works until the next can be asked for.
    pub(crate) const fn limit(self) -> Option<MailLimit> {
        match self {
            Self::VerifyEmail | Self::Invitation => Some(MailLimit::per_hour(5)),
            Self::ResetRequest => Some(MailLimit { mails: 3, window: SignedDuration::from_mins(30) }),
            Self::Invoice => Some(MailLimit::per_hour(20)),
            Self::Webhook => Some(MailLimit::per_hour(10)),
            Self::ResetPassword | Self::PasswordChanged => None,
        }
    }

    /// How many a tenant sends to addresses that it names before an owner has verified one: whoever can register must not get
    /// a server that mails anybody in its operator's name.
    pub(crate) const fn limit_of_unverified(self) -> Option<MailLimit> {
        match self {
            Self::Invitation | Self::Invoice => {
                Some(MailLimit { mails: 20, window: SignedDuration::from_hours(24) })
            }
            Self::VerifyEmail
            | Self::ResetRequest
            | Self::ResetPassword
            | Self::PasswordChanged
            | Self::Webhook => None,
        }
    }
}
