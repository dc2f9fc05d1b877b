//! Accounts of tenants at Stripe: how far a connection is, and what the operator keeps of a charge.

mod fee;
mod status;

pub use fee::{FeePercentage, application_fee};
pub use status::ConnectStatus;
