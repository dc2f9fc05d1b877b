//! Rate limits: the same answers from memory and from Redis, and what callers see of them.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use usance_app::rate_limits::{
    MemoryLimiter, RateLimit, RateLimitSettings, RateLimiter, RateLimits, RedisLimiter, Standing, Verdict,
};
use usance_core::entitlement::{Reset, SlidingSpan};
use usance_testkit::{RedisServer, TestServer};

use crate::program::DEADLINE;

const MINUTE: RateLimit =
    RateLimit { name: "test", limit: 10, span: SlidingSpan::of(Reset::Minute).unwrap() };
const HOUR: RateLimit =
    RateLimit { name: "test-hour", limit: 1_000, span: SlidingSpan::of(Reset::Hour).unwrap() };

/// Counts in a Redis that may take its time on a busy machine.
fn counting_in(redis: &RedisServer) -> RedisLimiter {
    RedisLimiter::new(redis.url(), DEADLINE).unwrap()
}

fn start() -> Timestamp {
    "2024-01-01T12:00:00.5Z".parse().unwrap()
}

/// What a series of reservations is answered: the wait before each in milliseconds, its key, and its quantity.
async fn answers(limiter: &dyn RateLimiter, limit: RateLimit, steps: &[(i64, &str, u32)]) -> Vec<Verdict> {
    let mut now = start();
    let mut verdicts = Vec::new();
    for (wait_ms, key, quantity) in steps {
        now += SignedDuration::from_millis(*wait_ms);
        verdicts.push(limiter.reserve(limit, key, *quantity, now).await.unwrap());
    }
    verdicts
}

/// Runs a series on every limiter that there is, and compares their answers.
async fn of_every_limiter(limit: RateLimit, steps: &[(i64, &str, u32)]) -> Vec<Verdict> {
    let from_memory = answers(&MemoryLimiter::default(), limit, steps).await;
    if let Some(redis) = RedisServer::start().await {
        let limiter = counting_in(&redis);
        assert_eq!(answers(&limiter, limit, steps).await, from_memory);
        redis.stop().await;
    }
    from_memory
}

#[tokio::test]
async fn the_thousandth_of_an_hour_is_let_in_and_the_next_one_is_not() {
    let steps = [
        (0, "ada", 600),
        (60_000, "ada", 399),
        (0, "ada", 1),
        (0, "ada", 1),
        (0, "bob", 1_000),
        (0, "bob", 1_001),
    ];

    let verdicts = of_every_limiter(HOUR, &steps).await;

    let allowed: Vec<_> = verdicts.iter().map(|verdict| verdict.allowed).collect();
    assert_eq!(allowed, [true, true, true, false, true, false]);
    assert_eq!(verdicts[2].remaining, 0);
    assert_eq!(verdicts[3].reset_at, Some("2024-01-01T13:00:00.5Z".parse().unwrap()));
    assert_eq!(verdicts[5].reset_at, None);
}

#[tokio::test]
async fn what_leaves_the_window_is_free_again_and_a_refusal_counts_nothing() {
    let steps = [
        (0, "a", 10),
        (59_999, "a", 1),
        (1, "a", 4),
        (500, "a", 3),
        (700, "a", 3),
        (0, "a", 1),
        (58_800, "a", 4),
    ];

    let verdicts = of_every_limiter(MINUTE, &steps).await;

    let allowed: Vec<_> = verdicts.iter().map(|verdict| verdict.allowed).collect();
    assert_eq!(allowed, [true, false, true, true, true, false, true]);
}

#[tokio::test]
async fn a_clock_that_goes_back_frees_nothing() {
    let steps = [(0, "a", 5), (-300_000, "a", 5), (0, "a", 1), (300_000, "a", 1), (60_000, "a", 10)];

    let verdicts = of_every_limiter(MINUTE, &steps).await;

    let allowed: Vec<_> = verdicts.iter().map(|verdict| verdict.allowed).collect();
    assert_eq!(allowed, [true, true, false, false, true]);
}

#[tokio::test]
async fn a_long_series_is_answered_alike() {
    // A fixed series that looks random: x -> 7x + 3 (mod 1009).
    let numbers: Vec<i64> = std::iter::successors(Some(1), |x| Some((x * 7 + 3) % 1_009)).take(400).collect();
    let keys = ["a", "b", "c"];
    let place = |x: i64| usize::try_from(x % 3).unwrap();
    let steps: Vec<(i64, &str, u32)> =
        numbers.iter().map(|x| (x * 5, keys[place(*x)], u32::try_from(x % 4).unwrap() + 1)).collect();

    let verdicts = of_every_limiter(MINUTE, &steps).await;

    assert!(
        verdicts.iter().any(|verdict| verdict.allowed) && verdicts.iter().any(|verdict| !verdict.allowed)
    );
}

fn settings() -> RateLimitSettings {
    RateLimitSettings {
        anonymous_per_hour: 7,
        member_per_hour: 4,
        payment_per_minute: 2,
        auth_per_minute: 5,
        key_per_minute: 0,
        loopback: true,
        trusted_proxies: 0,
    }
}

#[tokio::test]
async fn two_instances_share_a_limit_through_redis_and_count_alone_without_it() {
    let Some(redis) = RedisServer::start().await else { return };
    let instance = || RateLimits::new(settings(), Some(counting_in(&redis)));
    let (here, there) = (instance(), instance());

    let shared = [here.reserve(MINUTE, "a", 6, start()).await, there.reserve(MINUTE, "a", 5, start()).await];
    redis.stop().await;
    let alone = there.reserve(MINUTE, "a", 5, start()).await;

    assert_eq!(shared.map(|verdict| verdict.allowed), [true, false]);
    assert!(alone.allowed);
    assert_eq!((here.standing(), there.standing()), (Standing::Shared, Standing::SharedUnreachable));
}

#[tokio::test]
async fn attempts_to_sign_in_are_limited_by_address_and_say_when_to_come_back() {
    let server = TestServer::start_with(|it| it.rate_limits = settings()).await;
    let attempt = || server.client.post("/auth/tenants/register", json!({}));

    let mut remaining = Vec::new();
    for _ in 0..5 {
        let reply = attempt().await;
        assert_ne!(reply.status, 429);
        remaining.push(reply.header("ratelimit-remaining").unwrap().to_owned());
    }
    let refused = attempt().await;

    assert_eq!(remaining, ["4", "3", "2", "1", "0"]);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(refused.header("ratelimit-limit"), Some("5"));
    refused.expect_code(429, "rate_limit_exceeded");
    // Two more make the hour's seven of this address.
    assert_eq!(server.client.get("/pricing/nobody").await.status, 404);
    assert_eq!(server.client.get("/pricing/nobody").await.status, 404);
    server.client.get("/pricing/nobody").await.expect_code(429, "rate_limit_exceeded");
    for page in ["//readyz", "//health", "//metrics"] {
        assert_eq!(server.client.get(page).await.status, 200, "{page}");
    }
    server.stop().await;
}

#[tokio::test]
async fn members_are_limited_by_who_they_are_and_api_keys_are_not() {
    let server = TestServer::start_with(|it| it.rate_limits = settings()).await;
    let registered = server.client.register("acme").await;
    let member = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let key = server.client.with_key(registered["tenant"]["api_key_test_secret"].as_str().unwrap());

    let pay = || member.post("/invoices/inv_none/pay", json!({}));
    let payments = [pay().await.status, pay().await.status, pay().await.status];
    let reads = [
        member.get("/plans").await.status,
        member.get("/plans").await.status,
        member.get("/plans").await.status,
    ];

    assert_eq!(payments, [404, 404, 429]);
    assert_eq!(reads, [200, 200, 429]);
    for _ in 0..12 {
        assert_eq!(key.get("/plans").await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_dead_token_uses_up_nothing_of_its_member_and_is_limited_like_none() {
    // given two sessions, of which one has ended: it has used one of the member's four requests
    let server = TestServer::start_with(|it| it.rate_limits = settings()).await;
    let registered = server.client.register("acme").await;
    let member = server.client.with_key(registered["tokens"]["access"].as_str().unwrap());
    let login = json!({ "email": "acme@example.com", "password": "correct horse battery" });
    let other = server.client.post("/auth/tenants/login", login).await.expect(200);
    let dead = server.client.with_key(other["tokens"]["access"].as_str().unwrap());
    dead.post("/auth/tenants/logout", json!({})).await.expect(200);

    // when
    let mut refused = Vec::new();
    for _ in 0..7 {
        refused.push(dead.get("/plans").await.status);
    }
    let mut reads = Vec::new();
    for _ in 0..4 {
        let reply = member.get("/plans").await;
        reads.push((reply.status, reply.header("ratelimit-remaining").unwrap().to_owned()));
    }

    let nowhere = [dead.get("/nowhere").await.status, member.get("/nowhere").await.status];

    // then: two of the seven of this address were used up before
    assert_eq!(nowhere, [429, 429]);
    assert_eq!(refused, [401, 401, 401, 401, 401, 429, 429]);
    let expected = [(200, "2"), (200, "1"), (200, "0"), (429, "0")];
    assert_eq!(reads, expected.map(|(status, remaining)| (status, remaining.to_owned())));
    server.stop().await;
}

#[tokio::test]
async fn a_made_up_key_is_limited_like_none() {
    let elsewhere = TestServer::start().await;
    let unknown = elsewhere.client.register("acme").await;
    elsewhere.stop().await;
    let server = TestServer::start_with(|it| it.rate_limits = settings()).await;
    let liar = server.client.with_key(unknown["tenant"]["api_key_test_secret"].as_str().unwrap());

    let mut attempts = Vec::new();
    for _ in 0..6 {
        attempts.push(liar.post("/auth/tenants/register", json!({})).await.status);
    }
    let mut reads = Vec::new();
    for _ in 0..8 {
        reads.push(liar.get("/plans").await.status);
    }

    assert_eq!(attempts[5], 429, "{attempts:?}");
    assert!(!attempts[..5].contains(&429), "{attempts:?}");
    // Five of the seven were used up on the open route.
    assert_eq!(reads, [401, 401, 429, 429, 429, 429, 429, 429]);
    server.stop().await;
}

#[tokio::test]
async fn a_made_up_key_opens_no_way_around_the_limit_of_open_routes() {
    let elsewhere = TestServer::start().await;
    let unknown = elsewhere.client.register("acme").await;
    elsewhere.stop().await;
    let server = TestServer::start_with(|it| it.rate_limits = settings()).await;
    let liar = server.client.with_key(unknown["tenant"]["api_key_test_secret"].as_str().unwrap());

    let mut reads = Vec::new();
    for _ in 0..20 {
        reads.push(liar.get("/pricing/nobody").await.status);
    }

    assert!(reads.starts_with(&[404]) && reads.ends_with(&[429]), "{reads:?}");
    // What others call a thing lifts no limit.
    for path in ["/customers/inbound/usage", "/auth/tenants/webhooks/config"] {
        assert_eq!(liar.get(path).await.status, 429, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_can_be_limited_too_and_readiness_says_who_counts() {
    let limits = RateLimitSettings { key_per_minute: 2, ..settings() };
    let server = TestServer::start_with(|it| it.rate_limits = limits).await;
    let client = server.client.tenant("acme").await;

    let statuses = [
        client.get("/plans").await.status,
        client.get("/plans").await.status,
        client.get("/plans").await.status,
    ];
    let ready = server.client.get("//readyz").await;

    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(
        ready.text,
        "ready\nrate limits are counted per instance: set REDIS_URL where there are several\n"
    );
    server.stop().await;
}
