//! The routes under `/api/v1`, one file per noun.

pub(crate) mod customers;
pub(crate) mod events;
pub(crate) mod features;
pub(crate) mod invoices;
pub(crate) mod meters;
pub(crate) mod payment_methods;
pub(crate) mod payments;
pub(crate) mod plans;
pub(crate) mod subscriptions;
pub(crate) mod tenants;
pub(crate) mod test_clock;
