//! What stays from period to period, or is weighted with time.

use serde_json::json;

use super::{AUGUST, Setting, Stage, amounts, event, meter, quantities, unit, with};

#[tokio::test]
async fn a_weighted_sum_counts_each_change_for_the_rest_of_the_month() {
    let rounded = with(meter("m", "weighted_sum"), json!({ "rounding": { "mode": "half_up", "scale": 5 } }));
    let prices = ["eu", "us", "rest"]
        .map(|region| json!({ "code": region, "meter": "m", "charge_model": "per_unit", "unit": "1000", "filters": { "region": [region] } }));
    let stage = Stage::set(AUGUST, vec![rounded], prices.to_vec()).await;
    let of = |(region, time, value): (&str, &str, i64)| {
        event(
            &format!("{region}{time}"),
            &format!("2023-08-01T{time}:00Z"),
            json!({ "v": value, "region": region }),
        )
    };

    let rest = [
        ("00:00", 2),
        ("01:00", 3),
        ("01:30", 1),
        ("02:00", -4),
        ("04:00", -2),
        ("05:00", 10),
        ("05:30", -10),
    ];
    let events: Vec<_> = rest.iter().rev().map(|(time, value)| ("rest", *time, *value)).collect();
    let more = [("eu", "02:00", -1), ("us", "01:00", 3), ("eu", "00:00", 2)];
    stage.send_all(&events.into_iter().chain(more).map(of).collect::<Vec<_>>()).await;
    let lines = stage.billed("2023-09-01T00:00:00Z").await;

    assert_eq!(quantities(&lines), ["1.00269", "2.99597", "0.02218"]);
    assert_eq!(amounts(&lines), [100_269, 299_597, 2_218]);
    stage.server.stop().await;
}

#[tokio::test]
async fn a_recurring_weighted_sum_starts_with_what_is_left() {
    let recurring = with(meter("m", "weighted_sum"), json!({ "recurring": true }));
    let setting = Setting { now: "2023-03-01T00:00:00Z", ..AUGUST };
    let stage = Stage::set(setting, vec![recurring], vec![unit("m")]).await;
    let of = |id, time, value: i64| event(id, time, json!({ "v": value }));

    stage.send_all(&[of("a", "2023-03-05T00:00:00Z", 2500)]).await;
    let march = stage.billed("2023-04-01T00:00:00Z").await;
    stage.send_all(&[of("c", "2023-04-06T00:00:00Z", -200), of("b", "2023-04-04T00:00:00Z", -2000)]).await;
    let april = stage.billed("2023-05-01T00:00:00Z").await;
    let may = stage.billed("2023-06-01T00:00:00Z").await;

    assert_eq!(
        (amounts(&march), amounts(&april), amounts(&may)),
        (vec![217_742], vec![53_333], vec![30_000])
    );
    assert_eq!((&april[0]["events"]["count"], &may[0]["events"]["count"]), (&json!(2), &json!(0)));
    stage.server.stop().await;
}

#[tokio::test]
async fn a_recurring_meter_nets_what_fell_below_zero_with_the_next_periods() {
    // given: each aggregation that can recur, measured from buckets and, because of its groups, from the events
    let tiers =
        json!([{ "up_to": "2", "unit": "0", "flat": "0" }, { "up_to": null, "unit": "150", "flat": "0" }]);
    let (mut meters, mut prices) = (Vec::new(), Vec::new());
    for aggregation in ["sum", "count", "unique_count", "latest"] {
        let grouped = format!("{aggregation}-grouped");
        for code in [aggregation, &grouped] {
            meters.push(with(meter(code, aggregation), json!({ "recurring": true })));
            prices.push(json!({ "code": code, "meter": code, "charge_model": "graduated", "tiers": tiers }));
        }
        prices.last_mut().unwrap()["group_by"] = json!(["kind"]);
    }
    let setting = Setting { now: "2023-01-10T10:07:00Z", ..AUGUST };
    let stage = Stage::set(setting, meters, prices).await;
    let of = |id: &str, time: &str, value: i64| event(id, time, json!({ "v": value, "kind": "k" }));

    // when
    let first = ["a", "b", "c"].map(|id| of(id, "2023-01-10T10:07:00Z", -1));
    stage.send_all(&first).await;
    let january = stage.billed("2023-02-01T00:00:00Z").await;
    let second = ["d", "e", "f", "g"].map(|id| of(id, "2023-02-20T00:00:00Z", 1));
    stage.send_all(&second).await;
    let february = stage.billed("2023-03-01T00:00:00Z").await;
    stage.send_all(&[of("h", "2023-03-20T00:00:00Z", 3)]).await;
    let march = stage.billed("2023-04-01T00:00:00Z").await;
    let april = stage.billed("2023-05-01T00:00:00Z").await;

    // then
    assert_eq!(quantities(&january), ["0", "0", "3", "3", "1", "1", "0", "0"]);
    assert_eq!(quantities(&february), ["1", "1", "7", "7", "2", "2", "1", "1"]);
    assert_eq!(quantities(&march), ["4", "4", "8", "8", "3", "3", "3", "3"]);
    assert_eq!(quantities(&april), quantities(&march));
    assert_eq!((amounts(&february)[0], amounts(&march)[0]), (0, 30_000));
    // The events of a line are those of its period; what was before is in the lines of the periods before.
    for (index, (lines, count)) in
        [(january, 3), (february, 4), (march, 1), (april, 0)].into_iter().enumerate()
    {
        assert!(lines.iter().all(|line| line["events"]["count"] == count), "{index}: {lines:?}");
    }
    stage.server.stop().await;
}
