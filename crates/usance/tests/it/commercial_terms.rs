//! What invoices ask of discounts and tax rates, on the database itself.

use std::cell::Cell;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use usance_app::{
    Cx, coupons,
    error::{Code, Error},
    tax::rates_of,
};
use usance_core::{
    ids::{CustomerId, SubscriptionId, TenantId},
    invoice::TaxRate,
};
use usance_db::{
    Scope, TenantTx, customers,
    discounts::{self, Discount},
    tenant_profiles,
};
use usance_testkit::{Client, TestServer};

async fn begin(server: &TestServer, client: &Client) -> (Cx, TenantTx) {
    let profile = client.get("/tenant").await.expect(200);
    let tenant: TenantId = profile["id"].as_str().unwrap().parse().unwrap();
    let cx = Cx::of_work(server.app(), Scope { tenant, livemode: false });
    let tx = cx.begin().await.unwrap();
    (cx, tx)
}

async fn redeem(client: &Client, coupon: Value) {
    let code = coupon["code"].clone();
    client.post("/coupons", coupon).await.expect(201);
    client.post("/customers/acme/discounts", json!({ "coupon": code })).await.expect(201);
}

/// A customer with a subscription to the starter plan, and their ids.
async fn subscriber(client: &Client) -> (CustomerId, SubscriptionId) {
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;
    let subscription = client.get("/subscriptions").await.expect(200)["data"][0].clone();
    let customer = client.get("/customers/acme").await.expect(200);
    (customer["id"].as_str().unwrap().parse().unwrap(), subscription["id"].as_str().unwrap().parse().unwrap())
}

fn codes(discounts: &[Discount]) -> Vec<&str> {
    discounts.iter().map(|discount| discount.coupon_code.as_str()).collect()
}

#[tokio::test]
async fn an_invoice_takes_the_discounts_of_its_plan_in_the_order_of_redeeming() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let (customer, subscription) = subscriber(&client).await;
    let plan =
        json!({ "code": "other", "name": "Other", "currency": "USD", "interval": "month", "prices": [] });
    client.post("/plans", plan).await.expect(201);
    for (code, plans) in
        [("all", json!([])), ("theirs", json!(["other"])), ("ours", json!(["other", "starter"]))]
    {
        redeem(&client, json!({ "code": code, "percent": "10", "duration": "forever", "plans": plans }))
            .await;
    }

    let (_, mut tx) = begin(&server, &client).await;
    let active = discounts::list_active(&mut tx, customer, subscription).await.unwrap();

    assert_eq!(codes(&active), ["all", "ours"]);
    drop(tx);
    server.stop().await;
}

#[tokio::test]
async fn a_coupon_of_other_plans_is_not_redeemed_for_a_subscription() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let (customer, subscription) = subscriber(&client).await;
    let plan =
        json!({ "code": "other", "name": "Other", "currency": "USD", "interval": "month", "prices": [] });
    client.post("/plans", plan).await.expect(201);
    for (code, plan) in [("theirs", "other"), ("ours", "starter")] {
        let body = json!({ "code": code, "percent": "10", "duration": "once", "plans": [plan] });
        client.post("/coupons", body).await.expect(201);
    }
    let (cx, mut tx) = begin(&server, &client).await;
    let customer = customers::find(&mut tx, customer).await.unwrap().unwrap();

    let refused = coupons::redeem(&cx, &mut tx, &customer, Some(subscription), "theirs").await;
    let discount = coupons::redeem(&cx, &mut tx, &customer, Some(subscription), "ours").await.unwrap();
    let again = coupons::redeem(&cx, &mut tx, &customer, None, "ours").await.unwrap();

    let Err(Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (refusal.code, &refusal.extensions["reason"]),
        (Code::CouponNotRedeemable, &json!("other_plan"))
    );
    assert_eq!((discount.subscription_id, discount.position), (Some(subscription), 1));
    assert_eq!((again.subscription_id, again.position), (None, 2));
    drop(tx);
    server.stop().await;
}

#[tokio::test]
async fn what_a_void_invoice_took_of_a_discount_is_given_back() {
    // given: a fixed amount that one invoice used up, and three periods of which one is gone
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let (customer, subscription) = subscriber(&client).await;
    let amount = json!({ "amount_minor": 1000, "currency": "USD" });
    redeem(&client, json!({ "code": "fixed", "amount": amount, "duration": "once" })).await;
    redeem(
        &client,
        json!({ "code": "thrice", "percent": "5", "duration": "repeating", "duration_periods": 3 }),
    )
    .await;
    let (_, mut tx) = begin(&server, &client).await;
    let active = discounts::list_active(&mut tx, customer, subscription).await.unwrap();
    let at: Timestamp = "2023-12-01T00:00:00Z".parse().unwrap();
    discounts::record_use(&mut tx, active[0].id, Some(0), Some(0), Some(at)).await.unwrap();
    discounts::record_use(&mut tx, active[1].id, Some(2), None, None).await.unwrap();
    let used = discounts::list_active(&mut tx, customer, subscription).await.unwrap();
    assert_eq!((codes(&used), used[0].periods_left), (vec!["thrice"], Some(2)));

    // when
    discounts::restore(&mut tx, active[0].id, 1, 1000).await.unwrap();
    discounts::restore(&mut tx, active[1].id, 1, 0).await.unwrap();

    // then
    let restored = discounts::list_active(&mut tx, customer, subscription).await.unwrap();
    assert_eq!(codes(&restored), ["fixed", "thrice"]);
    assert_eq!((restored[0].periods_left, restored[0].fixed_left_minor), (Some(1), Some(1000)));
    assert_eq!((restored[1].periods_left, restored[1].fixed_left_minor), (Some(3), None));
    assert!(discounts::end(&mut tx, customer, restored[1].id, at).await.unwrap());
    discounts::restore(&mut tx, restored[1].id, 1, 0).await.unwrap();
    let removed = discounts::list_active(&mut tx, customer, subscription).await.unwrap();
    assert_eq!(codes(&removed), ["fixed"], "a removed discount stays removed");
    drop(tx);
    server.stop().await;
}

#[tokio::test]
async fn a_customer_is_taxed_by_its_own_rates_or_by_those_that_its_region_has_now() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let rate = |code: &str, percent: &str, region: &str, inclusive: bool| json!({ "code": code, "name": code, "percent": percent, "region": region, "inclusive": inclusive });
    for body in [
        rate("gst", "5", "canada", false),
        rate("pst", "7", "canada", false),
        rate("old", "9", "canada", false),
        rate("vat", "20", "uk", true),
    ] {
        client.post("/tax-rates", body).await.expect(201);
    }
    client.delete("/tax-rates/old").await;

    for (tax, inclusive, expected) in [
        (json!({ "region": "Canada" }), false, vec![("gst", 5), ("pst", 7)]),
        (json!({ "region": "uk" }), true, vec![("vat", 20)]),
        (json!({ "rates": [{ "name": "own", "percent": "8" }] }), false, vec![("own", 8)]),
        (json!({ "exempt": true }), false, vec![]),
    ] {
        let body = json!({ "name": "C", "currency": "USD", "tax": tax });
        let created = client.post("/customers", body).await.expect(201);
        let (_, mut tx) = begin(&server, &client).await;
        let id: CustomerId = created["id"].as_str().unwrap().parse().unwrap();
        let customer = customers::find(&mut tx, id).await.unwrap().unwrap();
        let read = rates_of(&mut tx, &customer).await.unwrap();
        let rate =
            |(name, percent): (&str, i64)| TaxRate { name: name.to_owned(), percent: Decimal::from(percent) };
        assert_eq!(read.rates, expected.into_iter().map(rate).collect::<Vec<_>>(), "{tax}");
        assert_eq!(read.inclusive, inclusive, "{tax}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_locked_profile_is_read_as_the_change_before_left_it() {
    // given: a change that is not committed yet
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let (_, mut first) = begin(&server, &client).await;
    let mut profile = tenant_profiles::lock(&mut first).await.unwrap();
    profile.payment_terms_days = 7;
    tenant_profiles::store(&mut first, &profile).await.unwrap();
    let (_, mut second) = begin(&server, &client).await;

    // when: another one locks, and the first commits while it waits
    let answered = Cell::new(false);
    let lock = async {
        let read = tenant_profiles::lock(&mut second).await;
        answered.set(true);
        read
    };
    let commit = async {
        let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while !answered.get() && server.database.text_as_superuser(waiting).await == "0" {}
        first.commit().await
    };
    let (read, committed) = tokio::join!(lock, commit);

    // then
    committed.unwrap();
    assert_eq!(read.unwrap().payment_terms_days, 7);
    drop(second);
    server.stop().await;
}
