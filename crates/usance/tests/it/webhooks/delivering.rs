//! When an endpoint is told, how often, and when it is given up.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};
use usance_testkit::{Receiver, ReceiverReply};

use super::{Scene, add_endpoint, all_ended, happen, id, tenant, until};
use crate::program::DEADLINE;

/// A receiver whose answer the test changes.
async fn obedient() -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(204));
    let current = Arc::clone(&status);
    let receiver = Receiver::answering(move |_| ReceiverReply::status(current.load(Ordering::SeqCst))).await;
    (receiver, status)
}

#[tokio::test]
async fn an_event_is_told_once_to_those_who_asked_for_its_type() {
    // given
    let scene = Scene::with(Receiver::start().await).await;
    let (all, plans) = (Receiver::start().await, Receiver::start().await);
    add_endpoint(&scene.client, &all.url(), &[]).await;
    add_endpoint(&scene.client, &plans.url(), &["plan.created"]).await;

    // when
    let meter = happen(&scene.client, "calls").await;
    scene
        .client
        .post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);

    // then
    let received = scene.receiver.next().await;
    let event = received.json();
    assert_eq!((&event["type"], &event["data"]["object"]["id"]), (&json!("meter.created"), &json!(meter)));
    assert_eq!(
        (received.header("webhook-id"), received.header("content-type")),
        (event["id"].as_str().unwrap(), "application/json")
    );
    assert_eq!(received.header("x-webhook-event-type"), "meter.created");
    let types = [all.next().await.json(), all.next().await.json()].map(|event| event["type"].to_string());
    assert!(types.contains(&"\"customer.created\"".to_owned()), "{types:?}");
    let deliveries = until(&scene.client, "/deliveries", all_ended(3)).await;
    let delivery = deliveries["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["endpoint"] == scene.endpoint["id"])
        .unwrap();
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(delivery["event"]["id"], event["id"]);
    let shown = scene.client.get(&format!("/deliveries/{}", id(delivery))).await.expect(200);
    assert_eq!(shown["payload"], event);
    assert_eq!(
        (&shown["attempt_log"][0]["status_code"], &shown["attempt_log"][0]["error"]),
        (&json!(204), &Value::Null)
    );
    scene.server.stop().await;
    assert!(
        scene.receiver.rest().await.is_empty()
            && all.rest().await.is_empty()
            && plans.rest().await.is_empty()
    );
}

#[tokio::test]
async fn an_event_that_is_not_accepted_is_told_ten_times_in_three_days_and_then_given_up() {
    // given
    let (receiver, status) = obedient().await;
    status.store(500, Ordering::SeqCst);
    let scene = Scene::with(receiver).await;
    let operator = Receiver::start().await;
    add_endpoint(&scene.client, &operator.url(), &["webhook_delivery.failing", "webhook_delivery.dead"])
        .await;

    // when
    happen(&scene.client, "calls").await;
    let mut ids = Vec::new();
    let mut waits = Vec::new();
    for attempt in 1..=10 {
        let received = scene.receiver.next().await;
        ids.push(received.header("webhook-id").to_owned());
        let path = format!("/deliveries?endpoint={}", id(&scene.endpoint));
        let settled = |list: &Value| {
            let it = &list["data"][0];
            it["attempts"] == attempt && (it["status"] != "pending" || it["next_attempt_at"] != Value::Null)
        };
        until(&scene.client, &path, settled).await;
        let delivery_path = format!("/deliveries/{}", id(&scene.delivery().await));
        let logged = |delivery: &Value| delivery["attempt_log"].as_array().unwrap().len() == attempt;
        let delivery = until(&scene.client, &delivery_path, logged).await;
        let next = delivery["next_attempt_at"].as_str().map(|text| text.parse::<Timestamp>().unwrap());
        if let Some(next) = next {
            let wait = next.duration_since(scene.server.app().now());
            waits.push(wait.as_secs());
            scene.advance(wait).await;
        }
    }

    // then
    ids.dedup();
    assert_eq!(ids.len(), 1, "the id stays the same");
    let planned = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    assert_eq!(waits.len(), planned.len());
    for (wait, planned) in waits.iter().zip(planned) {
        assert!(planned * 8 / 10 - 1 <= *wait && *wait <= planned * 12 / 10, "{wait} instead of {planned}");
    }
    let delivery = scene.delivery().await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("dead"), &json!(10)));
    let told = [operator.next().await.json(), operator.next().await.json()];
    assert_eq!(
        told.each_ref().map(|event| event["type"].as_str().unwrap()),
        ["webhook_delivery.failing", "webhook_delivery.dead"]
    );
    assert_eq!(
        (&told[1]["data"]["object"]["status_code"], &told[1]["data"]["object"]["id"]),
        (&json!(500), &delivery["id"])
    );
    scene.server.stop().await;
    assert!(scene.receiver.rest().await.is_empty());
}

#[tokio::test]
async fn who_asks_for_patience_gets_it_and_at_least_a_minute() {
    for (status, asked, expected) in
        [(429, Some("90"), 90), (503, None, 60), (503, Some("1000000"), 120), (500, Some("90"), 5)]
    {
        // given
        let answer = move |_: &_| match asked {
            Some(seconds) => ReceiverReply::status(status).with("retry-after", seconds),
            None => ReceiverReply::status(status),
        };
        let scene = Scene::with(Receiver::answering(answer).await).await;

        // when
        happen(&scene.client, "calls").await;
        scene.receiver.next().await;
        let path = format!("/deliveries/{}", id(&scene.delivery().await));
        let delivery = until(&scene.client, &path, |it| it["attempt_log"][0].is_object()).await;

        // then
        let next: Timestamp = delivery["next_attempt_at"].as_str().unwrap().parse().unwrap();
        let wait = next.duration_since(scene.server.app().now()).as_secs();
        let range = if expected == 5 { 3..=6 } else { expected..=expected };
        assert!(range.contains(&wait), "{wait} s after {status} {asked:?}");
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_says_that_it_is_gone_is_told_nothing_more() {
    // given
    let (receiver, status) = obedient().await;
    status.store(410, Ordering::SeqCst);
    let scene = Scene::with(receiver).await;
    let operator = Receiver::start().await;
    add_endpoint(&scene.client, &operator.url(), &["webhook_endpoint.disabled"]).await;

    // when
    happen(&scene.client, "calls").await;
    scene.receiver.next().await;
    let told = operator.next().await.json();
    happen(&scene.client, "later").await;

    // then
    assert_eq!(
        (&told["data"]["object"]["id"], &told["data"]["object"]["reason"]),
        (&scene.endpoint["id"], &json!("gone"))
    );
    let endpoint = scene.client.get(&scene.endpoint_path()).await.expect(200);
    assert_eq!((&endpoint["disabled"], &endpoint["disabled_reason"]), (&json!(true), &json!("gone")));
    assert_eq!(scene.delivery().await["status"], "dead");

    // when it is back
    status.store(204, Ordering::SeqCst);
    scene
        .client
        .post(&format!("/deliveries/{}/replay", id(&scene.delivery().await)), json!({}))
        .await
        .expect_code(409, "webhook_endpoint_state");
    scene.client.patch(&scene.endpoint_path(), json!({ "disabled": false })).await.expect(200);
    happen(&scene.client, "again").await;

    // then
    assert_eq!(scene.receiver.next().await.json()["data"]["object"]["code"], "again");
    scene.server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_for_five_days_is_disabled_and_one_success_saves_it() {
    for recovers in [false, true] {
        // given
        let (receiver, status) = obedient().await;
        let scene = Scene::with(receiver).await;

        // when an event fails every twelve hours
        for half_day in 0..11 {
            let accepted = recovers && half_day == 6;
            status.store(if accepted { 204 } else { 500 }, Ordering::SeqCst);
            let deliveries = format!("/deliveries?endpoint={}", id(&scene.endpoint));
            happen(&scene.client, &format!("calls-{half_day}")).await;
            let settled = |list: &Value| {
                let newest = &list["data"][0];
                list["data"].as_array().unwrap().len() == half_day + 1
                    && (newest["status"] != "pending" || newest["attempts"].as_i64() >= Some(1))
            };
            let list = until(&scene.client, &deliveries, settled).await;
            let newest = format!("/deliveries/{}", id(&list["data"][0]));
            until(&scene.client, &newest, |it| it["attempt_log"][0].is_object() || it["status"] == "dead")
                .await;
            scene.advance(SignedDuration::from_hours(12)).await;
        }

        // then
        let disabled = |endpoint: &Value| endpoint["disabled"] == !recovers;
        let endpoint = until(&scene.client, &scene.endpoint_path(), disabled).await;
        let reason = if recovers { Value::Null } else { json!("failing") };
        assert_eq!(endpoint["disabled_reason"], reason);
        scene.server.stop().await;
    }
}

#[tokio::test]
async fn what_is_on_its_way_to_an_endpoint_that_is_removed_or_disabled_is_given_up() {
    for (disables, is_under_way) in [(false, false), (true, false), (false, true), (true, true)] {
        // given
        let gate = Arc::new(Notify::new());
        let answer = {
            let gate = Arc::clone(&gate);
            move |_: &_| ReceiverReply::status(500).behind(&gate)
        };
        let scene = Scene::with(Receiver::answering(answer).await).await;
        let operator = Receiver::start().await;
        add_endpoint(&scene.client, &operator.url(), &["webhook_delivery.dead"]).await;
        happen(&scene.client, "calls").await;
        scene.receiver.next().await;
        if !is_under_way {
            gate.notify_one();
            let path = format!("/deliveries/{}", id(&scene.delivery().await));
            until(&scene.client, &path, |it| it["attempt_log"][0].is_object()).await;
        }

        // when
        if disables {
            scene.client.patch(&scene.endpoint_path(), json!({ "disabled": true })).await.expect(200);
        } else {
            scene.client.delete(&scene.endpoint_path()).await.expect(204);
            scene.client.get(&scene.endpoint_path()).await.expect_code(404, "not_found");
        }
        gate.notify_one();

        // then
        let path = format!("/deliveries?endpoint={}", id(&scene.endpoint));
        until(&scene.client, &path, all_ended(1)).await;
        assert_eq!(scene.delivery().await["status"], "dead");
        happen(&scene.client, "later").await;
        assert_eq!(scene.delivery().await["status"], "dead", "nothing new is on its way");
        scene.server.stop().await;
        assert!(scene.receiver.rest().await.is_empty());
        assert!(operator.rest().await.is_empty(), "who gave up is not told of it");
    }
}

#[tokio::test]
async fn an_endpoint_is_sent_again_what_it_asks_for_and_what_it_missed() {
    // given
    let scene = Scene::with(Receiver::start().await).await;
    happen(&scene.client, "first").await;
    let first = scene.receiver.next().await;
    until(&scene.client, "/deliveries", all_ended(1)).await;
    let began = scene.server.app().now();

    // when it asks for one again
    let path = format!("/deliveries/{}/replay", id(&scene.delivery().await));
    let replayed = scene.client.post_once(&path, "again", json!({})).await.expect(202);
    scene.client.post_once(&path, "again", json!({})).await.expect(202);

    // then
    assert_eq!(replayed["status"], "pending");
    let second = scene.receiver.next().await;
    assert_eq!((second.header("webhook-id"), &second.body), (first.header("webhook-id"), &first.body));
    until(&scene.client, "/deliveries", all_ended(1)).await;

    // when it missed some while it was disabled, one of which is not for it
    scene.client.patch(&scene.endpoint_path(), json!({ "disabled": true })).await.expect(200);
    happen(&scene.client, "missed").await;
    scene
        .client
        .post("/customers", json!({ "external_id": "ada", "name": "Ada", "currency": "USD" }))
        .await
        .expect(201);
    let path = format!("{}/replay", scene.endpoint_path());
    let body = json!({ "since": began });
    scene.client.post(&path, body.clone()).await.expect_code(409, "webhook_endpoint_state");
    scene.client.patch(&scene.endpoint_path(), json!({ "disabled": false })).await.expect(200);
    let missed = scene.client.post(&path, body.clone()).await.expect(202);
    let none = scene.client.post(&path, body).await.expect(202);

    // then
    assert_eq!(missed, json!({ "replayed": 1, "has_more": false }));
    assert_eq!(none["replayed"], 0, "it is on its way already");
    assert_eq!(scene.receiver.next().await.json()["data"]["object"]["code"], "missed");
    scene
        .client
        .post(&path, json!({ "since": "2020-01-01T00:00:00Z" }))
        .await
        .expect_code(422, "invalid_field");
    until(&scene.client, "/deliveries", all_ended(2)).await;
    scene.server.stop().await;
    assert!(scene.receiver.rest().await.is_empty());
}

#[tokio::test]
async fn whoever_keeps_the_greatest_sequence_of_each_thing_has_its_last_state() {
    // given
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // Every third attempt fails, so that events overtake each other.
    let answer = move |_: &_| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        ReceiverReply::status(if call % 3 == 1 { 500 } else { 204 })
    };
    let scene = Scene::with(Receiver::answering(answer).await).await;
    let everything = Receiver::answering(move |_| ReceiverReply::status(204)).await;
    scene.client.prepare_starter_plan().await;
    scene.client.subscribe_to_starter("ada").await;
    let types = ["subscription.paused", "subscription.resumed", "subscription.canceled"];
    scene.client.patch(&scene.endpoint_path(), json!({ "event_types": types })).await.expect(200);
    drop(everything);
    let subscription = scene.client.get("/subscriptions").await.expect(200)["data"][0].clone();
    let path = format!("/subscriptions/{}", id(&subscription));

    // when
    for change in ["pause", "resume", "pause", "resume"] {
        scene.client.post(&format!("{path}/{change}"), json!({})).await.expect(200);
    }
    scene.client.post(&format!("{path}/cancel"), json!({ "at_period_end": false })).await.expect(200);
    let deliveries = format!("/deliveries?endpoint={}", id(&scene.endpoint));
    let ending = async {
        let arrived = |it: &&Value| it["status"] == "delivered" && it["event"]["type"] != "meter.created";
        loop {
            scene.advance(SignedDuration::from_secs(6)).await;
            let list = scene.client.get(&deliveries).await.expect(200);
            if list["data"].as_array().unwrap().iter().filter(arrived).count() == 5 {
                return;
            }
        }
    };
    timeout(DEADLINE, ending).await.expect("all of them arrive in time");

    // then
    let mut kept: Option<Value> = None;
    for received in scene.receiver.rest().await {
        let event = received.json();
        if event["type"] == "meter.created" {
            continue;
        }
        let shown = scene.client.get(&format!("/deliveries?event={}", id(&event))).await.expect(200);
        let status = event["data"]["object"]["status"].as_str().unwrap();
        let expected = match shown["data"][0]["event"]["type"].as_str().unwrap() {
            "subscription.paused" => "paused",
            "subscription.canceled" => "canceled",
            _ => "active",
        };
        assert_eq!(status, expected, "the state is that of its event");
        if kept.as_ref().is_none_or(|kept| kept["sequence"].as_i64() < event["sequence"].as_i64()) {
            kept = Some(event);
        }
    }
    assert_eq!(
        kept.unwrap()["data"]["object"]["status"],
        scene.client.get(&path).await.expect(200)["status"]
    );
    scene.server.stop().await;
}

#[tokio::test]
async fn deliveries_of_another_tenant_are_not_there() {
    let scene = Scene::with(Receiver::start().await).await;
    happen(&scene.client, "calls").await;
    scene.receiver.next().await;
    until(&scene.client, "/deliveries", all_ended(1)).await;
    let delivery = id(&scene.delivery().await);
    let (_, _, other) = tenant(&scene.server, "other").await;

    assert_eq!(other.get("/deliveries").await.expect(200)["data"], json!([]));
    assert_eq!(other.get("/webhook-endpoints").await.expect(200)["data"], json!([]));
    other.get(&format!("/deliveries/{delivery}")).await.expect_code(404, "not_found");
    other.post(&format!("/deliveries/{delivery}/replay"), json!({})).await.expect_code(404, "not_found");
    for (path, body) in [
        ("/test", json!({})),
        ("/rotate-secret", json!({})),
        ("/replay", json!({ "since": "2025-12-31T00:00:00Z" })),
    ] {
        other.post(&format!("{}{path}", scene.endpoint_path()), body).await.expect_code(404, "not_found");
    }
    other.patch(&scene.endpoint_path(), json!({ "disabled": true })).await.expect_code(404, "not_found");
    other.delete(&scene.endpoint_path()).await.expect_code(404, "not_found");
    scene.server.stop().await;
}
