//! Customers reach only themselves. What they read is held to their rows by the database; the names in a request are held to
//! their own here, also where the answer comes from memory.

use axum::{
    extract::{FromRequestParts, Query, RawPathParams},
    http::request::Parts,
};
use usance_app::{
    Cx,
    auth::Caller,
    error::{Error, Result},
};

use crate::HttpState;

/// The parameter of paths and queries that names a customer.
const CUSTOMER: &str = "customer";

/// Refuses a customer who names another one, in the words for one that does not exist.
pub(super) async fn require(cx: &Cx, parts: &mut Parts, state: &HttpState) -> Result<()> {
    let Some(Caller::Customer(customer)) = &cx.caller else { return Ok(()) };
    let unknown = || Error::not_found("customer");
    let path = RawPathParams::from_request_parts(parts, state).await.map_err(|_| unknown())?;
    let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| unknown())?;
    let of_query = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut named = path.iter().chain(of_query).filter(|(name, _)| *name == CUSTOMER);
    if named.all(|(_, value)| customer.is_named(value)) { Ok(()) } else { Err(unknown()) }
}
