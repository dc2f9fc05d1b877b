//! Entitlements: what a customer may use, how much of it, and until when.
//!
//! A plan, an add-on or a subscription itself *grants* a feature. The grants of all subscriptions that run are combined
//! ([`entitled`]) and compared with what was used in the current window ([`decide`]).

mod correction;
mod decision;
mod grant;
mod sliding;
mod subscription;
mod window;

#[cfg(test)]
mod tests;

pub use decision::{Decision, Reason, Use, decide};
pub use grant::{Allowance, Grant};
pub use sliding::{SlidingUse, Slot};
pub use subscription::{Entitled, EntitlingSubscription, FeatureGrants, entitled, leading};
pub use window::{Counting, CountingError, Reset, SlidingSpan, fixed_window};
