//! The caller of a request, as the permission matrix let it in.

use std::net::IpAddr;

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, header, request::Parts},
};
use secrecy::SecretString;
use usance_app::{
    Cx,
    auth::Credential,
    customer_tokens::is_customer_token,
    error::{Code, Error},
    sessions::Origin,
};
use usance_core::ids::RequestId;

use crate::{
    HttpState,
    error::{ApiError, ApiResult},
    rate_limit::client_address,
};

/// A caller whom the matrix lets in.
#[derive(Debug)]
pub(crate) struct Authorized(pub(crate) Cx);

impl FromRequestParts<HttpState> for Authorized {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &HttpState) -> ApiResult<Self> {
        let cx = parts.extensions.get::<Cx>().cloned();
        // The matrix lets everybody in where a handler wants to know who calls: nobody gets through.
        cx.map(Self)
            .ok_or_else(|| Error::Internal("the permission matrix knows no caller of this route").into())
    }
}

/// Where a request without a credential comes from.
#[derive(Debug)]
pub(crate) struct Visitor(pub(crate) Origin);

impl FromRequestParts<HttpState> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> ApiResult<Self> {
        let address: Option<IpAddr> = client_address(state, &parts.extensions, &parts.headers);
        let user_agent = parts.headers.get(header::USER_AGENT).map(|it| it.to_str().unwrap_or_default());
        Ok(Self(Origin {
            address,
            user_agent: user_agent.unwrap_or_default().to_owned(),
            request_id: request_id(state, &parts.extensions),
        }))
    }
}

/// The id that the request was given.
pub(crate) fn request_id(state: &HttpState, extensions: &Extensions) -> RequestId {
    extensions.get().copied().unwrap_or_else(|| RequestId::from_uuid(state.app.ids.next()))
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
    if is_customer_token(&text) {
        return Ok(Credential::CustomerToken(SecretString::from(text)));
    }
    let livemode = match headers.get("usance-mode").map(axum::http::HeaderValue::as_bytes) {
        None | Some(b"test") => false,
        Some(b"live") => true,
        Some(_) => return Err(Error::field("Usance-Mode", "unknown_mode", "must be test or live").into()),
    };
    Ok(Credential::AccessToken { token: SecretString::from(text), livemode })
}
