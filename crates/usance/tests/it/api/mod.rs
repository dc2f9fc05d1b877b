//! The API, resource by resource.

mod auth;
mod billing;
mod catalog;
mod customers;
mod errors;
mod events;
mod idempotency;
mod lists;
mod overload;
mod payments;
mod register;
mod test_clock;
mod unbilled;
