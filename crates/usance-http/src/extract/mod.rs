//! Extractors: who calls, what is meant, what was sent, which page is wanted.

mod auth;
mod body;
mod mutation;
mod path;
mod query;

pub(crate) use auth::{AnyKey, Authorized, credential};
pub(crate) use body::{
    BodyLimits, ObjectOnly, Texts, change, from_json, objects, optional_object, optional_objects, read_body,
    require_json, require_plain,
};
pub(crate) use mutation::{Mutation, NoBody};
pub(crate) use path::Path;
pub(crate) use query::{CustomerQuery, ListQuery, Query, write_cursor, write_timed_cursor};
