//! Holds of money and of units under stress: many who reserve and resolve at once, clocks that jump, amounts at the edges,
//! and random programmes against a reference.

mod clock;
mod edges;
mod money;
mod programmes;
mod races;
mod units;

use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

/// When the clock of a tenant begins.
const START: &str = "2024-01-01T00:00:00Z";

fn usd(amount_minor: i64) -> Value {
    json!({ "amount_minor": amount_minor, "currency": "USD" })
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

fn minor(amount: &Value) -> i64 {
    amount["amount_minor"].as_i64().unwrap()
}

/// A tenant whose clock stands at [`START`], with the customer `ada` who pays by card, has a wallet without a debt limit, and
/// may use 100 of `exports` a day.
struct Ada {
    client: Client,
    wallet: String,
    subscription: String,
}

impl Ada {
    async fn new(server: &TestServer, tenant: &str) -> Self {
        let client = server.client.tenant(tenant).await;
        client.put("/test-clock", json!({ "now": START })).await.expect(200);
        client.post("/features", json!({ "code": "exports" })).await.expect(201);
        let plan = json!({ "code": "pro", "name": "Pro", "currency": "USD", "interval": "month", "prices": [],
            "entitlements": [{ "feature": "exports", "limit": "100", "reset": "day" }] });
        client.post("/plans", plan).await.expect(201);
        let customer = json!({ "external_id": "ada", "name": "Ada", "currency": "USD" });
        client.post("/customers", customer).await.expect(201);
        let method = json!({ "type": "card", "token": "tok_success" });
        client.post("/customers/ada/payment-methods", method).await.expect(201);
        let subscription = json!({ "customer": "ada", "plan": "pro" });
        let subscription = id(&client.post("/subscriptions", subscription).await.expect(201)).to_owned();
        let wallet = id(&client.get("/customers/ada/wallet").await.expect(200)).to_owned();
        let ada = Self { client, wallet, subscription };
        ada.set_debt_limit(0).await;
        ada
    }

    async fn set_debt_limit(&self, minor: i64) {
        let path = format!("/wallets/{}", self.wallet);
        self.client.patch(&path, json!({ "debt_limit": usd(minor) })).await.expect(200);
    }

    async fn set_unit_limit(&self, limit: i64) {
        let body =
            json!({ "entitlements": [{ "feature": "exports", "limit": limit.to_string(), "reset": "day" }] });
        let path = format!("/subscriptions/{}/entitlements", self.subscription);
        self.client.put(&path, body).await.expect(200);
    }

    /// A hold of money.
    fn money(&self, amount_minor: i64, seconds: i64) -> Value {
        json!({ "wallet": self.wallet, "amount": usd(amount_minor), "expires_in": seconds })
    }

    /// A hold of units.
    fn units(quantity: i64, seconds: i64) -> Value {
        json!({ "customer": "ada", "feature": "exports", "quantity": quantity.to_string(), "expires_in": seconds })
    }

    /// Balance, held and available.
    async fn money_now(&self) -> [i64; 3] {
        let wallet = self.client.get(&format!("/wallets/{}", self.wallet)).await.expect(200);
        ["balance", "held", "available"].map(|name| minor(&wallet[name]))
    }

    /// Used, held and remaining.
    async fn units_now(&self) -> [i64; 3] {
        let checked = self.client.get("/entitlements/check?customer=ada&feature=exports").await.expect(200);
        // Without holds there is no `held`.
        ["used", "held", "remaining"]
            .map(|name| checked[name].as_str().map_or(0, |number| number.parse().unwrap()))
    }
}

/// What takes so much of a hold that such a request makes: a settlement of the same kind.
fn settlement(hold: &Value, amount: i64) -> Value {
    if hold["amount"].is_null() {
        json!({ "quantity": amount.to_string() })
    } else {
        json!({ "amount": usd(amount) })
    }
}
