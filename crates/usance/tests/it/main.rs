//! The integration tests: through the public API and the command line, against a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod api;
mod isolation;
mod openapi;
mod row_level_security;
mod tidy;
mod trace;
