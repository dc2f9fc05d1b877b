//! The rules of Usance as pure functions over values: no I/O, no async, no clock of its own, no floats.

pub mod access;
pub mod catalog;
pub mod clock;
pub mod commitment;
pub mod connect;
pub mod decimal;
pub mod discount;
pub mod dunning;
pub mod entitlement;
pub mod fraction;
mod hexadecimal;
pub mod ids;
pub mod invoice;
pub mod late_usage;
pub mod ledger;
pub mod mail;
pub mod metering;
pub mod money;
pub mod period;
#[cfg(test)]
mod programmes;
pub mod progressive;
pub mod proration;
pub mod rating;
pub mod subscription;
pub mod wallet;
pub mod webhook;

pub use hexadecimal::hexadecimal;
