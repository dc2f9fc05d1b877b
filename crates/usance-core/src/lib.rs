//! The rules of Usance as pure functions over values: no I/O, no async, no clock of its own, no floats.

pub mod catalog;
pub mod clock;
pub mod decimal;
pub mod ids;
pub mod invoice;
pub mod metering;
pub mod money;
pub mod period;
pub mod rating;
