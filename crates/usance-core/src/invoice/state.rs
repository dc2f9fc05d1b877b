//! The life of an invoice: which command leads from which status to which.

use thiserror::Error;

/// Where an invoice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvoiceStatus {
    /// Lines may still change; there is no number yet.
    Draft,
    /// Numbered, immutable and due.
    Finalized,
    /// Settled; only credit notes and refunds follow.
    Paid,
    /// Withdrawn; it keeps its number and is never due again.
    Void,
    /// Given up as a bad debt; still payable.
    Uncollectible,
}

/// What can be asked of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvoiceCommand {
    /// Number the invoice and make it due.
    Finalize,
    /// Record that it is settled in full.
    Pay,
    /// Withdraw it.
    Void,
    /// Give it up as a bad debt.
    MarkUncollectible,
}

/// A command that the status does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an invoice that is {} cannot be {}", status.as_str(), command.participle())]
pub struct TransitionError {
    /// The status of the invoice.
    pub status: InvoiceStatus,
    /// The command that was refused.
    pub command: InvoiceCommand,
}

impl InvoiceStatus {
    /// Reads the word of [`InvoiceStatus::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        let statuses = [Self::Draft, Self::Finalized, Self::Paid, Self::Void, Self::Uncollectible];
        statuses.into_iter().find(|status| status.as_str() == text)
    }

    /// Returns the word of the API's and the database's `status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Finalized => "finalized",
            Self::Paid => "paid",
            Self::Void => "void",
            Self::Uncollectible => "uncollectible",
        }
    }

    /// Tells whether the invoice still asks for money.
    pub const fn is_payable(self) -> bool {
        match self {
            Self::Finalized | Self::Uncollectible => true,
            Self::Draft | Self::Paid | Self::Void => false,
        }
    }
}

impl InvoiceCommand {
    const fn participle(self) -> &'static str {
        match self {
            Self::Finalize => "finalized",
            Self::Pay => "paid",
            Self::Void => "voided",
            Self::MarkUncollectible => "marked uncollectible",
        }
    }
}

/// Decides the status after a command; a command whose effect is already there is refused like any other, because
/// replays are recognised by their idempotency key.
pub const fn transition(
    status: InvoiceStatus,
    command: InvoiceCommand,
) -> Result<InvoiceStatus, TransitionError> {
    use InvoiceCommand as Command;
    use InvoiceStatus as Status;

    match (status, command) {
        (Status::Draft, Command::Finalize) => Ok(Status::Finalized),
        (Status::Finalized | Status::Uncollectible, Command::Pay) => Ok(Status::Paid),
        (Status::Finalized | Status::Uncollectible, Command::Void) => Ok(Status::Void),
        (Status::Finalized, Command::MarkUncollectible) => Ok(Status::Uncollectible),
        (Status::Draft, Command::Pay | Command::Void | Command::MarkUncollectible)
        | (Status::Finalized, Command::Finalize)
        | (Status::Uncollectible, Command::Finalize | Command::MarkUncollectible)
        | (
            Status::Paid | Status::Void,
            Command::Finalize | Command::Pay | Command::Void | Command::MarkUncollectible,
        ) => Err(TransitionError { status, command }),
    }
}
