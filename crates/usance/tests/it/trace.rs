//! The main job on a real usage trace: two files, two customers, two exact invoices.

use serde_json::{Value, json};
use usance::cli::import::{ImportOptions, Origin, import};
use usance_testkit::{Client, TestServer, shared_file};

async fn import_file(
    client: &Client,
    customer: &str,
    path: &std::path::Path,
) -> usance::cli::import::ImportSummary {
    let mut options = ImportOptions::new(
        path.to_owned(),
        client.base().parse().unwrap(),
        client.key().to_owned().into(),
        Origin::Fixed(customer.to_owned()),
        Origin::Fixed("llm_call".to_owned()),
    );
    options.mappings = vec!["tokens=ContextTokens+GeneratedTokens".parse().unwrap()];
    import(options).await.unwrap()
}

async fn check_invoice(client: &Client, customer: &str, lines: [i64; 3], tax: i64) -> Value {
    let invoices = client.get(&format!("/customers/{customer}/invoices")).await.expect(200);
    let invoice = &invoices["data"][0];
    let amounts: Vec<_> = invoice["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["amount"]["amount_minor"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, lines);
    let subtotal: i64 = lines.iter().sum();
    assert_eq!(invoice["subtotal"], json!({ "amount_minor": subtotal, "currency": "USD" }));
    assert_eq!(invoice["tax"]["amount_minor"], tax);
    assert_eq!(invoice["total"]["amount_minor"], subtotal + tax);
    invoice.clone()
}

#[tokio::test]
async fn a_real_trace_of_two_customers_becomes_two_exact_invoices() {
    let (Some(code), Some(conv)) = (
        shared_file("data/AzureLLMInferenceTrace_code.csv"),
        shared_file("data/AzureLLMInferenceTrace_conv.csv"),
    ) else {
        return;
    };
    let server = TestServer::start().await;
    let client = server.client.tenant("azure").await;
    client.prepare_starter_plan().await;
    for customer in ["code", "conv"] {
        client.subscribe_to_starter(customer).await;
    }
    client
        .post("/customers/code/payment-methods", json!({ "type": "card", "token": "tok_success" }))
        .await
        .expect(201);

    assert_eq!(import_file(&client, "code", &code).await.counts.accepted, 8_819);
    assert_eq!(import_file(&client, "conv", &conv).await.counts.accepted, 19_366);
    let again = import_file(&client, "code", &code).await;
    assert_eq!((again.counts.accepted, again.counts.replayed), (0, 8_819));
    assert!(again.to_string().contains("Nothing changed"), "{again}");
    client.advance("2023-12-01T00:00:00Z").await;

    let invoice = check_invoice(&client, "code", [1_000, 882, 36_612], 3_080).await;
    assert_eq!(
        (invoice["status"].as_str(), &invoice["lines"][1]["quantity"]),
        (Some("paid"), &json!("8819"))
    );
    assert_eq!(invoice["lines"][2]["quantity"], "18305870");
    assert_eq!(invoice["amount_due"]["amount_minor"], 0);
    let invoice = check_invoice(&client, "conv", [1_000, 1_937, 52_901], 4_467).await;
    assert_eq!(
        (invoice["status"].as_str(), &invoice["lines"][2]["quantity"]),
        (Some("finalized"), &json!("26450535"))
    );
    assert_eq!(invoice["amount_due"]["amount_minor"], 60_305);

    let explained =
        client.get(&format!("/invoices/{}/explain", invoice["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(explained["plan"], json!({ "code": "starter", "version": 1, "overrides": false }));
    let tokens = &explained["lines"][2];
    assert_eq!(tokens["exact_amount"], "529.0107");
    assert_eq!(tokens["arithmetic"][0]["amount"], "529.0107");
    assert_eq!(tokens["events"]["count"], 19_366);
    assert_eq!(tokens["events"]["first_at"], "2023-11-16T18:15:46.68059Z");
    assert_eq!(tokens["events"]["digest"], explained["lines"][1]["events"]["digest"]);
    server.stop().await;
}
