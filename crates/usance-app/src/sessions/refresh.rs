//! Renewing a session by its refresh token.

use secrecy::{ExposeSecret, SecretString};
use usance_core::access::{RefreshDecision, decide_refresh};
use usance_db::{
    Scope, TenantTx, members,
    sessions::{self, LockedToken, RevokedReason},
};

use super::{Origin, REFRESH_TOKEN_PREFIX, Tokens, cx_of, issue, of_member};
use crate::{
    App, audit,
    auth::{SignedInMember, keyring::sha256, role_of, tenant_token::tenant_of},
    error::{Code, Error, Result},
};

fn not_valid() -> Error {
    Error::refused(Code::TokenNotValid, "Token is invalid or expired")
}

/// Gives new tokens for a refresh token, which is used up. A token that comes again ends the session, unless its answer may
/// have been lost (`usance_core::access::decide_refresh`).
pub async fn refresh(app: &App, token: &SecretString, origin: Origin) -> Result<Tokens> {
    let now = app.now();
    let tenant = tenant_of(REFRESH_TOKEN_PREFIX, token).ok_or_else(not_valid)?;
    let scope = Scope { tenant, livemode: false };
    let mut tx = app.db.tenant(scope).await?;
    let token_hash = sha256(token.expose_secret().as_bytes());
    let found = sessions::lock_token(&mut tx, &token_hash).await?;
    let found = found.filter(|token| token.is_active).ok_or_else(not_valid)?;
    let decision = decide_refresh(&found.state, now);
    match decision {
        RefreshDecision::Rotate | RefreshDecision::Reissue => {
            let (tokens, successor) = issue(app, &mut tx, found.member, found.session, now).await?;
            if decision == RefreshDecision::Rotate {
                sessions::consume_token(&mut tx, found.id, successor, now).await?;
            } else if !sessions::replace_successor(&mut tx, found.id, successor, now).await? {
                drop(tx);
                let mut tx = app.db.tenant(scope).await?;
                end_family(app, &mut tx, &found, &origin).await?;
                tx.commit().await?;
                return Err(not_valid());
            }
            let expires_at = now.saturating_add(app.session_lifetime).unwrap_or(now);
            sessions::renew(&mut tx, found.session, expires_at, now).await?;
            tx.commit().await?;
            Ok(tokens)
        }
        RefreshDecision::Refuse => Err(not_valid()),
        RefreshDecision::RevokeFamily => {
            end_family(app, &mut tx, &found, &origin).await?;
            tx.commit().await?;
            Err(not_valid())
        }
    }
}

async fn end_family(app: &App, tx: &mut TenantTx, token: &LockedToken, origin: &Origin) -> Result<()> {
    let now = app.now();
    sessions::revoke(tx, token.member, token.session, RevokedReason::TokenReused, now).await?;
    let Some(member) = members::find(tx, token.member).await? else { return Ok(()) };
    let member = SignedInMember { id: member.id, role: role_of(&member.role)?, session: token.session };
    // It is not known who presented the token: the entry has no actor.
    let cx = crate::Cx { caller: None, ..cx_of(app, tx.scope(), member, origin, now) };
    tracing::warn!(session.id = %token.session, "Ended session {}: a refresh token was used twice", token.session);
    audit::record(&cx, tx, of_member("member.token_reused", member, token.session)).await
}
