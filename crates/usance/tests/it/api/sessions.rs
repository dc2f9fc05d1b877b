//! Signing in, renewing, signing out, and changing the password.

use futures_util::{StreamExt, future::join_all, stream};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use usance_testkit::{Client, MovableClock, Reply, TestDatabase, TestServer};

use crate::program::asked_for;

const PASSWORD: &str = "correct horse battery";
/// As many as wait for their password to be looked at.
const GUESSES_AT_ONCE: usize = 40;

async fn login(client: &Client, email: &str, password: &str) -> Reply {
    client.post("/auth/tenants/login/", json!({ "email": email, "password": password })).await
}

async fn refresh(client: &Client, token: &str) -> Reply {
    client.post("/auth/tenants/token/refresh/", json!({ "refresh": token })).await
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// A server on a database of its own, whose clock the test moves, behind a proxy that names the client's address.
async fn server_by(clock: &MovableClock) -> TestServer {
    TestServer::start_by(clock, TestDatabase::new().await, |settings| {
        settings.rate_limits.trusted_proxies = 1;
    })
    .await
}

#[tokio::test]
async fn a_member_signs_in_and_is_shown() {
    // given
    let server = TestServer::start().await;
    server.client.register("acme").await;

    // when
    let signed_in = login(&server.client, "ACME@example.com", PASSWORD).await.expect(200);
    let member = server.client.with_key(text(&signed_in, "/tokens/access"));
    let me = member.get("/auth/tenants/me/").await.expect(200);

    // then
    assert_eq!(signed_in["message"], "Login successful");
    assert_eq!(text(&signed_in, "/user/role"), "owner");
    assert!(text(&signed_in, "/tenant/api_keys/public").starts_with("pk_test_"));
    assert!(signed_in["tenant"].get("api_key_secret").is_none());
    assert!(me["user"]["last_login"].is_string());
    assert_eq!((&me["user"], &me["tenant"]), (&signed_in["user"], &signed_in["tenant"]));
    assert_eq!(member.get("/auth/tenants/me").await.expect(200), me);
    member.get("/customers").await.expect(200);
    server.client.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    server.stop().await;
}

async fn verifications(server: &TestServer) -> u64 {
    let page = server.client.get("//metrics").await.text;
    let line = page.lines().find_map(|line| line.strip_prefix("usance_password_verifications_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike_and_cost_one_verification_each() {
    // given
    let server = TestServer::start().await;
    server.client.register("acme").await;
    let mut answers = Vec::new();
    let too_long = "x".repeat(5_000);

    // when
    for (email, password) in [
        ("acme@example.com", "wrong horse battery"),
        ("nobody@example.com", PASSWORD),
        ("no address at all", PASSWORD),
        ("acme@example.com", ""),
        ("acme@example.com", too_long.as_str()),
    ] {
        let before = verifications(&server).await;
        let mut refused =
            login(&server.client, email, password).await.expect_code(401, "invalid_credentials");
        assert_eq!(verifications(&server).await - before, 1, "{email}");
        refused["request_id"].take();
        answers.push(refused);
    }

    // then
    assert_eq!(answers[0]["error"], "Invalid credentials");
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    let missing =
        server.client.post("/auth/tenants/login/", json!({ "email": "acme@example.com" })).await.expect(400);
    assert!(missing["detail"].as_str().unwrap().contains("password"), "{missing}");
    server.stop().await;
}

/// Tries to sign in from an address.
async fn login_from(server: &TestServer, address: &str, email: &str, password: &str) -> Reply {
    let request = server.client.request(Method::POST, "/auth/tenants/login/");
    let request = request.header("x-forwarded-for", address);
    server.client.send(request.json(&json!({ "email": email, "password": password }))).await
}

#[tokio::test]
async fn guesses_are_few_and_the_owner_still_signs_in() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let body = json!({ "company_name": "acme", "email": "acme@example.com", "password": PASSWORD });
    let request = server.client.request(Method::POST, "/auth/tenants/register/");
    server.client.send(request.header("x-forwarded-for", "192.0.2.1").json(&body)).await.expect(201);
    let guesses = asked_for("USANCE_GUESSES", 500);
    let guess = async |email: &'static str| -> Vec<Reply> {
        let attempts = stream::iter(0..guesses).map(async |number| {
            let address = format!("100.64.{}.{}", number / 256, number % 256);
            login_from(&server, &address, email, "wrong horse battery").await
        });
        attempts.buffer_unordered(GUESSES_AT_ONCE).collect().await
    };

    // when
    let before = verifications(&server).await;
    let known = guess("acme@example.com").await;
    let unknown = guess("nobody@example.com").await;
    let verified = verifications(&server).await - before;

    // then: strangers share ten attempts, and no attempt beyond them looks at the password
    for replies in [&known, &unknown] {
        assert_eq!(replies.iter().filter(|reply| reply.status == 401).count(), 10);
        let refused: Vec<_> = replies.iter().filter(|reply| reply.status == 429).collect();
        assert_eq!(refused.len() + 10, replies.len());
        assert_eq!(refused[0].body["code"], "rate_limit_exceeded");
        assert_eq!(refused[0].header("retry-after"), Some("901"));
    }
    assert_eq!(verified, 20);
    let right = login_from(&server, "198.51.100.200", "acme@example.com", PASSWORD).await;
    right.expect_code(429, "rate_limit_exceeded");
    login_from(&server, "192.0.2.1", "acme@example.com", PASSWORD).await.expect(200);
    // A quarter of an hour later anybody may try again.
    clock.advance(SignedDuration::from_secs(900));
    login_from(&server, "198.51.100.200", "acme@example.com", PASSWORD).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn attempts_that_were_counted_do_not_tell_of_which_tenant_an_address_is_a_member() {
    let server = TestServer::start().await;
    server.client.register("acme").await;
    server.client.register("other").await;
    let guess = async |email: &str, tenant: Option<&str>| {
        let login = json!({ "email": email, "password": "wrong horse battery", "tenant": tenant });
        server.client.post("/auth/tenants/login", login).await.status
    };

    // Of a member of the tenant, of a member of another one, and of nobody.
    for email in ["acme@example.com", "other@example.com", "nobody@example.com"] {
        let mut answers = Vec::new();
        for tenant in [None, Some("acme"), Some("other")] {
            for _ in 0..11 {
                answers.push(guess(email, tenant).await);
            }
        }
        let expected = [[401; 10].as_slice(), &[429]].concat().repeat(3);
        assert_eq!(answers, expected, "{email}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_attempt_that_nobody_looked_at_does_not_count() {
    // given a server whose queue of passwords is full
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let owner = server.client.with_key(text(&registered, "/tokens/access"));
    let hashing = &server.app().password_hashing;
    let places: Vec<_> = std::iter::from_fn(|| hashing.reserve().ok()).collect();
    assert_eq!(places.len(), 64);
    let change = json!({ "old_password": PASSWORD, "new_password": "gravel tulip nine bone" });

    // when
    for _ in 0..6 {
        login(&server.client, "acme@example.com", PASSWORD).await.expect_code(429, "too_many_requests");
        let refused = owner.post("/auth/tenants/change-password", change.clone()).await;
        assert_eq!(refused.header("retry-after"), Some("1"));
        refused.expect_code(429, "too_many_requests");
    }
    drop(places);

    // then all ten attempts are left
    for _ in 0..10 {
        login(&server.client, "acme@example.com", "wrong horse battery")
            .await
            .expect_code(401, "invalid_credentials");
    }
    login(&server.client, "acme@example.com", PASSWORD).await.expect_code(429, "rate_limit_exceeded");
    server.stop().await;
}

#[tokio::test]
async fn attempts_are_forgotten_after_a_day_and_found_by_their_time() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    server.client.register("acme").await;
    login_from(&server, "198.51.100.1", "acme@example.com", "wrong horse battery").await.expect(401);
    let count = "SELECT count(*)::text FROM sign_in_attempts";
    assert_eq!(server.database.text_as_superuser(count).await, "1");

    // when
    clock.advance(SignedDuration::from_hours(25));
    login(&server.client, "acme@example.com", PASSWORD).await.expect(200);

    // then
    assert_eq!(server.database.text_as_superuser(count).await, "0");
    let indexes = "SELECT string_agg(indexdef, '; ') FROM pg_indexes WHERE tablename LIKE 'sign_in_%'";
    let indexes = server.database.text_as_superuser(indexes).await;
    for by_time in ["(tenant_id, window_started_at)", "(tenant_id, signed_in_at)"] {
        assert!(indexes.contains(by_time), "{indexes}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_its_reuse_ends_the_session() {
    // given
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let first = text(&registered, "/tokens/refresh").to_owned();
    let other = login(&server.client, "acme@example.com", PASSWORD).await.expect(200);

    // when
    let renewed = refresh(&server.client, &first).await.expect(200);
    let member = server.client.with_key(text(&renewed, "/access"));
    member.get("/auth/tenants/me/").await.expect(200);
    let stolen = refresh(&server.client, &first).await.expect_code(401, "token_not_valid");

    // then
    assert_eq!(stolen["detail"], "Token is invalid or expired");
    refresh(&server.client, text(&renewed, "/refresh")).await.expect_code(401, "token_not_valid");
    member.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    let member = server.client.with_key(text(&other, "/tokens/access"));
    let log = member.get("/audit?action=member.token_reused").await.expect(200);
    assert_eq!(log["data"].as_array().unwrap().len(), 1);
    for nonsense in ["", "rt_", "rt_ten_x_y", "a.b.c", "rt_ten_01h455vb4pex5vsknk084sn02q_x"] {
        refresh(&server.client, nonsense).await.expect_code(401, "token_not_valid");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_made_once_more_and_the_first_one_is_worth_nothing() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let first = text(&registered, "/tokens/refresh").to_owned();

    // when
    let lost = refresh(&server.client, &first).await.expect(200);
    clock.advance(SignedDuration::from_secs(30));
    let again = refresh(&server.client, &first).await.expect(200);

    // then
    let with = |answer: &Value| server.client.with_key(text(answer, "/access"));
    with(&lost).get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    with(&again).get("/auth/tenants/me/").await.expect(200);
    let next = refresh(&server.client, text(&again, "/refresh")).await.expect(200);
    // Whoever holds the answer that was lost is not the member.
    refresh(&server.client, text(&lost, "/refresh")).await.expect_code(401, "token_not_valid");
    with(&next).get("/auth/tenants/me/").await.expect_code(401, "unauthorized");

    // and when the answer is asked for too late
    let late = login(&server.client, "acme@example.com", PASSWORD).await.expect(200);
    let late = text(&late, "/tokens/refresh");
    refresh(&server.client, late).await.expect(200);
    clock.advance(SignedDuration::from_secs(31));
    refresh(&server.client, late).await.expect_code(401, "token_not_valid");
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_is_submitted_twice_at_once_leaves_one_live_branch() {
    let server = TestServer::start().await;
    server.client.register("acme").await;

    for _ in 0..5 {
        let signed_in = login(&server.client, "acme@example.com", PASSWORD).await.expect(200);
        let token = text(&signed_in, "/tokens/refresh");
        let answers = join_all([refresh(&server.client, token), refresh(&server.client, token)]).await;

        let mut live = 0;
        for answer in answers {
            let access = text(&answer.expect(200), "/access").to_owned();
            let reply = server.client.with_key(&access).get("/auth/tenants/me/").await;
            live += u32::from(reply.status == 200);
        }
        assert_eq!(live, 1);
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_end_by_themselves() {
    // given
    let clock = MovableClock::default();
    let server = server_by(&clock).await;
    let registered = server.client.register("acme").await;
    let member = server.client.with_key(text(&registered, "/tokens/access"));

    // when, then
    clock.advance(SignedDuration::from_secs(3_599));
    member.get("/auth/tenants/me/").await.expect(200);
    clock.advance(SignedDuration::from_secs(1));
    member.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    clock.advance(SignedDuration::from_hours(7 * 24 - 1));
    refresh(&server.client, text(&registered, "/tokens/refresh")).await.expect_code(401, "token_not_valid");
    server.stop().await;
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions() {
    // given
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let own = server.client.with_key(text(&registered, "/tokens/access"));
    let other = login(&server.client, "acme@example.com", PASSWORD).await.expect(200);
    let other_member = server.client.with_key(text(&other, "/tokens/access"));
    let change = |old: &str, new: &str| {
        own.request(Method::POST, "/auth/tenants/change-password/")
            .json(&json!({ "old_password": old, "new_password": new }))
    };

    // when
    let wrong = own.send(change("wrong horse battery", "gravel tulip nine bone")).await.expect(400);
    let weak = own.send(change(PASSWORD, "password1234")).await.expect(400);
    let near = own.send(change(PASSWORD, "acme@example.com")).await.expect(400);
    let changed = own.send(change(PASSWORD, "gravel tulip nine bone")).await.expect(200);

    // then
    assert_eq!(wrong["old_password"], json!(["Old password is incorrect."]));
    assert!(weak["new_password"][0].is_string() && near["new_password"][0].is_string(), "{weak} {near}");
    assert_eq!(changed, json!({ "message": "Password changed successfully" }));
    own.get("/auth/tenants/me/").await.expect(200);
    other_member.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    refresh(&server.client, text(&other, "/tokens/refresh")).await.expect_code(401, "token_not_valid");
    login(&server.client, "acme@example.com", PASSWORD).await.expect_code(401, "invalid_credentials");
    login(&server.client, "acme@example.com", "gravel tulip nine bone").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_member_sees_and_ends_sessions() {
    // given
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let own = server.client.with_key(text(&registered, "/tokens/access"));
    let other = login(&server.client, "acme@example.com", PASSWORD).await.expect(200);
    let other = server.client.with_key(text(&other, "/tokens/access"));

    // when
    let sessions = own.get("/auth/tenants/sessions").await.expect(200);
    let sessions = sessions["data"].as_array().unwrap();
    let current: Vec<_> = sessions.iter().map(|session| session["is_current"].clone()).collect();
    let path = format!("/auth/tenants/sessions/{}", text(&sessions[0], "/id"));
    let ended = own.delete(&path).await;

    // then
    assert_eq!(current, [json!(false), json!(true)]);
    assert_eq!(sessions[1]["address"], "127.0.0.1");
    assert_eq!(ended.status, 204);
    own.delete(&path).await.expect_code(404, "not_found");
    own.delete("/auth/tenants/sessions/x").await.expect_code(404, "not_found");
    other.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    own.post("/auth/tenants/logout/", json!({})).await.expect(200);
    own.get("/auth/tenants/me/").await.expect_code(401, "unauthorized");
    refresh(&server.client, text(&registered, "/tokens/refresh")).await.expect_code(401, "token_not_valid");
    server.stop().await;
}

#[tokio::test]
async fn the_key_that_verifies_access_tokens_is_public() {
    let server = TestServer::start().await;

    let set = server.client.get("//.well-known/jwks.json").await.expect(200);

    assert_eq!((text(&set, "/keys/0/alg"), text(&set, "/keys/0/crv")), ("EdDSA", "Ed25519"));
    assert!(set["keys"][0].get("d").is_none());
    server.stop().await;
}
