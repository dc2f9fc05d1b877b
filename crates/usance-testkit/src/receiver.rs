//! A receiver of webhooks: a server on loopback that keeps what it is sent and answers as a test says.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Mutex, Notify, mpsc},
    task::AbortHandle,
    time::timeout,
};
use tokio_util::task::TaskTracker;

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(90);
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What a receiver was sent.
#[derive(Debug, Clone)]
pub struct Received {
    /// Path and query.
    pub path: String,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came.
    pub body: Bytes,
}

impl Received {
    /// A header as text; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What a receiver answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What it waits for.
    pub gate: Option<Arc<Notify>>,
}

impl Reply {
    /// An empty answer.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), gate: None }
    }

    /// The same, but not before the gate is opened.
    #[must_use]
    pub fn behind(self, gate: &Arc<Notify>) -> Self {
        Self { gate: Some(Arc::clone(gate)), ..self }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a body.
    #[must_use]
    pub fn saying(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::from_u16(self.status).unwrap(), self.body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }
}

type Answering = dyn Fn(&Received) -> Reply + Send + Sync;

#[derive(Clone)]
struct Shared {
    answer: Arc<Answering>,
    received: mpsc::UnboundedSender<Received>,
}

/// A running receiver. Dropping it closes it.
pub struct Receiver {
    address: SocketAddr,
    received: Mutex<mpsc::UnboundedReceiver<Received>>,
    server: AbortHandle,
}

impl Receiver {
    /// Starts a receiver on 127.0.0.1 that accepts everything.
    pub async fn start() -> Self {
        Self::answering(|_| Reply::status(204)).await
    }

    /// Starts a receiver on 127.0.0.1.
    pub async fn answering(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::at([127, 0, 0, 1].into(), answer).await
    }

    /// Starts a receiver on another address of this machine.
    pub async fn at(address: IpAddr, answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, received) = mpsc::unbounded_channel();
        let shared = Shared { answer: Arc::new(answer), received: sender };
        let router = Router::new().fallback(receive).with_state(shared);
        let serve = async move { axum::serve(listener, router).await };
        Self {
            address,
            received: Mutex::new(received),
            server: TaskTracker::new().spawn(serve).abort_handle(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for a webhook.
    pub fn url(&self) -> String {
        format!("http://{}/webhooks", self.address)
    }

    /// Waits for what comes next.
    pub async fn next(&self) -> Received {
        let next = timeout(DEADLINE, async { self.received.lock().await.recv().await }).await;
        next.expect("something comes in time").unwrap()
    }

    /// What has come and was not asked for.
    pub async fn rest(&self) -> Vec<Received> {
        let mut received = self.received.lock().await;
        std::iter::from_fn(|| received.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(shared): State<Shared>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let received = Received { path: parts.uri.to_string(), headers: parts.headers, body };
    let reply = (shared.answer)(&received);
    // Nobody listens any more: the test is over.
    drop(shared.received.send(received));
    if let Some(gate) = &reply.gate {
        gate.notified().await;
    }
    reply
}
