//! The tenant's own profile: what it says of itself on invoices, and its billing policies.

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use usance_app::{Change, Cx, tenant_profiles};
use usance_db::tenant_profiles::TenantProfile;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, Mutation, Texts, change, optional_object, optional_objects},
    wire::ProblemView,
};

/// A number under which a tax authority knows the seller.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaxIdBody {
    /// Such as `eu_vat`.
    #[serde(rename = "type")]
    kind: String,
    /// Such as `DE123456789`.
    value: String,
}

/// What happens when a payment fails; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DunningBody {
    /// Days after the first failed payment on which it is tried again: ascending, 1 to 90, up to 12 of them.
    retry_days: Option<Vec<i32>>,
    /// What happens to the subscription after the last failed payment: `cancel` or `mark_unpaid`.
    final_action: Option<String>,
}

/// What is to change of the profile, in both modes; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"legal_name": "Code Ltd", "address": {"line1": "1 Byte Street", "city": "Bern", "country": "CH"},
    "tax_ids": [{"type": "ch_vat", "value": "CHE-123.456.789 MWST"}], "payment_terms_days": 14,
    "invoice_number_prefix": "CODE", "dunning": {"retry_days": [1, 3, 5, 7], "final_action": "cancel"}}))]
pub(crate) struct UpdateTenant {
    /// The seller's name on invoices.
    legal_name: Option<String>,
    /// Postal address: up to 50 texts of 500 characters each.
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    address: Option<Texts>,
    /// The seller's e-mail address on invoices.
    email: Option<String>,
    /// Up to 10.
    #[serde(default, deserialize_with = "optional_objects")]
    tax_ids: Option<Vec<TaxIdBody>>,
    /// Days from the finalization of an invoice to its due date, 0 to 365.
    payment_terms_days: Option<i32>,
    /// What numbers of invoices begin with from now on: 1 to 12 of `A` to `Z`, `0` to `9` and `-`.
    invoice_number_prefix: Option<String>,
    /// Printed beside the total; up to 2000 characters.
    invoice_terms: Option<String>,
    /// Printed at the foot; up to 2000 characters.
    invoice_footer: Option<String>,
    /// A PNG or JPEG file of up to 256 KiB and 2048 by 2048 pixels, in base64 or as a `data:` address; null removes it.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>)]
    logo: Change<String>,
    /// `#` and six hexadecimal digits; null removes it.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>)]
    brand_color: Change<String>,
    /// Your own domain; null removes it.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>)]
    domain: Change<String>,
    /// Hours that an invoice stays a draft after its period, 0 to 720.
    grace_period_hours: Option<i32>,
    /// What happens to usage that comes after its invoice was finalized.
    late_usage: Option<String>,
    /// The order in which several coupons are taken off.
    coupon_order: Option<String>,
    /// Whether members must have a second factor: who has none may only enrol one. Only owners change it.
    require_second_factor: Option<bool>,
    /// What happens when a payment fails.
    #[serde(default, deserialize_with = "optional_object")]
    dunning: Option<DunningBody>,
}

impl From<UpdateTenant> for tenant_profiles::UpdateTenantProfile {
    fn from(body: UpdateTenant) -> Self {
        let (retry_days, final_action) =
            body.dunning.map_or((None, None), |dunning| (dunning.retry_days, dunning.final_action));
        let tax_ids = body
            .tax_ids
            .map(|tax_ids| tax_ids.into_iter().map(|tax_id| (tax_id.kind, tax_id.value)).collect());
        Self {
            legal_name: body.legal_name,
            address: body.address.map(|texts| texts.0),
            email: body.email,
            tax_ids,
            payment_terms_days: body.payment_terms_days,
            invoice_number_prefix: body.invoice_number_prefix,
            invoice_terms: body.invoice_terms,
            invoice_footer: body.invoice_footer,
            logo: body.logo,
            brand_color: body.brand_color,
            domain: body.domain,
            require_second_factor: body.require_second_factor,
            policies: tenant_profiles::UpdatePolicies {
                grace_period_hours: body.grace_period_hours,
                late_usage: body.late_usage,
                coupon_order: body.coupon_order,
                retry_days,
                final_action,
            },
        }
    }
}

/// What happens when a payment fails.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DunningView {
    retry_days: Vec<i16>,
    final_action: String,
}

/// Where the logo is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogoView {
    media_type: String,
    /// Read it with the same credential.
    url: &'static str,
}

/// The profile of the tenant, the same in both modes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantProfileView {
    id: String,
    legal_name: String,
    #[schema(value_type = BTreeMap<String, String>)]
    address: Value,
    email: String,
    #[schema(value_type = Vec<TaxIdBody>)]
    tax_ids: Value,
    payment_terms_days: i16,
    invoice_number_prefix: String,
    invoice_terms: String,
    invoice_footer: String,
    logo: Option<LogoView>,
    brand_color: Option<String>,
    domain: Option<String>,
    grace_period_hours: i16,
    late_usage: String,
    coupon_order: String,
    dunning: DunningView,
    require_second_factor: bool,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl TenantProfileView {
    fn new(cx: &Cx, profile: TenantProfile) -> Self {
        let logo = |media_type| LogoView { media_type, url: "/api/v1/tenant/logo" };
        Self {
            id: cx.scope.tenant.to_string(),
            legal_name: profile.legal_name,
            address: profile.address,
            email: profile.email,
            tax_ids: profile.tax_ids,
            payment_terms_days: profile.payment_terms_days,
            invoice_number_prefix: profile.invoice_number_prefix,
            invoice_terms: profile.invoice_terms,
            invoice_footer: profile.invoice_footer,
            logo: profile.logo_media_type.map(logo),
            brand_color: profile.brand_color,
            domain: profile.domain,
            grace_period_hours: profile.grace_period_hours,
            late_usage: profile.late_usage,
            coupon_order: profile.coupon_order,
            dunning: DunningView {
                retry_days: profile.dunning_retry_days,
                final_action: profile.dunning_final_action,
            },
            require_second_factor: profile.require_second_factor,
            updated_at: profile.updated_at,
        }
    }
}

/// Get the tenant's profile
#[utoipa::path(get, path = "/tenant", tag = "Tenants", responses(
    (status = 200, description = "The profile", body = TenantProfileView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_tenant(Authorized(cx): Authorized) -> ApiResult<Json<TenantProfileView>> {
    let mut tx = cx.begin().await?;
    let profile = tenant_profiles::get(&mut tx).await?;
    Ok(Json(TenantProfileView::new(&cx, profile)))
}

/// Change the tenant's profile
///
/// It is the same in both modes, and decides invoices that are finalized from now on.
#[utoipa::path(patch, path = "/tenant", tag = "Tenants", request_body = UpdateTenant, responses(
    (status = 200, description = "The profile", body = TenantProfileView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_tenant(request: Mutation<UpdateTenant>) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, |cx, tx, body: UpdateTenant| {
            async move {
                let profile = tenant_profiles::update(cx, tx, body.into()).await?;
                Ok(TenantProfileView::new(cx, profile))
            }
            .boxed()
        })
        .await
}

/// Get the tenant's logo
#[utoipa::path(get, path = "/tenant/logo", tag = "Tenants", responses(
    (status = 200, description = "A PNG or JPEG file", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"))),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_tenant_logo(Authorized(cx): Authorized) -> ApiResult<Response> {
    let mut tx = cx.begin().await?;
    let logo = tenant_profiles::get_logo(&mut tx).await?;
    let headers =
        [(header::CONTENT_TYPE, logo.media_type), (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned())];
    Ok((headers, logo.bytes).into_response())
}
