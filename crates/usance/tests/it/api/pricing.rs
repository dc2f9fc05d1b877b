//! Charge models, the terms around them, and which events they price.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

async fn create_meter(client: &Client, code: &str) {
    let body = json!({ "code": code, "event_type": code, "aggregation": "sum", "value_property": "n" });
    client.post("/meters", body).await.expect(201);
}

/// Creates a plan of the prices, which have a meter `m` at hand.
async fn create_plan(client: &Client, prices: &Value) -> usance_testkit::Reply {
    create_meter(client, "m").await;
    let plan = json!({ "code": "p", "name": "P", "currency": "EUR", "interval": "month", "prices": prices });
    client.post("/plans", plan).await
}

#[tokio::test]
async fn every_charge_model_comes_back_as_it_was_sent() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for code in ["b", "c", "d", "e", "g", "h", "i"] {
        create_meter(&client, code).await;
    }
    let tiers = json!([
        { "up_to": "10.5", "unit": "2", "flat": "0", "cap": "15" },
        { "up_to": null, "unit": "0.000000000001", "flat": "5" },
    ]);
    let percent_tiers = json!([
        { "up_to": "1000", "rate_percent": "1", "flat": "200" },
        { "up_to": null, "rate_percent": "0.5", "flat": "0" },
    ]);
    let prices = json!([
        { "code": "a", "name": "A", "meter": null, "charge_model": "flat", "pay": "advance", "amount": "10" },
        { "code": "b", "name": "B", "meter": "b", "charge_model": "per_unit", "pay": "arrears", "unit": "0.001" },
        { "code": "c", "name": "C", "meter": "c", "charge_model": "graduated", "pay": "arrears", "tiers": tiers },
        { "code": "d", "name": "D", "meter": "d", "charge_model": "volume", "pay": "arrears", "tiers": tiers },
        { "code": "e", "name": "E", "meter": "e", "charge_model": "package", "pay": "arrears", "amount": "3",
          "package_size": "100", "free_units": "50", "rounding": "down" },
        { "code": "g", "name": "G", "meter": "g", "charge_model": "percentage", "pay": "arrears", "rate_percent": "2.9",
          "fixed_amount_per_event": "0.3", "free_events": 3, "free_units_total": "250", "per_event_min": null,
          "per_event_max": "12" },
        { "code": "h", "name": "H", "meter": "h", "charge_model": "graduated_percentage", "pay": "arrears",
          "tiers": percent_tiers },
        { "code": "i", "name": "I", "meter": "i", "charge_model": "dynamic", "pay": "arrears", "multiplier": "1.2",
          "amount_property": "cost" },
        { "code": "j", "name": "J", "meter": null, "charge_model": "seat", "pay": "advance", "unit": "9",
          "minimum_seats": "2", "maximum_seats": null },
        { "code": "k", "name": "K", "meter": null, "charge_model": "curve", "pay": "advance", "unit_floor": "10",
          "unit_spread": "14", "decay": "100", "minimum": "120",
          "discounts": [{ "from": "5", "percent": "5" }, { "from": "30", "percent": "10" }] },
    ]);

    create_plan(&client, &prices).await.expect(201);

    assert_eq!(client.get("/plans/p").await.expect(200)["prices"], prices);
    server.stop().await;
}

#[tokio::test]
async fn the_terms_of_a_price_come_back_as_they_were_sent_and_stay_in_the_next_version() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let prices = json!([
        { "code": "a", "name": "A", "meter": "m", "charge_model": "per_unit", "pay": "arrears", "unit": "10",
          "unit_config": { "operation": "divide", "factor": "1000", "rounding": "ceil", "precision": 0 },
          "usage_discount": "5", "discount_percent": "10", "minimum_amount": "20", "maximum_amount": "500",
          "first_tier_flat": "skip", "filters": { "region": ["eu", "us"], "model": ["large"] },
          "group_by": ["project"] },
        { "code": "b", "name": "B", "meter": "m", "charge_model": "per_unit", "pay": "arrears", "unit": "3",
          "filters": { "region": ["asia"] },
          "window": { "size": "hour",
            "commitment": { "amount": "10", "overage_factor": "2", "true_up": true },
            "times_of_day": [{ "from_hour": 22, "to_hour": 6, "charge_model": "per_unit", "unit": "1",
              "commitment": { "quantity": "4", "overage_factor": "1.5", "true_up": false } }] } },
    ]);
    create_plan(&client, &prices).await.expect(201);

    let next = client.patch("/plans/p", json!({ "interval": "year" })).await.expect(200);

    assert_eq!((next["version"].as_i64(), &next["prices"]), (Some(2), &prices));
    assert_eq!(client.get("/plans/p").await.expect(200)["prices"], prices);
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_model_or_its_terms_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let prices = json!([
        { "code": "a", "meter": "m", "charge_model": "dynamic", "usage_discount": "1" },
        { "code": "b", "meter": "m", "charge_model": "per_unit", "unit": "1", "amount_property": "cost",
          "filters": { "b": [], "c": ["1", "1"] }, "group_by": ["x", "x"],
          "unit_config": { "operation": "halve", "factor": "0", "extra": 1 },
          "minimum_amount": "2", "maximum_amount": 1, "minimum": "3" },
        { "code": "c", "meter": "m", "charge_model": "percentage", "rate_percent": "1", "free_events": "3" },
        { "code": "d", "charge_model": "seat", "unit": "1", "filters": { "a": ["1"] } },
        { "code": "e", "meter": "m", "charge_model": "per_unit", "unit": "1",
          "window": { "commitment": { "amount": "1", "quantity": "1" }, "times_of_day": [{ "from_hour": 25 }] } },
        { "code": "f", "meter": "m", "charge_model": "per_unit", "unit": "1", "discount_percent": "101" },
    ]);

    let refused = create_plan(&client, &prices).await.expect_code(422, "invalid_field");

    let named = pointers(&refused);
    for expected in [
        "/prices/0/usage_discount",
        "/prices/0/amount_property",
        "/prices/1/unit_config/operation",
        "/prices/1/maximum_amount",
        "/prices/1/minimum",
        "/prices/2/free_events",
        "/prices/3/filters",
        "/prices/4/window/commitment/quantity",
        "/prices/4/window/size",
        "/prices/4/window/times_of_day/0/to_hour",
        "/prices/5/discount_percent",
    ] {
        assert!(named.contains(&expected), "{expected} is missing in {named:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn filters_and_groups_of_a_price_are_checked() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let prices = json!([
        { "code": "a", "meter": "m", "charge_model": "per_unit", "unit": "1", "amount_property": "cost",
          "filters": { "b": [], "c": ["1", "1"] }, "group_by": ["x", "x"] },
    ]);

    let refused = create_plan(&client, &prices).await.expect_code(422, "invalid_field");

    assert_eq!(
        pointers(&refused),
        ["/prices/0/amount_property", "/prices/0/filters/b", "/prices/0/filters/c/1", "/prices/0/group_by/1"]
    );
    server.stop().await;
}

#[tokio::test]
async fn two_prices_that_would_charge_one_event_twice_are_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let price = |code, filters| json!({ "code": code, "meter": "m", "charge_model": "per_unit", "unit": "1", "filters": filters });
    let prices = json!([
        price("eu", json!({ "region": ["eu"] })),
        price("us", json!({ "region": ["us"] })),
        price("large", json!({ "model": ["large"] })),
    ]);

    let refused = create_plan(&client, &prices).await.expect_code(422, "invalid_field");

    assert_eq!(pointers(&refused), ["/prices/2/filters"]);
    let detail = refused["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("`eu`"), "{detail}");
    server.stop().await;
}

#[tokio::test]
async fn a_meter_keeps_its_filters_groups_rounding_and_recurrence() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let meter = json!({
        "code": "storage", "event_type": "stored", "aggregation": "weighted_sum", "value_property": "gb",
        "filters": { "class": ["hot", "cold"] }, "group_by": ["bucket"], "rounding": { "mode": "ceil", "scale": -2 },
        "recurring": true,
    });

    client.post("/meters", meter.clone()).await.expect(201);

    let read = client.get("/meters/storage").await.expect(200);
    for (name, value) in meter.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    for (code, aggregation) in [("a", "min"), ("b", "average")] {
        let body =
            json!({ "code": code, "event_type": "x", "aggregation": aggregation, "value_property": "n" });
        assert_eq!(client.post("/meters", body).await.expect(201)["recurring"], false);
    }
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_what_a_meter_keeps_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({
        "code": "a", "event_type": "x", "aggregation": "average", "value_property": "n", "recurring": true,
        "rounding": { "mode": "ceil", "scale": 13 }, "filters": { "a/b": [] }, "group_by": [""],
    });

    let refused = client.post("/meters", body).await.expect_code(422, "invalid_field");

    assert_eq!(pointers(&refused), ["/filters/a~1b", "/group_by/0", "/rounding/scale", "/recurring"]);
    server.stop().await;
}
