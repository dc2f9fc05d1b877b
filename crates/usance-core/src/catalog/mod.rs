//! What a tenant sells and how it is measured and priced.

pub mod meter;
pub mod price;
pub mod rounding;
