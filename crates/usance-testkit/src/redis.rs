//! A Redis of its own for one test, on a free port of loopback.

use std::{net::TcpListener, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::TempDir;

/// What the server writes when it takes connections.
const READY: &str = "Ready to accept connections";

/// A Redis that runs until it is stopped or dropped.
pub struct RedisServer {
    url: String,
    child: Child,
    _dir: TempDir,
}

impl RedisServer {
    /// Starts a Redis. Where it is not installed the test is skipped with a printed reason; on a build server that is a
    /// failure.
    #[expect(clippy::print_stderr, reason = "the reason of a skipped test is printed")]
    pub async fn start() -> Option<Self> {
        let dir = TempDir::new("usance-redis").unwrap();
        // The port is free for a moment; who takes it meanwhile makes the start fail.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("redis-server");
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        let spawned = command.arg("--dir").arg(dir.path()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let Ok(mut child) = spawned else {
            #[expect(
                clippy::disallowed_methods,
                reason = "the environment says whether this is a build server"
            )]
            let is_required = std::env::var("CI").is_ok();
            assert!(!is_required, "redis-server is missing: run scripts/install-prerequisites");
            eprintln!("skipped: redis-server is not installed; scripts/install-prerequisites does that");
            return None;
        };
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("Redis ended instead of starting");
            if line.contains(READY) {
                break;
            }
        }
        Some(Self { url: format!("redis://127.0.0.1:{port}"), child, _dir: dir })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it at once.
    pub async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}
