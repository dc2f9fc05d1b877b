//! The routes under `/api/v1`, one file per noun.

pub(crate) mod add_ons;
pub(crate) mod coupons;
pub(crate) mod credit_balances;
pub(crate) mod credit_notes;
pub(crate) mod customers;
pub(crate) mod discounts;
pub(crate) mod entitlements;
pub(crate) mod events;
pub(crate) mod explanations;
pub(crate) mod features;
pub(crate) mod invoice_documents;
pub(crate) mod invoices;
pub(crate) mod meters;
pub(crate) mod payment_methods;
pub(crate) mod payments;
pub(crate) mod plan_migrations;
pub(crate) mod plan_parts;
pub(crate) mod plans;
pub(crate) mod pricing;
pub(crate) mod quotes;
pub(crate) mod refunds;
pub(crate) mod subscriptions;
pub(crate) mod tax_rates;
pub(crate) mod tenant_profile;
pub(crate) mod tenants;
pub(crate) mod test_clock;
