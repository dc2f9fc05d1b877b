//! The use cases of Usance: load, ask the core, store, announce, in one transaction each.

mod answers;
pub mod api_keys;
pub mod audit;
pub mod auth;
mod billing;
pub mod catalog;
pub mod config;

mod change;
pub mod check;
mod contended;
pub mod correction_sessions;
pub mod coupons;
pub mod credit_balances;
pub mod credit_notes;
pub mod customer_tokens;
pub mod customers;
mod cx;
pub mod discounts;
mod dunning;
pub mod entitlements;
pub mod error;
mod fields;
pub mod gateway;
pub mod guard;
pub mod holds;
pub mod hosted_invoices;
pub mod idempotency;
mod ids;
pub mod ingest;
pub mod invoice_document;
pub mod invoice_pdf;
pub mod invoice_sending;
pub mod invoicing;
mod ledger;
mod logo;
pub mod mail;
mod measure;
pub mod members;
pub mod oidc;
pub mod outbox;
pub mod payments;
pub mod plan_migrations;
mod prices;
pub mod pricing;
pub mod quotes;
pub mod rate_limits;
pub mod refunds;
pub mod second_factor;
pub mod sessions;
pub mod stripe;
pub mod stripe_connect;
pub mod subscriptions;
pub mod tax;
pub mod tax_rates;
pub mod tenant_profiles;
pub mod tenants;
pub mod test_clock;
pub mod usage;
pub mod wallets;
pub mod webhooks;
pub mod work;

use std::{ops::Deref, sync::Arc};

pub use change::Change;
pub use cx::Cx;
pub use ids::Ids;
pub use prices::price_terms;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, Semaphore};
use usance_core::clock::{Clock, Random};
use usance_db::Db;

use crate::{
    auth::{KeyCache, access_token::AccessTokens, keyring::Keyring, password::PasswordHashing},
    entitlements::Entitlements,
    gateway::Gateways,
    guard::GuardedClient,
    ingest::Ingest,
    invoice_pdf::PdfRendering,
    mail::Mailing,
    oidc::Discoveries,
    rate_limits::RateLimits,
    stripe::Stripe,
    wallets::WalletWriter,
};

/// Everything that a use case needs from outside. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// New ids.
    pub ids: Ids,
    /// Keys derived from the installation's secret.
    pub keyring: Keyring,
    /// Signs and verifies members' access tokens.
    pub access_tokens: AccessTokens,
    /// How long a session lasts that is not renewed.
    pub session_lifetime: SignedDuration,
    /// API keys found a moment ago.
    pub key_cache: KeyCache,
    /// Hashes members' passwords.
    pub password_hashing: PasswordHashing,
    /// Collects payments.
    pub gateways: Gateways,
    /// Lays out invoices as PDF.
    pub pdf: PdfRendering,
    /// Where customers reach this server, without a slash at its end.
    pub public_url: Option<String>,
    /// Where usage events go.
    pub ingest: Ingest,
    /// What customers may use, in memory.
    pub entitlements: Entitlements,
    /// How many requests are let in.
    pub rate_limits: RateLimits,
    /// Calls addresses that tenants name.
    pub guarded_client: GuardedClient,
    /// What identity providers said of themselves a moment ago.
    pub discoveries: Discoveries,
    /// Bounds the test events that wait for answers.
    pub webhook_tests: Semaphore,
    /// Where mails go.
    pub mailing: Mailing,
    /// The way to Stripe, as far as it is configured.
    pub stripe: Stripe,
    /// Where debits and holds of wallets go.
    pub wallet_writer: WalletWriter,
    /// How long work that calls the outside world is kept from other workers.
    pub work_lease: SignedDuration,
    /// Wakes a worker when work may be due.
    pub work_added: Notify,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

impl App {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The wall clock, in microseconds as they are stored.
    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
