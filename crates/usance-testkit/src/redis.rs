//! A Redis of its own for one test, on a free port of loopback.

use std::{io, net::TcpListener, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::TempDir;

const STARTS_MAX: usize = 5;
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
        for _ in 0..STARTS_MAX {
            match Self::start_once().await {
                Ok(Some(server)) => return Some(server),
                // Somebody took its port.
                Ok(None) => {}
                Err(missing) => {
                    assert!(
                        !is_build_server(),
                        "redis-server is missing ({missing}): run scripts/install-prerequisites"
                    );
                    eprintln!(
                        "skipped: redis-server is not installed; scripts/install-prerequisites does that"
                    );
                    return None;
                }
            }
        }
        panic!("Redis ended {STARTS_MAX} times instead of starting");
    }

    /// Nothing if it ended instead of starting, an error if there is no such program.
    async fn start_once() -> io::Result<Option<Self>> {
        let dir = TempDir::new("usance-redis").unwrap();
        // It is free until Redis or somebody else takes it.
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
        command.arg("--dir").arg(dir.path()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(READY) {
                return Ok(Some(Self { url: format!("redis://127.0.0.1:{port}"), child, _dir: dir }));
            }
        }
        Ok(None)
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

#[expect(clippy::disallowed_methods, reason = "the environment says whether this is a build server")]
fn is_build_server() -> bool {
    std::env::var("CI").is_ok()
}
