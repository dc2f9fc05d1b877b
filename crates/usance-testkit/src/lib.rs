//! What the tests share: a database per test, a server per test, and a client that speaks its API.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod clock;
mod database;
mod nameserver;
mod python;
mod receiver;
mod redis;
mod server;
mod stripe_peer;
mod temp_dir;
mod usage;

pub use client::{Client, Reply};
pub use clock::MovableClock;
pub use database::{DATABASE_URL_VARIABLE, TEMPLATE_DATABASE, TestDatabase, create_database};
pub use nameserver::Nameserver;
pub use python::python;
pub use receiver::{Received, Receiver, Reply as ReceiverReply};
pub use redis::RedisServer;
pub use server::{SECRET_KEY, TestServer};
pub use stripe_peer::{PeerAccount, StripeCall, StripePeer, StripeVice};
pub use temp_dir::TempDir;
pub use usage::{STARTER_PRICES, shared_file};
