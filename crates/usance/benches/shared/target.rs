//! A tenant of a server, and requests in its name.

use crate::connection::{Connection, excerpt};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::timeout;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Where requests go and in whose name.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The server on loopback.
    pub(crate) address: SocketAddr,
    /// The API key; empty before there is a tenant.
    pub(crate) key: String,
}

impl Target {
    /// Registers a tenant, in whose name everything is done from then on.
    pub(crate) async fn register(address: SocketAddr) -> Result<Self> {
        let nobody = Self { address, key: String::new() };
        let registration = json!({ "company_name": "Benchmark", "email": "bench@usance.example",
            "password": "a long enough passphrase 1" });
        let registered = nobody.call("POST", "/api/v1/auth/tenants/register/", &registration).await?;
        let key = registered.pointer("/tenant/api_key_test_secret").and_then(Value::as_str);
        let key = key.context("the registration returned no tenant.api_key_test_secret")?.to_owned();
        Ok(Self { address, key })
    }

    /// Makes one request outside the measurement, expects a success, and returns the answer's JSON.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let request = self.request(method, path, &body.to_string());
        let exchange = async {
            let mut connection = Connection::open(self.address).await?;
            let (status, body) = connection.exchange(&request).await?;
            ensure!((200..300).contains(&status), "{status}: {}", excerpt(body));
            Ok(serde_json::from_slice(body).unwrap_or(Value::Null))
        };
        let reply = timeout(CALL_TIMEOUT, exchange).await.unwrap_or_else(|_| bail!("no answer"));
        reply.with_context(|| format!("{method} {path} was not answered with a success"))
    }

    /// Returns the bytes of a request.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { address, key } = self;
        let authorization =
            if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
        let content = match body.len() {
            0 => String::new(),
            length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
        };
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}{content}\r\n");
        [head.as_bytes(), body.as_bytes()].concat()
    }
}
