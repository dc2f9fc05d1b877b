//! Who may call which route: one matrix, enforced before any handler runs.

mod matrix;
mod own;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Extensions, HeaderMap, Method, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use usance_app::{
    Cx,
    auth::{Caller, Credential, Identity, authenticate},
    error::{Code, Error, Result},
};
use usance_core::{
    access::{Area, Right, Role},
    ids::RequestId,
};

use crate::{
    HttpState,
    error::{ApiError, ApiResult, no_such_method},
    extract::{credential, request_id},
    rate_limit::{client_address, limit_person},
};

/// How long a body may take to arrive until its sender is looked up again.
const TRUSTED_FOR: Duration = Duration::from_millis(500);

/// A row of the matrix.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Upper case.
    pub method: &'static str,
    /// As in the `OpenAPI` document.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
}

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a credential.
    Open,
    /// Who is listed.
    Granted(Grant),
}

/// The callers of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The least role of a member; none keeps members out.
    pub role: Option<Role>,
    /// Which secret keys may call.
    pub secret_keys: SecretKeys,
    /// Whether publishable keys may.
    pub publishable_keys: bool,
    /// Whether customers may, about themselves.
    pub customers: bool,
    /// In which modes.
    pub modes: Modes,
    /// Whether a member may call who must enrol a second factor first.
    pub enrolling: bool,
}

/// Which secret keys may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretKeys {
    /// None.
    None,
    /// Each.
    Any,
    /// Those with the scope.
    With(Area, Right),
}

/// In which modes a route can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modes {
    /// Live and test.
    Both,
    /// Test.
    Test,
}

/// Every row of the matrix, by path.
pub fn routes() -> &'static [Route] {
    matrix::ROUTES
}

fn find(method: &Method, path: &str) -> Option<Access> {
    static BY_ROUTE: OnceLock<HashMap<(&str, &str), Access>> = OnceLock::new();
    let by_route: &HashMap<(&str, &str), Access> = BY_ROUTE
        .get_or_init(|| routes().iter().map(|route| ((route.method, route.path), route.access)).collect());
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    by_route.get(&(method, path)).copied()
}

/// Whether a route asks for no credential.
pub(crate) fn is_open(method: &Method, path: &str) -> bool {
    find(method, path) == Some(Access::Open)
}

/// Whether there is such a route.
pub(crate) fn is_served(method: &Method, path: &str) -> bool {
    find(method, path).is_some()
}

/// Finds who calls, and lets in whom the matrix lets in. The handler finds the caller's context among the extensions.
pub(crate) async fn authorize(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    // What has no path has no handler.
    let Some(path) = request.extensions().get::<MatchedPath>() else { return next.run(request).await };
    let access = find(request.method(), path.as_str());
    match access {
        None => no_such_method().await,
        Some(Access::Open) => next.run(request).await,
        Some(Access::Granted(grant)) => {
            enter(&state, &grant, request, next).await.unwrap_or_else(|refused| refused)
        }
    }
}

/// Lets in who is known, not too often here, and granted the route.
async fn enter(
    state: &HttpState,
    grant: &Grant,
    mut request: Request,
    next: Next,
) -> std::result::Result<Response, Response> {
    let presented = present(state, request.headers(), request.extensions());
    let (identity, cx) = identify(state, presented).await.map_err(ApiError::into_response)?;
    let set_headers = limit_person(state, &mut request, &identity.caller).await?;
    let (mut parts, body) = request.into_parts();
    let admitted = match grant.check(&identity) {
        Ok(()) => own::require(&cx, &mut parts, state).await,
        Err(error) => Err(error),
    };
    let mut response = match admitted {
        Ok(()) => {
            parts.extensions.insert(cx);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(error) => ApiError::from(error).into_response(),
    };
    set_headers(&mut response);
    Ok(response)
}

/// What a request says of its caller.
struct Presented {
    credential: ApiResult<Credential>,
    address: Option<IpAddr>,
    request_id: RequestId,
}

fn present(state: &HttpState, headers: &HeaderMap, extensions: &Extensions) -> Presented {
    Presented {
        credential: credential(headers),
        address: client_address(state, extensions, headers),
        request_id: request_id(state, extensions),
    }
}

/// Asks again who calls if the body took long since it began: what the caller may do can have changed meanwhile.
/// The handler finds the new context among the extensions.
pub(crate) async fn readmit(state: &HttpState, parts: &mut Parts, began: Instant) -> ApiResult<()> {
    if began.elapsed() < TRUSTED_FOR {
        return Ok(());
    }
    let path = parts.extensions.get::<MatchedPath>();
    let access = path.and_then(|path| find(&parts.method, path.as_str()));
    if let Some(Access::Granted(grant)) = access {
        let (identity, cx) = identify(state, present(state, &parts.headers, &parts.extensions)).await?;
        grant.check(&identity)?;
        parts.extensions.insert(cx);
    }
    Ok(())
}

async fn identify(state: &HttpState, presented: Presented) -> ApiResult<(Identity, Cx)> {
    let Presented { credential, address, request_id } = presented;
    let identity = authenticate(&state.app, credential?).await?;
    let cx = Cx {
        app: state.app.clone(),
        scope: identity.scope,
        caller: Some(identity.caller.clone()),
        now: state.app.now(),
        request_id,
        address,
    };
    Ok((identity, cx))
}

impl Grant {
    fn check(self, identity: &Identity) -> Result<()> {
        if identity.must_enrol && !self.enrolling {
            let detail = "your tenant wants a second factor: enrol one with POST /auth/tenants/totp";
            return Err(Error::refused(Code::SecondFactorEnrolmentRequired, detail));
        }
        match &identity.caller {
            Caller::SecretKey(_, scopes) => match self.secret_keys {
                SecretKeys::Any => {}
                SecretKeys::With(area, right) if scopes.allows(area, right) => {}
                SecretKeys::With(area, right) => {
                    let detail = format!("the key needs the scope {}:{}", area.as_str(), right.as_str());
                    return Err(Error::refused(Code::Forbidden, detail));
                }
                SecretKeys::None => {
                    let detail = "a key cannot do this: sign in as a member and send the access token";
                    return Err(Error::refused(Code::Forbidden, detail));
                }
            },
            Caller::PublishableKey(_) if self.publishable_keys => {}
            Caller::PublishableKey(_) => {
                let detail = "a publishable key cannot do this: use a secret key, and only on a server";
                return Err(Error::refused(Code::Forbidden, detail));
            }
            Caller::Member(member) => match self.role {
                Some(least) if member.role >= least => {}
                Some(least) => {
                    let detail = format!("this needs the role {} or a greater one", least.as_str());
                    return Err(Error::refused(Code::Forbidden, detail));
                }
                None => {
                    let detail = "this is about the key that is sent: send a key instead of an access token";
                    return Err(Error::refused(Code::Forbidden, detail));
                }
            },
            Caller::Customer(_) if self.customers => {}
            Caller::Customer(_) => {
                let detail = "a customer's token cannot do this: it shows what is the customer's own";
                return Err(Error::refused(Code::Forbidden, detail));
            }
        }
        if identity.scope.livemode && self.modes == Modes::Test {
            return Err(Error::refused(Code::TestModeOnly, "live mode has no test clock: use a test key"));
        }
        Ok(())
    }
}
