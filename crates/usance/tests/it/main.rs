//! The integration tests: through the public API and the command line, against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod canary;
mod cli;
mod commercial_terms;
mod event_partitions;
mod failpoints;
mod first_day;
mod hold;
mod holds;
mod isolation;
mod kill;
mod ledger;
mod mail;
mod managed_postgres;
mod oidc;
mod openapi;
mod permissions;
mod program;
mod random;
mod row_level_security;
mod schedulers;
mod shutdown;
mod starter_invoice;
mod stripe_connect;
mod three_servers;
mod tidy;
mod trace;
mod webhooks;
