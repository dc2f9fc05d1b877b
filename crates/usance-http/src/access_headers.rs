//! What a tenant's product tells its callers about their limits: headers, and refusals in the members that S3 gives them.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::Value;
use usance_app::{
    entitlements::Checked,
    error::{Code, Refusal},
};
use usance_core::{decimal::decimal_text, entitlement::Reason};

use crate::error::ApiError;

const TIER: HeaderName = HeaderName::from_static("x-tier");
const TIER_STATUS: HeaderName = HeaderName::from_static("x-tier-status");
const USED: HeaderName = HeaderName::from_static("x-api-calls-used");
const LIMIT: HeaderName = HeaderName::from_static("x-api-calls-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-api-calls-remaining");
/// The limit of what nothing limits.
const UNLIMITED: &str = "unlimited";

/// `X-Tier`, `X-Tier-Status`, and of the feature `X-API-Calls-Used`, `-Limit` and `-Remaining`.
pub(crate) fn access_headers(checked: &Checked) -> HeaderMap {
    let decision = &checked.decision;
    let text = |amount: Option<_>| amount.map_or_else(|| UNLIMITED.to_owned(), decimal_text);
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        // A family or code is made of letters, digits and few signs.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(TIER, checked.tier.as_deref().unwrap_or("none"));
    set(TIER_STATUS, checked.tier_status.unwrap_or("none"));
    set(USED, &decimal_text(decision.used));
    set(LIMIT, &text(decision.limit));
    set(REMAINING, &text(decision.remaining));
    headers
}

/// The refusal of a use: 403 `subscription_inactive` or `feature_not_included`, or 429 `rate_limit_exceeded` with the time
/// to wait. Its members are those of a decision, and `error`, `message`, `timestamp`, `tier` and `tier_status`.
pub(crate) fn refused_use(checked: &Checked, reason: Reason) -> Response {
    let mut response = ApiError::from(refusal_of_use(checked, reason)).into_response();
    response.headers_mut().extend(access_headers(checked));
    response
}

/// The same as a refusal, for answers without headers of their own.
pub(crate) fn refusal_of_use(checked: &Checked, reason: Reason) -> Refusal {
    let (code, message) = match reason {
        Reason::SubscriptionInactive => {
            (Code::SubscriptionInactive, "No subscription of the customer is active".to_owned())
        }
        Reason::FeatureNotIncluded => {
            (Code::FeatureNotIncluded, format!("The customer's plan does not include `{}`", checked.feature))
        }
        Reason::LimitReached => (Code::RateLimitExceeded, limit_message(checked)),
    };
    let decision = &checked.decision;
    let amount = |amount: Option<_>| amount.map_or(Value::Null, |amount| decimal_text(amount).into());
    let instant = |at: Option<Timestamp>| at.map_or(Value::Null, |at| at.to_string().into());
    let detail = format!("{message}: see upgrade_url for a greater plan");
    let mut refusal = Refusal::new(code, detail)
        .with("error", code.as_str())
        .with("message", message)
        .with("timestamp", checked.now.to_string())
        .with("allowed", false)
        .with("reason", reason.as_str())
        .with("feature", checked.feature.as_str())
        .with("limit", amount(decision.limit))
        .with("used", decimal_text(decision.used))
        .with("remaining", amount(decision.remaining))
        .with("reset_at", instant(decision.reset_at))
        .with("tier", checked.tier.as_deref().map_or(Value::Null, Value::from))
        .with("tier_status", checked.tier_status.map_or(Value::Null, Value::from))
        .with("upgrade_url", checked.upgrade_url.as_str());
    if !decision.held.is_zero() {
        refusal = refusal.with("held", decimal_text(decision.held));
    }
    if let (Reason::LimitReached, Some(reset_at)) = (reason, decision.reset_at) {
        refusal = refusal.with("retry_after_seconds", seconds_until(reset_at, checked.now));
    }
    refusal
}

fn limit_message(checked: &Checked) -> String {
    let limit = checked.decision.limit.map(decimal_text).unwrap_or_default();
    let until = checked.decision.reset_at.map(|at| format!(" until {at}")).unwrap_or_default();
    format!("API limit reached ({limit} {}){until}", checked.feature)
}

/// Whole seconds, at least one.
pub(crate) fn seconds_until(at: Timestamp, now: Timestamp) -> u64 {
    let micros = at.duration_since(now).as_micros();
    u64::try_from(micros).unwrap_or_default().div_ceil(1_000_000).max(1)
}
