//! Tax rates, and the regions that customers are taxed by.

use serde_json::{Value, json};
use usance_testkit::TestServer;

fn pointers(refused: &Value) -> Vec<&str> {
    refused["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_tax_rate_is_created_listed_renamed_and_archived() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let body = json!({ "code": "ca-sales", "name": "Sales tax", "percent": "7.250", "region": "US-CA", "description": "State" });

    let created = client.post("/tax-rates", body.clone()).await.expect(201);

    assert!(created["id"].as_str().unwrap().starts_with("txr_"));
    assert_eq!((&created["percent"], &created["region"]), (&json!("7.25"), &json!("us-ca")));
    assert_eq!((&created["inclusive"], &created["description"]), (&json!(false), &json!("State")));
    client.post("/tax-rates", body).await.expect_code(409, "tax_rate_exists");
    let renamed = client.patch("/tax-rates/ca-sales", json!({ "name": "California" })).await.expect(200);
    assert_eq!((&renamed["name"], &renamed["percent"]), (&json!("California"), &created["percent"]));
    assert_eq!(client.get("/tax-rates/ca-sales").await.expect(200), renamed);
    assert_eq!(client.get("/tax-rates").await.expect(200)["data"], json!([renamed]));
    for field in [json!({ "percent": "8" }), json!({ "inclusive": true }), json!({ "region": "x" })] {
        client.patch("/tax-rates/ca-sales", field).await.expect_code(422, "invalid_field");
    }
    assert_eq!(client.delete("/tax-rates/ca-sales").await.status, 204);
    client.get("/tax-rates/ca-sales").await.expect_code(404, "not_found");
    assert_eq!(client.get("/tax-rates").await.expect(200)["data"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn each_fault_of_a_tax_rate_is_named() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for (body, expected) in [
        (json!({ "code": "a b", "percent": "100.5", "region": "" }), vec!["/code", "/percent", "/region"]),
        (json!({ "code": "a", "percent": "-1", "region": "eu" }), vec!["/percent"]),
        (json!({ "code": "a", "percent": "8%", "region": "r".repeat(33) }), vec!["/percent", "/region"]),
        (json!({ "code": "a", "percent": 8, "region": "eu" }), vec!["/percent"]),
        (json!({ "code": "a", "percent": "8", "region": "eu", "replaces": "none" }), vec!["/replaces"]),
    ] {
        let refused = client.post("/tax-rates", body.clone()).await.expect_code(422, "invalid_field");
        assert_eq!(pointers(&refused), expected, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_region_has_one_kind_of_rates() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let rate = |code: &str, inclusive: bool, region: &str| json!({ "code": code, "percent": "5", "inclusive": inclusive, "region": region });
    client.post("/tax-rates", rate("gst", false, "Canada")).await.expect(201);

    let refused =
        client.post("/tax-rates", rate("hst", true, "canada")).await.expect_code(422, "invalid_field");

    assert_eq!(pointers(&refused), ["/inclusive"]);
    client.post("/tax-rates", rate("pst", false, "CANADA")).await.expect(201);
    client.post("/tax-rates", rate("vat", true, "uk")).await.expect(201);
    let mut replacing = rate("hst", true, "canada");
    replacing["replaces"] = json!("gst");
    client.post("/tax-rates", replacing).await.expect_code(422, "invalid_field");
    client.get("/tax-rates/gst").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_customer_is_taxed_by_a_region_only_if_it_has_rates() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    let customer = json!({ "external_id": "c", "name": "C", "currency": "EUR", "tax": { "region": "EU" } });
    let refused = client.post("/customers", customer.clone()).await.expect_code(422, "invalid_field");
    assert_eq!(pointers(&refused), ["/tax/region"]);
    assert!(
        refused["detail"].as_str().unwrap().contains("there is no tax rate of the region eu"),
        "{refused}"
    );

    client.post("/tax-rates", json!({ "code": "vat", "percent": "20", "region": "eu" })).await.expect(201);
    let created = client.post("/customers", customer).await.expect(201);

    assert_eq!(created["tax"], json!({ "region": "eu" }));
    let moved = client.patch("/customers/c", json!({ "tax": { "region": "mars" } })).await;
    moved.expect_code(422, "invalid_field");
    assert_eq!(client.get("/customers/c").await.expect(200)["tax"], json!({ "region": "eu" }));
    server.stop().await;
}

#[tokio::test]
async fn the_last_rate_of_a_region_with_customers_is_replaced_and_not_archived() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    client.post("/tax-rates", json!({ "code": "vat-19", "percent": "19", "region": "de" })).await.expect(201);
    let customer = json!({ "external_id": "c", "name": "C", "currency": "EUR", "tax": { "region": "de" } });
    client.post("/customers", customer).await.expect(201);

    client.delete("/tax-rates/vat-19").await.expect_code(409, "tax_rate_in_use");
    let body = json!({ "code": "vat-20", "percent": "20", "region": "DE", "replaces": "vat-19" });
    client.post("/tax-rates", body).await.expect(201);

    let listed = client.get("/tax-rates").await.expect(200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    assert_eq!(listed["data"][0]["code"], "vat-20");
    client.patch("/customers/c", json!({ "tax": { "exempt": true } })).await.expect(200);
    assert_eq!(client.delete("/tax-rates/vat-20").await.status, 204);
    server.stop().await;
}
