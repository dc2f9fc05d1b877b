//! Rotation of refresh tokens: each is used once. One that comes again is stolen, or its answer was lost.
//!
//! RFC 9700, section 4.14.2, asks to revoke the whole family of a token that is used twice. The one exception: for a short
//! time after the first use the answer is made once more, as long as nobody has used what it carried.

use jiff::{SignedDuration, Timestamp};

/// How long after its use a token may be presented once more, because the answer was lost.
pub const REISSUE_GRACE: SignedDuration = SignedDuration::from_secs(30);

/// A refresh token as it is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedToken {
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Whether another token took its place, or its session ended.
    pub revoked: bool,
    /// When it was used.
    pub consumed_at: Option<Timestamp>,
    /// Whether its answer was made a second time already.
    pub reissued: bool,
    /// What the last answer carried.
    pub successor: Option<Successor>,
}

/// The refresh token that was given for another one, with its access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successor {
    /// Whether the refresh token was used.
    pub consumed: bool,
    /// Whether the access token was used.
    pub access_used: bool,
}

/// What becomes of a presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshDecision {
    /// It is used up, and a successor is given.
    Rotate,
    /// Its successor is revoked, and another one is given.
    Reissue,
    /// It is refused; nothing else is known to be wrong.
    Refuse,
    /// It is refused, and its whole family ends: somebody holds a copy.
    RevokeFamily,
}

/// Decides what becomes of a presented token.
pub fn decide_refresh(token: &PresentedToken, now: Timestamp) -> RefreshDecision {
    let Some(consumed_at) = token.consumed_at else {
        // Whoever holds a successor that was replaced is not who asked for the replacement.
        return match (token.revoked, now < token.expires_at) {
            (true, _) => RefreshDecision::RevokeFamily,
            (false, true) => RefreshDecision::Rotate,
            (false, false) => RefreshDecision::Refuse,
        };
    };
    let unused = token.successor.is_some_and(|it| !it.consumed && !it.access_used);
    let soon = now.duration_since(consumed_at) <= REISSUE_GRACE;
    if unused && soon && !token.reissued && !token.revoked && now < token.expires_at {
        RefreshDecision::Reissue
    } else {
        RefreshDecision::RevokeFamily
    }
}
