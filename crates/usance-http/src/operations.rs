//! Pages for those who run the server.

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::sync::Arc;
use usance_app::{error::Code, rate_limits::Standing};
use usance_db::{due_work, health as database};
use utoipa::ToSchema;

use crate::{HttpState, error::refused};

/// The OpenAPI document, rendered once.
#[derive(Debug, Clone)]
pub(crate) struct Document(Arc<str>);

impl Document {
    pub(crate) fn new(openapi: &utoipa::openapi::OpenApi) -> Self {
        Self(render(openapi).into())
    }
}

/// The document as text that is stable from build to build.
pub(crate) fn render(openapi: &utoipa::openapi::OpenApi) -> String {
    let mut text = openapi.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// How the server does.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthView {
    /// `ok` or `degraded`.
    status: &'static str,
    /// Version of the server.
    version: &'static str,
    /// Whether the database answers.
    database: &'static str,
    /// Due work that gave up and waits for a person.
    parked_work: Option<i64>,
}

/// Health in one page
#[utoipa::path(get, path = "/health", tag = "Operations", security(()), responses(
    (status = 200, description = "The server works", body = HealthView),
    (status = 503, description = "The database cannot be reached", body = HealthView),
))]
pub(crate) async fn health(State(state): State<HttpState>) -> Response {
    let parked = match state.app.db.system().await {
        Ok(mut tx) => due_work::count_parked(&mut tx).await.ok(),
        Err(_) => None,
    };
    let (status, word, answer) = match parked {
        Some(0) => (StatusCode::OK, "ok", "ok"),
        Some(_) => (StatusCode::OK, "degraded", "ok"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "degraded", "unreachable"),
    };
    let view = HealthView {
        status: word,
        version: env!("CARGO_PKG_VERSION"),
        database: answer,
        parked_work: parked,
    };
    (status, Json(view)).into_response()
}

/// Whether the process lives
#[utoipa::path(get, path = "/livez", tag = "Operations", security(()), responses((status = 200, description = "It does", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "ok\n"
}

/// Whether requests can be served
#[utoipa::path(get, path = "/readyz", tag = "Operations", security(()), responses(
    (status = 200, description = "They can; the second line says who counts for rate limits", body = String),
    (status = 503, description = "They cannot", body = crate::wire::ProblemView),
))]
pub(crate) async fn readyz(State(state): State<HttpState>) -> Response {
    let ready = match state.app.db.system().await {
        Ok(mut tx) => database::ping(&mut tx).await.is_ok(),
        Err(_) => false,
    };
    if ready {
        format!("ready\n{}\n", rate_limits(state.app.rate_limits.standing())).into_response()
    } else {
        refused(Code::Unavailable, "the database cannot be reached")
    }
}

const fn rate_limits(standing: Standing) -> &'static str {
    match standing {
        Standing::PerInstance => {
            "rate limits are counted per instance: set REDIS_URL where there are several"
        }
        Standing::Shared => "rate limits are counted by Redis for all instances",
        Standing::SharedUnreachable => {
            "rate limits are counted per instance until Redis can be reached again"
        }
    }
}

/// Metrics in the text format of Prometheus
#[utoipa::path(get, path = "/metrics", tag = "Operations", security(()), responses((status = 200, description = "All metrics", body = String)))]
pub(crate) async fn metrics(State(state): State<HttpState>) -> Response {
    let text = state
        .settings
        .metrics
        .as_ref()
        .map(metrics_exporter_prometheus::PrometheusHandle::render)
        .unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// The key that verifies access tokens
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "Operations", security(()), responses((status = 200, description = "A JWK set (RFC 7517)", body = Object)))]
pub(crate) async fn key_set(State(state): State<HttpState>) -> Json<serde_json::Value> {
    Json(state.app.access_tokens.key_set())
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "Operations", security(()), responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi(Extension(document): Extension<Document>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document.0.to_string()).into_response()
}
