//! Extractors: who calls, what was sent, which page is wanted.

mod auth;
mod body;
mod mutation;
mod query;

pub(crate) use auth::Authorized;
pub(crate) use body::{from_json, read_body, require_json};
pub(crate) use mutation::{Mutation, NoBody};
pub(crate) use query::{CustomerQuery, ListQuery, Query, write_cursor, write_timed_cursor};
