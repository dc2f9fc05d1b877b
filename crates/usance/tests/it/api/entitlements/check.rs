//! Checks: answered from memory, and true.

use serde_json::{Value, json};
use usance_testkit::TestServer;

use super::{brief, call, check, plan, prepared, subscribe};

#[tokio::test]
async fn a_feature_is_included_has_a_value_or_has_a_limit() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let grants = json!([{ "feature": "sso" }, { "feature": "support", "value": "priority" },
        { "feature": "exports", "limit": "10", "reset": "day" }]);
    plan(&client, "pro", grants).await;
    subscribe(&client, "pro").await;

    let (sso, support, exports) =
        (check(&client, "sso").await, check(&client, "support").await, check(&client, "exports").await);
    let calls = check(&client, "calls").await;

    assert_eq!((&sso["allowed"], &sso["limit"]), (&json!(true), &Value::Null));
    assert_eq!((&support["allowed"], &support["value"]), (&json!(true), &json!("priority")));
    assert_eq!((&exports["limit"], &exports["remaining"]), (&json!("10"), &json!("10")));
    assert_eq!(exports["reset_at"], "2024-01-02T00:00:00Z");
    assert_eq!((&calls["allowed"], &calls["reason"]), (&json!(false), &json!("feature_not_included")));
    assert_eq!(calls["upgrade_url"], "/billing/upgrade");
    server.stop().await;
}

#[tokio::test]
async fn the_usage_of_a_meter_counts_by_the_date_of_utc_as_soon_as_it_is_committed() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "trial", json!([{ "feature": "calls", "limit": "3", "reset": "day" }])).await;
    subscribe(&client, "trial").await;

    assert_eq!(brief(&client, "calls").await, r#"true "0" "3""#);
    for id in ["a", "b", "b", "c"] {
        call(&client, id).await;
    }
    let full = client.get("/entitlements/check?customer=ada&feature=calls").await;
    client.advance("2024-01-01T23:59:59Z").await;
    assert_eq!(brief(&client, "calls").await, r#"false "3" "0""#);
    client.advance("2024-01-02T00:00:00Z").await;

    assert_eq!((&full.body["allowed"], &full.body["reason"]), (&json!(false), &json!("limit_reached")));
    let headers =
        ["x-tier", "x-tier-status", "x-api-calls-used", "x-api-calls-limit", "x-api-calls-remaining"];
    assert_eq!(headers.map(|name| full.header(name).unwrap()), ["trial", "active", "3", "3", "0"]);
    assert_eq!(brief(&client, "calls").await, r#"true "0" "3""#);
    server.stop().await;
}

#[tokio::test]
async fn a_trial_has_limits_of_its_own_until_it_ends() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let limits = json!([{ "feature": "calls", "limit": "100", "reset": "day" }]);
    let body = json!({ "code": "pro", "name": "Pro", "currency": "USD", "interval": "month", "prices": [],
        "trial": { "days": 7, "price": "1", "limits": limits },
        "entitlements": [{ "feature": "calls", "limit": "10000" }] });
    let made = client.post("/plans", body).await.expect(201);
    subscribe(&client, "pro").await;

    let in_trial = check(&client, "calls").await;
    client.advance("2024-01-08T12:00:00Z").await;
    let after = check(&client, "calls").await;
    let renamed = client.patch("/plans/pro", json!({ "late_usage": "next_invoice" })).await.expect(200);

    assert_eq!(made["trial"]["limits"][0]["limit"], "100");
    assert_eq!(renamed["trial"]["limits"], made["trial"]["limits"]);
    assert_eq!((&in_trial["limit"], &in_trial["tier_status"]), (&json!("100"), &json!("trialing")));
    assert_eq!((&after["limit"], &after["tier_status"]), (&json!("10000"), &json!("active")));
    server.stop().await;
}

#[tokio::test]
async fn what_a_subscription_is_granted_itself_comes_first_and_add_ons_add_to_it() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "exports", "limit": "10" }])).await;
    let pack = json!({ "code": "pack", "name": "Pack", "currency": "USD", "interval": "month", "prices": [],
        "entitlements": [{ "feature": "exports", "limit": "5" }] });
    client.post("/add-ons", pack).await.expect(201);
    let body = json!({ "customer": "ada", "plan": "pro", "add_ons": [{ "code": "pack", "quantity": 2 }] });
    let subscription = client.post("/subscriptions", body).await.expect(201);
    let path = format!("/subscriptions/{}/entitlements", subscription["id"].as_str().unwrap());

    assert_eq!(check(&client, "exports").await["limit"], "20");
    client
        .put(&path, json!({ "entitlements": [{ "feature": "exports", "limit": "1.5" }] }))
        .await
        .expect(200);
    assert_eq!(check(&client, "exports").await["limit"], "11.5");
    let own = client.get(&path).await.expect(200);
    client.put(&path, json!({ "entitlements": [] })).await.expect(200);

    assert_eq!(own["entitlements"][0]["limit"], "1.5");
    assert_eq!(check(&client, "exports").await["limit"], "20");
    server.stop().await;
}

#[tokio::test]
async fn a_right_ends_with_its_subscription_and_at_once() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let nobody = check(&client, "sso").await;
    plan(&client, "pro", json!([{ "feature": "sso" }])).await;
    let subscription = subscribe(&client, "pro").await;

    let active = check(&client, "sso").await;
    client.post(&format!("/subscriptions/{subscription}/pause"), json!({})).await.expect(200);
    let paused = check(&client, "sso").await;
    client.post(&format!("/subscriptions/{subscription}/resume"), json!({})).await.expect(200);
    let resumed = check(&client, "sso").await;
    client.post(&format!("/subscriptions/{subscription}/cancel"), json!({})).await.expect(200);
    let canceled = check(&client, "sso").await;

    let allowed = [&nobody, &active, &paused, &resumed, &canceled].map(|answer| answer["allowed"] == true);
    assert_eq!(allowed, [false, true, false, true, false]);
    assert_eq!(nobody["reason"], "subscription_inactive");
    assert_eq!(
        (&paused["reason"], &paused["tier_status"]),
        (&json!("subscription_inactive"), &json!("paused"))
    );
    assert_eq!(canceled["tier_status"], "canceled");
    server.stop().await;
}

#[tokio::test]
async fn all_that_a_customer_may_use_is_listed_by_feature() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let grants = json!([{ "feature": "sso" }, { "feature": "calls", "limit": "1" }]);
    plan(&client, "pro", grants).await;
    subscribe(&client, "pro").await;
    call(&client, "a").await;

    let access = client.get("/customers/ada/access").await.expect(200);

    assert_eq!((&access["tier"], &access["tier_status"]), (&json!("pro"), &json!("active")));
    let features = access["features"].as_array().unwrap();
    let brief: Vec<_> = features.iter().map(|it| (it["feature"].as_str().unwrap(), &it["allowed"])).collect();
    assert_eq!(brief, [("calls", &json!(false)), ("sso", &json!(true))]);
    server.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_or_cannot_be_read_is_refused_with_the_field() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    plan(&client, "pro", json!([{ "feature": "sso" }])).await;
    subscribe(&client, "pro").await;

    for query in ["customer=ada&feature=nothing", "customer=bob&feature=sso"] {
        client.get(&format!("/entitlements/check?{query}")).await.expect_code(404, "not_found");
    }
    for quantity in ["0", "-1", "NaN", "1e400", "1.0000000000001", "99999999999999999"] {
        let query = format!("/entitlements/check?customer=ada&feature=sso&quantity={quantity}");
        let refused = client.get(&query).await.expect_code(422, "invalid_field");
        assert_eq!(refused["errors"][0]["pointer"], "?quantity");
    }
    let faulty = json!([{ "feature": "sso", "reset": "period", "window": "sliding" },
        { "feature": "calls", "limit": "1", "reset": "minute" }, { "feature": "exports", "limit": "-1" }]);
    let body = json!({ "code": "x", "name": "X", "currency": "USD", "interval": "month", "prices": [],
        "entitlements": faulty });
    let refused = client.post("/plans", body).await.expect_code(422, "invalid_field");
    let pointers: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|it| &it["pointer"]).collect();
    assert_eq!(pointers, ["/entitlements/0/reset", "/entitlements/1/reset", "/entitlements/2/limit"]);
    server.client.tenant("other").await.get("/customers/ada/access").await.expect_code(404, "not_found");
    server.stop().await;
}
