//! Entitlements: whether a customer may go on.
//!
//! [`check`] answers from memory what is at most a second old. Rights are forgotten as soon as their catalogue changes,
//! by this instance's own commits and by what the others tell through the database; what was used is read again in the
//! background while anybody asks. [`consume`] and [`hold`] decide in the database, under a lock; what is consumed or settled
//! is recorded by an event in the same transaction.

mod access;
mod consume;
mod corrected;
mod holds;
mod memory;
mod own;
mod refresh;
mod rights;
mod told;
mod uses;

pub use access::{Access, Checked, FeatureAccess, Question, access, check};
pub use consume::{Consumed, Consumption, consume};
pub(crate) use corrected::{CorrectedUse, CountChange, correct_uses};
pub(crate) use holds::sweep_holds;
pub use holds::{
    CreateFeatureHold, FeatureHeld, SettleFeatureHold, extend_hold, find_hold, hold, release_hold,
    settle_hold,
};
pub use memory::Entitlements;
pub(crate) use memory::NewUsage;
pub use own::{list_own, replace_own, set_own};
pub use refresh::{Due, listen, run_refresher};
pub(crate) use told::{look_again, restore};
