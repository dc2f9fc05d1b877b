//! Who may do what: the roles of members, the scopes of API keys, what becomes of a refresh token that is presented, and the
//! second factor of a sign-in.

mod refresh;
mod scopes;
mod second_factor;

pub use refresh::{PresentedToken, REISSUE_GRACE, RefreshDecision, Successor, decide_refresh};
pub use scopes::{Area, InvalidScope, KeyScopes, Right};
pub use second_factor::{InvalidTotpSecret, PresentedCode, TotpSecret, recovery_code};

/// What a member is in its tenant. The order is the rule: a greater role may do whatever a lesser one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees what is sold, used and billed.
    Viewer,
    /// Changes the catalogue, customers, subscriptions and usage.
    Developer,
    /// Moves money, changes settings, and sees keys and the audit log.
    Admin,
    /// Makes and revokes keys.
    Owner,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Developer, Self::Admin, Self::Owner];

    /// The word in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Developer => "developer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

#[cfg(test)]
mod tests;
