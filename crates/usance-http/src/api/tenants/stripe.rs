//! The tenant's account at Stripe, in the shapes that clients of the routes under `/auth/tenants` know.

use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode},
    response::Response,
};
use futures_util::FutureExt;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use usance_app::{
    error::{Code, Error},
    stripe::{Account, Requirements},
    stripe_connect::{self, Begun, Connected, Return},
};
use usance_core::connect::ConnectStatus;
use utoipa::{IntoParams, ToSchema};

use super::{TenantView, reveal};
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, Mutation, NoBody, Query, Visitor, as_bad_request},
    wire::ProblemView,
};

/// A way to Stripe that has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeConnectView {
    /// The page of Stripe that the owner's browser goes to.
    url: String,
    /// Comes back to the callback; valid once, and for ten minutes.
    state: String,
    /// Where the browser comes back to.
    redirect_uri: String,
}

impl From<Begun> for StripeConnectView {
    fn from(begun: Begun) -> Self {
        Self { url: begun.url, state: reveal(&begun.state), redirect_uri: begun.redirect_uri }
    }
}

/// Begin to connect a Stripe account
///
/// Send the owner's browser to `url`. The answer's state is a credential that is not kept, so the route takes no
/// `Idempotency-Key`.
#[utoipa::path(post, path = "/auth/tenants/stripe/connect", tag = "Stripe Connect", responses(
    (status = 200, description = "Where to go", body = StripeConnectView),
    (status = 400, description = "An account is connected", body = ProblemView),
    (status = 500, description = "Stripe did not do what was asked", body = ProblemView),
    (status = 503, description = "The server is not configured for Stripe", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn connect_stripe(request: Mutation<NoBody>) -> ApiResult<Json<StripeConnectView>> {
    let (cx, NoBody {}) = request.into_parts();
    Ok(Json(stripe_connect::begin(&cx).await?.into()))
}

/// What Stripe sends with the browser.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StripeReturnQuery {
    /// The state of the beginning.
    #[param(value_type = Option<String>)]
    state: Option<SecretString>,
    /// Names the account; absent with account links.
    code: Option<String>,
    /// Why there is no account, as a word such as `access_denied`.
    error: Option<String>,
    /// The same as a sentence.
    error_description: Option<String>,
}

impl From<StripeReturnQuery> for Return {
    fn from(query: StripeReturnQuery) -> Self {
        let StripeReturnQuery { state, code, error, error_description } = query;
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Self { state, code: given(code), error: given(error), error_description }
    }
}

/// A tenant with its account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeConnectedView {
    message: &'static str,
    account_id: String,
    tenant: TenantView,
}

/// Return from Stripe
///
/// The state is the credential. It is used up, whatever becomes of it.
#[utoipa::path(get, path = "/auth/tenants/stripe/callback", tag = "Stripe Connect", security(()), params(StripeReturnQuery), responses(
    (status = 200, description = "The account is connected", body = StripeConnectedView),
    (status = 400, description = "The owner refused, the code is missing, or the state has expired", body = ProblemView),
    (status = 403, description = "The state cannot be used", body = ProblemView),
    (status = 409, description = "Another tenant has connected the account", body = ProblemView),
    (status = 500, description = "Stripe did not do what was asked", body = ProblemView),
    (status = 503, description = "The server is not configured for Stripe", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn return_from_stripe(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    method: Method,
    query: ApiResult<Query<StripeReturnQuery>>,
) -> ApiResult<Json<StripeConnectedView>> {
    if method == Method::HEAD {
        // Whoever looks whether the address is there must not use the state up.
        let detail = "a state can be used once, and its answer has a body: send GET";
        return Err(Error::refused(Code::MethodNotAllowed, detail).into());
    }
    let Query(query) = query.map_err(as_bad_request)?;
    let connected = stripe_connect::finish(&state.app, query.into(), origin).await.map_err(as_bad_request)?;
    let Connected { account_id, tenant, livemode, publishable_key } = connected;
    Ok(Json(StripeConnectedView {
        message: "Stripe account connected successfully",
        account_id,
        tenant: TenantView::new(tenant, livemode, publishable_key),
    }))
}

/// The connection to Stripe.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum StripeStatusView {
    /// There is one.
    Connected(Box<StripeAccountView>),
    /// There is none.
    NotConnected(NoStripeAccountView),
}

/// That no account is connected.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NoStripeAccountView {
    /// False.
    connected: bool,
    /// `not_connected`.
    status: &'static str,
    message: &'static str,
}

/// The connected account, as Stripe describes it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeAccountView {
    /// True.
    connected: bool,
    account_id: String,
    /// `active` if the account takes payments and is paid out, else `restricted`.
    status: &'static str,
    charges_enabled: bool,
    payouts_enabled: bool,
    requirements: StripeRequirementsView,
    account_details: StripeAccountDetailsView,
}

/// What Stripe waits for, by Stripe's own names of fields.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeRequirementsView {
    currently_due: Vec<String>,
    eventually_due: Vec<String>,
    past_due: Vec<String>,
    /// Why something is turned off.
    disabled_reason: Option<String>,
}

/// What Stripe knows of an account's owner.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeAccountDetailsView {
    email: Option<String>,
    business_type: Option<String>,
    country: Option<String>,
    default_currency: Option<String>,
    /// Whether the owner has completed Stripe's questions.
    details_submitted: bool,
}

impl StripeAccountView {
    fn new(account: Account, status: ConnectStatus) -> Self {
        let Requirements { currently_due, eventually_due, past_due, disabled_reason } = account.requirements;
        Self {
            connected: true,
            account_id: account.id,
            status: status.as_str(),
            charges_enabled: account.charges_enabled,
            payouts_enabled: account.payouts_enabled,
            requirements: StripeRequirementsView { currently_due, eventually_due, past_due, disabled_reason },
            account_details: StripeAccountDetailsView {
                email: account.email,
                business_type: account.business_type,
                country: account.country,
                default_currency: account.default_currency,
                details_submitted: account.details_submitted,
            },
        }
    }
}

/// Show the connection to Stripe
///
/// Stripe is asked each time. A connection that was ended at Stripe is ended here too.
#[utoipa::path(get, path = "/auth/tenants/stripe/status", tag = "Stripe Connect", responses(
    (status = 200, description = "The connection", body = StripeStatusView),
    (status = 500, description = "Stripe did not do what was asked", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_stripe_status(Authorized(cx): Authorized) -> ApiResult<Json<StripeStatusView>> {
    Ok(Json(match stripe_connect::status(&cx).await? {
        Some((account, status)) => {
            StripeStatusView::Connected(Box::new(StripeAccountView::new(account, status)))
        }
        None => StripeStatusView::NotConnected(NoStripeAccountView {
            connected: false,
            status: "not_connected",
            message: "No Stripe account connected",
        }),
    }))
}

/// That no account is connected any more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StripeDisconnectedView {
    message: &'static str,
    tenant: TenantView,
}

/// Disconnect the Stripe account
///
/// It is disconnected here even if Stripe cannot be reached; the audit log says how it went there.
#[utoipa::path(delete, path = "/auth/tenants/stripe/disconnect", tag = "Stripe Connect", responses(
    (status = 200, description = "Disconnected", body = StripeDisconnectedView),
    (status = 400, description = "No account is connected", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn disconnect_stripe(request: Mutation<NoBody>) -> ApiResult<Response> {
    disconnect(request).await
}

/// Disconnect the Stripe account, as older clients do
///
/// The same as `DELETE`.
#[utoipa::path(post, path = "/auth/tenants/stripe/disconnect", tag = "Stripe Connect", responses(
    (status = 200, description = "Disconnected", body = StripeDisconnectedView),
    (status = 400, description = "No account is connected", body = ProblemView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn post_disconnect_stripe(request: Mutation<NoBody>) -> ApiResult<Response> {
    disconnect(request).await
}

async fn disconnect(request: Mutation<NoBody>) -> ApiResult<Response> {
    request
        .run_in_steps(StatusCode::OK, |cx, NoBody {}| {
            async move {
                let (tenant, publishable_key) = stripe_connect::disconnect(cx).await?;
                Ok(StripeDisconnectedView {
                    message: "Stripe account disconnected successfully",
                    tenant: TenantView::new(tenant, cx.scope.livemode, publishable_key),
                })
            }
            .boxed()
        })
        .await
}
