//! Counts in Redis: one script is one step, and one key per count works in a cluster.

use std::time::Duration;

use ::redis::{
    Client, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;

use super::{LimiterUnavailable, RateLimit, RateLimiter, Verdict};

/// Counts in Redis.
pub struct RedisLimiter {
    connection: ConnectionManager,
    script: Script,
}

impl std::fmt::Debug for RedisLimiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisLimiter")
    }
}

impl RedisLimiter {
    /// Prepares a connection to an address such as `redis://localhost:6379`; it is made when it is needed. Reaching
    /// Redis and its answer may each take as long as `timeout`. An error means that the address cannot be read.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, LimiterUnavailable> {
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(0);
        let connection = Client::open(url)
            .and_then(|client| ConnectionManager::new_lazy_with_config(client, settings))
            .map_err(|error| unavailable(&error))?;
        Ok(Self { connection, script: Script::new(include_str!("reserve.lua")) })
    }

    async fn ask(
        &self,
        limit: RateLimit,
        key: &str,
        quantity: u32,
        now: Timestamp,
    ) -> Result<Verdict, RedisError> {
        let span_us = i64::try_from(limit.span.duration().as_micros()).unwrap_or(i64::MAX);
        let mut connection = self.connection.clone();
        let (allowed, used, reset_at): (bool, u64, i64) = self
            .script
            // The braces keep a key of several parts on one node of a cluster.
            .key(format!("usance:rate:{{{}:{key}}}", limit.name))
            .arg(now.as_microsecond())
            .arg(span_us)
            .arg(limit.span.slot_micros())
            .arg(limit.limit)
            .arg(quantity)
            .invoke_async(&mut connection)
            .await?;
        let remaining = u64::from(limit.limit).saturating_sub(used);
        Ok(Verdict {
            allowed,
            limit: limit.limit,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_at: Timestamp::from_microsecond(reset_at).ok().filter(|_| reset_at >= 0),
        })
    }
}

impl RateLimiter for RedisLimiter {
    fn reserve<'a>(
        &'a self,
        limit: RateLimit,
        key: &'a str,
        quantity: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Verdict, LimiterUnavailable>> {
        async move { self.ask(limit, key, quantity, now).await.map_err(|error| unavailable(&error)) }.boxed()
    }
}

/// The kind of the error alone: its text may hold the address, and with it a password.
fn unavailable(error: &RedisError) -> LimiterUnavailable {
    LimiterUnavailable(format!("{:?}", error.kind()))
}
