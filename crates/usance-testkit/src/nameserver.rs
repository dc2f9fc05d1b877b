//! A nameserver of the test: it answers over UDP on loopback, and may answer differently each time.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{RData, Record, RecordType},
};
use tokio::{net::UdpSocket, task::AbortHandle};
use tokio_util::task::TaskTracker;

const MESSAGE_BYTES_MAX: usize = 4096;

type Answers = Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>;

/// A running nameserver. Dropping it closes it.
pub struct Nameserver {
    address: SocketAddr,
    answers: Answers,
    server: AbortHandle,
}

impl Nameserver {
    /// Starts a nameserver that knows no name.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let answers = Answers::default();
        let serve = serve(socket, Arc::clone(&answers));
        Self { address, answers, server: TaskTracker::new().spawn(serve).abort_handle() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Gives a name its addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        self.set_in_turn(name, &[addresses]);
    }

    /// Gives a name addresses that change from question to question; the last ones stay. No answer may be kept.
    pub fn set_in_turn(&self, name: &str, turns: &[&[&str]]) {
        let turns = turns.iter().map(|turn| turn.iter().map(|address| address.parse().unwrap()).collect());
        self.answers.lock().unwrap().insert(format!("{name}."), turns.rev().collect());
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(socket: UdpSocket, answers: Answers) {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    loop {
        let (length, asker) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let reply = reply_to(question, &answers);
        socket.send_to(&reply.to_vec().unwrap(), asker).await.unwrap();
    }
}

fn reply_to(question: Message, answers: &Answers) -> Message {
    let query = question.queries[0].clone();
    let mut reply = question.into_response();
    let name = query.name().to_ascii().to_lowercase();
    let mut answers = answers.lock().unwrap();
    let Some(turns) = answers.get_mut(&name) else {
        reply.metadata.response_code = ResponseCode::NXDomain;
        return reply;
    };
    let of_type = |address: &&IpAddr| {
        let own = if address.is_ipv4() { RecordType::A } else { RecordType::AAAA };
        query.query_type() == own
    };
    let current = turns.last().unwrap();
    let found: Vec<IpAddr> = current.iter().filter(of_type).copied().collect();
    if turns.len() > 1 && !found.is_empty() {
        turns.pop();
    }
    for address in found {
        reply.add_answer(Record::from_rdata(query.name().clone(), 0, RData::from(address)));
    }
    reply
}
