//! Extractors: who calls, what is meant, what was sent, which page is wanted.

mod auth;
mod body;
mod mutation;
mod path;
mod query;
mod secret_body;

pub(crate) use auth::{Authorized, Visitor, credential, request_id};
pub(crate) use body::{
    BodyLimits, ObjectOnly, Texts, change, objects, optional_object, optional_objects, receive_body,
    require_plain,
};
pub(crate) use mutation::{Mutation, NoBody};
pub(crate) use path::Path;
pub(crate) use query::{CustomerQuery, ListQuery, Query, write_cursor, write_timed_cursor};
pub(crate) use secret_body::{SecretBody, as_bad_request};
