//! The private PostgreSQL of `usance serve`, as the operator of a machine meets it.

use std::{fs, time::Duration};

use serde_json::json;
use sqlx::Connection as _;
use tokio::time::{interval, timeout};
use usance_testkit::{Client, SECRET_KEY, TempDir};

use crate::program::{Server, data_dir, finish, postgres_processes, serve, usance};

/// The kernel tells of the end of a stranger's process only to those who ask.
const ASK_PERIOD: Duration = Duration::from_millis(10);
/// PostgreSQL's immediate shutdown takes milliseconds; this is for a busy machine.
const END_TIMEOUT: Duration = Duration::from_secs(20);

fn directory() -> TempDir {
    TempDir::new("usance-managed").unwrap()
}

/// Registers a tenant with a customer, and returns its key.
async fn store_something(server: &Server) -> String {
    let client = Client::new(&server.url).tenant("acme").await;
    let customer = json!({ "external_id": "code", "name": "Code", "currency": "USD" });
    client.post("/customers", customer).await.expect(201);
    client.key().to_owned()
}

async fn check_stored(server: &Server, key: &str) {
    let client = Client::new(&server.url).with_key(key);
    assert_eq!(client.get("/customers/code").await.expect(200)["name"], "Code");
}

#[tokio::test]
async fn an_orderly_stop_leaves_no_process_and_loses_nothing() {
    // given
    let dir = directory();
    let server = Server::start(dir.path()).await;
    assert!(postgres_processes(dir.path()).contains(&server.postmaster()));
    let key = store_something(&server).await;

    // when
    let status = server.process.end_by("TERM").await;

    // then
    assert_eq!(status.code(), Some(0));
    assert_eq!(postgres_processes(dir.path()), Vec::<u32>::new());
    let server = Server::start(dir.path()).await;
    check_stored(&server, &key).await;
    assert_eq!(server.process.end_by("INT").await.code(), Some(0), "Ctrl-C is as good");
    assert_eq!(postgres_processes(dir.path()), Vec::<u32>::new());
}

#[tokio::test]
async fn a_killed_server_takes_postgres_with_it_and_its_data_is_there_afterwards() {
    // given
    let dir = directory();
    let server = Server::start(dir.path()).await;
    let key = store_something(&server).await;
    let mut session = server.database().connect().await;
    session.ping().await.unwrap();
    assert!(!postgres_processes(dir.path()).is_empty());

    // when
    server.process.kill().await;

    // then
    let ended = async {
        let mut asking = interval(ASK_PERIOD);
        while !postgres_processes(dir.path()).is_empty() {
            asking.tick().await;
        }
    };
    timeout(END_TIMEOUT, ended).await.expect("PostgreSQL ends with its server");
    assert!(session.ping().await.is_err(), "a session ends, too");
    let server = Server::start(dir.path()).await;
    check_stored(&server, &key).await;
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused_and_harms_nothing() {
    // given
    let dir = directory();
    let server = Server::start(dir.path()).await;
    let pid = server.process.pid();

    // when
    let second = finish(serve(dir.path())).await.expect(1);

    // then
    let expected = format!("is in use by process {pid}: stop it, or choose another --data-dir");
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    store_something(&server).await;
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn data_of_another_major_version_are_refused_with_both_versions_named() {
    // given
    let dir = directory();
    Server::start(dir.path()).await.process.end_by("TERM").await;
    let path = data_dir(dir.path()).join("postgres/PG_VERSION");
    let version = fs::read_to_string(&path).unwrap();
    fs::write(&path, "9\n").unwrap();

    // when
    let refused = finish(serve(dir.path())).await.expect(1);

    // then
    let expected = format!("was written by PostgreSQL 9, but the programs are PostgreSQL {}", version.trim());
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    fs::write(&path, version).unwrap();
    assert!(Server::start(dir.path()).await.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn the_address_of_no_database_is_an_error_that_keeps_the_password() {
    let dir = directory();
    let mut command = usance(dir.path(), &["serve", "--listen", "127.0.0.1:0"]);
    // Nothing listens on port 1 of a machine that runs these tests.
    command.env("DATABASE_URL", "postgres://usance:hunter2hunter2@127.0.0.1:1/usance");
    command.env("USANCE_SECRET_KEY", SECRET_KEY);

    let failed = finish(command).await.expect(1);

    assert!(failed.stderr.contains("the database is not available"), "{}", failed.stderr);
    assert!(failed.stderr.contains("Connection refused"), "{}", failed.stderr);
    assert!(!failed.stderr.contains("hunter2") && !failed.stderr.contains(SECRET_KEY), "{}", failed.stderr);
    assert_eq!(failed.stdout, "");
}
