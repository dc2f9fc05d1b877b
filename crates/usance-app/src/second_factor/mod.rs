//! The second factor of members: enrolled, confirmed, turned off, and taken from a member who lost it.

mod codes;

pub(crate) use codes::{prove, record_use};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use usance_core::{
    access::{PresentedCode, Role, TotpSecret},
    ids::MemberId,
};
use usance_db::{
    TenantTx,
    members::{self, Member},
    second_factors,
    sessions::{self, RevokedReason},
    tenants,
};

use self::codes::{attempt_of, place};
use crate::{
    Cx,
    audit::{self, Audited},
    auth::role_of,
    error::{Code, Error, Result},
    members::{ProvedPassword, own_role, require_rank},
    sessions::{count_attempt, note_success, signed_in},
};

/// How long an enrolment can be confirmed.
const ENROLMENT: SignedDuration = SignedDuration::from_hours(1);

/// What an authenticator needs. It is shown once.
#[derive(Debug)]
pub struct Enrolment {
    /// In base 32.
    pub secret: SecretString,
    /// The same as an address, for a QR code.
    pub otpauth_url: SecretString,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
}

/// Begins to enrol an authenticator of the caller, or begins anew. Nothing changes until it is confirmed.
pub async fn begin(cx: &Cx, password: SecretString) -> Result<Enrolment> {
    let proved = ProvedPassword::of_caller(cx, "/password", password).await?;
    let secret = TotpSecret::generate(cx.app.random.as_ref());
    let mut tx = cx.begin().await?;
    let member = proved.lock(cx, &mut tx).await?;
    let tenant = tenants::find(&mut tx).await?.ok_or(Error::Internal("the caller's tenant is missing"))?;
    let place = place(&tx, member.id);
    let text = secret.reveal();
    let sealed = cx.app.keyring.seal(
        cx.app.random.as_ref(),
        &place.each_ref().map(String::as_str),
        text.expose_secret(),
    );
    if !second_factors::begin(&mut tx, member.id, &sealed, cx.now).await? {
        return Err(state("the second factor is on: turn it off first"));
    }
    record(cx, &mut tx, "member.second_factor_begun", member.id, None).await?;
    tx.commit().await?;
    let otpauth_url = secret.otpauth_url(&member.email, &tenant.slug);
    Ok(Enrolment { secret: text, otpauth_url, expires_at: end_of(cx.now) })
}

fn end_of(began_at: Timestamp) -> Timestamp {
    began_at.saturating_add(ENROLMENT).unwrap_or(began_at)
}

/// Turns the caller's second factor on by a first code. Its other sessions end, because they were begun without one. Returns
/// recovery codes, which are shown here and never again.
pub async fn confirm(cx: &Cx, code: &SecretString) -> Result<Vec<SecretString>> {
    let mut tx = cx.begin().await?;
    let member = lock_caller(cx, &mut tx).await?;
    let found = second_factors::find(&mut tx, member.id).await?;
    let open = found.filter(|it| it.confirmed_at.is_none() && cx.now < end_of(it.began_at));
    let open = open.ok_or_else(|| state("no enrolment is under way: begin one"))?;
    let attempt = attempt_of(&cx.app, &tx, &member, cx.address);
    let source = count_attempt(&mut tx, &attempt, cx.now).await?;
    let secret = codes::open(&cx.app, &tx, member.id, &open.secret_sealed)?;
    let step = match PresentedCode::read(code.expose_secret()) {
        Some(PresentedCode::Totp(code)) => secret.accept(&code, None, cx.now),
        Some(PresentedCode::Recovery(_)) | None => None,
    };
    let Some(step) = step else {
        tx.commit().await?;
        return Err(wrong_code());
    };
    note_success(&mut tx, &source, &attempt, cx.now).await?;
    second_factors::confirm(&mut tx, member.id, step, cx.now).await?;
    let recovery_codes = codes::replace(cx, &mut tx, member.id).await?;
    let kept = Some(signed_in(cx)?.session);
    let ended =
        sessions::revoke_others(&mut tx, member.id, kept, RevokedReason::MemberChanged, cx.now).await?;
    let after = json!({ "sessions_ended": ended });
    record(cx, &mut tx, "member.second_factor_enabled", member.id, Some(after)).await?;
    tx.commit().await?;
    Ok(recovery_codes)
}

/// Turns the caller's second factor off, or gives up an enrolment, which needs no code.
pub async fn disable(cx: &Cx, password: SecretString, code: Option<&SecretString>) -> Result<()> {
    let proved = ProvedPassword::of_caller(cx, "/password", password).await?;
    let mut tx = cx.begin().await?;
    let member = proved.lock(cx, &mut tx).await?;
    if second_factors::find(&mut tx, member.id).await?.is_none() {
        return Err(is_off());
    }
    if member.second_factor_at.is_some() {
        let code = code.ok_or_else(|| Error::field("/code", "required", "must be given"))?;
        tx = demand(cx, tx, &member, code).await?;
    }
    second_factors::remove(&mut tx, member.id, cx.now).await?;
    record(cx, &mut tx, "member.second_factor_disabled", member.id, None).await?;
    Ok(tx.commit().await?)
}

/// Makes new recovery codes for the caller; the old ones are worth nothing any more.
pub async fn renew_recovery_codes(cx: &Cx, code: &SecretString) -> Result<Vec<SecretString>> {
    let mut tx = cx.begin().await?;
    let member = lock_caller(cx, &mut tx).await?;
    if member.second_factor_at.is_none() {
        return Err(is_off());
    }
    let mut tx = demand(cx, tx, &member, code).await?;
    let recovery_codes = codes::replace(cx, &mut tx, member.id).await?;
    record(cx, &mut tx, "member.recovery_codes_made", member.id, None).await?;
    tx.commit().await?;
    Ok(recovery_codes)
}

/// Takes the second factor from another member of no greater role, who lost it. Its sessions end: whoever found the device may
/// have one. A member without a second factor stays as it is.
pub async fn reset(cx: &Cx, tx: &mut TenantTx, id: &str) -> Result<()> {
    let id: MemberId = id.parse().map_err(|_| Error::not_found("member"))?;
    tenants::lock(tx).await?;
    let own = own_role(cx, tx).await?;
    let member = members::lock(tx, id).await?.ok_or_else(|| Error::not_found("member"))?;
    require_rank(own, Role::Admin.max(role_of(&member.role)?))?;
    if id == signed_in(cx)?.id {
        let detail = "turn your own second factor off with your password and a code";
        return Err(Error::refused(Code::Forbidden, detail));
    }
    if second_factors::find(tx, id).await?.is_none() {
        return Ok(());
    }
    second_factors::remove(tx, id, cx.now).await?;
    let ended = sessions::revoke_others(tx, id, None, RevokedReason::MemberChanged, cx.now).await?;
    record(cx, tx, "member.second_factor_reset", id, Some(json!({ "sessions_ended": ended }))).await
}

/// Takes a code, and goes on in the transaction only if it is right: the attempt is counted also if it is wrong.
pub(crate) async fn demand(
    cx: &Cx,
    mut tx: TenantTx,
    member: &Member,
    code: &SecretString,
) -> Result<TenantTx> {
    let Some(proof) = prove(&cx.app, &mut tx, member, code, cx.address, cx.now).await? else {
        tx.commit().await?;
        return Err(wrong_code());
    };
    record_use(cx, &mut tx, member.id, proof).await?;
    Ok(tx)
}

async fn lock_caller(cx: &Cx, tx: &mut TenantTx) -> Result<Member> {
    let member = members::lock(tx, signed_in(cx)?.id).await?.filter(|it| it.is_active);
    member.ok_or_else(|| Error::refused(Code::Forbidden, "you are no active member any more"))
}

fn state(detail: &'static str) -> Error {
    Error::refused(Code::SecondFactorState, detail)
}

fn is_off() -> Error {
    state("the second factor is off")
}

fn wrong_code() -> Error {
    Error::field("/code", "incorrect", "the code is wrong, too old or used up")
}

async fn record(
    cx: &Cx,
    tx: &mut TenantTx,
    action: &'static str,
    member: MemberId,
    after: Option<serde_json::Value>,
) -> Result<()> {
    let subject_id = member.to_string();
    audit::record(cx, tx, Audited { action, subject_type: "member", subject_id, after, ..Audited::default() })
        .await
}
