//! The second factor, with codes that `pyotp` computes: an implementation of RFC 6238 that is not ours.

mod enrolling;
mod guessing;
mod recovering;
mod requiring;
mod secrets;
mod signing_in;

use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use usance_core::clock::Clock as _;
use usance_testkit::{Client, MovableClock, Reply, TestDatabase, TestServer};

const PASSWORD: &str = "correct horse battery";
const TOTP: &str = "/auth/tenants/totp";
const CONFIRM: &str = "/auth/tenants/totp/confirm";
const DISABLE: &str = "/auth/tenants/totp/disable";
const RECOVERY_CODES: &str = "/auth/tenants/totp/recovery-codes";
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// Why a test does nothing where there is no Python.
const SKIPPED: &str = "skipped: USANCE_TEST_PYTHON is not set, see scripts/test";

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// The words that a list holds.
fn words(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A server by a clock that stands still, behind a proxy that names the client's address, and a tenant's owner.
struct Scene {
    python: PathBuf,
    clock: MovableClock,
    server: TestServer,
    registered: Value,
    owner: Client,
}

impl Scene {
    /// Nothing, and a word why, where there is no Python.
    #[expect(clippy::print_stderr, reason = "why a test is skipped")]
    async fn new() -> Option<Self> {
        let Some(python) = usance_testkit::python() else {
            eprintln!("{SKIPPED}");
            return None;
        };
        let clock = MovableClock::default();
        let server = TestServer::start_by(&clock, TestDatabase::new().await, |settings| {
            settings.rate_limits.trusted_proxies = 1;
            settings.rate_limits.auth_per_minute = 0;
        })
        .await;
        let registered = server.client.register("acme").await;
        let owner = server.client.with_key(text(&registered, "/tokens/access"));
        Some(Self { python, clock, server, registered, owner })
    }

    /// Turns the second factor of a member on by the code of this moment; returns its secret and the recovery codes.
    async fn enrol(&self, member: &Client, password: &str) -> (String, Vec<String>) {
        let begun = member.post(TOTP, json!({ "password": password })).await.expect(201);
        let secret = text(&begun, "/secret").to_owned();
        let confirmed =
            member.post(CONFIRM, json!({ "code": self.code(&secret, 0).await })).await.expect(200);
        (secret, words(&confirmed["recovery_codes"]))
    }

    /// The code that an authenticator shows so many steps from now.
    async fn code(&self, secret: &str, steps: i64) -> String {
        let at = self.clock.now().as_second() + steps * STEP.as_secs();
        let script = "import sys, pyotp; print(pyotp.TOTP(sys.argv[1]).at(int(sys.argv[2])))";
        run(&self.python, script, &[secret, &at.to_string()]).await
    }

    /// A code that is none of those that are accepted now.
    async fn wrong_code(&self, secret: &str) -> String {
        let mut near = Vec::new();
        for steps in -1..=1 {
            near.push(self.code(secret, steps).await);
        }
        ["000000", "111111", "222222", "333333"]
            .into_iter()
            .find(|it| !near.iter().any(|own| own == it))
            .unwrap()
            .to_owned()
    }

    /// Tries to sign the owner in.
    async fn login(&self, code: Option<&str>) -> Reply {
        self.login_from("127.0.0.1", PASSWORD, code).await
    }

    async fn login_from(&self, address: &str, password: &str, code: Option<&str>) -> Reply {
        login(&self.server, address, "acme@example.com", password, code).await
    }

    /// What the audit log says was done, the oldest first.
    async fn actions(&self, client: &Client) -> Vec<String> {
        let log = client.get("/audit?limit=100").await.expect(200);
        log["data"].as_array().unwrap().iter().rev().map(|entry| text(entry, "/action").to_owned()).collect()
    }
}

async fn login(server: &TestServer, address: &str, email: &str, password: &str, code: Option<&str>) -> Reply {
    let mut body = json!({ "email": email, "password": password });
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    let request =
        server.client.request(Method::POST, "/auth/tenants/login").header("x-forwarded-for", address);
    server.client.send(request.json(&body)).await
}

/// Runs a few lines of Python; returns what they print.
async fn run(python: &Path, script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python).args(["-c", script]).args(arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Adds a member to the tenant; returns the answer and a client.
async fn join(server: &TestServer, owner: &Client, email: &str, role: &str) -> (Value, Client) {
    let invitation =
        owner.post("/members/invitations", json!({ "email": email, "role": role })).await.expect(201);
    let acceptance = json!({ "token": invitation["token"], "password": PASSWORD });
    let joined = server.client.post("/auth/tenants/invitations/accept", acceptance).await.expect(201);
    let member = server.client.with_key(text(&joined, "/tokens/access"));
    (joined, member)
}
