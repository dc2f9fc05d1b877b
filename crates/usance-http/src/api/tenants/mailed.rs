//! What members do with tokens that they are mailed: they prove their address, and set another password.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use secrecy::SecretString;
use serde::Deserialize;
use usance_app::members;
use utoipa::ToSchema;

use super::sessions::MessageView;
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Mutation, NoBody, SecretBody, Visitor, as_bad_request},
    wire::ProblemView,
};

/// A token that came by mail.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "ve_ten_01h455vb4pex5vsknk084sn02q_4sn02q"}))]
pub(crate) struct VerifyEmailBody {
    #[schema(value_type = String, format = Password)]
    token: SecretString,
}

/// Verify your e-mail address
///
/// By the token that was mailed to it.
#[utoipa::path(post, path = "/auth/tenants/verify-email", tag = "Members", security(()), request_body = VerifyEmailBody, responses(
    (status = 200, description = "Verified", body = MessageView),
    (status = 404, description = "No open verification has this token", body = ProblemView),
))]
pub(crate) async fn verify_email(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    body: SecretBody<VerifyEmailBody>,
) -> ApiResult<Json<MessageView>> {
    let VerifyEmailBody { token } = body.read_or_bad_request()?;
    members::verify_email(&state.app, &token, &origin).await?;
    Ok(Json(MessageView { message: "E-mail address verified" }))
}

/// Ask for another mail to verify your e-mail address
///
/// Five times an hour at most. The tokens of earlier mails stay valid for their 24 hours.
#[utoipa::path(post, path = "/auth/tenants/verify-email/request", tag = "Members", responses(
    (status = 202, description = "A mail is on its way, unless the address is verified already", body = MessageView),
    (status = 429, description = "Too many mails were asked for", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn request_email_verification(request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run(StatusCode::ACCEPTED, |cx, tx, _| {
            async move {
                let is_mailed = members::request_verification(cx, tx).await?;
                let message =
                    if is_mailed { "A mail is on its way" } else { "The e-mail address is verified already" };
                Ok(MessageView { message })
            }
            .boxed()
        })
        .await
}

/// Whose password is to be reset.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "ada@acme.example", "tenant": "acme"}))]
pub(crate) struct RequestPasswordResetBody {
    email: String,
    /// Slug of the tenant; without it each account with the address gets a mail, five at most.
    tenant: Option<String>,
}

/// Ask for a mail to reset a password
///
/// The answer is the same whether or not the address is known. Three requests in half an hour become mails; a newer mail ends
/// the tokens of older ones.
#[utoipa::path(post, path = "/auth/tenants/password-reset/request", tag = "Members", security(()), request_body = RequestPasswordResetBody, responses(
    (status = 202, description = "A mail is on its way if a member has the address", body = MessageView),
    (status = 400, description = "That is no e-mail address", body = ProblemView),
))]
pub(crate) async fn request_password_reset(
    State(state): State<HttpState>,
    body: SecretBody<RequestPasswordResetBody>,
) -> ApiResult<(StatusCode, Json<MessageView>)> {
    let RequestPasswordResetBody { email, tenant } = body.read_or_bad_request()?;
    members::request_reset(&state.app, &email, tenant).await.map_err(as_bad_request)?;
    let message = "If a member has this e-mail address, a mail is on its way";
    Ok((StatusCode::ACCEPTED, Json(MessageView { message })))
}

/// A token that came by mail, and the password that shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "pr_ten_01h455vb4pex5vsknk084sn02q_4sn02q", "password": "gravel tulip nine bone"}))]
pub(crate) struct ResetPasswordBody {
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    /// At least 12 characters; neither digits alone, nor common, nor similar to your own data.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Reset your password
///
/// By a token that was mailed at most 30 minutes ago. All your sessions end.
#[utoipa::path(post, path = "/auth/tenants/password-reset", tag = "Members", security(()), request_body = ResetPasswordBody, responses(
    (status = 200, description = "Reset", body = MessageView),
    (status = 400, description = "The password cannot be accepted", body = ProblemView),
    (status = 404, description = "No open reset has this token", body = ProblemView),
))]
pub(crate) async fn reset_password(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    body: SecretBody<ResetPasswordBody>,
) -> ApiResult<Json<MessageView>> {
    let ResetPasswordBody { token, password } = body.read_or_bad_request()?;
    members::reset_password(&state.app, &token, password, &origin).await.map_err(as_bad_request)?;
    Ok(Json(MessageView { message: "Password reset successfully" }))
}
