//! The OpenAPI document: complete, and its examples true.

use reqwest::Method;
use serde_json::Value;
use usance_testkit::TestServer;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn document() -> Value {
    serde_json::from_str(&usance_http::openapi_json()).unwrap()
}

fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operations.push((method.to_owned(), path.clone(), operation.clone()));
            }
        }
    }
    operations
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let committed = include_str!("../../../../openapi.json");

    assert!(committed == usance_http::openapi_json(), "openapi.json is out of date: run make openapi");
}

#[test]
fn every_operation_says_what_it_does_and_how_it_answers() {
    for (method, path, operation) in operations(&document()) {
        let summary = operation["summary"].as_str().unwrap_or_default();
        assert!(!summary.is_empty(), "{method} {path} has no summary");
        assert!(operation["operationId"].is_string() && operation["tags"].is_array(), "{method} {path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(
                !response["description"].as_str().unwrap_or_default().is_empty(),
                "{method} {path} {status}"
            );
        }
    }
}

#[tokio::test]
async fn every_documented_operation_exists_and_every_other_address_does_not() {
    let server = TestServer::start().await;
    let operations = operations(&document());
    assert!(operations.len() > 35);

    for (method, path, _) in &operations {
        let address = format!("/{}", path.replace(['{', '}'], "x"));
        let method: Method = method.to_uppercase().parse().unwrap();
        let reply = server.client.send(server.client.request(method.clone(), &address)).await;
        // Without a key only the public pricing looks for something that is not there.
        let unknown_address =
            reply.body["detail"].as_str().unwrap_or_default().contains("nothing at this address");
        assert!(reply.status != 405 && !unknown_address, "{method} {path}: {}", reply.text);
        let reply = server.client.send(server.client.request(Method::TRACE, &address)).await;
        assert_eq!(reply.status, 405, "{path}");
    }
    server.client.get("/nothing-here").await.expect_code(404, "not_found");
    server.stop().await;
}

#[tokio::test]
async fn every_request_example_is_accepted_by_the_reader() {
    let server = TestServer::start().await;
    let client = server.client.tenant("examples").await;
    let document = document();
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let Some(reference) =
            operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str()
        else {
            continue;
        };
        let schema = document.pointer(reference.trim_start_matches('#')).unwrap();
        let example = &schema["example"];
        assert!(example.is_object(), "{method} {path}: {reference} has no example");
        let method: Method = method.to_uppercase().parse().unwrap();
        let address = format!("/{}", path.replace(['{', '}'], "x"));
        let reply = client.send(client.request(method, &address).json(example)).await;
        // What the example names need not exist, but the example itself must be readable.
        let faults = reply.body["errors"].as_array().cloned().unwrap_or_default();
        let unreadable = faults.iter().any(|fault| fault["code"] == "invalid");
        assert!(!unreadable && reply.status != 400, "{path}: {}", reply.text);
        tried += 1;
    }
    assert!(tried >= 12, "{tried}");
    server.stop().await;
}

#[tokio::test]
async fn the_document_and_its_reading_room_are_served_without_the_network() {
    let server = TestServer::start().await;

    let served = server.client.get("//openapi.json").await.expect(200);
    let page = server.client.get("//docs/").await;

    assert_eq!(served, document());
    assert_eq!(page.status, 200);
    let outside = page
        .text
        .match_indices("http")
        .filter(|(at, _)| !page.text[*at..].starts_with("http://www.w3.org"))
        .count();
    assert_eq!(outside, 0, "{}", page.text);
    server.stop().await;
}
