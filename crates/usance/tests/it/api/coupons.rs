//! Coupons, and the discounts that they give.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

async fn add_customer(client: &Client, external_id: &str, currency: &str) {
    let body = json!({ "external_id": external_id, "name": external_id, "currency": currency });
    client.post("/customers", body).await.expect(201);
}

fn pointers(refused: &Value) -> Vec<&str> {
    refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_coupon_is_created_listed_changed_and_archived() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    let body = json!({ "code": "LAUNCH", "name": "Launch", "percent": "12.50", "duration": "repeating", "duration_periods": 3,
        "max_redemptions": 2, "redeem_by": "2024-01-01T00:00:00Z", "plans": ["starter"], "metadata": { "campaign": "7" } });

    let created = client.post("/coupons", body.clone()).await.expect(201);

    assert!(created["id"].as_str().unwrap().starts_with("coup_"));
    assert_eq!((&created["percent"], &created["amount"]), (&json!("12.5"), &json!(null)));
    for field in ["duration", "duration_periods", "max_redemptions", "redeem_by", "plans", "metadata"] {
        assert_eq!(created[field], body[field], "{field}");
    }
    assert_eq!(created["times_redeemed"], 0);
    assert_eq!(client.get("/coupons/LAUNCH").await.expect(200), created);
    client.post("/coupons", body).await.expect_code(409, "coupon_exists");
    let change = json!({ "name": "Late launch", "max_redemptions": null, "redeem_by": null, "metadata": {} });
    let changed = client.patch("/coupons/LAUNCH", change).await.expect(200);
    assert_eq!((&changed["max_redemptions"], &changed["redeem_by"]), (&json!(null), &json!(null)));
    assert_eq!((&changed["percent"], &changed["plans"]), (&created["percent"], &created["plans"]));
    let listed = client.get("/coupons").await.expect(200);
    assert_eq!(listed["data"], json!([changed]));
    assert_eq!(client.delete("/coupons/LAUNCH").await.status, 204);
    client.get("/coupons/LAUNCH").await.expect_code(404, "not_found");
    assert_eq!(client.get("/coupons").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn what_a_coupon_takes_off_never_changes() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.post("/coupons", json!({ "code": "c", "percent": "10", "duration": "once" })).await.expect(201);

    for field in [
        json!({ "percent": "20" }),
        json!({ "duration": "forever" }),
        json!({ "plans": [] }),
        json!({ "code": "d" }),
    ] {
        client.patch("/coupons/c", field).await.expect_code(422, "invalid_field");
    }

    for column in ["percent", "amount_minor", "currency", "duration", "duration_periods", "code"] {
        let sql = format!(
            "SELECT has_column_privilege('usance_app', 'coupons', '{column}', 'UPDATE')::int::bigint"
        );
        assert_eq!(server.database.number_as("usance_owner", &sql).await, 0, "{column}");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_coupon_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for (body, expected) in [
        (json!({ "code": "a b", "duration": "always" }), vec!["/percent", "/duration", "/code"]),
        (json!({ "code": "a", "percent": "0", "duration": "once" }), vec!["/percent"]),
        (json!({ "code": "a", "percent": "100.1", "duration": "once" }), vec!["/percent"]),
        (json!({ "code": "a", "percent": "-1", "duration": "once" }), vec!["/percent"]),
        (json!({ "code": "a", "percent": "10 %", "duration": "once" }), vec!["/percent"]),
        (
            json!({ "code": "a", "percent": "1", "amount": { "amount_minor": 1, "currency": "USD" }, "duration": "once" }),
            vec!["/amount"],
        ),
        (
            json!({ "code": "a", "amount": { "amount_minor": 0, "currency": "usd" }, "duration": "once" }),
            vec!["/amount/amount_minor", "/amount/currency"],
        ),
        (json!({ "code": "a", "amount": [1, "USD"], "duration": "once" }), vec!["/amount"]),
        (json!({ "code": "a", "percent": "1", "duration": "repeating" }), vec!["/duration_periods"]),
        (
            json!({ "code": "a", "percent": "1", "duration": "repeating", "duration_periods": 0 }),
            vec!["/duration_periods"],
        ),
        (
            json!({ "code": "a", "percent": "1", "duration": "once", "duration_periods": 1 }),
            vec!["/duration_periods"],
        ),
        (
            json!({ "code": "a", "percent": "1", "duration": "once", "max_redemptions": 0, "redeem_by": "2300-01-01T00:00:00Z" }),
            vec!["/max_redemptions", "/redeem_by"],
        ),
        (json!({ "code": "a", "percent": "1", "duration": "once", "plans": ["missing"] }), vec!["/plans/0"]),
        (
            json!({ "code": "a", "percent": "1", "duration": "once", "metadata": { "k": "\u{0}" } }),
            vec!["/metadata/k"],
        ),
    ] {
        let refused = client.post("/coupons", body.clone()).await.expect_code(422, "invalid_field");
        assert_eq!(pointers(&refused), expected, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_customer_redeems_a_coupon_once_at_a_time() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    add_customer(&client, "c", "EUR").await;
    let ten =
        json!({ "code": "TEN", "amount": { "amount_minor": 1000, "currency": "EUR" }, "duration": "once" });
    client.post("/coupons", ten).await.expect(201);
    client
        .post("/coupons", json!({ "code": "HALF", "percent": "50", "duration": "forever" }))
        .await
        .expect(201);

    let first = client.post("/customers/c/discounts", json!({ "coupon": "TEN" })).await.expect(201);
    let second = client.post("/customers/c/discounts", json!({ "coupon": "HALF" })).await.expect(201);

    assert!(first["id"].as_str().unwrap().starts_with("disc_"));
    let money = json!({ "amount_minor": 1000, "currency": "EUR" });
    assert_eq!((&first["amount"], &first["amount_left"], &first["percent"]), (&money, &money, &json!(null)));
    assert_eq!((&first["periods_left"], &second["periods_left"]), (&json!(1), &json!(null)));
    assert_eq!((&second["percent"], &second["amount_left"]), (&json!("50"), &json!(null)));
    assert_eq!(client.get("/customers/c/discounts").await.expect(200)["data"], json!([second, first]));
    client
        .post("/customers/c/discounts", json!({ "coupon": "TEN" }))
        .await
        .expect_code(409, "discount_exists");
    assert_eq!(client.get("/coupons/TEN").await.expect(200)["times_redeemed"], 1);
    let events =
        "SELECT string_agg(type, ',' ORDER BY sequence) FROM outbox_events WHERE type ~ '^(coupon|discount)'";
    assert_eq!(
        server.database.text_as_superuser(events).await,
        "coupon.created,coupon.created,discount.created,discount.created"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_removed_discount_is_listed_as_ended_and_its_coupon_can_be_redeemed_again() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    add_customer(&client, "c", "USD").await;
    add_customer(&client, "other", "USD").await;
    client.post("/coupons", json!({ "code": "x", "percent": "5", "duration": "once" })).await.expect(201);
    let discount = client.post("/customers/c/discounts", json!({ "coupon": "x" })).await.expect(201);
    let id = discount["id"].as_str().unwrap();
    client.delete(&format!("/customers/other/discounts/{id}")).await.expect_code(404, "not_found");
    client.delete("/customers/c/discounts/nonsense").await.expect_code(404, "not_found");

    assert_eq!(client.delete(&format!("/customers/c/discounts/{id}")).await.status, 204);

    client.delete(&format!("/customers/c/discounts/{id}")).await.expect_code(404, "not_found");
    let listed = client.get("/customers/c/discounts").await.expect(200);
    assert!(listed["data"][0]["ended_at"].is_string());
    client.post("/customers/c/discounts", json!({ "coupon": "x" })).await.expect(201);
    assert_eq!(client.get("/coupons/x").await.expect(200)["times_redeemed"], 2);
    server.stop().await;
}

#[tokio::test]
async fn a_coupon_that_cannot_be_redeemed_says_why() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2023-11-01T00:00:00Z" })).await.expect(200);
    add_customer(&client, "c", "USD").await;
    add_customer(&client, "d", "USD").await;
    for body in [
        json!({ "code": "gone", "percent": "5", "duration": "once" }),
        json!({ "code": "late", "percent": "5", "duration": "once", "redeem_by": "2023-11-01T00:00:00Z" }),
        json!({ "code": "one", "percent": "5", "duration": "once", "max_redemptions": 1 }),
        json!({ "code": "euro", "amount": { "amount_minor": 5, "currency": "EUR" }, "duration": "once" }),
    ] {
        client.post("/coupons", body).await.expect(201);
    }
    client.delete("/coupons/gone").await;
    client.post("/customers/d/discounts", json!({ "coupon": "one" })).await.expect(201);

    for (code, reason) in [("gone", "archived"), ("late", "expired"), ("one", "used_up")] {
        let refused = client
            .post("/customers/c/discounts", json!({ "coupon": code }))
            .await
            .expect_code(409, "coupon_not_redeemable");
        assert_eq!(refused["reason"], reason);
    }
    client
        .post("/customers/c/discounts", json!({ "coupon": "euro" }))
        .await
        .expect_code(422, "currency_mismatch");
    let unknown = client
        .post("/customers/c/discounts", json!({ "coupon": "nothing" }))
        .await
        .expect_code(422, "invalid_field");
    assert_eq!(pointers(&unknown), ["/coupon"]);
    client
        .post("/customers/nobody/discounts", json!({ "coupon": "one" }))
        .await
        .expect_code(404, "not_found");
    assert_eq!(client.get("/customers/c/discounts").await.expect(200)["data"], json!([]));
    client.patch("/coupons/one", json!({ "max_redemptions": 2 })).await.expect(200);
    client.post("/customers/c/discounts", json!({ "coupon": "one" })).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn however_many_redeem_at_once_a_coupon_gives_no_more_discounts_than_it_may() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let coupon = json!({ "code": "few", "percent": "5", "duration": "once", "max_redemptions": 3 });
    client.post("/coupons", coupon).await.expect(201);
    for number in 0..8 {
        add_customer(&client, &format!("c{number}"), "USD").await;
    }

    let replies = futures_util::future::join_all((0..8).map(|number| {
        let client = client.clone();
        async move {
            let path = format!("/customers/c{number}/discounts");
            client.post(&path, json!({ "coupon": "few" })).await.status
        }
    }))
    .await;

    assert_eq!(replies.iter().filter(|status| **status == 201).count(), 3, "{replies:?}");
    assert_eq!(replies.iter().filter(|status| **status == 409).count(), 5, "{replies:?}");
    assert_eq!(client.get("/coupons/few").await.expect(200)["times_redeemed"], 3);
    server.stop().await;
}

#[tokio::test]
async fn one_customer_who_redeems_twice_at_once_has_one_discount() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    add_customer(&client, "c", "USD").await;
    for code in ["a", "b"] {
        client
            .post("/coupons", json!({ "code": code, "percent": "5", "duration": "once" }))
            .await
            .expect(201);
    }
    let redeem = |code: &'static str| client.post("/customers/c/discounts", json!({ "coupon": code }));

    let (first, second, other) = tokio::join!(redeem("a"), redeem("a"), redeem("b"));

    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!((statuses, other.status), ([201, 409], 201));
    assert_eq!(client.get("/customers/c/discounts").await.expect(200)["data"].as_array().unwrap().len(), 2);
    server.stop().await;
}
