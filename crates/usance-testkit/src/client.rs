//! A client of the API that shows everything of an answer.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON, or null.
    pub body: Value,
    /// The body as text.
    pub text: String,
    headers: reqwest::header::HeaderMap,
}

impl Reply {
    /// The body, if the status is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// The code of a refusal, if the status is the expected one.
    #[track_caller]
    pub fn expect_code(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        assert!(self.body["request_id"].as_str().is_some_and(|id| id.starts_with("req_")), "{}", self.text);
        self.body
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Speaks to a server with a key, or without.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

impl Client {
    /// A client without a key.
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_mins(1)).no_proxy().build().unwrap();
        Self { http, base: base.to_owned(), key: None }
    }

    /// The same client with a key or an access token.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The key or token that it sends.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or_default()
    }

    /// Where the server is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request under `/api/v1`, or at the root if the path begins with two slashes.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let address = match path.strip_prefix("//") {
            Some(path) => format!("{}/{path}", self.base),
            None => format!("{}/api/v1{path}", self.base),
        };
        let request = self.http.request(method, address);
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        read(request.send().await.unwrap()).await.unwrap()
    }

    /// Sends a request to a server that may die before it has answered.
    pub async fn try_send(&self, request: RequestBuilder) -> Option<Reply> {
        read(request.send().await.ok()?).await.ok()
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// POST with an idempotency key.
    pub async fn post_once(&self, path: &str, key: &str, body: Value) -> Reply {
        self.send(self.request(Method::POST, path).header("idempotency-key", key).json(&body)).await
    }

    /// PUT with a JSON body.
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(&body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(self.request(Method::PATCH, path).json(&body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Registers a tenant and returns the whole answer.
    pub async fn register(&self, name: &str) -> Value {
        let body = json!({ "company_name": name, "email": format!("{name}@example.com"), "password": "correct horse battery" });
        self.post("/auth/tenants/register/", body).await.expect(201)
    }

    /// Registers a tenant and returns a client with its secret test key.
    pub async fn tenant(&self, name: &str) -> Self {
        let registered = self.register(name).await;
        self.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap())
    }

    /// Prepares the tenant to bill by the starter plan from 1 November 2023: clock, two meters fed by one event, plan.
    pub async fn prepare_starter_plan(&self) {
        self.put("/test-clock", json!({ "now": "2023-11-01T00:00:00Z" })).await.expect(200);
        self.post("/meters", json!({ "code": "calls", "event_type": "llm_call", "aggregation": "count" }))
            .await
            .expect(201);
        let tokens = json!({ "code": "tokens", "event_type": "llm_call", "aggregation": "sum", "value_property": "tokens" });
        self.post("/meters", tokens).await.expect(201);
        let prices: Value = serde_json::from_str(crate::STARTER_PRICES).unwrap();
        let plan = json!({ "code": "starter", "name": "Starter", "currency": "USD", "interval": "month", "prices": prices });
        self.post("/plans", plan).await.expect(201);
    }

    /// Adds a customer with 8 % tax who subscribes to the starter plan.
    pub async fn subscribe_to_starter(&self, customer: &str) {
        let body = json!({ "external_id": customer, "name": customer, "currency": "USD", "timezone": "UTC",
            "tax": { "rates": [{ "name": "tax", "percent": "8" }] } });
        self.post("/customers", body).await.expect(201);
        let subscription =
            json!({ "customer": customer, "plan": "starter", "start_at": "2023-11-01T00:00:00Z" });
        self.post("/subscriptions", subscription).await.expect(201);
    }

    /// Moves the tenant's clock.
    pub async fn advance(&self, to: &str) {
        self.post("/test-clock/advance", json!({ "to": to })).await.expect(200);
    }
}

async fn read(response: reqwest::Response) -> reqwest::Result<Reply> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), text, headers })
}
