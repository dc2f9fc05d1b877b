//! What the outside world is told, and tells: who may be called, how a message is signed, when a delivery is tried again.

mod address;
mod schedule;
mod signature;
mod stripe_signature;

pub use address::{is_in, is_public};
pub use schedule::{ATTEMPTS_MAX, EndpointHealth, FailedAttempt, next_attempt};
pub use signature::{InvalidSecret, SigningSecret, body_signature, signatures};
pub use stripe_signature::{StripeSignatureFault, verify_stripe_signature};
