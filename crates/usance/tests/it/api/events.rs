//! Usage events and their receipts.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use usance_testkit::{Client, TestServer};

async fn prepared(server: &TestServer) -> Client {
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("code").await;
    client
}

fn event(id: &str) -> Value {
    json!({ "id": id, "type": "llm_call", "customer": "code", "time": "2023-11-16T18:17:03.979960Z", "properties": { "tokens": 4818 } })
}

fn with(id: &str, member: &str, value: Value) -> Value {
    let mut event = event(id);
    event[member] = value;
    event
}

fn statuses(answer: &Value) -> Vec<(String, Option<String>)> {
    let results = answer["results"].as_array().unwrap().iter();
    results
        .map(|result| {
            (result["status"].as_str().unwrap().to_owned(), result["reason"].as_str().map(str::to_owned))
        })
        .collect()
}

#[tokio::test]
async fn a_batch_gets_exactly_one_receipt_per_event() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    client.post("/events", event("seen")).await.expect(200);
    #[expect(clippy::disallowed_methods, reason = "the server judges the future by the wall clock")]
    let future = Timestamp::now() + SignedDuration::from_mins(10);
    let batch = json!({ "events": [
        event("good-1"),
        event("seen"),
        with("seen", "properties", json!({ "tokens": 1 })),
        with("no-meter", "type", json!("unheard_of")),
        with("no-customer", "customer", json!("nobody")),
        with("future", "time", json!(future.to_string())),
        with("malformed", "properties", json!({ "tokens": "12abc" })),
        with("large", "properties", json!({ "tokens": 1, "note": "x".repeat(300 * 1024) })),
        event("good-2"),
    ] });

    let answer = client.post("/events", batch.clone()).await.expect(200);

    let expected = [
        ("accepted", None),
        ("replayed", None),
        ("conflict", None),
        ("unbilled", Some("unknown_meter")),
        ("unbilled", Some("unknown_customer")),
        ("rejected", Some("future_time")),
        ("rejected", Some("malformed_decimal")),
        ("rejected", Some("too_large")),
        ("accepted", None),
    ];
    assert_eq!(
        statuses(&answer),
        expected.map(|(status, reason)| (status.to_owned(), reason.map(str::to_owned)))
    );
    assert_eq!(
        answer["results"][0],
        json!({ "index": 0, "id": "good-1", "status": "accepted", "meters": ["calls", "tokens"] })
    );
    let counts = ["accepted", "replayed", "unbilled", "conflict", "rejected"]
        .map(|name| answer[name].as_i64().unwrap());
    assert_eq!(counts, [2, 1, 2, 1, 3]);
    // What was rejected keeps its id free; everything else is a replay the second time.
    let again = client.post("/events", batch).await.expect(200);
    let counts = ["accepted", "replayed", "unbilled", "conflict", "rejected"]
        .map(|name| again[name].as_i64().unwrap());
    assert_eq!(counts, [0, 5, 0, 1, 3]);
    server.stop().await;
}

#[tokio::test]
async fn only_failures_are_listed_on_request() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    let answer = client
        .post(
            "/events?results=failures",
            json!({ "events": [event("a"), with("b", "time", json!("x")), event("c")] }),
        )
        .await
        .expect(200);

    assert_eq!(answer["accepted"], 2);
    assert_eq!(
        answer["results"],
        json!([{ "index": 1, "id": "b", "status": "rejected", "reason": "malformed_time" }])
    );
    client.post("/events?results=some", event("d")).await.expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn two_events_of_one_id_in_one_batch_are_a_replay_or_a_conflict() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let batch = json!({ "events": [event("a"), event("a"), with("a", "customer", json!("conv")), with("a", "properties", json!({ "tokens": 4818.0 }))] });

    let answer = client.post("/events", batch).await.expect(200);

    let expected = ["accepted", "replayed", "conflict", "replayed"];
    assert_eq!(statuses(&answer).into_iter().map(|(status, _)| status).collect::<Vec<_>>(), expected);
    client.advance("2023-12-01T00:00:00Z").await;
    assert_eq!(client.get("/invoices").await.expect(200)["data"][0]["lines"][2]["quantity"], "4818");
    server.stop().await;
}

#[tokio::test]
async fn the_single_form_is_answered_by_status() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    let accepted = client.post("/events", event("a")).await.expect(200);
    let replayed = client.post("/events", event("a")).await.expect(200);
    let conflict = client
        .post("/events", with("a", "time", json!("2023-11-17T00:00:00Z")))
        .await
        .expect_code(409, "event_conflict");
    let rejected =
        client.post("/events", with("b", "properties", json!({}))).await.expect_code(422, "event_rejected");

    assert_eq!((accepted["accepted"].as_i64(), replayed["replayed"].as_i64()), (Some(1), Some(1)));
    assert_eq!(conflict["result"]["id"], "a");
    assert_eq!(
        (rejected["result"]["reason"].as_str(), rejected["errors"][0]["code"].as_str()),
        (Some("missing_value"), Some("missing_value"))
    );
    server.stop().await;
}

#[tokio::test]
async fn cloud_events_are_taken_one_by_one_and_in_batches() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let cloud_event = |id: &str| {
        json!({ "specversion": "1.0", "id": id, "source": "/gateway", "type": "llm_call", "subject": "code",
        "time": "2023-11-16T18:17:03Z", "data": { "tokens": 10 } })
    };
    let send = |body: Value, media_type: &'static str| {
        let request = client.request(reqwest::Method::POST, "/events").header("content-type", media_type);
        client.send(request.body(body.to_string()))
    };

    let single = send(cloud_event("1"), "application/cloudevents+json; charset=utf-8").await.expect(200);
    let batch = send(json!([cloud_event("1"), cloud_event("2")]), "application/cloudevents-batch+json")
        .await
        .expect(200);
    send(json!([]), "text/xml").await.expect_code(415, "unsupported_media_type");

    assert_eq!(single["results"][0]["id"], "1");
    let native =
        json!({ "id": "/gateway/1", "type": "llm_call", "customer": "code", "properties": { "tokens": 10 } });
    assert_eq!(client.post("/events", native).await.expect(200)["accepted"], 1);
    assert_eq!((batch["accepted"].as_i64(), batch["replayed"].as_i64()), (Some(1), Some(1)));
    server.stop().await;
}

#[tokio::test]
async fn an_event_without_time_happens_at_the_tenants_time() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let event = json!({ "id": "now", "type": "llm_call", "customer": "code", "properties": { "tokens": 7 } });

    client.post("/events", event.clone()).await.expect(200);

    assert_eq!(
        client.get("/events?customer=code").await.expect(200)["data"][0]["time"],
        "2023-11-01T00:00:00Z"
    );
    assert_eq!(client.post("/events", event).await.expect(200)["replayed"], 1);
    server.stop().await;
}

#[tokio::test]
async fn an_event_ahead_of_the_test_clock_waits_for_its_period() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    client.post("/events", with("december", "time", json!("2023-12-05T00:00:00Z"))).await.expect(200);

    client.advance("2024-01-01T00:00:00Z").await;

    let invoices = client.get("/customers/code/invoices").await.expect(200);
    let tokens: Vec<_> = invoices["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|invoice| invoice["lines"][2]["quantity"].as_str().unwrap())
        .collect();
    assert_eq!(tokens, ["4818", "0"]);
    server.stop().await;
}

#[tokio::test]
async fn events_are_listed_latest_first_page_by_page() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let events: Vec<_> = (0..25)
        .map(|index| with(&format!("e{index}"), "time", json!(format!("2023-11-16T00:00:{:02}Z", index / 2))))
        .collect();
    client.post("/events", json!({ "events": events })).await.expect(200);
    let mut seen = Vec::new();
    let mut path = "/events?customer=code&limit=10".to_owned();

    loop {
        let page = client.get(&path).await.expect(200);
        seen.extend(page["data"].as_array().unwrap().iter().map(|event| {
            (event["time"].as_str().unwrap().to_owned(), event["id"].as_str().unwrap().to_owned())
        }));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/events?customer=code&limit=10&cursor={cursor}");
    }

    assert_eq!(seen.len(), 25);
    assert!(seen.windows(2).all(|pair| pair[0].0 >= pair[1].0));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
    client.get("/events").await.expect_code(422, "invalid_field");
    server.stop().await;
}

#[tokio::test]
async fn too_many_events_or_too_many_bytes_are_refused_whole() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    let many: Vec<_> = (0..10_001).map(|index| json!({ "id": index.to_string() })).collect();

    client.post("/events", json!({ "events": many })).await.expect_code(413, "payload_too_large");
    client
        .post(
            "/events",
            json!({ "events": [with("big", "properties", json!({ "x": "y".repeat(17 * 1024 * 1024) }))] }),
        )
        .await
        .expect_code(413, "payload_too_large");
    for body in [json!({ "events": {} }), json!({ "events": null }), json!([[event("a")]])] {
        let refused = client.post("/events", body).await.expect_code(400, "malformed_json");
        assert!(refused["detail"].as_str().unwrap().contains(r#"{"events": [...]}"#), "{refused}");
    }

    assert_eq!(server.database.count("SELECT count(*) FROM event_keys").await, 0);
    server.stop().await;
}

#[tokio::test]
async fn every_aggregation_adds_up_whatever_the_order_and_the_batches() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.put("/test-clock", json!({ "now": "2023-11-01T00:00:00Z" })).await.expect(200);
    let mut prices = Vec::new();
    for aggregation in ["count", "sum", "max", "unique_count", "latest"] {
        let value_property = (aggregation != "count").then_some("v");
        client.post("/meters", json!({ "code": aggregation, "event_type": "e", "aggregation": aggregation, "value_property": value_property })).await.expect(201);
        prices.push(
            json!({ "code": aggregation, "meter": aggregation, "charge_model": "per_unit", "unit": "1" }),
        );
    }
    client
        .post(
            "/plans",
            json!({ "code": "p", "name": "P", "currency": "USD", "interval": "month", "prices": prices }),
        )
        .await
        .expect(201);
    client
        .post("/customers", json!({ "external_id": "c", "name": "C", "currency": "USD" }))
        .await
        .expect(201);
    // The period begins within a bucket, so that its first events are measured one by one.
    client
        .post("/subscriptions", json!({ "customer": "c", "plan": "p", "start_at": "2023-11-10T10:07:00Z" }))
        .await
        .expect(201);
    let at = |id: &str, time: &str, value: Value| json!({ "id": id, "type": "e", "customer": "c", "time": time, "properties": { "v": value } });

    for batch in [
        vec![at("d", "2023-11-20T00:00:00Z", json!("2.5")), at("a", "2023-11-10T10:07:00Z", json!(9))],
        vec![at("b", "2023-11-10T10:14:59.999999Z", json!(0.5))],
        vec![
            at("e", "2023-11-30T23:59:59Z", json!(2.50)),
            at("c", "2023-11-10T10:15:00Z", json!(-1)),
            at("f", "2023-11-30T23:59:58Z", json!(3)),
        ],
    ] {
        assert_eq!(client.post("/events", json!({ "events": batch })).await.expect(200)["rejected"], 0);
    }
    // A moment before the subscription began.
    assert_eq!(
        client.post("/events", at("early", "2023-11-10T10:06:59.999999Z", json!(100))).await.expect(200)["results"]
            [0]["reason"],
        "no_subscription"
    );
    client.advance("2023-12-01T00:00:00Z").await;

    let invoice = client.get("/invoices").await.expect(200)["data"][0].clone();
    let quantities: Vec<_> =
        invoice["lines"].as_array().unwrap().iter().map(|line| line["quantity"].as_str().unwrap()).collect();
    assert_eq!(quantities, ["6", "16.5", "9", "5", "2.5"]);
    let explained =
        client.get(&format!("/invoices/{}/explain", invoice["id"].as_str().unwrap())).await.expect(200);
    let events = &explained["lines"][0]["events"];
    assert_eq!(
        (events["count"].as_i64(), events["first_at"].as_str(), events["last_at"].as_str()),
        (Some(6), Some("2023-11-10T10:07:00Z"), Some("2023-11-30T23:59:59Z"))
    );
    server.stop().await;
}

#[tokio::test]
async fn a_month_of_events_can_be_dropped_without_losing_exactly_once() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;
    client.post("/events", event("a")).await.expect(200);
    client.advance("2023-12-01T00:00:00Z").await;

    server.database.execute_as_owner("DROP TABLE events_2023_11").await;

    assert_eq!(client.post("/events", event("a")).await.expect(200)["replayed"], 1);
    assert_eq!(client.get("/events?customer=code").await.expect(200)["data"], json!([]));
    server.stop_unchecked().await;
}

/// Announces a body and returns when the server waits for it.
async fn announce(client: &Client, bytes: usize) -> TcpStream {
    let mut socket = TcpStream::connect(client.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n",
        client.key()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    socket
}

#[tokio::test]
async fn a_client_that_announces_a_body_and_sends_nothing_holds_no_room() {
    // given: clients that together announced several times what the queue takes
    let server = TestServer::start_with(|settings| settings.ingest_queue_bytes = 8 * 1024).await;
    let client = prepared(&server).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(announce(&client, 8 * 1024).await);
    }

    // when
    let answer = client.post("/events", event("a")).await.expect(200);

    // then
    assert_eq!(answer["accepted"], 1);
    drop(idle);
    server.stop().await;
}

#[tokio::test]
async fn what_a_compressed_body_holds_is_not_guessed() {
    let server = TestServer::start().await;
    let client = prepared(&server).await;

    for path in ["/events", "/features"] {
        let request = client.request(reqwest::Method::POST, path).header("content-encoding", "gzip");
        let refused = client.send(request.json(&event("a"))).await.expect_code(415, "unsupported_media_type");
        assert!(refused["detail"].as_str().unwrap().contains("gzip"), "{refused}");
    }
    server.stop().await;
}
