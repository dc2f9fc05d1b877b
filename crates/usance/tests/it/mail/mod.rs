//! Mails, seen by those who read them.

mod delivering;
mod hostile;
mod kill;
mod limits;
mod others;
mod password_reset;
mod private;
mod sink;
mod verification;

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;
use usance_app::config::Settings;
use usance_testkit::{Client, MovableClock, TestDatabase, TestServer};

use crate::program::DEADLINE;

const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "gravel tulip nine bone";

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// Looks for mails without delay.
fn without_delay(settings: &mut Settings) {
    settings.work_interval = Duration::from_millis(10);
    settings.public_url = Some("https://billing.example.com".to_owned());
}

/// A server that writes mails into files, by a clock that the test moves.
async fn server_by(clock: &MovableClock) -> TestServer {
    TestServer::start_by(clock, TestDatabase::new().await, without_delay).await
}

/// The token in a text, in a line of its own.
fn token(text: &str, prefix: &str) -> String {
    let mut lines = text.lines().map(str::trim);
    let token = lines.find(|line| line.starts_with(prefix));
    token.unwrap_or_else(|| panic!("no token {prefix} in {text}")).to_owned()
}

/// The mails in a directory that are for an address and about something, the oldest first.
fn files(dir: &Path, to: &str, about: &str) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "eml"));
    paths.sort();
    let mails = paths.iter().map(|path| fs::read_to_string(path).unwrap());
    let (to, about) = (format!("To: {to}\r\n"), format!("Subject: {about}"));
    mails.filter(|mail| mail.contains(&to) && mail.contains(&about)).collect()
}

/// Waits until there are so many of them, and no mail is on its way.
async fn mails(server: &TestServer, to: &str, about: &str, count: usize) -> Vec<String> {
    let arriving = async {
        loop {
            let found = files(server.mail_dir(), to, about);
            if found.len() >= count {
                return found;
            }
            server.client.get("//livez").await.expect(200);
        }
    };
    let found = timeout(DEADLINE, arriving).await;
    let found = found.unwrap_or_else(|_| panic!("{count} mails {about:?} to {to} do not arrive"));
    assert_eq!(found.len(), count, "{found:#?}");
    all_ended(&server.client, &server.database).await;
    found
}

/// Waits until no mail is on its way.
async fn all_ended(client: &Client, database: &TestDatabase) {
    let ending = async {
        while database.number_as_superuser("SELECT count(*) FROM mails WHERE status = 'pending'").await > 0 {
            client.get("//livez").await;
        }
    };
    timeout(DEADLINE, ending).await.expect("every mail ends in time");
}

/// Waits until a number is reached.
async fn until(client: &Client, database: &TestDatabase, sql: &str, reached: i64) {
    let reaching = async {
        while database.number_as_superuser(sql).await < reached {
            client.get("//livez").await;
        }
    };
    timeout(DEADLINE, reaching).await.unwrap_or_else(|_| panic!("{sql} stays below {reached}"));
}

async fn ask_reset(client: &Client, email: &str) {
    client.post("/auth/tenants/password-reset/request", json!({ "email": email })).await.expect(202);
}

fn reset(token: &str) -> Value {
    json!({ "token": token, "password": NEW_PASSWORD })
}

/// Invites somebody and accepts with the token of the answer; returns the answer and a client of the new member.
async fn join(server: &TestServer, owner: &Client, email: &str, role: &str) -> (Value, Client) {
    let invitation = json!({ "email": email, "role": role });
    let invitation = owner.post("/members/invitations", invitation).await.expect(201);
    let acceptance = json!({ "token": invitation["token"], "password": PASSWORD });
    let joined = server.client.post("/auth/tenants/invitations/accept", acceptance).await.expect(201);
    let member = server.client.with_key(text(&joined, "/tokens/access"));
    (joined, member)
}
