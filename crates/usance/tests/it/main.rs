//! The integration tests: through the public API and the command line, against a real PostgreSQL.

mod api;
mod isolation;
mod openapi;
mod row_level_security;
mod tidy;
mod trace;
