//! What the OpenAPI document says of all operations alike, and of the words that a field takes.

use serde_json::Value;
use utoipa::openapi::{
    Content, OpenApi, RefOr, Required, Response, Schema,
    path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, PathItem},
    schema::{ObjectBuilder, Type},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme},
};

const PROBLEM: &str = "#/components/schemas/ProblemView";

/// Why money is given back.
const REASONS: &[&str] = &["duplicate", "fraudulent", "order_change", "product_unsatisfactory", "other"];
/// How long a billing period is.
const INTERVALS: &[&str] = &["day", "week", "month", "quarter", "year"];
const ALIGNMENTS: &[&str] = &["calendar", "anniversary"];
const PRORATIONS: &[&str] = &["day_exclusive_end", "day_inclusive", "second", "none"];
const FIRST_TIER_FLAT: &[&str] = &["charge", "skip"];
const COUPON_ORDERS: &[&str] = &["percent_before_fixed", "as_applied", "pro_rata_on_remaining"];
const LATE_USAGE: &[&str] = &["next_invoice", "credit_note_and_reissue"];
const AGGREGATIONS: &[&str] =
    &["count", "sum", "max", "min", "average", "unique_count", "latest", "weighted_sum"];
const CHARGE_MODELS: &[&str] = &[
    "flat",
    "per_unit",
    "graduated",
    "volume",
    "package",
    "percentage",
    "graduated_percentage",
    "dynamic",
    "seat",
    "curve",
];
/// The words of a schema's field.
const WORDS: [(&str, &str, &[&str]); 33] = [
    ("AddPaymentMethod", "type", &["card", "bank_transfer", "paypal", "wallet"]),
    ("CorrectionBody", "action", &["void", "amend"]),
    ("CreateAddOn", "alignment", ALIGNMENTS),
    ("CreateAddOn", "first_tier_flat", FIRST_TIER_FLAT),
    ("CreateAddOn", "interval", INTERVALS),
    ("CreateAddOn", "proration", PRORATIONS),
    ("CreateCoupon", "duration", &["once", "repeating", "forever"]),
    ("CreateCreditNote", "reason", REASONS),
    ("CreateCreditNote", "settle", &["refund", "balance"]),
    ("CreateMeter", "aggregation", AGGREGATIONS),
    ("CreatePlan", "alignment", ALIGNMENTS),
    ("CreatePlan", "coupon_order", COUPON_ORDERS),
    ("CreatePlan", "first_tier_flat", FIRST_TIER_FLAT),
    ("CreatePlan", "interval", INTERVALS),
    ("CreatePlan", "late_usage", LATE_USAGE),
    ("CreatePlan", "proration", PRORATIONS),
    ("CreateRefund", "reason", REASONS),
    ("DunningBody", "final_action", &["cancel", "mark_unpaid"]),
    ("EntitlementBody", "reset", &["minute", "hour", "day", "month", "period", "never"]),
    ("EntitlementBody", "window", &["fixed", "sliding"]),
    ("PriceBody", "charge_model", CHARGE_MODELS),
    ("PriceBody", "pay", &["advance", "arrears"]),
    ("ResultView", "status", &["accepted", "replayed", "unbilled", "conflict", "rejected"]),
    ("UpdateAddOn", "alignment", ALIGNMENTS),
    ("UpdateAddOn", "first_tier_flat", FIRST_TIER_FLAT),
    ("UpdateAddOn", "interval", INTERVALS),
    ("UpdateAddOn", "proration", PRORATIONS),
    ("UpdatePlan", "alignment", ALIGNMENTS),
    ("UpdatePlan", "first_tier_flat", FIRST_TIER_FLAT),
    ("UpdatePlan", "interval", INTERVALS),
    ("UpdatePlan", "proration", PRORATIONS),
    ("UpdateTenant", "coupon_order", COUPON_ORDERS),
    ("UpdateTenant", "late_usage", LATE_USAGE),
];
/// The words of a query parameter.
const QUERY_WORDS: [(&str, &[&str]); 3] = [
    ("window", &["hour", "day"]),
    ("results", &["all", "failures"]),
    ("reason", &["unknown_meter", "unknown_customer", "no_subscription", "invalid_value"]),
];

/// Routes whose POST and PATCH requests are identified by the ids in them, that may be repeated, or of which nothing may be kept because they
/// carry secrets.
const TAKE_NO_KEY: [&str; 27] = [
    "/api/v1/events",
    "/api/v1/auth/customers/logout",
    "/api/v1/customers/{customer}/tokens",
    "/api/v1/api-keys",
    "/api/v1/identity-providers",
    "/api/v1/identity-providers/{id}",
    "/api/v1/inbound/stripe/connect",
    "/api/v1/members/invitations",
    "/api/v1/auth/tenants/invitations/accept",
    "/api/v1/auth/tenants/register",
    "/api/v1/auth/tenants/login",
    "/api/v1/auth/tenants/token/refresh",
    "/api/v1/auth/tenants/change-password",
    "/api/v1/auth/tenants/verify-email",
    "/api/v1/auth/tenants/password-reset",
    "/api/v1/auth/tenants/password-reset/request",
    "/api/v1/auth/tenants/totp",
    "/api/v1/auth/tenants/totp/confirm",
    "/api/v1/auth/tenants/totp/disable",
    "/api/v1/auth/tenants/totp/recovery-codes",
    "/api/v1/auth/tenants/api-keys/regenerate",
    "/api/v1/auth/tenants/stripe/connect",
    "/api/v1/auth/tenants/webhooks/config",
    "/api/v1/auth/tenants/webhooks/test",
    "/api/v1/webhook-endpoints",
    "/api/v1/webhook-endpoints/{id}/rotate-secret",
    "/api/v1/webhook-endpoints/{id}/test",
];

/// Completes the collected document.
pub(crate) fn complete(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_default();
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("bearer", bearer);
    let api_key = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
    components.add_security_scheme("api_key", api_key);
    for (schema, field, words) in WORDS {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(schema)
            && let Some(field) = object.properties.get_mut(field)
        {
            set_words(field, words);
        }
    }
    for (path, item) in &mut openapi.paths.paths {
        let is_listed = TAKE_NO_KEY.contains(&path.as_str());
        for (method, operation) in operations(item) {
            let is_keyless = matches!(method, HttpMethod::Post | HttpMethod::Patch) && is_listed;
            let takes_key = !matches!(method, HttpMethod::Get) && !is_keyless;
            complete_operation(operation, path.starts_with("/api/v1"), takes_key);
        }
    }
}

/// The operations of a path, and whether each changes something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    let PathItem { get, post, put, patch, delete, .. } = item;
    let all = [
        (HttpMethod::Get, get),
        (HttpMethod::Post, post),
        (HttpMethod::Put, put),
        (HttpMethod::Patch, patch),
        (HttpMethod::Delete, delete),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn complete_operation(operation: &mut Operation, is_api: bool, takes_key: bool) {
    if is_api {
        let unavailable = Response::builder()
            .description("Unavailable, or out of time: send the same request again")
            .content("application/json", Content::new(Some(RefOr::Ref(utoipa::openapi::Ref::new(PROBLEM)))))
            .build();
        let responses = &mut operation.responses.responses;
        responses.entry("503".to_owned()).or_insert_with(|| RefOr::T(unavailable));
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            name_problem(response);
        }
    }
    if takes_key {
        operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some((_, words)) = QUERY_WORDS.iter().find(|(name, _)| *name == parameter.name)
            && let Some(schema) = &mut parameter.schema
        {
            set_words(schema, words);
        }
    }
}

/// Errors have a content type of their own (RFC 9457).
fn name_problem(response: &mut Response) {
    let is_problem = response.content.get("application/json").is_some_and(|content| {
        let RefOr::T(content) = content else { return false };
        matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location == PROBLEM)
    });
    if is_problem && let Some(content) = response.content.shift_remove("application/json") {
        response.content.insert("application/problem+json".to_owned(), content);
    }
}

fn idempotency_key() -> Parameter {
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A request that is repeated with its key is carried out once and answered the same",
        ))
        .schema(Some(text))
        .build()
}

fn set_words(schema: &mut RefOr<Schema>, words: &[&str]) {
    let RefOr::T(Schema::Object(object)) = schema else { return };
    let mut values: Vec<Value> = words.iter().map(|word| Value::from(*word)).collect();
    // A field that may be null says so in its type, and its words must not take that back.
    if matches!(&object.schema_type, utoipa::openapi::schema::SchemaType::Array(types) if types.contains(&Type::Null))
    {
        values.push(Value::Null);
    }
    object.enum_values = Some(values);
}

#[cfg(test)]
mod tests;
