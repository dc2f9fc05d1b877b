//! The settings of Stripe.

use secrecy::ExposeSecret;
use url::{Host, Url};

use super::{error::SettingsError, layers::Layers};
use crate::stripe::{ConnectStyle, StripeSettings};

/// Reads how Stripe is spoken with.
pub(super) fn read(layers: &Layers) -> Result<StripeSettings, SettingsError> {
    let base = |key| {
        layers.parse(key, "an address that begins with https://, on this machine also http://", parse_base)
    };
    Ok(StripeSettings {
        secret_key: layers.secret("stripe_secret_key", "a key that begins with sk_ or rk_", |key| {
            ["sk_", "rk_"].iter().any(|prefix| key.expose_secret().starts_with(prefix))
        })?,
        connect_client_id: layers.find("stripe_connect_client_id", "an id that begins with ca_", |text| {
            text.starts_with("ca_").then(|| text.to_owned())
        })?,
        connect_style: layers.parse(
            "stripe_connect_style",
            "express, standard or account_links",
            ConnectStyle::parse,
        )?,
        connect_webhook_secret: layers.secret(
            "stripe_connect_webhook_secret",
            "a secret that begins with whsec_",
            |secret| secret.expose_secret().strip_prefix("whsec_").is_some_and(|rest| !rest.is_empty()),
        )?,
        api_base: base("stripe_api_base")?,
        connect_base: base("stripe_connect_base")?,
    })
}

/// An address without a slash at its end. The secret key goes there, so that it needs TLS or stays on this machine.
fn parse_base(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_local = match url.host()? {
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
        Host::Domain(name) => name == "localhost",
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_local);
    let is_plain = url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    (is_safe && is_plain).then(|| url.as_str().trim_end_matches('/').to_owned())
}
