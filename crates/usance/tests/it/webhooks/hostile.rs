//! Receivers that mean harm: each attempt ends in time, memory stays, and others are told without delay.

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::{interval, timeout},
};
use tokio_util::task::TaskTracker;
use usance_testkit::{Client, Receiver, TempDir, TestDatabase};

use super::{add_endpoint, happen, id};
use crate::program::{DEADLINE, Instance};

/// What an attempt may take: 15 seconds, and the noise of a busy machine.
const ATTEMPT_MAX_MS: i64 = 25_000;
/// Somebody must have been given all of it.
const ATTEMPT_MIN_MS: i64 = 14_000;
/// Who waited for an attempt that means harm would wait longer.
const DELAY_MAX: Duration = Duration::from_secs(10);
const GROWTH_MAX_KIB: u64 = 20 * 1024;

/// How a receiver misbehaves.
#[derive(Debug, Clone, Copy)]
enum Vice {
    /// Sends a body without end.
    EndlessBody,
    /// Sends one byte a second.
    Trickle,
    /// Announces and sends 100 MB.
    Huge,
    /// Sends headers without end.
    EndlessHeaders,
    /// Answers bytes that are no text, and NUL.
    Garbage,
    /// Accepts and says nothing, not even what TLS begins with.
    Silence,
    /// Closes the connection in the middle of the answer.
    Reset,
    /// Answers no HTTP.
    Nonsense,
}

const VICES: [Vice; 8] = [
    Vice::EndlessBody,
    Vice::Trickle,
    Vice::Huge,
    Vice::EndlessHeaders,
    Vice::Garbage,
    Vice::Silence,
    Vice::Reset,
    Vice::Nonsense,
];

async fn start(vice: Vice) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = TaskTracker::new();
    TaskTracker::new().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // That the other side hangs up is what it should do.
            connections.spawn(async move { drop(misbehave(vice, stream).await) });
        }
    });
    address
}

async fn misbehave(vice: Vice, mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let _: usize = stream.read(&mut request).await?;
    let mut clock = interval(Duration::from_secs(1));
    let filler = vec![b'x'; 65_536];
    match vice {
        Vice::EndlessBody => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"10000\r\n").await?;
                stream.write_all(&filler).await?;
                stream.write_all(b"\r\n").await?;
            }
        }
        Vice::Trickle => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                clock.tick().await;
            }
        }
        Vice::Huge => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 104857600\r\n\r\n").await?;
            for _ in 0..1_600 {
                stream.write_all(&filler).await?;
            }
            Ok(())
        }
        Vice::EndlessHeaders => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                stream.write_all(b"x-more: and more and more and more\r\n").await?;
            }
        }
        Vice::Garbage => {
            stream.write_all(b"HTTP/1.1 500 \xff\xfe\r\ncontent-length: 6\r\n\r\na\0\xff\xfe\0b").await
        }
        Vice::Silence => loop {
            let _: usize = stream.read(&mut request).await?;
            clock.tick().await;
        },
        Vice::Reset => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf").await,
        Vice::Nonsense => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await,
    }
}

/// What a process holds of memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "figures of a run that passed")]
async fn hostile_receivers_end_in_time_and_harm_nobody_else() {
    // given a tenant whose endpoints all mean harm, and one that is well
    let (dir, database) = (TempDir::new("usance-hostile").unwrap(), TestDatabase::new().await);
    let settings = [("USANCE_ALLOWED_NETWORKS", "127.0.0.0/8"), ("USANCE_WORK_INTERVAL_MS", "50")];
    let server = Instance::start(dir.path(), "server", database.url(), &settings).await;
    let hostile = Client::new(&server.url).tenant("hostile").await;
    for vice in VICES {
        let scheme = if matches!(vice, Vice::Silence) { "https" } else { "http" };
        add_endpoint(&hostile, &format!("{scheme}://{}/", start(vice).await), &["meter.created"]).await;
    }
    let well = Client::new(&server.url).tenant("well").await;
    let receiver = Receiver::start().await;
    add_endpoint(&well, &receiver.url(), &["meter.created"]).await;
    happen(&well, "warm").await;
    receiver.next().await;
    let before = resident(server.process.pid());

    // when
    for round in 0..5 {
        happen(&hostile, &format!("calls-{round}")).await;
    }
    let mut slowest = Duration::ZERO;
    for round in 0..50 {
        let asked = Instant::now();
        happen(&well, &format!("calls-{round}")).await;
        receiver.next().await;
        slowest = slowest.max(asked.elapsed());
    }
    let attempted = "SELECT count(DISTINCT delivery_id) FROM webhook_attempts";
    let all_attempted = async { while database.number_as_superuser(attempted).await < 40 + 51 {} };
    timeout(DEADLINE, all_attempted).await.expect("everything is attempted in time");

    // then
    let after = resident(server.process.pid());
    let longest = database.number_as_superuser("SELECT max(duration_us) / 1000 FROM webhook_attempts").await;
    eprintln!(
        "the longest attempt took {longest} ms, memory went from {before} to {after} KiB, the slowest delivery of another tenant took {slowest:?}"
    );
    assert!((ATTEMPT_MIN_MS..=ATTEMPT_MAX_MS).contains(&longest), "{longest} ms");
    assert!(after < before + GROWTH_MAX_KIB, "{before} KiB became {after}");
    assert!(slowest < DELAY_MAX, "{slowest:?}");
    let garbage = database
        .text_as_superuser("SELECT response FROM webhook_attempts WHERE status_code = 500 LIMIT 1")
        .await;
    assert_eq!(garbage, "a\u{fffd}\u{fffd}b");
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn a_test_that_is_not_answered_is_given_up_after_ten_seconds() {
    // given
    let server = usance_testkit::TestServer::start_with(super::calls_loopback).await;
    let client = server.client.tenant("acme").await;
    let endpoint = add_endpoint(&client, &format!("http://{}/", start(Vice::Silence).await), &[]).await;

    // when
    let asked = Instant::now();
    let refused = client.post(&format!("/webhook-endpoints/{}/test", id(&endpoint)), json!({})).await;

    // then
    let refused = refused.expect_code(408, "webhook_timeout");
    assert_eq!(refused["detail"], "no answer within 10 seconds");
    assert!(asked.elapsed() >= Duration::from_secs(10));
    server.stop().await;
}
