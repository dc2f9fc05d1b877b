//! A client of the HTTP API, for commands that do what everyone could do with curl.

use std::{error::Error as _, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any request of these commands may take on the server.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(15);
/// The part of an answer that is no problem document which an error repeats.
const ANSWER_CHARS_SHOWN: usize = 200;

/// A server, and the key to it if there is one already.
#[derive(Debug, Clone)]
pub(super) struct Api {
    client: Client,
    base_url: String,
    key: Option<SecretString>,
}

/// What the server says about a refusal (RFC 9457).
#[derive(Debug, Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Api {
    /// A client without a key; `base_url` is what stands before `/api/v1`.
    pub(super) fn new(base_url: &str) -> anyhow::Result<Self> {
        // No proxy stands between this machine and its own server.
        let is_local = ["http://127.", "http://localhost", "http://[::1]"]
            .iter()
            .any(|start| base_url.starts_with(start));
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirected request would carry its key to another server.
            .redirect(redirect::Policy::none());
        let builder = if is_local { builder.no_proxy() } else { builder };
        let client = builder.build().context("the HTTP client cannot be made")?;
        Ok(Self { client, base_url: base_url.trim_end_matches('/').to_owned(), key: None })
    }

    /// The same client with a key.
    pub(super) fn with_key(self, key: SecretString) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Asks for what is at a path behind `/api/v1/`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.send(Method::GET, path, None).await
    }

    /// Creates or starts something.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Sets something.
    pub(super) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        self.send(Method::PUT, path, Some(body)).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<T> {
        let request = format!("{method} /api/v1/{path}");
        let mut sending = self.client.request(method, format!("{}/api/v1/{path}", self.base_url));
        if let Some(key) = &self.key {
            sending = sending.bearer_auth(key.expose_secret());
        }
        if let Some(body) = body {
            sending = sending.json(body);
        }
        let response = sending.send().await.map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            anyhow::anyhow!("{} cannot be reached{cause}", self.base_url).context(request.clone())
        })?;
        let status = response.status();
        let text = response.text().await.with_context(|| request.clone())?;
        if status.is_success() {
            return serde_json::from_str(&text)
                .with_context(|| format!("{request}: the answer is not understood"));
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(Problem { code, detail }) => bail!("{request}: {status}, {code}: {detail}"),
            Err(_) => {
                bail!("{request}: {status} {}", text.chars().take(ANSWER_CHARS_SHOWN).collect::<String>())
            }
        }
    }
}
