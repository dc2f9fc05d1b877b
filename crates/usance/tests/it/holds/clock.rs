//! Nobody sweeps, and the clock jumps: what is free is seen by the next who reserves, and nothing is free early.

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use usance_app::config::Role;
use usance_testkit::TestServer;

use super::{Ada, id, settlement};

/// Moves the tenant's clock without the work that is due, and makes every instance read its catalogue again.
async fn jump(server: &TestServer, to: &str) {
    let mut admin = server.database.connect_as_superuser().await;
    let moved = "UPDATE test_clocks SET frozen_at = $1::text::timestamptz";
    sqlx::query(moved).bind(to).execute(&mut admin).await.unwrap();
    sqlx::query("UPDATE catalog_versions SET version = version + 1").execute(&mut admin).await.unwrap();
}

/// Reserves exactly so much and not one more, and gives it back.
async fn ensure_available(ada: &Ada, hold: fn(&Ada, i64) -> Value, available: i64) {
    let beyond = ada.client.post("/holds", hold(ada, available + 1)).await;
    assert!(matches!(beyond.status, 402 | 429), "{}", beyond.text);
    if available > 0 {
        let held = ada.client.post("/holds", hold(ada, available)).await.expect(201);
        ada.client.post(&format!("/holds/{}/release", id(&held)), json!({})).await.expect(200);
    }
}

async fn try_jumps(server: &TestServer, ada: &Ada, hold: fn(&Ada, i64) -> Value) {
    let short = ada.client.post("/holds", hold(ada, 30)).await.expect(201);
    let long = ada.client.post("/holds", hold(ada, 50)).await.expect(201);
    let extended = json!({ "expires_in": 100_000 });
    ada.client.post(&format!("/holds/{}/extend", id(&long)), extended).await.expect(200);
    let status = async |held: &Value| {
        let path = format!("/holds/{}", id(held));
        ada.client.get(&path).await.expect(200)["status"].as_str().unwrap().to_owned()
    };

    // Five minutes back, and to the last instant of the shorter one: nothing is free early, and nothing lost.
    for (at, free) in [
        ("2023-12-31T23:55:00Z", 20),
        ("2024-01-01T00:09:59.999999Z", 20),
        // The next instant it is over; looking is enough, and a day later the other one is still there.
        ("2024-01-01T00:10:00Z", 50),
        ("2024-01-02T00:00:00Z", 50),
        // Five minutes back again: what was seen to be over stays so.
        ("2024-01-01T23:55:00Z", 50),
        ("2024-01-02T03:46:39Z", 50),
        ("2024-01-02T03:46:40Z", 100),
    ] {
        jump(server, at).await;
        ensure_available(ada, hold, free).await;
        let open = |is_open| if is_open { "open" } else { "expired" };
        assert_eq!(status(&short).await, open(free == 20), "{at}");
        assert_eq!(status(&long).await, open(free < 100), "{at}");
    }

    for over in [&short, &long] {
        let path = format!("/holds/{}/settle", id(over));
        let refused = ada.client.post(&path, settlement(over, 1)).await.expect_code(409, "hold_not_open");
        assert_eq!(refused["hold_status"], "expired");
    }
}

#[tokio::test]
async fn money_is_free_when_its_hold_is_over_and_not_before_though_nobody_sweeps() {
    let server = TestServer::start_with(|settings| settings.role = Role::Api).await;
    let ada = Ada::new(&server, "seller").await;
    ada.set_debt_limit(100).await;

    try_jumps(&server, &ada, |ada, amount| ada.money(amount, 600)).await;

    assert_eq!(ada.money_now().await, [0, 0, 100]);
    server.stop().await;
}

#[tokio::test]
async fn money_is_free_however_many_holds_are_over_at_once() {
    const HOLDS: i64 = 1_200;
    let server = TestServer::start_with(|settings| settings.role = Role::Api).await;
    let ada = Ada::new(&server, "seller").await;
    ada.set_debt_limit(HOLDS).await;
    stream::iter(0..HOLDS)
        .for_each_concurrent(64, async |_| {
            ada.client.post("/holds", ada.money(1, 600)).await.expect(201);
        })
        .await;
    assert_eq!(ada.money_now().await, [0, HOLDS, 0]);

    jump(&server, "2024-01-02T00:00:00Z").await;

    ensure_available(&ada, |ada, amount| ada.money(amount, 600), HOLDS).await;
    assert_eq!(ada.money_now().await, [0, 0, HOLDS]);
    server.stop().await;
}

#[tokio::test]
async fn units_are_free_when_their_hold_is_over_and_not_before_though_nobody_sweeps() {
    let server = TestServer::start_with(|settings| settings.role = Role::Api).await;
    let ada = Ada::new(&server, "seller").await;

    try_jumps(&server, &ada, |_, quantity| Ada::units(quantity, 600)).await;

    let stored = "SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM feature_holds";
    assert_eq!(server.database.text_as_superuser(stored).await, "expired released");
    server.stop().await;
}
