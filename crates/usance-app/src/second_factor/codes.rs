//! Codes: six digits of an authenticator, each accepted once, and recovery codes, each used once.

use std::net::IpAddr;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::{
    access::{PresentedCode, TotpSecret, recovery_code},
    ids::MemberId,
};
use usance_db::{TenantTx, members::Member, second_factors};

use crate::{
    App, Cx,
    error::{Error, Result},
    sessions::{Attempt, count_attempt, note_success},
};

const RECOVERY_CODES: usize = 10;

/// How a second factor was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// By an authenticator.
    Totp,
    /// By a recovery code.
    Recovery,
}

/// The place that a secret is sealed for.
pub(super) fn place(tx: &TenantTx, member: MemberId) -> [String; 3] {
    ["members.totp_secret".to_owned(), tx.scope().tenant.to_string(), member.to_string()]
}

pub(super) fn open(app: &App, tx: &TenantTx, member: MemberId, sealed: &[u8]) -> Result<TotpSecret> {
    let opened = app.keyring.open(&place(tx, member).each_ref().map(String::as_str), sealed);
    let text = opened.map_err(|_| Error::Internal("a sealed secret of an authenticator cannot be opened"))?;
    TotpSecret::parse(text.expose_secret())
        .map_err(|_| Error::Internal("a secret of an authenticator cannot be read"))
}

/// Guesses of codes are counted apart from those of passwords: a right password does not buy more of them.
pub(super) fn attempt_of(app: &App, tx: &TenantTx, member: &Member, address: Option<IpAddr>) -> Attempt {
    Attempt::of_code(app, (tx.scope().tenant, member.id), address)
}

/// Takes a code of a member whose row is locked; `None` is a wrong one. The caller commits in both cases, so that each
/// attempt counts.
pub(crate) async fn prove(
    app: &App,
    tx: &mut TenantTx,
    member: &Member,
    code: &SecretString,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Option<Proof>> {
    let attempt = attempt_of(app, tx, member, address);
    let source = count_attempt(tx, &attempt, now).await?;
    let proof = redeem(app, tx, member.id, code, now).await?;
    if proof.is_some() {
        note_success(tx, &source, &attempt, now).await?;
    }
    Ok(proof)
}

async fn redeem(
    app: &App,
    tx: &mut TenantTx,
    member: MemberId,
    code: &SecretString,
    now: Timestamp,
) -> Result<Option<Proof>> {
    let proof = match PresentedCode::read(code.expose_secret()) {
        Some(PresentedCode::Totp(code)) => {
            let found = second_factors::find(tx, member).await?;
            let found = found.ok_or(Error::Internal("a second factor has no secret"))?;
            let secret = open(app, tx, member, &found.secret_sealed)?;
            let Some(step) = secret.accept(&code, found.last_step, now) else { return Ok(None) };
            second_factors::use_step(tx, member, step).await?.then_some(Proof::Totp)
        }
        Some(PresentedCode::Recovery(code)) => {
            let used = second_factors::use_code(tx, member, &hash(app, member, &code), now).await?;
            used.then_some(Proof::Recovery)
        }
        None => None,
    };
    Ok(proof)
}

/// A recovery code may be used once, which is told.
pub(crate) async fn record_use(cx: &Cx, tx: &mut TenantTx, member: MemberId, proof: Proof) -> Result<()> {
    match proof {
        Proof::Totp => Ok(()),
        Proof::Recovery => {
            let after = json!({ "left": second_factors::codes_left(tx, member).await? });
            super::record(cx, tx, "member.recovery_code_used", member, Some(after)).await
        }
    }
}

/// Makes recovery codes in the place of those that there were.
pub(super) async fn replace(cx: &Cx, tx: &mut TenantTx, member: MemberId) -> Result<Vec<SecretString>> {
    let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code(cx.app.random.as_ref())).collect();
    let hashes: Vec<_> = codes.iter().map(|code| hash(&cx.app, member, &code.replace('-', ""))).collect();
    second_factors::replace_codes(tx, member, &hashes, cx.now).await?;
    Ok(codes.into_iter().map(SecretString::from).collect())
}

/// Keyed, so that nobody who reads the database can try codes out.
fn hash(app: &App, member: MemberId, code: &str) -> Vec<u8> {
    app.keyring.hash("recovery code", &format!("{member} {code}"))
}
