//! The ledger through the API, and `usance check` on databases that somebody has tampered with.

mod command;
mod programmes;
mod tampering;

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// A tenant with something of everything that moves money: paid, withdrawn, credited and given up invoices, a refund, and a
/// wallet in debt with a settled and an open hold.
pub(super) async fn furnish(server: &TestServer) -> Client {
    let client = server.client.tenant("seller").await;
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let tax = json!({ "rates": [{ "name": "VAT", "percent": "8" }] });
    let customer = json!({ "external_id": "acme", "name": "Acme", "currency": "USD", "tax": tax });
    client.post_once("/customers", "first", customer).await.expect(201);
    let ghost = json!({ "external_id": "ghost", "name": "Ghost", "currency": "USD" });
    client.post_once("/customers", "ghost", ghost).await.expect(201);
    let method = json!({ "type": "card", "token": "tok_success" });
    client.post("/customers/acme/payment-methods", method).await.expect(201);

    let paid = invoice(&client, "acme", "10").await;
    settle(&client).await;
    let credit =
        json!({ "invoice": paid["id"], "reason": "other", "amount_minor": 500, "settle": "balance" });
    client.post("/credit-notes", credit).await.expect(201);
    let payment = client.get("/payments").await.expect(200)["data"][0]["id"].clone();
    let refunds = format!("/payments/{}/refunds", payment.as_str().unwrap());
    client.post(&refunds, json!({ "amount_minor": 100 })).await.expect(201);
    settle(&client).await;
    let owed =
        json!({ "external_id": "owing", "name": "Owing", "currency": "USD", "tax": { "exempt": true } });
    client.post("/customers", owed).await.expect(201);
    let voided = invoice_with_balance(&client).await;
    client.post(&format!("/invoices/{voided}/void"), json!({})).await.expect(200);
    let given_up = invoice(&client, "owing", "7").await;
    let path = format!("/invoices/{}/mark-uncollectible", given_up["id"].as_str().unwrap());
    client.post(&path, json!({})).await.expect(200);
    fill_wallet(&client).await;
    client
}

/// An invoice that a credit balance has paid in part, and nobody else yet.
async fn invoice_with_balance(client: &Client) -> String {
    invoice(client, "owing", "-2").await;
    let partly = invoice(client, "owing", "5").await;
    assert_eq!(partly["amount_due"]["amount_minor"], 300);
    partly["id"].as_str().unwrap().to_owned()
}

async fn fill_wallet(client: &Client) {
    let wallet = client.get("/customers/acme/wallet").await.expect(200)["id"].clone();
    let path = format!("/wallets/{}", wallet.as_str().unwrap());
    let usd = |minor: i64| json!({ "amount_minor": minor, "currency": "USD" });
    client.post(&format!("{path}/grants"), json!({ "amount": usd(100) })).await.expect(201);
    client.post(&format!("{path}/topups"), json!({ "amount": usd(200) })).await.expect(201);
    client.post(&format!("{path}/debits"), json!({ "id": "d1", "amount": usd(450) })).await.expect(201);
    client.post(&format!("{path}/grants"), json!({ "amount": usd(200) })).await.expect(201);
    let hold = json!({ "wallet": wallet, "amount": usd(30) });
    let held = client.post("/holds", hold.clone()).await.expect(201);
    let settle = format!("/holds/{}/settle", held["id"].as_str().unwrap());
    client.post(&settle, json!({ "amount": usd(20) })).await.expect(200);
    client.post("/holds", hold).await.expect(201);
    client.post(&format!("{path}/debits"), json!({ "id": "d2", "amount": usd(40) })).await.expect(201);
}

pub(super) async fn invoice(client: &Client, customer: &str, unit: &str) -> Value {
    let body = json!({ "customer": customer, "lines": [{ "description": unit, "unit": unit }] });
    client.post("/invoices", body).await.expect(201)
}

/// Runs what is due now.
pub(super) async fn settle(client: &Client) {
    client.advance("2024-01-01T00:00:00Z").await;
}

/// The balance of an account, debits less credits.
async fn account(server: &TestServer, code: &str) -> i64 {
    let sql = format!(
        "SELECT coalesce(sum(debits_posted - credits_posted), 0)::text FROM ledger_accounts WHERE code = '{code}'"
    );
    server.database.text_as_superuser(&sql).await.parse().unwrap()
}

#[tokio::test]
async fn every_movement_of_money_is_posted_to_its_accounts() {
    let server = TestServer::start().await;
    furnish(&server).await;

    // 10.80 paid, 5.40 of it credited to the balance; -2.00, then 5.00 withdrawn and 7.00 given up; 4.50, 0.20 and 0.40 of
    // the wallet.
    for (code, balance) in [
        ("clearing", 1_080 - 100 + 200),
        ("revenue", -(1_000 - 500 - 200 + 700 + 510)),
        ("tax_payable", -(80 - 40)),
        ("credit_balance", -(540 + 200 - 200)),
        ("write_off", 500),
        ("receivable", 0),
        ("refunds", 100),
        ("refunds_payable", 0),
        ("promotion", 300),
        ("wallet", 10),
    ] {
        assert_eq!(account(&server, code).await, balance, "{code}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_server_can_neither_exceed_a_limit_nor_change_what_is_posted() {
    let server = TestServer::start().await;
    furnish(&server).await;
    let mut owner = server.database.connect_as_superuser().await;

    let insert = "WITH chain AS (SELECT * FROM ledger_chains FOR UPDATE)
        INSERT INTO ledger_transfers (tenant_id, livemode, link, source_id, reason, kind, debit_code, debit_owner_id, credit_code,
            credit_owner_id, unit, amount, posted_at)
        SELECT c.tenant_id, c.livemode, c.last_link + 1, gen_random_uuid(), 'wallet_debit', 'single', 'wallet', a.owner_id, 'revenue',
            c.tenant_id, 'USD', 500, now()
        FROM chain c JOIN ledger_accounts a USING (tenant_id, livemode) WHERE a.code = 'wallet'";
    for (sql, constraint) in [
        (insert, "ledger_accounts_limit_check"),
        ("UPDATE ledger_transfers SET amount = amount + 1", "ledger_append_only_check"),
        ("DELETE FROM ledger_transfers", "ledger_append_only_check"),
        ("TRUNCATE ledger_links", "ledger_append_only_check"),
        (
            "UPDATE holds SET status = 'open', settled = 0, resolved_at = NULL WHERE status = 'settled'",
            "holds_open_check",
        ),
    ] {
        let error = sqlx::query(sql).execute(&mut owner).await.unwrap_err();
        let refused = error.as_database_error().and_then(|error| error.constraint());
        assert_eq!(refused, Some(constraint), "{sql}: {error}");
    }
    server.stop().await;
}
