//! Random programmes of everything that moves money, through the API: whatever the order, invoices are the sums of their
//! lines and the ledger says the same.

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

use crate::{program::asked_for, random::SplitMix64};

const STEPS: u64 = 40;

struct Programme {
    random: SplitMix64,
    client: Client,
    invoices: Vec<String>,
    holds: Vec<String>,
    wallet: String,
}

impl Programme {
    fn any(&mut self, names: &[&str]) -> String {
        let index = self.random.below(u64::try_from(names.len()).unwrap());
        names[usize::try_from(index).unwrap()].to_owned()
    }

    fn amount(&mut self) -> Value {
        json!({ "amount_minor": 1 + self.random.below(700), "currency": "USD" })
    }

    fn invoice(&mut self) -> Option<String> {
        let count = u64::try_from(self.invoices.len()).unwrap();
        (count > 0).then(|| self.invoices[usize::try_from(self.random.below(count)).unwrap()].clone())
    }

    /// Sends a request that may be refused, but must not fail.
    async fn post(&self, path: &str, body: Value) -> Option<Value> {
        let reply = self.client.post(path, body).await;
        assert!(reply.status < 500, "{path}: {}", reply.text);
        (reply.status < 300).then_some(reply.body)
    }

    async fn step(&mut self) {
        match self.random.below(14) {
            0..=3 => self.bill().await,
            4 => self.on_invoice("pay").await,
            5 => self.on_invoice("void").await,
            6 => self.on_invoice("mark-uncollectible").await,
            7 => self.credit().await,
            8 => self.refund().await,
            9 => {
                let body = json!({ "amount": self.amount() });
                self.post(&format!("{}/grants", self.wallet), body).await;
            }
            10 => {
                let body = json!({ "amount": self.amount() });
                self.post(&format!("{}/topups", self.wallet), body).await;
            }
            11 => {
                let used = self.random.below(4) == 0;
                let id = format!("debit-{}", self.random.below(30));
                let body = json!({ "id": id, "amount": self.amount(), "already_used": used });
                self.post(&format!("{}/debits", self.wallet), body).await;
            }
            12 => {
                let body = json!({ "customer": "exclusive", "amount": self.amount(), "expires_in": 1 + self.random.below(3_600) });
                let held = self.post("/holds", body).await;
                self.holds.extend(held.map(|held| held["id"].as_str().unwrap().to_owned()));
            }
            _ => self.end_hold().await,
        }
    }

    async fn bill(&mut self) {
        let customer = self.any(&["exclusive", "inclusive", "exempt", "declined"]);
        let count = 1 + self.random.below(4);
        let lines: Vec<Value> = (0..count)
            .map(|_| {
                let minus = if self.random.below(5) == 0 { "-" } else { "" };
                let unit = format!("{minus}{}.{:03}", self.random.below(20), self.random.below(1_000));
                json!({ "description": "work", "unit": unit, "quantity": (1 + self.random.below(5)).to_string() })
            })
            .collect();
        let body = json!({ "customer": customer, "lines": lines, "finalize": self.random.below(6) != 0 });
        let made = self.post("/invoices", body).await;
        self.invoices.extend(made.map(|made| made["id"].as_str().unwrap().to_owned()));
    }

    async fn on_invoice(&mut self, what: &str) {
        if let Some(invoice) = self.invoice() {
            self.post(&format!("/invoices/{invoice}/{what}"), json!({})).await;
        }
    }

    async fn credit(&mut self) {
        let Some(invoice) = self.invoice() else { return };
        let settle = self.any(&["refund", "balance"]);
        let amount = 1 + self.random.below(500);
        let body = json!({ "invoice": invoice, "reason": "other", "amount_minor": amount, "settle": settle });
        self.post("/credit-notes", body).await;
    }

    async fn refund(&mut self) {
        let payments = self.client.get("/payments").await.expect(200);
        let Some(payment) = payments["data"][0]["id"].as_str() else { return };
        let body = json!({ "amount_minor": 1 + self.random.below(300) });
        self.post(&format!("/payments/{payment}/refunds"), body).await;
    }

    async fn end_hold(&mut self) {
        let Some(hold) = self.holds.pop() else { return };
        if self.random.below(2) == 0 {
            self.post(&format!("/holds/{hold}/release"), json!({})).await;
        } else {
            let body = json!({ "amount": self.amount() });
            self.post(&format!("/holds/{hold}/settle"), body).await;
        }
    }

    /// The total of an invoice is the sum of its lines, as the API shows them.
    async fn check(&self) {
        for id in &self.invoices {
            let invoice = self.client.get(&format!("/invoices/{id}")).await.expect(200);
            let minor = |value: &Value| value["amount_minor"].as_i64().unwrap();
            let lines = invoice["lines"].as_array().unwrap();
            let subtotal: i64 = lines.iter().map(|line| minor(&line["amount"])).sum();
            assert_eq!(subtotal, minor(&invoice["subtotal"]), "{invoice}");
        }
    }
}

async fn prepare(client: &Client) -> String {
    client.put("/test-clock", json!({ "now": "2024-01-01T00:00:00Z" })).await.expect(200);
    let rate = json!({ "code": "vat", "name": "VAT", "percent": "19", "region": "DE", "inclusive": true });
    client.post("/tax-rates", rate).await.expect(201);
    for (name, tax, token) in [
        (
            "exclusive",
            json!({ "rates": [{ "name": "a", "percent": "8" }, { "name": "b", "percent": "2.5" }] }),
            "tok_success",
        ),
        ("inclusive", json!({ "region": "DE" }), "tok_refund_decline"),
        ("exempt", json!({ "exempt": true }), "tok_success"),
        ("declined", json!({ "rates": [{ "name": "a", "percent": "7" }] }), "tok_decline"),
    ] {
        let body = json!({ "external_id": name, "name": name, "currency": "USD", "tax": tax });
        client.post("/customers", body).await.expect(201);
        let method = json!({ "type": "card", "token": token });
        client.post(&format!("/customers/{name}/payment-methods"), method).await.expect(201);
    }
    let wallet = client.get("/customers/exclusive/wallet").await.expect(200);
    format!("/wallets/{}", wallet["id"].as_str().unwrap())
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a failed programme is repeated by its seed")]
async fn invoices_are_the_sums_of_their_lines_and_what_the_ledger_says_in_every_programme() {
    for seed in 1..=asked_for("USANCE_PROGRAMMES", 2) {
        eprintln!("seed {seed}");
        let server = TestServer::start().await;
        let client = server.client.tenant("programme").await;
        let wallet = prepare(&client).await;
        let random = SplitMix64(seed);
        let mut programme = Programme { random, client, invoices: Vec::new(), holds: Vec::new(), wallet };
        for day in 1..=4 {
            for _ in 0..STEPS / 4 {
                programme.step().await;
            }
            programme.client.advance(&format!("2024-01-{:02}T00:00:00Z", 1 + 7 * day)).await;
        }
        programme.check().await;
        // Stopping checks every invariant.
        server.stop().await;
    }
}
