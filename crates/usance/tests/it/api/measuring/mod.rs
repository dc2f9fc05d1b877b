//! What is measured of events, from their ingest to the lines of an invoice and their explanation.

mod prices;
mod recurring;

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant at the given time, with meters of one event type and a customer who subscribes to a plan of the prices.
struct Stage {
    server: TestServer,
    client: Client,
}

/// What the stage differs in.
struct Setting<'a> {
    now: &'a str,
    timezone: &'a str,
    interval: &'a str,
}

const AUGUST: Setting<'_> = Setting { now: "2023-08-01T00:00:00Z", timezone: "UTC", interval: "month" };

impl Stage {
    async fn set(setting: Setting<'_>, meters: Vec<Value>, prices: Vec<Value>) -> Self {
        let server = TestServer::start().await;
        let client = server.client.tenant("acme").await;
        client.put("/test-clock", json!({ "now": setting.now })).await.expect(200);
        for mut meter in meters {
            meter["event_type"] = json!("e");
            client.post("/meters", meter).await.expect(201);
        }
        let plan = json!({ "code": "p", "name": "P", "currency": "USD", "interval": setting.interval, "prices": prices });
        client.post("/plans", plan).await.expect(201);
        let customer =
            json!({ "external_id": "c", "name": "C", "currency": "USD", "timezone": setting.timezone });
        client.post("/customers", customer).await.expect(201);
        let card = json!({ "type": "card", "token": "tok_success" });
        client.post("/customers/c/payment-methods", card).await.expect(201);
        let subscription = json!({ "customer": "c", "plan": "p", "start_at": setting.now });
        client.post("/subscriptions", subscription).await.expect(201);
        Self { server, client }
    }

    /// Sends a batch and returns the results.
    async fn send(&self, events: &[Value]) -> Vec<Value> {
        let answer = self.client.post("/events", json!({ "events": events })).await.expect(200);
        answer["results"].as_array().unwrap().clone()
    }

    async fn send_all(&self, events: &[Value]) {
        let results = self.send(events).await;
        assert!(results.iter().all(|result| result["status"] == "accepted"), "{results:?}");
    }

    /// Moves the clock and returns the explained lines of the latest invoice.
    async fn billed(&self, at: &str) -> Vec<Value> {
        self.client.advance(at).await;
        let invoice = self.client.get("/invoices").await.expect(200)["data"][0].clone();
        let path = format!("/invoices/{}/explain", invoice["id"].as_str().unwrap());
        self.client.get(&path).await.expect(200)["lines"].as_array().unwrap().clone()
    }
}

fn event(id: &str, time: &str, properties: Value) -> Value {
    let mut event = json!({ "id": id, "type": "e", "customer": "c", "time": time });
    event["properties"] = properties;
    event
}

fn meter(code: &str, aggregation: &str) -> Value {
    let value_property = (aggregation != "count").then_some("v");
    json!({ "code": code, "aggregation": aggregation, "value_property": value_property })
}

fn with(mut base: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("no object") };
    base.as_object_mut().unwrap().extend(members);
    base
}

/// A price of one for each unit, under the code of its meter.
fn unit(code: &str) -> Value {
    json!({ "code": code, "meter": code, "charge_model": "per_unit", "unit": "1" })
}

fn quantities(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["quantity"].as_str().unwrap()).collect()
}

fn amounts(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["amount"]["amount_minor"].as_i64().unwrap()).collect()
}

fn steps(line: &Value) -> Vec<(&str, Option<&str>, &str, &str)> {
    let steps = line["arithmetic"].as_array().unwrap().iter();
    steps
        .map(|step| {
            let member = |name: &str| step[name].as_str();
            (member("kind").unwrap(), member("group"), member("quantity").unwrap(), member("amount").unwrap())
        })
        .collect()
}

#[tokio::test]
async fn each_aggregation_measures_late_and_repeated_events_once() {
    // given: every aggregation twice, once measured from buckets and once, because of its groups, from the events
    let aggregations = ["count", "sum", "max", "min", "average", "unique_count", "latest", "weighted_sum"];
    let (mut meters, mut prices) = (Vec::new(), Vec::new());
    for aggregation in aggregations {
        let grouped = format!("{aggregation}-grouped");
        meters.extend([meter(aggregation, aggregation), meter(&grouped, aggregation)]);
        prices.push(unit(aggregation));
        prices.push(with(unit(&grouped), json!({ "group_by": ["kind"] })));
    }
    let stage = Stage::set(AUGUST, meters, prices).await;
    let of = |id, time, value: &str| event(id, time, json!({ "v": value, "kind": "k" }));

    // when
    stage.send_all(&[of("d", "2023-08-20T00:00:00Z", "4"), of("a", "2023-08-01T00:00:00Z", "9")]).await;
    let repeated =
        stage.send(&[of("b", "2023-08-16T12:00:00Z", "2"), of("a", "2023-08-01T00:00:00Z", "9")]).await;
    stage.send_all(&[of("c", "2023-08-31T23:59:59Z", "4")]).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    // then
    assert_eq!((&repeated[0]["status"], &repeated[1]["status"]), (&json!("accepted"), &json!("replayed")));
    let expected = ["4", "19", "9", "2", "4.75", "3", "4", "11.548388590203"];
    let both = expected.iter().flat_map(|quantity| [*quantity; 2]).collect::<Vec<_>>();
    assert_eq!(quantities(&lines), both);
    assert_eq!(
        amounts(&lines).iter().step_by(2).copied().collect::<Vec<_>>(),
        [400, 1900, 900, 200, 475, 300, 400, 1155]
    );
    for line in &lines {
        assert_eq!(line["events"], lines[0]["events"], "{line}");
    }
    assert_eq!(lines[0]["events"]["count"], 4);
    assert_eq!(steps(&lines[1]), [("unit", Some("kind=k"), "4", "4")]);
    stage.server.stop().await;
}

#[tokio::test]
async fn ragged_ends_of_a_period_measure_what_whole_buckets_do() {
    let aggregations = ["min", "average", "weighted_sum"];
    let meters = aggregations.map(|aggregation| meter(aggregation, aggregation)).to_vec();
    let setting = Setting { now: "2023-08-31T23:52:00Z", ..AUGUST };
    let stage = Stage::set(setting, meters, aggregations.map(unit).to_vec()).await;
    let of = |id, time, value: i64| event(id, time, json!({ "v": value }));

    stage.send_all(&[of("a", "2023-08-31T23:52:00Z", 7), of("b", "2023-08-31T23:56:00Z", 3)]).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    // 7 for the whole eight minutes and 3 for half of them
    assert_eq!(quantities(&lines), ["3", "5", "8.5"]);
    stage.server.stop().await;
}

#[tokio::test]
async fn the_quantity_of_a_meter_is_rounded_as_the_meter_says() {
    let rounded = |aggregation, mode, scale: i64| {
        with(meter(aggregation, aggregation), json!({ "rounding": { "mode": mode, "scale": scale } }))
    };
    let meters =
        vec![rounded("sum", "ceil", 0), rounded("average", "half_up", 1), rounded("max", "floor", -1)];
    let stage = Stage::set(AUGUST, meters, ["sum", "average", "max"].map(unit).to_vec()).await;
    let of = |id, value: &str| event(id, "2023-08-05T00:00:00Z", json!({ "v": value }));

    stage.send_all(&[of("a", "1.01"), of("b", "19.9"), of("c", "0.25")]).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!(quantities(&lines), ["22", "7.1", "10"]);
    stage.server.stop().await;
}

#[tokio::test]
async fn a_meter_measures_only_the_events_that_its_filters_let_pass() {
    let filtered = json!({ "filters": { "region": ["eu", "us"], "beta": ["true"] } });
    let meters = vec![with(meter("some", "sum"), filtered)];
    let stage = Stage::set(AUGUST, meters, vec![unit("some")]).await;
    let all = json!({ "code": "calls", "event_type": "other", "aggregation": "count" });
    stage.client.post("/meters", all).await.expect(201);
    let of = |id, properties| event(id, "2023-08-05T00:00:00Z", properties);

    let results = stage
        .send(&[
            of("eu", json!({ "v": 1, "region": "eu", "beta": true })),
            of("asia", json!({ "v": 2, "region": "asia", "beta": true })),
            of("unvalued", json!({ "region": "asia" })),
            of("broken", json!({ "region": "us", "beta": true })),
            of("us", json!({ "v": 4, "region": "us", "beta": "true" })),
        ])
        .await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    let outcome =
        |result: &Value| (result["status"].clone(), result["reason"].clone(), result["meters"].clone());
    assert_eq!(outcome(&results[0]), (json!("accepted"), Value::Null, json!(["some"])));
    for waiting in &results[1..3] {
        assert_eq!((&waiting["status"], &waiting["reason"]), (&json!("unbilled"), &json!("unknown_meter")));
    }
    assert_eq!((&results[3]["status"], &results[3]["reason"]), (&json!("rejected"), &json!("missing_value")));
    assert_eq!(quantities(&lines), ["5"]);
    assert_eq!(lines[0]["events"]["count"], 2);
    stage.server.stop().await;
}

#[tokio::test]
async fn an_event_names_only_the_meters_that_measure_it() {
    let meters =
        vec![meter("all", "count"), with(meter("eu", "sum"), json!({ "filters": { "region": ["eu"] } }))];
    let stage = Stage::set(AUGUST, meters, vec![unit("all"), unit("eu")]).await;

    // The other meter does not miss its value.
    let results = stage
        .send(&[
            event("a", "2023-08-05T00:07:00Z", json!({ "region": "eu", "v": 3 })),
            event("b", "2023-08-05T00:08:00Z", json!({ "region": "us" })),
        ])
        .await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!((&results[0]["meters"], &results[1]["meters"]), (&json!(["all", "eu"]), &json!(["all"])));
    assert_eq!(quantities(&lines), ["2", "3"]);
    stage.server.stop().await;
}

#[tokio::test]
async fn an_event_that_waited_for_a_filter_is_counted_by_the_meter_that_lets_it_pass() {
    let meters = vec![with(meter("eu", "count"), json!({ "filters": { "region": ["eu"] } }))];
    let stage = Stage::set(AUGUST, meters, vec![unit("eu")]).await;
    stage.send(&[event("a", "2023-08-05T00:00:00Z", json!({ "region": "us" }))]).await;
    let us =
        json!({ "code": "us", "event_type": "e", "aggregation": "count", "filters": { "region": ["us"] } });
    stage.client.post("/meters", us).await.expect(201);
    stage.client.advance("2023-08-06T00:00:00Z").await;

    let waiting = stage.client.get("/events/unbilled").await.expect(200)["data"].clone();

    // The new meter measures it, and no price of the customer does.
    assert_eq!(waiting[0]["reason"], "no_subscription");
    stage.server.stop().await;
}

#[tokio::test]
async fn events_beyond_one_page_are_all_measured() {
    // given: more events than are read at once, many of them at one instant
    let meters = vec![meter("m", "sum"), meter("all", "sum")];
    let grouped = with(unit("m"), json!({ "group_by": ["odd"] }));
    let stage = Stage::set(AUGUST, meters, vec![grouped, unit("all")]).await;
    let of = |index: i64| {
        let time = format!("2023-08-0{}T00:00:00Z", 1 + index % 3);
        event(&index.to_string(), &time, json!({ "v": 1, "odd": index % 2 }))
    };

    // when
    stage.send_all(&(0..6_000).map(of).collect::<Vec<_>>()).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    // then
    assert_eq!(quantities(&lines), ["6000", "6000"]);
    assert_eq!(lines[0]["events"], lines[1]["events"]);
    stage.server.stop().await;
}
