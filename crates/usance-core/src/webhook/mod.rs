//! What the outside world is told: who may be called, how a message is signed, when a delivery is tried again.

mod address;
mod schedule;
mod signature;

pub use address::{is_in, is_public};
pub use schedule::{ATTEMPTS_MAX, EndpointHealth, FailedAttempt, next_attempt};
pub use signature::{InvalidSecret, SigningSecret, body_signature, signatures};
