//! The tenant's profile.

use serde_json::json;
use usance_testkit::TestServer;

/// A PNG file of one pixel, in base64.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

fn pointers(refused: &serde_json::Value) -> Vec<&str> {
    refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_profile_begins_with_the_defaults_and_what_the_tenant_registered() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    let profile = client.get("/tenant").await.expect(200);

    assert!(profile["id"].as_str().unwrap().starts_with("ten_"));
    assert_eq!((&profile["legal_name"], &profile["email"]), (&json!("acme"), &json!("acme@example.com")));
    assert_eq!((&profile["address"], &profile["tax_ids"]), (&json!({}), &json!([])));
    assert_eq!((&profile["payment_terms_days"], &profile["grace_period_hours"]), (&json!(30), &json!(0)));
    assert_eq!(profile["invoice_number_prefix"], "INV");
    assert_eq!(profile["late_usage"], "next_invoice");
    assert_eq!(profile["coupon_order"], "percent_before_fixed");
    assert_eq!(profile["dunning"], json!({ "retry_days": [1, 3, 5, 7], "final_action": "cancel" }));
    for absent in ["logo", "brand_color", "domain"] {
        assert!(profile[absent].is_null(), "{absent}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_profile_is_the_same_in_both_modes_and_keeps_what_is_not_sent() {
    let server = TestServer::start().await;
    let registered = server.client.register("acme").await;
    let key = |name: &str| server.client.with_key(registered["tenant"][name].as_str().unwrap());
    let (test, live) = (key("api_key_test_secret"), key("api_key_secret"));
    let body = json!({ "legal_name": "Acme GmbH", "address": { "line1": "Weg 1", "city": "Bern" }, "email": "Billing@Acme.example",
        "tax_ids": [{ "type": "eu_vat", "value": "DE123456789" }], "payment_terms_days": 14, "invoice_number_prefix": "ACME-26",
        "invoice_terms": "Net 14.\nThank you.", "invoice_footer": "IBAN CH00", "brand_color": "#1D4ED8", "domain": "Pay.Acme.example",
        "grace_period_hours": 72, "late_usage": "credit_note_and_reissue", "coupon_order": "as_applied",
        "dunning": { "retry_days": [2, 4], "final_action": "mark_unpaid" } });

    let changed = test.patch("/tenant", body.clone()).await.expect(200);

    assert_eq!(live.get("/tenant").await.expect(200), changed);
    for (field, sent) in body.as_object().unwrap() {
        match field.as_str() {
            "email" => assert_eq!(changed[field], "billing@acme.example"),
            "brand_color" => assert_eq!(changed[field], "#1d4ed8"),
            "domain" => assert_eq!(changed[field], "pay.acme.example"),
            _ => assert_eq!(&changed[field], sent, "{field}"),
        }
    }
    let part = json!({ "dunning": { "retry_days": [] }, "brand_color": null, "domain": null });
    let again = live.patch("/tenant", part).await.expect(200);
    assert_eq!(again["dunning"], json!({ "retry_days": [], "final_action": "mark_unpaid" }));
    assert_eq!((&again["brand_color"], &again["domain"]), (&json!(null), &json!(null)));
    assert_eq!((&again["legal_name"], &again["address"]), (&changed["legal_name"], &changed["address"]));
    let events = "SELECT string_agg(type || livemode, ',' ORDER BY sequence) FROM outbox_events WHERE type = 'tenant.updated'";
    assert_eq!(server.database.text_as_superuser(events).await, "tenant.updatedfalse,tenant.updatedtrue");
    server.stop().await;
}

#[tokio::test]
async fn changes_at_the_same_moment_are_all_kept() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    let (terms, footer, hours) = tokio::join!(
        client.patch("/tenant", json!({ "invoice_terms": "Net 30" })),
        client.patch("/tenant", json!({ "invoice_footer": "IBAN" })),
        client.patch("/tenant", json!({ "grace_period_hours": 24 })),
    );

    for reply in [terms, footer, hours] {
        reply.expect(200);
    }
    let profile = client.get("/tenant").await.expect(200);
    assert_eq!((&profile["invoice_terms"], &profile["invoice_footer"]), (&json!("Net 30"), &json!("IBAN")));
    assert_eq!(profile["grace_period_hours"], 24);
    server.stop().await;
}

#[tokio::test]
async fn a_logo_is_served_as_the_image_that_it_is_until_it_is_removed() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.get("/tenant/logo").await.expect_code(404, "not_found");

    let logo = format!("data:image/png;base64,{PNG}");
    let changed = client.patch("/tenant", json!({ "logo": logo })).await.expect(200);

    assert_eq!(changed["logo"], json!({ "media_type": "image/png", "url": "/api/v1/tenant/logo" }));
    let served = client.get("/tenant/logo").await;
    assert_eq!((served.status, served.header("content-type")), (200, Some("image/png")));
    assert_eq!(served.header("x-content-type-options"), Some("nosniff"));
    assert!(served.text.contains("IHDR"));
    client.patch("/tenant", json!({ "legal_name": "Acme" })).await.expect(200);
    assert_eq!(client.get("/tenant/logo").await.status, 200);
    let removed = client.patch("/tenant", json!({ "logo": null })).await.expect(200);
    assert_eq!(removed["logo"], json!(null));
    client.get("/tenant/logo").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_profile_is_named_and_nothing_is_changed() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let before = client.get("/tenant").await.expect(200);
    let body = json!({ "legal_name": "", "email": "x", "tax_ids": [{ "type": "", "value": "1" }], "payment_terms_days": 366,
        "invoice_number_prefix": "inv", "invoice_terms": "\u{7}", "logo": "PHN2Zy8+", "brand_color": "blue", "domain": "localhost",
        "grace_period_hours": -1, "late_usage": "never", "coupon_order": "random",
        "dunning": { "retry_days": [3, 1], "final_action": "shrug" } });

    let refused = client.patch("/tenant", body).await.expect_code(422, "invalid_field");

    let pointers = pointers(&refused);
    for expected in [
        "/legal_name",
        "/email",
        "/tax_ids/0/type",
        "/payment_terms_days",
        "/invoice_number_prefix",
        "/invoice_terms",
        "/logo",
        "/brand_color",
        "/domain",
        "/grace_period_hours",
        "/late_usage",
        "/coupon_order",
        "/dunning/retry_days",
        "/dunning/final_action",
    ] {
        assert!(pointers.contains(&expected), "{expected} is missing in {pointers:?}");
    }
    assert_eq!(client.get("/tenant").await.expect(200), before);
    server.stop().await;
}

#[tokio::test]
async fn a_profile_of_one_tenant_is_not_the_profile_of_another() {
    let server = TestServer::start().await;
    let (one, two) = (server.client.tenant("one").await, server.client.tenant("two").await);

    one.patch("/tenant", json!({ "legal_name": "One Ltd", "logo": PNG })).await.expect(200);

    assert_eq!(two.get("/tenant").await.expect(200)["legal_name"], "two");
    two.get("/tenant/logo").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn numbers_of_invoices_begin_with_the_prefix_and_go_on_counting() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.prepare_starter_plan().await;
    client.subscribe_to_starter("acme").await;

    client.advance("2023-12-01T00:00:00Z").await;
    client.patch("/tenant", json!({ "invoice_number_prefix": "ACME" })).await.expect(200);
    client.advance("2024-01-01T00:00:00Z").await;

    let invoices = client.get("/invoices").await.expect(200);
    let numbers: Vec<_> =
        invoices["data"].as_array().unwrap().iter().map(|invoice| invoice["number"].clone()).collect();
    assert_eq!(numbers.first().unwrap(), &json!(format!("ACME-{:06}", numbers.len())));
    assert_eq!(numbers.last().unwrap(), "INV-000001");
    server.stop().await;
}
