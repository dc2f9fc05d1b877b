//! Wallets: grants, debits, top-ups and the debt limit.

use futures_util::future::join_all;
use serde_json::{Value, json};
use usance_testkit::{Client, Reply, TestServer};

use super::credit_notes::{minor, settle, tenant};

pub(super) fn usd(amount_minor: i64) -> Value {
    json!({ "amount_minor": amount_minor, "currency": "USD" })
}

/// The address of the wallet of `acme`.
pub(super) async fn wallet(client: &Client) -> String {
    let wallet = client.get("/customers/acme/wallet").await.expect(200);
    format!("/wallets/{}", wallet["id"].as_str().unwrap())
}

/// A wallet with so much in it, and its debt limit.
pub(super) async fn funded(client: &Client, amount_minor: i64, debt_limit: i64) -> String {
    let wallet = wallet(client).await;
    if amount_minor > 0 {
        grant(client, &wallet, json!({ "amount": usd(amount_minor) })).await;
    }
    client.patch(&wallet, json!({ "debt_limit": usd(debt_limit) })).await.expect(200);
    wallet
}

async fn grant(client: &Client, wallet: &str, body: Value) -> Value {
    client.post(&format!("{wallet}/grants"), body).await.expect(201)
}

async fn debit(client: &Client, wallet: &str, id: &str, amount_minor: i64) -> Reply {
    let body = json!({ "id": id, "amount": usd(amount_minor) });
    client.post(&format!("{wallet}/debits"), body).await
}

/// Balance, held, available.
pub(super) async fn state(client: &Client, wallet: &str) -> [i64; 3] {
    let wallet = client.get(wallet).await.expect(200);
    ["balance", "held", "available"].map(|name| minor(&wallet[name]))
}

pub(super) async fn announced(server: &TestServer, prefix: &str) -> String {
    let sql = format!(
        "SELECT string_agg(type, ' ' ORDER BY sequence) FROM outbox_events WHERE type LIKE '{prefix}%'"
    );
    server.database.text_as_superuser(&sql).await
}

#[tokio::test]
async fn the_published_vectors_of_the_debt_limit_hold_over_http() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = wallet(&client).await;

    assert_eq!(client.get(&wallet).await.expect(200)["debt_limit"], usd(500));
    grant(&client, &wallet, json!({ "amount": usd(100) })).await;
    let accepted = debit(&client, &wallet, "call-1", 400).await.expect(201);
    let refused = debit(&client, &wallet, "call-2", 600).await.expect_code(402, "debt_limit_exceeded");
    assert_eq!(state(&client, &wallet).await[0], -300);
    let exactly = debit(&client, &wallet, "call-3", 200).await.expect(201);
    let beyond = debit(&client, &wallet, "call-4", 1).await.expect_code(402, "debt_limit_exceeded");

    assert_eq!(
        [&accepted["balance_before"], &accepted["balance_after"], &accepted["remaining_debt_capacity"]],
        [&usd(100), &usd(-300), &usd(200)]
    );
    assert_eq!(accepted["in_debt"], true);
    assert_eq!(
        ["current_balance", "debt_limit", "attempted_deduction", "new_balance_would_be", "amount_over_limit"]
            .map(|name| minor(&refused[name])),
        [-300, 500, 600, -900, 400]
    );
    assert_eq!((minor(&exactly["balance_after"]), minor(&beyond["amount_over_limit"])), (-500, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_debit_happens_once_for_its_id_and_its_refusal_stays() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;

    let first = debit(&client, &wallet, "a", 60).await.expect(201);
    let refused = debit(&client, &wallet, "b", 60).await.expect_code(402, "debt_limit_exceeded");
    grant(&client, &wallet, json!({ "amount": usd(1_000) })).await;
    let again = debit(&client, &wallet, "a", 60).await.expect(201);
    let still = debit(&client, &wallet, "b", 60).await.expect_code(402, "debt_limit_exceeded");

    assert_eq!(first, again);
    assert_eq!(refused["amount_over_limit"], still["amount_over_limit"]);
    debit(&client, &wallet, "a", 61).await.expect_code(422, "idempotency_key_reused");
    debit(&client, &wallet, "c", 60).await.expect(201);
    assert_eq!(state(&client, &wallet).await, [980, 0, 980]);
    server.stop().await;
}

#[tokio::test]
async fn however_many_debit_at_once_the_limit_holds_to_the_cent() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 0, 500).await;

    let debits = (0..300).map(|number| {
        let (client, wallet) = (client.clone(), wallet.clone());
        async move { debit(&client, &wallet, &format!("call-{number}"), 3).await.status }
    });
    let statuses = join_all(debits).await;

    let accepted = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!((accepted, statuses.iter().filter(|status| **status == 402).count()), (166, 134));
    assert_eq!(state(&client, &wallet).await, [-498, 0, 2]);
    assert_eq!(announced(&server, "wallet.debt").await, "wallet.debt_limit_reached");
    server.stop().await;
}

#[tokio::test]
async fn usage_that_happened_is_recorded_above_the_limit_and_flagged() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 0, 500).await;
    let body = json!({ "id": "call", "amount": usd(700), "already_used": true });

    let recorded = client.post(&format!("{wallet}/debits"), body).await.expect(201);

    assert_eq!((&recorded["over_limit"], &recorded["balance_after"]), (&json!(true), &usd(-700)));
    let entries = client.get(&format!("{wallet}/entries")).await.expect(200)["data"].clone();
    assert_eq!((&entries[0]["over_limit"], &entries[0]["debit"]), (&json!(true), &json!("call")));
    debit(&client, &wallet, "more", 1).await.expect_code(402, "debt_limit_exceeded");
    server.stop().await;
}

#[tokio::test]
async fn usage_below_a_cent_is_debited_as_a_rounded_sum() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 0).await;

    let mut debited = Vec::new();
    for number in 0..7 {
        let body = json!({ "id": format!("u{number}"), "usage": "0.003" });
        let reply = client.post(&format!("{wallet}/debits"), body).await.expect(201);
        debited.push(minor(&reply["amount"]));
    }

    assert_eq!(debited, [0, 1, 0, 0, 1, 0, 0]);
    assert_eq!(state(&client, &wallet).await, [98, 0, 97]);
    assert_eq!(client.get(&wallet).await.expect(200)["unrounded_usage"], "0.001");
    server.stop().await;
}

#[tokio::test]
async fn grants_are_used_by_priority_then_expiry_and_expire_by_themselves() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 0, 0).await;
    let give = |amount: i64, priority: i64, expires_at: Option<&str>| json!({ "amount": usd(amount), "priority": priority, "expires_at": expires_at });
    for body in [
        give(100, 20, None),
        give(100, 10, Some("2024-02-01T00:00:00Z")),
        give(100, 10, Some("2024-01-15T00:00:00Z")),
    ] {
        grant(&client, &wallet, body).await;
    }

    debit(&client, &wallet, "a", 130).await.expect(201);
    let left: Vec<_> = client.get(&wallet).await.expect(200)["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| minor(&grant["remaining"]))
        .collect();
    assert_eq!(left, [100, 70]);
    client.advance("2024-02-01T00:00:00Z").await;

    assert_eq!(state(&client, &wallet).await, [100, 0, 100]);
    let entries = client.get(&format!("{wallet}/entries?limit=1")).await.expect(200);
    assert_eq!(
        (&entries["data"][0]["type"], &entries["data"][0]["amount"], &entries["has_more"]),
        (&json!("expiry"), &usd(-70), &json!(true))
    );
    let next = format!("{wallet}/entries?limit=4&cursor={}", entries["next_cursor"].as_str().unwrap());
    assert_eq!(client.get(&next).await.expect(200)["data"].as_array().unwrap().len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_top_up_charges_the_customer_and_a_declined_one_changes_nothing() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let wallet = wallet(&client).await;
    let top_up = format!("{wallet}/topups");

    let made = client.post_once(&top_up, "key", json!({ "amount": usd(2_500) })).await.expect(201);
    let again = client.post_once(&top_up, "key", json!({ "amount": usd(2_500) })).await.expect(201);
    let method = json!({ "type": "card", "token": "tok_decline" });
    client.post("/customers/acme/payment-methods", method).await.expect(201);
    client.post(&top_up, json!({ "amount": usd(100) })).await.expect_code(402, "payment_declined");

    assert_eq!((&made, &made["status"]), (&again, &json!("succeeded")));
    assert_eq!(state(&client, &wallet).await[0], 2_500);
    assert_eq!(announced(&server, "wallet.to").await, "wallet.topped_up wallet.top_up_failed");
    server.stop().await;
}

#[tokio::test]
async fn an_unanswered_top_up_is_looked_up() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_timeout")).await;
    let wallet = wallet(&client).await;

    client
        .post(&format!("{wallet}/topups"), json!({ "amount": usd(100) }))
        .await
        .expect_code(409, "payment_unknown");
    client.advance("2024-01-01T00:05:00Z").await;

    let status = "SELECT status || ' ' || failure_code FROM wallet_top_ups";
    assert_eq!(server.database.text_as_superuser(status).await, "failed not_received");
    assert_eq!(state(&client, &wallet).await[0], 0);
    server.stop().await;
}

async fn top_ups(server: &TestServer) -> String {
    let sql = "SELECT string_agg(concat(amount_minor, ' ', status), ', ' ORDER BY id) FROM wallet_top_ups";
    server.database.text_as_superuser(sql).await
}

#[tokio::test]
async fn however_many_debits_cross_the_threshold_at_once_one_charge_is_made() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let wallet = funded(&client, 1_000, 500).await;
    let recharge = json!({ "threshold": usd(600), "amount": usd(1_000) });
    client.patch(&wallet, json!({ "auto_recharge": recharge, "low_balance": usd(700) })).await.expect(200);

    let debits = (0..40).map(|number| {
        let (client, wallet) = (client.clone(), wallet.clone());
        async move { debit(&client, &wallet, &format!("call-{number}"), 20).await.expect(201) }
    });
    join_all(debits).await;
    settle(&client).await;

    assert_eq!(top_ups(&server).await, "1000 succeeded");
    assert_eq!(state(&client, &wallet).await[0], 1_200);
    assert_eq!(announced(&server, "wallet").await, "wallet.low wallet.topped_up");
    server.stop().await;
}

#[tokio::test]
async fn recharging_goes_on_until_the_threshold_and_stops_at_the_cap_of_the_month() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_success")).await;
    let wallet = funded(&client, 100, 500).await;
    let recharge = json!({ "threshold": usd(50), "amount": usd(100), "monthly_cap": usd(250) });
    client.patch(&wallet, json!({ "auto_recharge": recharge })).await.expect(200);

    debit(&client, &wallet, "a", 400).await.expect(201);
    settle(&client).await;
    assert_eq!(
        (top_ups(&server).await.as_str(), state(&client, &wallet).await[0]),
        ("100 succeeded, 100 succeeded", -100)
    );
    client.advance("2024-02-01T00:00:00Z").await;
    debit(&client, &wallet, "b", 1).await.expect(201);
    client.advance("2024-02-01T00:00:01Z").await;

    assert_eq!(state(&client, &wallet).await[0], 99);
    server.stop().await;
}

#[tokio::test]
async fn a_declined_recharge_is_not_repeated_until_the_balance_was_raised() {
    let server = TestServer::start().await;
    let client = tenant(&server, Some("tok_decline")).await;
    let wallet = funded(&client, 100, 500).await;
    let recharge = json!({ "threshold": usd(50), "amount": usd(100) });
    client.patch(&wallet, json!({ "auto_recharge": recharge })).await.expect(200);

    for (name, amount) in [("a", 60), ("b", 10)] {
        debit(&client, &wallet, name, amount).await.expect(201);
        settle(&client).await;
    }
    assert_eq!(top_ups(&server).await, "100 failed");
    grant(&client, &wallet, json!({ "amount": usd(100) })).await;
    debit(&client, &wallet, "c", 100).await.expect(201);
    settle(&client).await;

    assert_eq!(top_ups(&server).await, "100 failed, 100 failed");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_an_amount_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 100, 500).await;
    let debits = format!("{wallet}/debits");

    for amount in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let body = json!({ "id": "x", "amount": { "amount_minor": amount, "currency": "USD" } });
        let reply = client.post(&debits, body).await;
        assert_eq!((reply.status, &reply.body["code"]), (422, &json!("invalid_field")), "{}", reply.text);
    }
    let huge = json!({ "id": "max", "amount": usd(i64::MAX) });
    client.post(&debits, huge).await.expect_code(402, "debt_limit_exceeded");
    let max = json!({ "id": "used", "amount": usd(i64::MAX), "already_used": true });
    client.post(&debits, max).await.expect(201);
    let more = json!({ "id": "more", "amount": usd(200), "already_used": true });
    let refused = client.post(&debits, more).await.expect_code(422, "invalid_field");
    assert_eq!(refused["errors"][0]["code"], "too_large");
    let euros = json!({ "id": "eur", "amount": { "amount_minor": 1, "currency": "EUR" } });
    client.post(&debits, euros).await.expect_code(422, "currency_mismatch");
    for (usage, code) in [
        ("0", "out_of_range"),
        ("-1", "out_of_range"),
        ("1.0000000000001", "malformed_decimal"),
        ("NaN", "malformed_decimal"),
    ] {
        let refused = client
            .post(&debits, json!({ "id": "y", "usage": usage }))
            .await
            .expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["code"], code, "{usage}");
    }
    client.post(&debits, json!({ "id": "z" })).await.expect_code(422, "invalid_field");
    assert_eq!(state(&client, &wallet).await[0], 100 - i64::MAX);
    server.stop().await;
}

#[tokio::test]
async fn a_debt_limit_is_not_set_below_what_is_used() {
    let server = TestServer::start().await;
    let client = tenant(&server, None).await;
    let wallet = funded(&client, 0, 500).await;
    debit(&client, &wallet, "a", 300).await.expect(201);

    let refused =
        client.patch(&wallet, json!({ "debt_limit": usd(299) })).await.expect_code(422, "invalid_field");
    let lowered = client.patch(&wallet, json!({ "debt_limit": usd(300) })).await.expect(200);

    assert_eq!(refused["errors"][0]["pointer"], "/debt_limit");
    assert_eq!((minor(&lowered["available"]), minor(&lowered["debt_limit"])), (0, 300));
    client.get("/wallets/wal_x").await.expect_code(404, "not_found");
    client.get("/customers/nobody/wallet").await.expect_code(404, "not_found");
    client.get("/customers/acme/wallet?currency=XXY").await.expect_code(422, "invalid_field");
    server.stop().await;
}
