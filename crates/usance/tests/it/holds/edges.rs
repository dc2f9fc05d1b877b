//! Amounts at the edges of what can be written and stored: refused by name, without a change.

use reqwest::Method;
use usance_testkit::{Client, Reply, TestServer};

use super::Ada;

/// 10^38 - 1, the most that the ledger's counters hold.
const NINES: &str = "99999999999999999999999999999999999999";
/// `i64::MAX`.
const MOST: &str = "9223372036854775807";

async fn send(client: &Client, method: Method, path: &str, body: &str) -> Reply {
    let request = client.request(method, path).header("content-type", "application/json");
    client.send(request.body(body.to_owned())).await
}

/// Sends a body that must be refused by a code of ours.
async fn refuse(client: &Client, method: Method, path: &str, body: &str) {
    let reply = send(client, method, path, body).await;
    assert!((400..500).contains(&reply.status), "{path} {body}: {}", reply.text);
    assert!(reply.body["code"].is_string(), "{path} {body}: {}", reply.text);
}

/// Amounts that are none, as JSON.
const WRONG_AMOUNTS: [&str; 11] = [
    "-1",
    "-9223372036854775808",
    "9223372036854775808",
    NINES,
    "1.5",
    "1.0000001",
    "\"1.0000001\"",
    "\"1\"",
    "NaN",
    "1e400",
    "null",
];

#[tokio::test]
async fn amounts_at_the_edges_change_no_wallet_and_no_hold() {
    let server = TestServer::start().await;
    let ada = Ada::new(&server, "seller").await;
    ada.set_debt_limit(10).await;
    let held = ada.client.post("/holds", ada.money(4, 600)).await.expect(201);
    let wallet = format!("/wallets/{}", ada.wallet);
    let settle = format!("/holds/{}/settle", super::id(&held));
    let before = ada.money_now().await;

    let amount =
        |minor: &str, currency: &str| format!(r#"{{"amount_minor":{minor},"currency":"{currency}"}}"#);
    let holding = |amount: &str| format!(r#"{{"wallet":"{}","amount":{amount}}}"#, ada.wallet);
    let mut wrong: Vec<String> = WRONG_AMOUNTS.iter().map(|minor| amount(minor, "USD")).collect();
    wrong.extend([
        amount("1", "EUR"),
        amount("1", "usd"),
        amount("1", "XXY"),
        amount("1", ""),
        "[1,\"USD\"]".to_owned(),
    ]);
    for amount in &wrong {
        refuse(&ada.client, Method::POST, "/holds", &holding(amount)).await;
        refuse(&ada.client, Method::POST, &settle, &format!(r#"{{"amount":{amount}}}"#)).await;
        refuse(&ada.client, Method::POST, &format!("{wallet}/grants"), &format!(r#"{{"amount":{amount}}}"#))
            .await;
        let debit = format!(r#"{{"id":"edge","amount":{amount}}}"#);
        refuse(&ada.client, Method::POST, &format!("{wallet}/debits"), &debit).await;
        refuse(&ada.client, Method::PATCH, &wallet, &format!(r#"{{"debt_limit":{amount}}}"#)).await;
    }
    for minor in ["0", MOST, "7"] {
        refuse(&ada.client, Method::POST, "/holds", &holding(&amount(minor, "USD"))).await;
    }
    refuse(&ada.client, Method::POST, &settle, &format!(r#"{{"amount":{}}}"#, amount(MOST, "USD"))).await;

    assert_eq!(ada.money_now().await, before);
    assert_eq!(before, [0, 4, 6]);
    server.stop().await;
}

#[tokio::test]
async fn sums_that_are_too_large_for_a_wallet_are_refused() {
    let server = TestServer::start().await;
    let ada = Ada::new(&server, "seller").await;
    let wallet = format!("/wallets/{}", ada.wallet);
    let grant = |minor: &str| format!(r#"{{"amount":{{"amount_minor":{minor},"currency":"USD"}}}}"#);

    send(&ada.client, Method::POST, &format!("{wallet}/grants"), &grant(MOST)).await.expect(201);
    let more = send(&ada.client, Method::POST, &format!("{wallet}/grants"), &grant("1")).await;
    ada.set_debt_limit(i64::MAX).await;
    let all = ada.client.post("/holds", ada.money(i64::MAX, 600)).await.expect(201);
    let beyond = ada.client.post("/holds", ada.money(i64::MAX, 600)).await;
    let state = ada.money_now().await;
    ada.client.post(&format!("/holds/{}/release", super::id(&all)), serde_json::json!({})).await.expect(200);

    more.expect_code(422, "invalid_field");
    assert!(matches!(beyond.status, 402 | 422), "{}", beyond.text);
    assert_eq!(state, [i64::MAX, i64::MAX, i64::MAX]);
    assert_eq!(ada.money_now().await, [i64::MAX, 0, i64::MAX]);
    server.stop().await;
}

#[tokio::test]
async fn quantities_at_the_edges_change_no_counter_and_no_hold() {
    let server = TestServer::start().await;
    let ada = Ada::new(&server, "seller").await;
    let held = ada.client.post("/holds", Ada::units(4, 600)).await.expect(201);
    let settle = format!("/holds/{}/settle", super::id(&held));
    let before = ada.units_now().await;

    let wrong = [
        "\"-1\"",
        "\"1.0000000000001\"",
        "\"NaN\"",
        "\"1e400\"",
        "\"Infinity\"",
        "\"\"",
        "\" 1\"",
        "\"0x10\"",
        "1",
        "1.5",
        "1e400",
        "[]",
        "\"99999999999999999999999999999999999999\"",
        "\"9223372036854775807\"",
        "\"10000000000000000\"",
    ];
    for quantity in wrong {
        let hold = format!(r#"{{"customer":"ada","feature":"exports","quantity":{quantity}}}"#);
        refuse(&ada.client, Method::POST, "/holds", &hold).await;
        refuse(&ada.client, Method::POST, &settle, &format!(r#"{{"quantity":{quantity}}}"#)).await;
    }
    for quantity in ["\"0\"", "\"96.000000000001\"", "\"9999999999999999\""] {
        let hold = format!(r#"{{"customer":"ada","feature":"exports","quantity":{quantity}}}"#);
        refuse(&ada.client, Method::POST, "/holds", &hold).await;
    }
    refuse(&ada.client, Method::POST, &settle, r#"{"quantity":"4.000000000001"}"#).await;

    assert_eq!(ada.units_now().await, before);
    assert_eq!(before, [0, 4, 96]);
    server.stop().await;
}

#[tokio::test]
async fn sums_that_are_too_large_for_a_counter_are_refused() {
    let server = TestServer::start().await;
    let ada = Ada::new(&server, "seller").await;
    let unlimited = serde_json::json!({ "entitlements": [{ "feature": "exports" }] });
    let path = format!("/subscriptions/{}/entitlements", ada.subscription);
    ada.client.put(&path, unlimited).await.expect(200);
    let most = |id: &str| serde_json::json!({ "id": id, "customer": "ada", "feature": "exports", "quantity": "9999999999999999.999999999999" });

    let mut made = Vec::new();
    let refused = loop {
        let reply = ada.client.post("/holds", most(&made.len().to_string())).await;
        if reply.status != 201 {
            break reply;
        }
        made.push(reply.body);
        assert!(made.len() < 20, "a sum has at most 28 digits");
    };
    refused.expect_code(422, "invalid_field");
    let path = format!("/holds/{}/settle", super::id(&made[0]));
    let settled = ada
        .client
        .post(&path, serde_json::json!({ "quantity": "9999999999999999.999999999999" }))
        .await
        .expect(200);

    assert_eq!(settled["settled_quantity"], "9999999999999999.999999999999");
    ada.client.post("/holds", most("again")).await.expect(201);
    server.stop().await;
}
