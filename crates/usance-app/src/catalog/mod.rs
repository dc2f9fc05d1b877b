//! The catalogue: meters, features, plans.

pub mod features;
pub mod meters;
mod plan_terms;
pub mod plans;
