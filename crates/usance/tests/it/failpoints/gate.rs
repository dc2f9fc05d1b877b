//! Stands between a server and its PostgreSQL, notes what the server asks and kills it at one of its statements.

use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    sync::Notify,
};
use tokio_util::task::TaskTracker;
use usance_testkit::{TempDir, TestDatabase};

use crate::program::send_signal;

/// Which statement a server does not survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Point {
    /// Its name.
    pub(crate) statement: String,
    /// Whether PostgreSQL carries the statement out, and only the answer is lost.
    pub(crate) is_executed: bool,
}

/// What the gate waits for.
#[derive(Debug, Default)]
struct State {
    statements: Vec<String>,
    /// The point that waits, and whom it kills.
    armed: Option<(Point, u32)>,
    struck: bool,
    /// The statement that is to be kept back.
    kept_back: Option<&'static str>,
}

/// A socket that looks like PostgreSQL's; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    /// What the server takes for its database.
    pub(crate) url: String,
    _dir: Arc<TempDir>,
    state: Arc<Mutex<State>>,
    listening: Arc<Notify>,
    waiting: Arc<Notify>,
    let_go: Arc<Notify>,
}

impl Gate {
    /// Opens a way to a database.
    pub(crate) fn open(database: &TestDatabase) -> Self {
        let dir = Arc::new(TempDir::new("usance-gate").unwrap());
        let (own, server) = (dir.path(), socket_dir(database.url()));
        let url = database.url().replace(&encoded(&server), &encoded(own));
        assert_ne!(url, database.url(), "the address names the directory of the socket");
        let listener = UnixListener::bind(own.join(SOCKET)).unwrap();
        let (state, listening) = (Arc::default(), Arc::default());
        let gate = Self { url, _dir: dir, state, listening, waiting: Arc::default(), let_go: Arc::default() };
        TaskTracker::new().spawn(gate.clone().accept(listener, server.join(SOCKET)));
        gate
    }

    /// Begins to note anew, and lets a process die at a point.
    pub(crate) fn arm(&self, armed: Option<(Point, u32)>) {
        *self.state() = State { armed, ..State::default() };
    }

    /// Begins to note anew, and keeps the next statement of a name back until it is let go.
    pub(crate) fn keep_back(&self, statement: &'static str) {
        *self.state() = State { kept_back: Some(statement), ..State::default() };
    }

    /// Waits until it has come.
    pub(crate) async fn keeps_back(&self) {
        self.waiting.notified().await;
    }

    /// Lets it go on to PostgreSQL.
    pub(crate) fn let_go(&self) {
        self.let_go.notify_one();
    }

    /// The names of the statements since the gate was armed, without what a server that has just started asks by itself.
    pub(crate) fn statements(&self) -> Vec<String> {
        self.state().statements.iter().filter(|name| *name != START_UP).cloned().collect()
    }

    /// Whether the process was killed at its point.
    pub(crate) fn has_struck(&self) -> bool {
        self.state().struck
    }

    /// Waits until a server has asked to hear of changes, the last thing that it does before it is asked anything.
    pub(crate) async fn listens(&self) {
        self.listening.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics that holds it")
    }

    async fn accept(self, listener: UnixListener, target: PathBuf) {
        let connections = TaskTracker::new();
        while let Ok((server, _)) = listener.accept().await {
            let (gate, target) = (self.clone(), target.clone());
            // A connection that breaks off is what the server has to live with.
            connections.spawn(async move { drop(gate.forward(server, &target).await) });
        }
    }

    async fn forward(&self, server: UnixStream, target: &Path) -> io::Result<()> {
        let (mut from_server, mut to_server) = server.into_split();
        let (mut from_postgres, mut to_postgres) = UnixStream::connect(target).await?.into_split();
        let mut asked = Messages::of_client();
        let mut answered = Messages::default();
        let mut statements = Statements::default();
        // Whom the answer that is awaited kills.
        let mut doomed = None;
        loop {
            tokio::select! {
                more = asked.read(&mut from_server) => {
                    if !more? {
                        return Ok(());
                    }
                    while let Some(message) = asked.next() {
                        if let Some(name) = statements.begin_of_ours(&message) {
                            self.wait_if_kept_back(name).await;
                        }
                        if let Some(name) = statements.end_of_ours(&message) {
                            match self.note(name) {
                                Some((Point { is_executed: true, .. }, pid)) => doomed = Some(pid),
                                Some((Point { is_executed: false, .. }, pid)) => return self.kill(pid).await,
                                None => {}
                            }
                        }
                        to_postgres.write_all(&message).await?;
                    }
                }
                more = answered.read(&mut from_postgres) => {
                    if !more? {
                        return Ok(());
                    }
                    while let Some(message) = answered.next() {
                        if message[0] == READY_FOR_QUERY && let Some(pid) = doomed {
                            return self.kill(pid).await;
                        }
                        if message[0] == COMMAND_COMPLETE && message.ends_with(b"LISTEN\0") {
                            self.listening.notify_one();
                        }
                        to_server.write_all(&message).await?;
                    }
                }
            }
        }
    }

    async fn wait_if_kept_back(&self, name: &str) {
        let is_kept_back = self.state().kept_back.take_if(|kept_back| *kept_back == name).is_some();
        if is_kept_back {
            self.waiting.notify_one();
            self.let_go.notified().await;
        }
    }

    /// Notes a statement, and takes the point if it is the one.
    fn note(&self, name: String) -> Option<(Point, u32)> {
        let mut state = self.state();
        let struck = state.armed.take_if(|(point, _)| point.statement == name);
        state.statements.push(name);
        struck
    }

    /// The process may be gone, and its client know it, before this returns.
    async fn kill(&self, pid: u32) -> io::Result<()> {
        self.state().struck = true;
        send_signal("KILL", pid).await;
        Ok(())
    }
}

/// What a server asks when it has just said that it serves.
const START_UP: &str = "tenants::any_exists";
/// How the names of commits begin.
pub(crate) const COMMIT_AFTER: &str = "COMMIT after ";

const SOCKET: &str = ".s.PGSQL.5432";
const BIND: u8 = b'B';
const PARSE: u8 = b'P';
const QUERY: u8 = b'Q';
const SYNC: u8 = b'S';
const COMMAND_COMPLETE: u8 = b'C';
const READY_FOR_QUERY: u8 = b'Z';

/// Tells the statements of the product, which begin with their names, from those that the driver adds when a connection is
/// new. A commit is named after the last statement before it. <https://www.postgresql.org/docs/current/protocol-message-formats.html>
#[derive(Debug, Default)]
struct Statements {
    prepared: HashMap<Vec<u8>, String>,
    ours: Option<String>,
    last: String,
}

impl Statements {
    /// The name of a statement that PostgreSQL carries out as soon as it has this message and the next one.
    fn begin_of_ours(&self, message: &[u8]) -> Option<&str> {
        let is_bind = message[0] == BIND;
        let statement = message.get(5..)?.split(|byte| *byte == 0).nth(1).filter(|_| is_bind)?;
        self.prepared.get(statement).map(String::as_str)
    }

    /// The name of what PostgreSQL is to carry out for the product, if this message ends it.
    fn end_of_ours(&mut self, message: &[u8]) -> Option<String> {
        let mut texts = message.get(5..).unwrap_or_default().splitn(3, |byte| *byte == 0);
        let (first, second) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        match message[0] {
            PARSE => {
                let sql = String::from_utf8_lossy(second);
                let name = sql.strip_prefix("-- ").and_then(|sql| sql.lines().next());
                self.prepared.insert(first.to_vec(), name.unwrap_or_default().to_owned());
                None
            }
            BIND => {
                let name = self.prepared.get(second).filter(|name| !name.is_empty());
                self.ours = name.cloned().or(self.ours.take());
                None
            }
            QUERY if first == b"COMMIT" => Some(format!("{COMMIT_AFTER}{}", self.last)),
            SYNC => {
                let ours = self.ours.take()?;
                self.last.clone_from(&ours);
                Some(ours)
            }
            _ => None,
        }
    }
}

fn socket_dir(url: &str) -> PathBuf {
    let host = url.split(['@', ':']).find(|part| part.starts_with("%2F")).expect("a socket's directory");
    PathBuf::from(host.replace("%2F", "/"))
}

fn encoded(dir: &Path) -> String {
    dir.to_str().unwrap().chars().fold(String::new(), |mut text, c| {
        if c == '/' {
            text.push_str("%2F");
        } else {
            write!(text, "{c}").unwrap();
        }
        text
    })
}

/// The messages of one direction of a connection.
#[derive(Debug, Default)]
struct Messages {
    bytes: Vec<u8>,
    /// The first message of a client has no type.
    is_start: bool,
}

impl Messages {
    fn of_client() -> Self {
        Self { bytes: Vec::new(), is_start: true }
    }

    /// Waits for more bytes; false at the end.
    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        Ok(stream.read_buf(&mut self.bytes).await? > 0)
    }

    /// Takes the next message that is complete.
    fn next(&mut self) -> Option<Vec<u8>> {
        let kind = usize::from(!self.is_start);
        let length = self.bytes.get(kind..kind + 4)?;
        let end = kind + usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        if self.bytes.len() < end {
            return None;
        }
        let rest = self.bytes.split_off(end);
        self.is_start = false;
        Some(std::mem::replace(&mut self.bytes, rest))
    }
}
