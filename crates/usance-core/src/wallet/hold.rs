//! Holds: an amount that is reserved before work, of which what was used is taken afterwards.

use jiff::Timestamp;
use thiserror::Error;

/// Where a hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldStatus {
    /// It reserves its amount.
    Open,
    /// A part or all of it was taken; the rest is free again.
    Settled,
    /// It was given up.
    Released,
    /// Its time ran out.
    Expired,
}

impl HoldStatus {
    /// Reads the word of [`HoldStatus::as_str`].
    pub fn parse(word: &str) -> Option<Self> {
        let statuses = [Self::Open, Self::Settled, Self::Released, Self::Expired];
        statuses.into_iter().find(|status| status.as_str() == word)
    }

    /// The word of the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// An amount that is reserved: minor units of a wallet, or a quantity of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold<Amount> {
    /// What is reserved.
    pub amount: Amount,
    /// Where it stands.
    pub status: HoldStatus,
    /// What was taken of it.
    pub settled: Amount,
    /// When it was made.
    pub created_at: Timestamp,
    /// The first instant at which it reserves nothing any more.
    pub expires_at: Timestamp,
}

/// What can be asked of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldCommand<Amount> {
    /// Take an amount and free the rest; zero frees all.
    Settle(Amount),
    /// Free all.
    Release,
    /// Reserve until a later time.
    Extend(Timestamp),
}

/// Why a hold refuses a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HoldError<Amount> {
    /// It was resolved before, or its time is over.
    #[error("the hold is {}", .0.as_str())]
    NotOpen(HoldStatus),
    /// More is to be taken than it holds.
    #[error("the hold is of {held}")]
    AboveHeld {
        /// What it holds.
        held: Amount,
    },
}

impl<Amount: Copy + PartialOrd> Hold<Amount> {
    /// Where it stands at a time: one whose time is over is expired, whether anybody has looked or not.
    pub fn status_at(&self, now: Timestamp) -> HoldStatus {
        if self.status == HoldStatus::Open && self.expires_at <= now {
            HoldStatus::Expired
        } else {
            self.status
        }
    }

    /// The hold after a command. An extension never shortens it.
    pub fn apply(&self, command: HoldCommand<Amount>, now: Timestamp) -> Result<Self, HoldError<Amount>> {
        match self.status_at(now) {
            HoldStatus::Open => {}
            resolved @ (HoldStatus::Settled | HoldStatus::Released | HoldStatus::Expired) => {
                return Err(HoldError::NotOpen(resolved));
            }
        }
        match command {
            HoldCommand::Settle(amount) if amount > self.amount => {
                Err(HoldError::AboveHeld { held: self.amount })
            }
            HoldCommand::Settle(settled) => Ok(Self { status: HoldStatus::Settled, settled, ..*self }),
            HoldCommand::Release => Ok(Self { status: HoldStatus::Released, ..*self }),
            HoldCommand::Extend(until) => Ok(Self { expires_at: self.expires_at.max(until), ..*self }),
        }
    }
}
