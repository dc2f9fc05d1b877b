//! The second factor of the signed-in member.

use axum::{Json, http::StatusCode};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use usance_app::second_factor::{self, Enrolment};
use utoipa::ToSchema;

use super::{reveal, sessions::MessageView};
use crate::{
    error::ApiResult,
    extract::{Authorized, SecretBody, as_bad_request},
    wire::ProblemView,
};

/// Your password, so that an open session alone enrols nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery"}))]
pub(crate) struct BeginTotpBody {
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// What an authenticator needs. It is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnrolmentView {
    /// 160 bits in base 32, to be typed in.
    secret: String,
    /// The same as an address, to be shown as a QR code.
    otpauth_url: String,
    /// Until when it can be confirmed.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl From<Enrolment> for EnrolmentView {
    fn from(enrolment: Enrolment) -> Self {
        let Enrolment { secret, otpauth_url, expires_at } = enrolment;
        Self { secret: reveal(&secret), otpauth_url: reveal(&otpauth_url), expires_at }
    }
}

/// Begin to enrol an authenticator
///
/// Nothing changes until a first code confirms it. An enrolment that is begun again takes the place of the one before.
#[utoipa::path(post, path = "/auth/tenants/totp", tag = "Members", request_body = BeginTotpBody, responses(
    (status = 201, description = "What the authenticator needs", body = EnrolmentView),
    (status = 400, description = "The password is wrong", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn begin_totp(
    Authorized(cx): Authorized,
    body: SecretBody<BeginTotpBody>,
) -> ApiResult<(StatusCode, Json<EnrolmentView>)> {
    let body = body.read_or_bad_request()?;
    let enrolment = second_factor::begin(&cx, body.password).await.map_err(as_bad_request)?;
    Ok((StatusCode::CREATED, Json(enrolment.into())))
}

/// A code of the authenticator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "287082"}))]
pub(crate) struct TotpCodeBody {
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Codes that each sign in once in place of the authenticator. They are shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecoveryCodesView {
    message: &'static str,
    recovery_codes: Vec<String>,
}

impl RecoveryCodesView {
    fn new(message: &'static str, codes: &[SecretString]) -> Self {
        Self { message, recovery_codes: codes.iter().map(reveal).collect() }
    }
}

/// Turn your second factor on
///
/// From now on you sign in with a code. Your other sessions end. Keep the recovery codes where you find them without the
/// authenticator.
#[utoipa::path(post, path = "/auth/tenants/totp/confirm", tag = "Members", request_body = TotpCodeBody, responses(
    (status = 200, description = "The second factor is on", body = RecoveryCodesView),
    (status = 400, description = "The code is wrong", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn confirm_totp(
    Authorized(cx): Authorized,
    body: SecretBody<TotpCodeBody>,
) -> ApiResult<Json<RecoveryCodesView>> {
    let body = body.read_or_bad_request()?;
    let codes = second_factor::confirm(&cx, &body.code).await.map_err(as_bad_request)?;
    Ok(Json(RecoveryCodesView::new("Second factor enabled", &codes)))
}

/// Your password and a code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery", "code": "287082"}))]
pub(crate) struct DisableTotpBody {
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    /// Of the authenticator, or a recovery code; not needed to give up an enrolment.
    #[schema(value_type = Option<String>, format = Password)]
    code: Option<SecretString>,
}

/// Turn your second factor off
///
/// Or give up an enrolment that is under way. The recovery codes are worth nothing any more.
#[utoipa::path(post, path = "/auth/tenants/totp/disable", tag = "Members", request_body = DisableTotpBody, responses(
    (status = 200, description = "The second factor is off", body = MessageView),
    (status = 400, description = "The password or the code is wrong", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn disable_totp(
    Authorized(cx): Authorized,
    body: SecretBody<DisableTotpBody>,
) -> ApiResult<Json<MessageView>> {
    let DisableTotpBody { password, code } = body.read_or_bad_request()?;
    second_factor::disable(&cx, password, code.as_ref()).await.map_err(as_bad_request)?;
    Ok(Json(MessageView { message: "Second factor disabled" }))
}

/// Make new recovery codes
///
/// The old ones are worth nothing any more.
#[utoipa::path(post, path = "/auth/tenants/totp/recovery-codes", tag = "Members", request_body = TotpCodeBody, responses(
    (status = 200, description = "The new codes", body = RecoveryCodesView),
    (status = 400, description = "The code is wrong", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn renew_recovery_codes(
    Authorized(cx): Authorized,
    body: SecretBody<TotpCodeBody>,
) -> ApiResult<Json<RecoveryCodesView>> {
    let body = body.read_or_bad_request()?;
    let codes = second_factor::renew_recovery_codes(&cx, &body.code).await.map_err(as_bad_request)?;
    Ok(Json(RecoveryCodesView::new("Recovery codes replaced", &codes)))
}
