//! What a price needs beyond the quantity of its meter.

use serde_json::{Value, json};

use super::{AUGUST, Setting, Stage, amounts, event, meter, quantities, steps, unit, with};

#[tokio::test]
async fn each_group_goes_through_the_tiers_on_its_own() {
    // given
    let tiers =
        json!([{ "up_to": "10", "unit": "1", "flat": "0" }, { "up_to": null, "unit": "0.5", "flat": "0" }]);
    let price = json!({ "code": "p", "meter": "m", "charge_model": "graduated", "tiers": tiers, "group_by": ["model", "fast"] });
    let stage = Stage::set(AUGUST, vec![meter("m", "sum")], vec![price]).await;
    let of = |id, properties| event(id, "2023-08-05T00:00:00Z", properties);

    // when
    stage
        .send_all(&[
            of("a", json!({ "v": 6, "model": "large", "fast": true })),
            of("b", json!({ "v": 9, "model": "large", "fast": true })),
            of("c", json!({ "v": 4, "model": 7, "fast": false })),
            of("d", json!({ "v": 1 })),
            of("e", json!({ "v": -2, "model": "small" })),
        ])
        .await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    // then: a group below zero is not set against the others
    assert_eq!((quantities(&lines), amounts(&lines)), (vec!["20"], vec![1750]));
    let large = Some("model=large, fast=true");
    let charged: Vec<_> = steps(&lines[0]).into_iter().filter(|step| step.3 != "0").collect();
    assert_eq!(
        charged,
        [
            ("tier_unit", Some("model, fast"), "1", "1"),
            ("tier_unit", Some("model=7, fast=false"), "4", "4"),
            ("tier_unit", large, "10", "10"),
            ("tier_unit", large, "5", "2.5"),
        ]
    );
    assert_eq!(lines[0]["events"]["count"], 5);
    stage.server.stop().await;
}

#[tokio::test]
async fn a_percentage_treats_each_event_by_itself_in_the_order_of_time() {
    let price = json!({ "code": "p", "meter": "m", "charge_model": "percentage", "rate_percent": "10",
        "free_events": 1, "per_event_min": "1", "per_event_max": "5" });
    let stage = Stage::set(AUGUST, vec![meter("m", "sum")], vec![price]).await;
    let of = |id, time, value: i64| event(id, time, json!({ "v": value }));

    stage.send_all(&[of("late", "2023-08-09T00:00:00Z", 80), of("small", "2023-08-08T00:00:00Z", 5)]).await;
    stage.send_all(&[of("free", "2023-08-07T00:00:00Z", 100), of("plain", "2023-08-10T00:00:00Z", 30)]).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!((quantities(&lines), amounts(&lines)), (vec!["215"], vec![900]));
    assert_eq!(
        steps(&lines[0]),
        [
            ("free_units", None, "100", "0"),
            ("percent", None, "115", "11.5"),
            ("event_minimum", None, "1", "0.5"),
            ("event_maximum", None, "1", "-3"),
        ]
    );
    stage.server.stop().await;
}

#[tokio::test]
async fn a_percentage_with_a_fee_counts_the_events_of_the_period() {
    let price = json!({ "code": "p", "meter": "m", "charge_model": "percentage", "rate_percent": "1",
        "fixed_amount_per_event": "0.3" });
    let stage = Stage::set(AUGUST, vec![meter("m", "sum")], vec![price]).await;
    let of = |id, value: i64| event(id, "2023-08-09T00:00:00Z", json!({ "v": value }));

    stage.send_all(&[of("a", 100), of("b", 150), of("c", -50)]).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!(steps(&lines[0]), [("percent", None, "200", "2"), ("event_fee", None, "3", "0.9")]);
    stage.server.stop().await;
}

#[tokio::test]
async fn an_event_that_carries_its_own_price_must_carry_one() {
    // given: a dynamic price of some of the meter's events
    let prices = vec![
        json!({ "code": "p", "meter": "m", "charge_model": "dynamic", "multiplier": "1.2", "amount_property": "cost",
            "filters": { "kind": ["priced"] } }),
        with(unit("m"), json!({ "filters": { "kind": ["plain"] } })),
    ];
    let stage = Stage::set(AUGUST, vec![meter("m", "sum")], prices).await;
    let of = |id, properties| {
        event(id, "2023-08-05T00:00:00Z", with(json!({ "v": 2, "kind": "priced" }), properties))
    };

    // when
    let results = stage
        .send(&[
            of("a", json!({ "cost": "1.005" })),
            of("b", json!({})),
            of("c", json!({ "cost": "two" })),
            of("d", json!({ "cost": 2 })),
            of("e", json!({ "kind": "plain" })),
        ])
        .await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    // then
    let reasons: Vec<_> = results.iter().map(|result| result["reason"].as_str()).collect();
    assert_eq!(reasons, [None, Some("missing_value"), Some("malformed_decimal"), None, None]);
    assert_eq!((quantities(&lines), amounts(&lines)), (vec!["4", "2"], vec![361, 200]));
    assert_eq!(steps(&lines[0]), [("event_price", None, "3.005", "3.606")]);
    assert_eq!((&lines[0]["events"]["count"], &lines[1]["events"]["count"]), (&json!(2), &json!(1)));
    stage.server.stop().await;
}

#[tokio::test]
async fn hours_with_a_commitment_follow_the_clock_of_the_customer() {
    let window = json!({ "size": "hour",
        "commitment": { "amount": "1", "overage_factor": "2", "true_up": true },
        "times_of_day": [{ "from_hour": 1, "to_hour": 2,
            "commitment": { "amount": "3", "overage_factor": "2", "true_up": true } }] });
    // A day of 23 hours, where the hour from one o'clock is met and the one from three passed; and one of 25 hours, where
    // the hour from one o'clock comes twice and is missed first and passed then.
    for (now, end, events, expected) in [
        ("2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z", [("06:30", 3), ("07:30", 2)], 3 + 1 + 2 + 21),
        ("2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z", [("05:30", 1), ("06:30", 4)], 3 + 3 + 2 + 23),
    ] {
        let price = with(unit("m"), json!({ "window": window }));
        let setting = Setting { now, timezone: "America/New_York", interval: "day" };
        let stage = Stage::set(setting, vec![meter("m", "sum")], vec![price]).await;
        let of = |(time, value): (&str, i64)| {
            event(time, &format!("{}T{time}:00Z", &now[..10]), json!({ "v": value }))
        };

        stage.send_all(&events.map(of)).await;
        let lines = stage.billed(end).await;

        assert_eq!((quantities(&lines), amounts(&lines)), (vec!["5"], vec![expected * 100]), "{now}");
        assert!(steps(&lines[0]).iter().any(|step| step.0 == "true_up"), "{now}");
        stage.server.stop().await;
    }
}

#[tokio::test]
async fn two_prices_that_share_a_meter_charge_all_of_it_once() {
    let meters = vec![meter("m", "sum"), meter("all", "sum")];
    let split = |code: &str, values: Value| json!({ "code": code, "meter": "m", "charge_model": "per_unit", "unit": "1", "filters": { "region": values } });
    let prices = vec![split("eu", json!(["eu"])), split("rest", json!(["us", "5"])), unit("all")];
    let stage = Stage::set(AUGUST, meters, prices).await;
    let of = |id, time, region, value: &str| event(id, time, json!({ "v": value, "region": region }));

    stage
        .send_all(&[
            of("a", "2023-08-01T00:00:00Z", json!("eu"), "1.1"),
            of("b", "2023-08-31T23:59:59.999999Z", json!("us"), "2.2"),
            of("c", "2023-08-15T00:00:00Z", json!(5), "4"),
            of("d", "2023-08-15T00:00:00Z", json!("eu"), "8"),
        ])
        .await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!(quantities(&lines), ["9.1", "6.2", "15.3"]);
    assert_eq!(amounts(&lines), [910, 620, 1530]);
    let counts: Vec<_> = lines.iter().map(|line| line["events"]["count"].as_i64().unwrap()).collect();
    assert_eq!(counts, [2, 2, 4]);
    stage.server.stop().await;
}
