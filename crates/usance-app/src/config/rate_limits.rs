//! The settings that limit requests.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::{error::SettingsError, layers::Layers, within};
use crate::rate_limits::RateLimitSettings;

/// The greatest limit that can be set.
const LIMIT_MAX: u32 = 1_000_000_000;

/// Reads how many requests are let in.
pub(super) fn read(layers: &Layers) -> Result<RateLimitSettings, SettingsError> {
    let limit = |key| layers.parse(key, "a whole number from 0 to 1000000000", within(0, LIMIT_MAX));
    Ok(RateLimitSettings {
        anonymous_per_hour: limit("rate_limit_anonymous_per_hour")?,
        member_per_hour: limit("rate_limit_member_per_hour")?,
        payment_per_minute: limit("rate_limit_payment_per_minute")?,
        auth_per_minute: limit("rate_limit_auth_per_minute")?,
        key_per_minute: limit("rate_limit_key_per_minute")?,
        loopback: layers.parse("rate_limit_loopback", "true or false", |text| text.parse().ok())?,
        trusted_proxies: layers.parse("trusted_proxies", "a whole number from 0 to 8", within(0, 8))?,
    })
}

/// Reads where Redis is.
pub(super) fn read_redis_url(layers: &Layers) -> Result<Option<SecretString>, SettingsError> {
    layers.secret("redis_url", "an address that begins with redis://", |url| {
        url.expose_secret().starts_with("redis://")
    })
}

/// Reads how long a request waits for Redis.
pub(super) fn read_redis_timeout(layers: &Layers) -> Result<Duration, SettingsError> {
    let expected = "a whole number of milliseconds from 10 to 60000";
    layers.parse("redis_timeout_ms", expected, within(10, 60_000)).map(Duration::from_millis)
}
