//! Every SQL statement of Usance, one file per family of tables, and the transactions that they run in.
//!
//! A statement is reached only through [`TenantTx`] (one tenant, one mode), [`WriterTx`] (the group commit of usage
//! events) or [`SystemTx`] (finding a tenant from a key, finding work that is due). Each names its role inside the
//! transaction, so that row-level security holds whatever the login may do. Functions take the transaction first and
//! return rows; they decide nothing.

pub mod api_keys;
pub mod audit;
pub mod billing_periods;
pub mod catalog_news;
pub mod catalog_versions;
pub mod checks;
pub mod consumptions;
pub mod correction_sessions;
pub mod coupons;
pub mod credit_balances;
pub mod credit_notes;
pub mod customer_tokens;
pub mod customers;
pub mod discounts;
pub mod due_work;
pub mod entitlement_counters;
pub mod entitlements;
mod error;
pub mod event_keys;
pub mod event_revisions;
pub mod events;
pub mod feature_holds;
pub mod features;
pub mod filters;
pub mod health;
pub mod holds;
pub mod idempotency;
pub mod identity_providers;
pub mod ingest;
pub mod ingest_at_once;
pub mod invitations;
pub mod invoice_corrections;
pub mod invoices;
pub mod late_usage;
pub mod ledger;
pub mod line_items;
pub mod mail_limits;
pub mod mails;
pub mod member_tokens;
pub mod members;
pub mod meters;
mod migrate;
pub mod oidc_sign_ins;
pub mod outbox;
mod page;
pub mod payment_methods;
pub mod payments;
pub mod plan_migrations;
mod plan_versions;
pub mod plans;
mod prices;
pub mod refunds;
pub mod second_factors;
pub mod sessions;
pub mod sign_in_attempts;
pub mod stripe_connect_states;
pub mod subscriptions;
pub mod tax_rates;
pub mod tenant_profiles;
pub mod tenants;
pub mod test_clocks;
mod tx;
pub mod usage;
pub mod usage_folds;
pub mod wallet_books;
pub mod wallet_top_ups;
pub mod wallets;
pub mod webhook_deliveries;
pub mod webhook_endpoints;
pub mod webhook_log;

pub use error::DbError;
pub use migrate::{MIGRATIONS, MigrateError, migrate};
pub use page::{Page, PageRequest};
pub use tx::{Db, DbSettings, Scope, SystemTx, TenantTx, WriterTx};
