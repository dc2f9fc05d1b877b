//! The catalogue: meters, features, plans and add-ons.

pub mod features;
mod filters;
pub mod meters;
pub mod overrides;
mod plan_policies;
mod plan_prices;
mod plan_terms;
pub mod plans;

pub use filters::SentFilters;
