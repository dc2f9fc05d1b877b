//! A small client of Stripe's API: forms in, JSON out, one version of the API, errors by what can be done about them.
//!
//! It is our own because the one that exists cannot be set to a version of the API, keeps no connection open, and knows no
//! OAuth of Connect.

use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::error::StripeError;
use crate::answers::read_at_most;

/// The version of the API whose shapes are read here. It is sent with every request, so that Stripe's own upgrades change
/// nothing.
const VERSION: &str = "2026-08-26.dahlia";
/// From the search for the address to the last byte of the answer. A request of ours, which makes three calls at most, must
/// be answered within 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;
/// Connections to one host that are kept for the next call.
const IDLE_CONNECTIONS: usize = 4;
const USER_AGENT: &str = concat!("Usance/", env!("CARGO_PKG_VERSION"));

/// Speaks with Stripe as the operator's own account.
#[derive(Debug, Clone)]
pub struct StripeClient {
    http: Client,
    secret_key: SecretString,
    api_base: String,
    connect_base: String,
}

impl StripeClient {
    /// Makes a client that follows no redirects and takes no proxy from the environment: the key goes to Stripe alone. The
    /// bases are addresses without a slash at their end.
    pub fn new(
        secret_key: SecretString,
        api_base: String,
        connect_base: String,
    ) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(USER_AGENT)
            .build()?;
        Ok(Self { http, secret_key, api_base, connect_base })
    }

    /// Where OAuth is, without a slash at its end.
    pub(super) fn connect_base(&self) -> &str {
        &self.connect_base
    }

    /// Reads from the API. The path must not hold what a caller wrote.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, StripeError> {
        self.call(self.http.request(Method::GET, format!("{}{path}", self.api_base))).await
    }

    /// Changes something through the API, once for each idempotency key. A nested field is named with brackets.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        idempotency_key: &str,
        fields: &[(&str, &str)],
    ) -> Result<T, StripeError> {
        let request = self.form(format!("{}{path}", self.api_base), fields);
        self.call(request.header("idempotency-key", idempotency_key)).await
    }

    /// Asks OAuth for something.
    pub(super) async fn post_oauth<T: DeserializeOwned>(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<T, StripeError> {
        self.call(self.form(format!("{}{path}", self.connect_base), fields)).await
    }

    fn form(&self, address: String, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.http
            .request(Method::POST, address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, StripeError> {
        let request = request.bearer_auth(self.secret_key.expose_secret()).header("stripe-version", VERSION);
        let response = request.send().await.map_err(|_| StripeError::unreachable())?;
        let status = response.status();
        let request_id = request_id(&response);
        let body =
            read_at_most(response, RESPONSE_BYTES_MAX).await.map_err(|_| StripeError::unreachable())?;
        let Some(body) = body else {
            return Err(StripeError::unreadable(status, request_id));
        };
        if !status.is_success() {
            return Err(StripeError::read(status, request_id, &body, &self.secret_key));
        }
        serde_json::from_slice(&body).map_err(|_| StripeError::unreadable(status, request_id))
    }
}

fn request_id(response: &Response) -> Option<String> {
    let id = response.headers().get("request-id")?.to_str().ok()?;
    let is_id = id.starts_with("req_") && id.len() <= 64;
    is_id.then(|| id.to_owned())
}
