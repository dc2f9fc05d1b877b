//! Mails to people: written in the transaction of their cause, sent by a worker by the wall clock, at least once and each time
//! with the same `Message-ID`.

mod compose;
mod delivering;
mod files;
mod kinds;
mod letters;
mod outbox;
mod smtp;

use std::{path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use lettre::message::Mailbox;

pub use delivering::run_mailer;
pub use files::FileMailer;
pub use smtp::{SmtpMailer, SmtpServer};

pub(crate) use kinds::MailKind;
pub(crate) use letters::{
    InvoiceFacts, WebhookTrouble, invitation, invoice, password_changed, reset_password, verify_email,
    webhook_trouble,
};
pub(crate) use outbox::{ResetRequest, enqueue, enqueue_reset_request, tell_staff};

pub use compose::Mail;

/// How mails are sent, and as whom.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Whom mails come from, `Usance <usance@localhost>` by default.
    pub from: Mailbox,
    /// The server that takes them; absent if they are written to files.
    pub smtp: Option<SmtpServer>,
    /// Directory of the files; absent for `mail` in the data directory.
    pub dir: Option<PathBuf>,
}

/// Why a mail was not sent. What it says is stored and logged: neither the recipient nor the content is in it.
#[derive(Debug, thiserror::Error)]
pub enum MailFault {
    /// It would be refused again: the recipient or the content is not wanted.
    #[error("refused: {0}")]
    Refused(String),
    /// It may be taken later.
    #[error("{0}")]
    Later(String),
}

/// Takes mails to where people read them.
pub trait Mailer: Send + Sync + std::fmt::Debug {
    /// Sends a mail, as whom the settings say. The same mail may come again.
    fn send<'a>(&'a self, from: &'a Mailbox, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailFault>>;
}

/// Where mails go, and whom they come from.
#[derive(Debug)]
pub struct Mailing {
    from: Mailbox,
    mailer: Arc<dyn Mailer>,
}

impl Mailing {
    /// Puts both together.
    pub fn new(from: Mailbox, mailer: Arc<dyn Mailer>) -> Self {
        Self { from, mailer }
    }

    async fn send(&self, mail: &Mail) -> Result<(), MailFault> {
        self.mailer.send(&self.from, mail).await
    }
}
