//! Stands between the importer and a server that is killed and started again: one address, many servers.

use std::{
    collections::{HashSet, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tokio_util::task::TaskTracker;

use super::message::{Message, Receipt};
use crate::program::{Server, send_signal};

/// The importer notices a kill before the end of the killed process is known here.
const STRIKE_TIMEOUT: Duration = Duration::from_secs(20);

/// When a process is killed, seen from the request that does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The server has the whole request.
    RequestForwarded,
    /// The server has answered, and the importer will never know.
    AnswerLost,
    /// The importer has its answer.
    AnswerRelayed,
}

impl Moment {
    /// In the order of a request.
    pub(super) const ALL: [Self; 3] = [Self::RequestForwarded, Self::AnswerLost, Self::AnswerRelayed];
}

/// Which process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The server, and with it the PostgreSQL that it keeps.
    Server,
    /// PostgreSQL alone, under a server that stays up.
    Postmaster,
}

/// A kill that waits for its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) victim: Victim,
    pub(super) moment: Moment,
    /// Rows acknowledged to the importer, counted over all its runs.
    pub(super) after_rows: u64,
}

/// The relay; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Relay {
    /// Where the importer finds it.
    pub(super) url: String,
    state: Arc<Mutex<State>>,
    struck: mpsc::UnboundedSender<Fault>,
}

#[derive(Debug, Default)]
struct State {
    server: Option<Server>,
    faults: VecDeque<Fault>,
    rows: u64,
    /// The bodies that a server has answered for.
    acknowledged: HashSet<Vec<u8>>,
    /// Bodies of that kind whose events were new to a later server.
    forgotten: u64,
}

impl Relay {
    /// Listens on a free port. The receiver gets each fault after it has struck.
    pub(super) async fn start(faults: Vec<Fault>) -> (Self, mpsc::UnboundedReceiver<Fault>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = State { faults: faults.into(), ..State::default() };
        let (struck, strikes) = mpsc::unbounded_channel();
        let relay = Self { url, state: Arc::new(Mutex::new(state)), struck };
        TaskTracker::new().spawn(relay.clone().accept(listener));
        (relay, strikes)
    }

    /// Forwards to this server from now on.
    pub(super) fn forward_to(&self, server: Server) {
        self.state().server = Some(server);
    }

    /// Forwards nowhere any more.
    pub(super) fn take_server(&self) -> Server {
        self.state().server.take().expect("the last kill was followed by a start")
    }

    /// Rows acknowledged to the importer.
    pub(super) fn rows(&self) -> u64 {
        self.state().rows
    }

    /// Batches that a server acknowledged and a later one did not know.
    pub(super) fn forgotten(&self) -> u64 {
        self.state().forgotten
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics that holds it")
    }

    async fn accept(self, listener: TcpListener) {
        let connections = TaskTracker::new();
        while let Ok((client, _)) = listener.accept().await {
            let relay = self.clone();
            // A connection that breaks off is what the importer has to live with.
            connections.spawn(async move { drop(relay.connect(client).await) });
        }
    }

    async fn connect(&self, client: TcpStream) -> io::Result<()> {
        let Some((pid, address)) =
            self.state().server.as_ref().map(|server| (server.process.pid(), address(server)))
        else {
            return Ok(());
        };
        let server = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        self.forward(BufReader::new(client), BufReader::new(server), pid).await
    }

    async fn forward(
        &self,
        mut client: BufReader<TcpStream>,
        mut server: BufReader<TcpStream>,
        pid: u32,
    ) -> io::Result<()> {
        while let Some(request) = Message::read(&mut client).await? {
            server.write_all(&request.bytes).await?;
            if self.strike(pid, Moment::RequestForwarded, 0).await {
                return Ok(());
            }
            let Some(answer) = Message::read(&mut server).await? else { return Ok(()) };
            let receipt = answer.receipt();
            let rows = receipt.map_or(0, |receipt| receipt.rows);
            if let Some(receipt) = receipt {
                self.note(request.body(), receipt);
            }
            if rows > 0 && self.strike(pid, Moment::AnswerLost, rows).await {
                return Ok(());
            }
            client.write_all(&answer.bytes).await?;
            self.state().rows += rows;
            if rows > 0 && self.strike(pid, Moment::AnswerRelayed, 0).await {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What was answered for once must never be new again.
    fn note(&self, body: &[u8], receipt: Receipt) {
        let mut state = self.state();
        let is_first = state.acknowledged.insert(body.to_vec());
        if !is_first && receipt.accepted > 0 {
            state.forgotten += 1;
        }
    }

    /// Kills if the next fault is due at this moment of a request to the server with this process id.
    async fn strike(&self, pid: u32, moment: Moment, rows: u64) -> bool {
        let (fault, server, postmaster) = {
            let mut state = self.state();
            let is_running = state.server.as_ref().is_some_and(|server| server.process.pid() == pid);
            let reached = state.rows + rows;
            let is_due = |fault: &mut Fault| fault.moment == moment && fault.after_rows <= reached;
            if !is_running {
                return false;
            }
            let Some(fault) = state.faults.pop_front_if(is_due) else { return false };
            match fault.victim {
                Victim::Server => (fault, state.server.take(), None),
                Victim::Postmaster => (fault, None, state.server.as_ref().map(Server::postmaster)),
            }
        };
        if let Some(server) = server {
            server.process.kill().await;
        }
        if let Some(postmaster) = postmaster {
            send_signal("KILL", postmaster).await;
        }
        // A test that has ended does not wait for faults.
        self.struck.send(fault).ok();
        true
    }
}

fn address(server: &Server) -> SocketAddr {
    server.url.trim_start_matches("http://").parse().expect("the greeting names an address")
}

/// Waits for the next fault that has struck; none if there is none in time.
pub(super) async fn next(strikes: &mut mpsc::UnboundedReceiver<Fault>) -> Option<Fault> {
    timeout(STRIKE_TIMEOUT, strikes.recv()).await.ok().flatten()
}
