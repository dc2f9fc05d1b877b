//! The caller of a request. The extractor's type is the permission.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use secrecy::SecretString;
use usance_app::{
    Cx,
    auth::{Caller, Credential, authenticate},
    error::{Code, Error},
};
use usance_core::ids::RequestId;

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
};

/// A caller who may do everything in its tenant and mode: a secret key, or a member of the staff.
#[derive(Debug)]
pub(crate) struct Authorized(pub(crate) Cx);

impl FromRequestParts<HttpState> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> ApiResult<Self> {
        let AnyKey(cx) = AnyKey::from_request_parts(parts, state).await?;
        match cx.caller {
            Some(Caller::SecretKey(_) | Caller::Member(_)) => Ok(Self(cx)),
            Some(Caller::PublishableKey(_)) | None => {
                let detail = "a publishable key cannot do this: use a secret key, and only on a server";
                Err(Error::refused(Code::Forbidden, detail).into())
            }
        }
    }
}

/// A caller with any valid credential, also a publishable key: it may read what a browser may see.
#[derive(Debug)]
pub(crate) struct AnyKey(pub(crate) Cx);

impl FromRequestParts<HttpState> for AnyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> ApiResult<Self> {
        let credential = credential(&parts.headers)?;
        let identity = authenticate(&state.app, credential).await?;
        let request_id = parts.extensions.get::<RequestId>().copied();
        let request_id = request_id.unwrap_or_else(|| RequestId::from_uuid(state.app.ids.next()));
        Ok(Self(Cx {
            app: state.app.clone(),
            scope: identity.scope,
            caller: Some(identity.caller),
            now: state.app.now(),
            request_id,
        }))
    }
}

pub(crate) fn credential(headers: &HeaderMap) -> ApiResult<Credential> {
    let missing =
        || Error::refused(Code::Unauthorized, "send Authorization: Bearer sk_test_… (or X-API-Key)");
    let text_of =
        |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let bearer = text_of("authorization").map(|value| match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
        _ => String::new(),
    });
    let api_key = text_of("x-api-key");
    if let (Some(bearer), Some(api_key)) = (&bearer, &api_key)
        && bearer != api_key
    {
        let detail = "send one credential: Authorization and X-API-Key differ";
        return Err(Error::refused(Code::Unauthorized, detail).into());
    }
    let text = bearer.or(api_key).filter(|text| !text.is_empty()).ok_or_else(missing)?;
    if text.starts_with("sk_") || text.starts_with("pk_") {
        return Ok(Credential::ApiKey(SecretString::from(text)));
    }
    let livemode = match headers.get("usance-mode").map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"test") => false,
        Some(b"live") => true,
        Some(_) => return Err(Error::field("Usance-Mode", "unknown_mode", "must be test or live").into()),
    };
    Ok(Credential::AccessToken { token: SecretString::from(text), livemode })
}
