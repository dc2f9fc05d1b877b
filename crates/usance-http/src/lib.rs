//! The HTTP API: routes, extractors that authorise, wire types, OpenAPI. Rules and SQL live elsewhere.

mod access_headers;
mod api;
mod document;
mod error;
mod extract;
mod hosted;
mod middleware;
mod operations;
mod pages;
pub mod permissions;
mod rate_limit;
mod wire;

use std::time::Duration;

use axum::{Router, middleware::from_fn_with_state, response::Redirect, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tower::Layer;
use tower_http::normalize_path::NormalizePathLayer;
use usance_app::App;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

/// Settings of the HTTP layer.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// How long a request may take before it is answered with 503.
    pub request_timeout: Duration,
    /// Renders `/metrics`; without it the page is empty.
    pub metrics: Option<PrometheusHandle>,
}

/// What handlers are given.
#[derive(Debug, Clone)]
pub(crate) struct HttpState {
    pub(crate) app: App,
    pub(crate) settings: HttpSettings,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Usance",
        description = "Open-source billing: usage event in, price, invoice, payment, entitlement out.\n\n\
            Amounts are `{\"amount_minor\", \"currency\"}`; unit prices and quantities are decimal strings. \
            Errors are `application/problem+json` (RFC 9457) with a stable `code`. \
            Lists are `{\"data\", \"has_more\", \"next_cursor\"}`. \
            Mutating requests take an `Idempotency-Key`; events are identified by their own id."
    ),
    // Its route is that of the invoice itself.
    paths(api::invoice_documents::get_invoice_pdf),
    security(("bearer" = []), ("api_key" = []))
)]
struct Description;

/// Every route of the product, in one list.
fn routes() -> OpenApiRouter<HttpState> {
    let api = OpenApiRouter::new()
        .merge(access())
        .merge(webhooks())
        .merge(stripe_connect())
        .routes(routes!(api::test_clock::get_test_clock, api::test_clock::set_test_clock))
        .routes(routes!(api::test_clock::advance_test_clock))
        .routes(routes!(api::meters::create_meter, api::meters::list_meters))
        .routes(routes!(api::meters::get_meter, api::meters::update_meter, api::meters::archive_meter))
        .routes(routes!(api::features::create_feature, api::features::list_features))
        .routes(routes!(
            api::features::get_feature,
            api::features::update_feature,
            api::features::archive_feature
        ))
        .routes(routes!(api::plans::create_plan, api::plans::list_plans))
        .routes(routes!(api::plans::get_plan, api::plans::update_plan, api::plans::archive_plan))
        .routes(routes!(api::plans::list_plan_versions))
        .routes(routes!(api::customers::create_customer, api::customers::list_customers))
        .routes(routes!(
            api::customers::get_customer,
            api::customers::update_customer,
            api::customers::erase_customer
        ))
        .routes(routes!(
            api::customer_tokens::create_customer_token,
            api::customer_tokens::list_customer_tokens
        ))
        .routes(routes!(api::customer_tokens::revoke_customer_token))
        .routes(routes!(api::customer_tokens::sign_customer_out))
        .routes(routes!(api::invoices::list_customer_invoices))
        .routes(routes!(api::payment_methods::add_payment_method, api::payment_methods::list_payment_methods))
        .routes(routes!(api::payment_methods::remove_payment_method))
        .routes(routes!(api::subscriptions::create_subscription, api::subscriptions::list_subscriptions))
        .routes(routes!(api::subscriptions::get_subscription))
        .routes(routes!(api::subscriptions::change_subscription))
        .routes(routes!(api::subscriptions::cancel_subscription))
        .routes(routes!(api::subscriptions::uncancel_subscription))
        .routes(routes!(api::subscriptions::pause_subscription))
        .routes(routes!(api::subscriptions::resume_subscription))
        .routes(routes!(api::events::ingest_events, api::events::list_events))
        .routes(routes!(api::events::list_unbilled_events))
        .merge(corrections())
        .routes(routes!(api::usage::get_usage))
        .routes(routes!(api::usage::get_customer_usage))
        .routes(routes!(api::invoices::create_invoice, api::invoices::list_invoices))
        .routes(routes!(api::invoices::preview_invoice))
        .routes(routes!(api::invoice_documents::get_invoice))
        .routes(routes!(api::explanations::explain_invoice))
        .routes(routes!(api::invoices::finalize_invoice))
        .routes(routes!(api::invoices::pay_invoice))
        .routes(routes!(api::invoice_documents::send_invoice))
        .routes(routes!(api::invoices::void_invoice))
        .routes(routes!(api::invoices::mark_invoice_uncollectible))
        .routes(routes!(api::payments::list_payments))
        .merge(entitlements())
        .merge(credits())
        .merge(prepaid())
        .merge(commercial_terms())
        .merge(selling());
    OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", api)
        .routes(routes!(api::identity_providers::begin_sign_in))
        .routes(routes!(api::identity_providers::finish_sign_in))
        .routes(routes!(operations::health))
        .routes(routes!(operations::livez))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
        .routes(routes!(operations::key_set))
}

/// Who is let in.
fn access() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::tenants::register_tenant))
        .routes(routes!(api::tenants::sessions::login))
        .routes(routes!(api::tenants::sessions::refresh_tokens))
        .routes(routes!(api::tenants::sessions::logout))
        .routes(routes!(api::tenants::sessions::list_sessions))
        .routes(routes!(api::tenants::sessions::revoke_session))
        .routes(routes!(api::tenants::sessions::get_me))
        .routes(routes!(api::tenants::sessions::change_password))
        .routes(routes!(api::tenants::mailed::verify_email))
        .routes(routes!(api::tenants::mailed::request_email_verification))
        .routes(routes!(api::tenants::mailed::request_password_reset))
        .routes(routes!(api::tenants::mailed::reset_password))
        .routes(routes!(api::tenants::second_factor::begin_totp))
        .routes(routes!(api::tenants::second_factor::confirm_totp))
        .routes(routes!(api::tenants::second_factor::disable_totp))
        .routes(routes!(api::tenants::second_factor::renew_recovery_codes))
        .routes(routes!(api::tenants::keys::verify_key))
        .routes(routes!(api::tenants::keys::get_details))
        .routes(routes!(api::tenants::keys::list_tenant_keys))
        .routes(routes!(api::tenants::keys::regenerate_tenant_keys))
        .routes(routes!(api::tenants::keys::revoke_tenant_keys))
        .routes(routes!(api::api_keys::create_api_key, api::api_keys::list_api_keys))
        .routes(routes!(api::api_keys::revoke_api_key))
        .routes(routes!(api::members::list_members))
        .routes(routes!(api::members::update_member))
        .routes(routes!(api::members::reset_second_factor))
        .routes(routes!(api::members::invite_member, api::members::list_invitations))
        .routes(routes!(api::members::revoke_invitation))
        .routes(routes!(api::members::accept_invitation))
        .routes(routes!(
            api::identity_providers::create_identity_provider,
            api::identity_providers::list_identity_providers
        ))
        .routes(routes!(
            api::identity_providers::update_identity_provider,
            api::identity_providers::remove_identity_provider
        ))
        .routes(routes!(api::audit::list_audit))
        .routes(routes!(api::audit::list_audit_log))
}

/// Who is told of what happens.
fn webhooks() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(
            api::tenants::webhooks::get_webhook_config,
            api::tenants::webhooks::configure_webhook,
            api::tenants::webhooks::remove_webhook_config
        ))
        .routes(routes!(api::tenants::webhooks::test_webhook))
        .routes(routes!(
            api::webhook_endpoints::create_webhook_endpoint,
            api::webhook_endpoints::list_webhook_endpoints
        ))
        .routes(routes!(
            api::webhook_endpoints::get_webhook_endpoint,
            api::webhook_endpoints::update_webhook_endpoint,
            api::webhook_endpoints::delete_webhook_endpoint
        ))
        .routes(routes!(api::webhook_endpoints::rotate_webhook_secret))
        .routes(routes!(api::webhook_endpoints::send_test_webhook))
        .routes(routes!(api::webhook_endpoints::replay_webhook_events))
        .routes(routes!(api::webhook_endpoints::list_webhook_event_types))
        .routes(routes!(api::deliveries::list_deliveries))
        .routes(routes!(api::deliveries::get_delivery))
        .routes(routes!(api::deliveries::replay_delivery))
}

/// Whose account at Stripe takes a tenant's money.
fn stripe_connect() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::tenants::stripe::connect_stripe))
        .routes(routes!(api::tenants::stripe::return_from_stripe))
        .routes(routes!(api::tenants::stripe::get_stripe_status))
        .routes(routes!(
            api::tenants::stripe::disconnect_stripe,
            api::tenants::stripe::post_disconnect_stripe
        ))
        .routes(routes!(api::inbound::take_connect_notice))
}

/// What is said about events afterwards.
fn corrections() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::event_corrections::void_event))
        .routes(routes!(api::event_corrections::amend_event))
        .routes(routes!(
            api::correction_sessions::create_correction_session,
            api::correction_sessions::list_correction_sessions
        ))
        .routes(routes!(api::correction_sessions::get_correction_session))
        .routes(routes!(api::correction_sessions::preview_correction_session))
        .routes(routes!(api::correction_sessions::apply_correction_session))
        .routes(routes!(api::correction_sessions::undo_correction_session))
}

/// What customers may use.
fn entitlements() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::entitlements::check_entitlement))
        .routes(routes!(api::entitlements::consume_entitlement))
        .routes(routes!(api::entitlements::get_customer_access))
        .routes(routes!(
            api::entitlements::list_subscription_entitlements,
            api::entitlements::set_subscription_entitlements
        ))
}

/// What is given back.
fn credits() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::credit_notes::create_credit_note, api::credit_notes::list_credit_notes))
        .routes(routes!(api::credit_notes::get_credit_note))
        .routes(routes!(api::refunds::create_refund))
        .routes(routes!(api::refunds::list_refunds))
        .routes(routes!(api::refunds::get_refund))
        .routes(routes!(api::credit_balances::get_credit_balance))
}

/// What customers pay before they use.
fn prepaid() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::wallets::get_customer_wallet))
        .routes(routes!(api::wallets::get_wallet, api::wallets::update_wallet))
        .routes(routes!(api::wallets::create_grant))
        .routes(routes!(api::wallets::create_debit))
        .routes(routes!(api::wallets::create_top_up))
        .routes(routes!(api::wallets::list_wallet_entries))
        .routes(routes!(api::holds::create_hold))
        .routes(routes!(api::holds::get_hold))
        .routes(routes!(api::holds::settle_hold))
        .routes(routes!(api::holds::extend_hold))
        .routes(routes!(api::holds::release_hold))
}

/// What a tenant sets once for all of its invoices.
fn commercial_terms() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::tenant_profile::get_tenant, api::tenant_profile::update_tenant))
        .routes(routes!(api::tenant_profile::get_tenant_logo))
        .routes(routes!(api::coupons::create_coupon, api::coupons::list_coupons))
        .routes(routes!(api::coupons::get_coupon, api::coupons::update_coupon, api::coupons::archive_coupon))
        .routes(routes!(api::discounts::create_discount, api::discounts::list_discounts))
        .routes(routes!(api::discounts::remove_discount))
        .routes(routes!(api::tax_rates::create_tax_rate, api::tax_rates::list_tax_rates))
        .routes(routes!(
            api::tax_rates::get_tax_rate,
            api::tax_rates::update_tax_rate,
            api::tax_rates::archive_tax_rate
        ))
}

/// What is sold beside plans, and what it would cost.
fn selling() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(api::add_ons::create_add_on, api::add_ons::list_add_ons))
        .routes(routes!(api::add_ons::get_add_on, api::add_ons::update_add_on, api::add_ons::archive_add_on))
        .routes(routes!(api::plan_migrations::migrate_plan))
        .routes(routes!(api::plan_migrations::get_plan_migration))
        .routes(routes!(api::quotes::create_quote))
        .routes(routes!(api::pricing::get_pricing))
        .routes(routes!(api::pricing::get_public_pricing))
}

/// The service of the product. Paths are the same with and without a trailing slash.
pub fn router(app: App, settings: HttpSettings) -> Router {
    router_with(Router::new(), app, settings)
}

/// The service of the product with one route more, `/api/v1/constant`, which tells an authorised caller `ok`: what a
/// benchmark compares other routes with.
pub fn constant_router(app: App, settings: HttpSettings) -> Router {
    let constant = get(async |extract::Authorized(_): extract::Authorized| "ok");
    router_with(Router::new().nest("/api/v1", Router::new().route("/constant", constant)), app, settings)
}

fn router_with(more: Router<HttpState>, app: App, settings: HttpSettings) -> Router {
    let state = HttpState { app, settings };
    let (router, mut openapi) = routes().split_for_parts();
    document::complete(&mut openapi);
    let routed = router
        .merge(more)
        .route("/", get(async || Redirect::temporary("/docs/")))
        .route("/invoices/{token}", get(hosted::invoice))
        .route("/invoices/{token}/pdf", get(hosted::invoice_pdf))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(axum::Extension(operations::Document::new(&openapi)))
        .layer(from_fn_with_state(state.clone(), permissions::authorize))
        .layer(from_fn_with_state(state.clone(), rate_limit::limit))
        .layer(from_fn_with_state(state.clone(), middleware::observe))
        .with_state(state);
    // Its own redirect from /docs to /docs/ must not meet the trimming.
    let docs = SwaggerUi::new("/docs").config(utoipa_swagger_ui::Config::from("/openapi.json"));
    Router::new().merge(docs).fallback_service(NormalizePathLayer::trim_trailing_slash().layer(routed))
}

/// The OpenAPI document, as it is served at `/openapi.json`.
pub fn openapi_json() -> String {
    let mut openapi = routes().into_openapi();
    document::complete(&mut openapi);
    operations::render(&openapi)
}
