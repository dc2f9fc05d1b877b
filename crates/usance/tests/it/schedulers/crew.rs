//! Four servers on one database, each a process.

use std::path::Path;

use usance_testkit::{Client, TempDir, TestDatabase};

use crate::program::{Instance, send_signal};

/// How many servers there are.
pub(super) const SERVERS: usize = 4;
/// Sessions in which one server can wait for work.
pub(super) const WORKERS: i64 = 2;
/// The servers' setting, in milliseconds.
pub(super) const LEASE_MS: u32 = 200;

/// The servers; dropping them kills them.
#[derive(Debug)]
pub(super) struct Crew {
    dir: TempDir,
    database: TestDatabase,
    servers: Vec<Instance>,
}

impl Crew {
    /// Starts all servers, one after the other.
    pub(super) async fn start(database: &TestDatabase) -> Self {
        let dir = TempDir::new("usance-schedulers").unwrap();
        let mut servers = Vec::with_capacity(SERVERS);
        for index in 0..SERVERS {
            servers.push(start(dir.path(), index, database).await);
        }
        Self { dir, database: database.clone(), servers }
    }

    /// A client of one of them, without a key.
    pub(super) fn client(&self, server: usize) -> Client {
        Client::new(&self.servers[server].url)
    }

    /// Lets all servers but one stand still.
    pub(super) async fn halt_all_but(&self, server: usize) {
        for pid in self.others(server) {
            send_signal("STOP", pid).await;
            while !is_halted(pid) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Lets those servers go on.
    pub(super) async fn resume_all_but(&self, server: usize) {
        for pid in self.others(server) {
            send_signal("CONT", pid).await;
        }
    }

    /// Ends a server as `kill -9` does, and returns at once.
    pub(super) async fn kill(&self, server: usize) {
        send_signal("KILL", self.servers[server].process.pid()).await;
    }

    /// Starts a new server in the place of one that was killed.
    pub(super) async fn replace(&mut self, server: usize) {
        let fresh = start(self.dir.path(), server, &self.database).await;
        let killed = std::mem::replace(&mut self.servers[server], fresh);
        assert!(!killed.process.ended().await.success(), "it ended before it was killed");
    }

    /// Stops all servers in order.
    pub(super) async fn stop(self) {
        for server in self.servers {
            assert!(server.process.end_by("TERM").await.success());
        }
    }

    fn others(&self, server: usize) -> impl Iterator<Item = u32> {
        let others = self.servers.iter().enumerate().filter(move |(index, _)| *index != server);
        others.map(|(_, other)| other.process.pid())
    }
}

async fn start(dir: &Path, index: usize, database: &TestDatabase) -> Instance {
    let (workers, lease) = (WORKERS.to_string(), LEASE_MS.to_string());
    let settings = [
        ("USANCE_WORKERS", workers.as_str()),
        ("USANCE_WORK_INTERVAL_MS", "20"),
        ("USANCE_WORK_LEASE_MS", &lease),
    ];
    Instance::start(dir, &format!("server-{index}"), database.url(), &settings).await
}

/// Whether a process was stopped by a signal: the state in proc(5), behind the name in parentheses.
fn is_halted(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('T'))
}
