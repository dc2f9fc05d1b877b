//! Counts in this process.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use usance_core::entitlement::{SlidingSpan, SlidingUse};

use super::{LimiterUnavailable, RateLimit, RateLimiter, Verdict};

/// Parts that are locked one by one.
const SHARDS: usize = 16;
/// Keys of a part; beyond that, those of which nothing counts any more are forgotten, and if there are none, all.
const KEYS_MAX: usize = 20_000;

type Shard = Mutex<HashMap<(&'static str, String), (SlidingSpan, SlidingUse)>>;

/// Counts in this process.
#[derive(Debug, Default)]
pub struct MemoryLimiter([Shard; SHARDS]);

impl MemoryLimiter {
    /// Lets a quantity in and counts it, or does neither.
    pub fn count(&self, limit: RateLimit, key: &str, quantity: u32, now: Timestamp) -> Verdict {
        let name = (limit.name, key.to_owned());
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or_default();
        let mut shard = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= KEYS_MAX && !shard.contains_key(&name) {
            shard.retain(|_, (span, of)| !of.used(*span, now).is_zero());
            if shard.len() >= KEYS_MAX {
                shard.clear();
            }
        }
        let (_, of) = shard.entry(name).or_insert_with(|| (limit.span, SlidingUse::default()));
        decide(limit, of, Decimal::from(quantity), now)
    }
}

fn decide(limit: RateLimit, of: &mut SlidingUse, quantity: Decimal, now: Timestamp) -> Verdict {
    let most = Decimal::from(limit.limit);
    let allowed = of.used(limit.span, now) + quantity <= most && of.add(limit.span, quantity, now).is_ok();
    let remaining = (most - of.used(limit.span, now)).max(Decimal::ZERO);
    let reset_at = if allowed {
        of.first_leaves_at(limit.span, now)
    } else {
        of.fits_at(limit.span, most, quantity, now)
    };
    Verdict { allowed, limit: limit.limit, remaining: remaining.to_u32().unwrap_or_default(), reset_at }
}

impl RateLimiter for MemoryLimiter {
    fn reserve<'a>(
        &'a self,
        limit: RateLimit,
        key: &'a str,
        quantity: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Verdict, LimiterUnavailable>> {
        async move { Ok(self.count(limit, key, quantity, now)) }.boxed()
    }
}
