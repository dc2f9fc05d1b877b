//! Stripe, as the operator's own account speaks with it.

mod account;
mod client;
mod connect;
mod error;

use jiff::Timestamp;
use secrecy::SecretString;
use usance_core::webhook::verify_stripe_signature;

pub use account::{Account, Requirements};
pub use client::StripeClient;
pub use error::{StripeError, StripeErrorKind};

use crate::error::{Code, Error, Refusal, Result};

/// How a tenant's account at Stripe comes to be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStyle {
    /// By OAuth, with an Express account.
    Express,
    /// By OAuth, with an account that has a dashboard of its own.
    Standard,
    /// The operator makes an Express account, and its owner completes it on a page of Stripe.
    AccountLinks,
}

impl ConnectStyle {
    const ALL: [Self; 3] = [Self::Express, Self::Standard, Self::AccountLinks];

    /// The word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Express => "express",
            Self::Standard => "standard",
            Self::AccountLinks => "account_links",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|style| style.as_str() == word)
    }
}

/// How Stripe is spoken with.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// The operator's own key, `sk_…` or `rk_…`; absent if there is no Stripe.
    pub secret_key: Option<SecretString>,
    /// The operator's platform in Connect, `ca_…`.
    pub connect_client_id: Option<String>,
    /// How tenants connect, `express` by default.
    pub connect_style: ConnectStyle,
    /// What Stripe signs its notices of connected accounts with, `whsec_…`.
    pub connect_webhook_secret: Option<SecretString>,
    /// Where the API is, without a slash at its end; `https://api.stripe.com` by default.
    pub api_base: String,
    /// Where OAuth is, without a slash at its end; `https://connect.stripe.com` by default.
    pub connect_base: String,
}

/// The way to Stripe, as far as it is configured.
#[derive(Debug)]
pub struct Stripe {
    client: Option<StripeClient>,
    connect_client_id: Option<String>,
    connect_webhook_secret: Option<SecretString>,
    /// How tenants connect.
    pub connect_style: ConnectStyle,
}

impl Stripe {
    /// Prepares the way; connections are made when they are needed.
    pub fn new(settings: StripeSettings) -> std::result::Result<Self, reqwest::Error> {
        let StripeSettings {
            secret_key,
            connect_client_id,
            connect_style,
            connect_webhook_secret,
            api_base,
            connect_base,
        } = settings;
        let client = secret_key.map(|key| StripeClient::new(key, api_base, connect_base)).transpose()?;
        Ok(Self { client, connect_client_id, connect_webhook_secret, connect_style })
    }

    /// The client, or a refusal that names the setting.
    pub fn client(&self) -> Result<&StripeClient> {
        self.client.as_ref().ok_or_else(|| not_configured("STRIPE_SECRET_KEY"))
    }

    /// The operator's platform in Connect, or a refusal that names the setting.
    pub fn connect_client_id(&self) -> Result<&str> {
        self.connect_client_id.as_deref().ok_or_else(|| not_configured("STRIPE_CONNECT_CLIENT_ID"))
    }

    /// Refuses a notice of a connected account that Stripe did not sign, or not now.
    pub fn verify_connect_notice(&self, signature: &str, body: &[u8], now: Timestamp) -> Result<()> {
        let secret = self.connect_webhook_secret.as_ref();
        let secret = secret.ok_or_else(|| not_configured("STRIPE_CONNECT_WEBHOOK_SECRET"))?;
        verify_stripe_signature(signature, body, secret, now)
            .map_err(|fault| Error::refused(Code::SignatureInvalid, format!("Stripe-Signature: {fault}")))
    }
}

/// Refuses what needs a setting that the operator has not made.
pub(crate) fn not_configured(setting: &'static str) -> Error {
    let detail = format!("this server is not configured for Stripe: its operator must set {setting}");
    Refusal::new(Code::StripeNotConfigured, detail).with("setting", setting).into()
}
