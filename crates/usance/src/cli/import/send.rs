//! Sends a batch until the server has answered for it.

use super::backoff::Backoff;
use super::options::ImportOptions;
use super::progress::Progress;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Request, Response, StatusCode, redirect};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::error::Error as _;
use std::time::Duration;
use tokio::time::Instant;
use url::{Host, Url};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The part of an answer that is no problem document which a message repeats.
const ANSWER_CHARS_SHOWN: usize = 200;

/// Sends to one server with one key.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    retry_for: Duration,
}

/// The server's answer to a batch.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    /// New events.
    pub(super) accepted: u64,
    /// Events that were there before.
    pub(super) replayed: u64,
    /// Events that are kept and not billed yet.
    pub(super) unbilled: u64,
    /// Events whose id is stored with another content.
    pub(super) conflict: u64,
    /// Events that were refused.
    pub(super) rejected: u64,
    /// What was not accepted, in the order of the request.
    #[serde(default)]
    pub(super) results: Vec<EventResult>,
}

/// The outcome of one event.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct EventResult {
    /// The event id that was sent.
    pub(super) id: String,
    /// `unbilled`, `conflict` or `rejected`.
    pub(super) status: String,
    /// A stable word for the cause.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// A sentence about the cause.
    #[serde(default)]
    pub(super) detail: Option<String>,
}

impl EventResult {
    /// Tells whether the event is stored and billed; the server need not list these.
    pub(super) fn stored(&self) -> bool {
        matches!(self.status.as_str(), "accepted" | "replayed")
    }
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The options do not make a request.
    #[error("no request can be made: {0}")]
    Unsendable(String),
    /// The server was not reached, was overloaded or failed, for as long as the retries go on.
    #[error("{server} did not take the events, and retries end after {} s: {cause}", retry_for.as_secs())]
    GaveUp {
        /// The address of the server.
        server: String,
        /// How long it may be tried.
        retry_for: Duration,
        /// The last failure.
        cause: String,
    },
    /// The server answered with a status that another attempt will not change.
    #[error("the server refused the events ({status}): {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What the server says is wrong, with a hint where one helps.
        detail: String,
    },
    /// The answer is not the one of the events route.
    #[error("{0}; is --url the address of a Usance server?")]
    Unreadable(String),
}

/// How one attempt ended when another one may help.
struct Hiccup {
    cause: String,
    retry_after: Option<Duration>,
}

impl Hiccup {
    fn describe(self) -> String {
        match self.retry_after {
            Some(delay) => format!("{} (it asks to wait {} s)", self.cause, delay.as_secs()),
            None => self.cause,
        }
    }
}

enum Attempt {
    Answered(Answer),
    TryAgain(Hiccup),
}

impl Sender {
    /// Prepares the connection; nothing is sent yet.
    pub(super) fn new(options: &ImportOptions) -> Result<Self, SendError> {
        let unsendable = |text: &str| SendError::Unsendable(text.to_owned());
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", options.key.expose_secret()))
            .map_err(|_| unsendable("the API key holds characters that no key has"))?;
        authorization.set_sensitive(true);
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // A redirected POST would lose its body, and the key would go to another server.
            .redirect(redirect::Policy::none());
        if is_loopback(&options.url) {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|err| SendError::Unsendable(root_cause(&err)))?;
        let url = events_url(&options.url)
            .ok_or_else(|| unsendable("--url must start with http:// or https://"))?;
        Ok(Self { client, url, authorization, retry_for: options.retry_for })
    }

    /// Sends a body until there is an answer for all `events` in it; `seed` spreads the retries.
    pub(super) async fn send(
        &self,
        body: String,
        events: u64,
        seed: u64,
        progress: &Progress,
    ) -> Result<Answer, SendError> {
        let request = self.request(body);
        let mut backoff = Backoff::new(seed);
        let mut failing_since = None;
        loop {
            // Cloning shares the body. It fails only for a stream, and the body is a string.
            let request =
                request.try_clone().ok_or_else(|| SendError::Unsendable("the body is a stream".into()))?;
            let hiccup = match self.attempt(request, events).await? {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::TryAgain(hiccup) => hiccup,
            };
            let since = *failing_since.get_or_insert_with(Instant::now);
            let delay = hiccup.retry_after.unwrap_or_else(|| backoff.next_delay());
            if since.elapsed() + delay > self.retry_for {
                return Err(SendError::GaveUp {
                    server: self.url.origin().ascii_serialization(),
                    retry_for: self.retry_for,
                    cause: hiccup.describe(),
                });
            }
            progress.retrying(&hiccup.cause, self.retry_for);
            tokio::time::sleep(delay).await;
        }
    }

    fn request(&self, body: String) -> Request {
        let mut request = Request::new(Method::POST, self.url.clone());
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        request
    }

    async fn attempt(&self, request: Request, events: u64) -> Result<Attempt, SendError> {
        let outcome = match self.client.execute(request).await {
            Ok(response) => read_response(response).await,
            Err(err) => Err(err),
        };
        let (status, retry_after, text) = match outcome {
            Ok(read) => read,
            Err(err) => return Ok(Attempt::TryAgain(Hiccup { cause: root_cause(&err), retry_after: None })),
        };
        match status {
            StatusCode::OK => read_answer(&text, events).map(Attempt::Answered),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Ok(Attempt::TryAgain(Hiccup { cause: refusal(status, &text), retry_after }))
            }
            _ if status.is_server_error() => {
                Ok(Attempt::TryAgain(Hiccup { cause: refusal(status, &text), retry_after }))
            }
            _ => Err(SendError::Refused { status, detail: refusal(status, &text) }),
        }
    }
}

async fn read_response(response: Response) -> Result<(StatusCode, Option<Duration>, String), reqwest::Error> {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    Ok((status, retry_after, response.text().await?))
}

/// The counts must cover the batch: a row without an outcome would be lost in silence.
pub(super) fn read_answer(text: &str, events: u64) -> Result<Answer, SendError> {
    let answer: Answer = serde_json::from_str(text)
        .map_err(|err| SendError::Unreadable(format!("the server's answer cannot be read ({err})")))?;
    let parts = [answer.accepted, answer.replayed, answer.unbilled, answer.conflict, answer.rejected];
    let answered = parts.into_iter().try_fold(0_u64, u64::checked_add);
    if answered != Some(events) {
        let answered = answered.map_or_else(|| "too many".to_owned(), |count| count.to_string());
        return Err(SendError::Unreadable(format!(
            "the server answered for {answered} events and {events} were sent"
        )));
    }
    Ok(answer)
}

/// What the server says is wrong: the `detail` of its problem document, or the beginning of its answer.
pub(super) fn refusal(status: StatusCode, text: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: Option<String>,
        title: Option<String>,
    }
    let problem: Option<Problem> = serde_json::from_str(text).ok();
    let detail = problem.and_then(|problem| problem.detail.or(problem.title)).unwrap_or_else(|| {
        let start: String = text.trim().chars().take(ANSWER_CHARS_SHOWN).collect();
        if start.is_empty() { format!("status {status}") } else { start }
    });
    match status {
        StatusCode::UNAUTHORIZED => format!("{detail} (check --key, or the variable USANCE_API_KEY)"),
        StatusCode::NOT_FOUND => format!("{detail} (is --url the address of a Usance server?)"),
        _ if status.is_redirection() => {
            format!("{detail} (the server lives at another address; change --url)")
        }
        _ => detail,
    }
}

/// The last error of the chain says what happened; the ones above repeat the address.
fn root_cause(err: &reqwest::Error) -> String {
    if err.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = err;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if err.source().is_none() { err.to_string() } else { cause.to_string() }
}

/// The events route under a server address, which may already end in `/api/v1`.
pub(super) fn events_url(base: &Url) -> Option<Url> {
    if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
        return None;
    }
    let path = base.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v1").unwrap_or(path);
    let mut url = base.clone();
    url.set_path(&format!("{path}/api/v1/events"));
    url.set_query(Some("results=failures"));
    url.set_fragment(None);
    Some(url)
}

/// A proxy cannot reach the servers of this machine.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
