//! Lists, page by page.

use serde_json::json;
use usance_testkit::TestServer;

#[tokio::test]
async fn pages_tile_a_list_that_grows_meanwhile() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;
    for index in 0..7 {
        client.post("/features", json!({ "code": format!("f{index}") })).await.expect(201);
    }
    let codes = |page: &serde_json::Value| {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    let first = client.get("/features?limit=3").await.expect(200);
    client.post("/features", json!({ "code": "late" })).await.expect(201);
    let second = client
        .get(&format!("/features?limit=3&cursor={}", first["next_cursor"].as_str().unwrap()))
        .await
        .expect(200);
    let third = client
        .get(&format!("/features?limit=3&cursor={}", second["next_cursor"].as_str().unwrap()))
        .await
        .expect(200);

    assert_eq!(
        [codes(&first), codes(&second), codes(&third)].concat(),
        ["f6", "f5", "f4", "f3", "f2", "f1", "f0"]
    );
    assert_eq!(
        (first["has_more"].as_bool(), third["has_more"].as_bool(), third["next_cursor"].as_str()),
        (Some(true), Some(false), None)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_limit_or_cursor_that_cannot_be_is_refused() {
    let server = TestServer::start().await;
    let client = server.client.tenant("acme").await;

    for query in ["limit=0", "limit=101", "limit=-1", "limit=x", "cursor=x", "cursor=", "unknown=1"] {
        client.get(&format!("/customers?{query}")).await.expect_code(422, "invalid_field");
    }
    server.stop().await;
}
