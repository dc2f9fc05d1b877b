//! Rate limits of this server: at most so many requests in any minute or hour before now.
//!
//! A request is counted and let in with one step. Counts are kept in this process, or in Redis where several instances
//! share them; both follow [`usance_core::entitlement::SlidingUse`]. While Redis cannot be reached, each instance counts for
//! itself, and nobody is refused for that.

mod memory;
mod redis;

pub use memory::MemoryLimiter;
pub use redis::RedisLimiter;

use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use usance_core::entitlement::SlidingSpan;

/// How long Redis is left alone after it failed.
const REDIS_PAUSE: SignedDuration = SignedDuration::from_secs(1);

/// So many in a window that slides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// What is limited, such as `auth`; it keeps the counts of different limits apart.
    pub name: &'static str,
    /// The last one that is let in.
    pub limit: u32,
    /// How long the window is.
    pub span: SlidingSpan,
}

/// Whether something was let in, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it was; what was not is not counted.
    pub allowed: bool,
    /// The limit.
    pub limit: u32,
    /// How many more would be let in now.
    pub remaining: u32,
    /// When more will be: when it would fit if it was refused, else when the first that counts leaves the window. Nothing
    /// if it can never fit.
    pub reset_at: Option<Timestamp>,
}

/// What cannot be asked at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the counts cannot be reached: {0}")]
pub struct LimiterUnavailable(pub String);

/// Counts what is let in.
pub trait RateLimiter: Send + Sync + std::fmt::Debug {
    /// Lets a quantity in and counts it, or does neither.
    fn reserve<'a>(
        &'a self,
        limit: RateLimit,
        key: &'a str,
        quantity: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Verdict, LimiterUnavailable>>;
}

/// The limits that are applied to requests; zero turns one off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitSettings {
    /// Requests an hour without a credential, by address.
    pub anonymous_per_hour: u32,
    /// Requests an hour, by member.
    pub member_per_hour: u32,
    /// Requests a minute that pay something, by member.
    pub payment_per_minute: u32,
    /// Attempts a minute to register, to sign in, or to ask for a reset of a password or use a mailed token, by address.
    pub auth_per_minute: u32,
    /// Requests a minute, by API key.
    pub key_per_minute: u32,
    /// Whether callers on the server's own machine are limited by address too.
    pub loopback: bool,
    /// Proxies before the server, each of which adds to `X-Forwarded-For`.
    pub trusted_proxies: u8,
}

/// Who counts at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Each instance for itself: there is no Redis.
    PerInstance,
    /// Redis, for all instances.
    Shared,
    /// Each instance for itself, until Redis can be reached again.
    SharedUnreachable,
}

/// The limits and their counts.
#[derive(Debug)]
pub struct RateLimits {
    /// What is limited.
    pub settings: RateLimitSettings,
    memory: MemoryLimiter,
    redis: Option<RedisLimiter>,
    /// When Redis may be asked again.
    redis_again_at: Mutex<Option<Timestamp>>,
}

impl RateLimits {
    /// Counts in Redis if there is one, else in this process.
    pub fn new(settings: RateLimitSettings, redis: Option<RedisLimiter>) -> Self {
        Self { settings, memory: MemoryLimiter::default(), redis, redis_again_at: Mutex::default() }
    }

    /// Lets a quantity in and counts it, or does neither.
    pub async fn reserve(&self, limit: RateLimit, key: &str, quantity: u32, now: Timestamp) -> Verdict {
        if let Some(redis) = self.redis.as_ref().filter(|_| self.may_ask_redis(now)) {
            match redis.reserve(limit, key, quantity, now).await {
                Ok(verdict) => {
                    self.set_redis_again_at(None);
                    return verdict;
                }
                Err(error) => {
                    tracing::warn!(%error, "Rate limits are counted per instance until Redis can be reached again");
                    self.set_redis_again_at(now.checked_add(REDIS_PAUSE).ok());
                }
            }
        }
        self.memory.count(limit, key, quantity, now)
    }

    /// Says who counts at the moment.
    pub fn standing(&self) -> Standing {
        let again_at = *self.redis_again_at.lock().unwrap_or_else(PoisonError::into_inner);
        match (&self.redis, again_at) {
            (None, _) => Standing::PerInstance,
            (Some(_), None) => Standing::Shared,
            (Some(_), Some(_)) => Standing::SharedUnreachable,
        }
    }

    fn may_ask_redis(&self, now: Timestamp) -> bool {
        self.redis_again_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none_or(|again_at| again_at <= now)
    }

    fn set_redis_again_at(&self, at: Option<Timestamp>) {
        *self.redis_again_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}
