//! What the demo does, request by request.

use std::{io::Write, path::PathBuf};

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::{
    answers::{Explanation, Ignored, Invoice, List, Registered},
    figures::grouped,
    invoice::{self, Parties},
};
use crate::cli::{
    api::Api,
    import::{self, Counts, Format, ImportOptions, Mapping, Origin},
};

const START: &str = "2023-11-01T00:00:00Z";
const AFTER_THE_MONTH: &str = "2023-12-02T00:00:00Z";
const EVENT_TYPE: &str = "llm_call";
const CUSTOMER: &str = "code";
const CUSTOMER_NAME: &str = "Code";
const CUSTOMER_EMAIL: &str = "c@c.example";

/// Where the usage comes from.
pub(super) struct Usage {
    pub(super) file: PathBuf,
    pub(super) mappings: Vec<Mapping>,
}

/// A run of the demo.
pub(super) struct Story<'a> {
    /// The server, without a slash at the end.
    pub(super) url: &'a str,
    pub(super) usage: Usage,
    /// Different for every run.
    pub(super) run_id: String,
}

/// The tenant of a run.
pub(super) struct DemoTenant {
    pub(super) name: String,
    pub(super) email: String,
    key: SecretString,
}

impl DemoTenant {
    /// The secret key of test mode, for a line to copy from the terminal.
    pub(super) fn key_text(&self) -> &str {
        self.key.expose_secret()
    }
}

impl Story<'_> {
    /// Does everything from the registration to the printed invoice.
    pub(super) async fn tell(&self, out: &mut (dyn Write + Send)) -> anyhow::Result<DemoTenant> {
        let tenant = self.register(out).await?;
        let api = Api::new(self.url)?.with_key(tenant.key.clone());
        set_up(&api, out).await?;
        self.import(&tenant, out).await?;
        let to = json!({ "to": AFTER_THE_MONTH });
        let _: Ignored = api.post("test-clock/advance", &to).await?;
        step(out, "POST", "test-clock/advance", "to 2023-12-02: the month is billed and paid")?;
        let invoice = find_invoice(&api).await?;
        let explanation: Explanation = api.get(&format!("invoices/{}/explain", invoice.id)).await?;
        let parties = Parties {
            seller: format!("{} <{}>", tenant.name, tenant.email),
            customer: format!("{CUSTOMER_NAME} <{CUSTOMER_EMAIL}>"),
        };
        write!(out, "\n{}", invoice::text(&explanation, &parties))?;
        Ok(tenant)
    }

    async fn register(&self, out: &mut (dyn Write + Send)) -> anyhow::Result<DemoTenant> {
        let body = json!({
            "company_name": format!("Demo {}", self.run_id),
            "email": format!("demo-{}@usance.example", self.run_id),
            "password": format!("shown to nobody {}", self.run_id.chars().rev().collect::<String>()),
            "first_name": "Ada",
            "last_name": "Lovelace",
            "domain": "usance.example",
        });
        let registered: Registered = Api::new(self.url)?.post("auth/tenants/register/", &body).await?;
        let tenant = registered.tenant;
        step(out, "POST", "auth/tenants/register/", &format!("tenant {}", tenant.email))?;
        Ok(DemoTenant { name: tenant.company_name, email: tenant.email, key: tenant.api_key_test_secret })
    }

    /// Imports the file, and once more, which must change nothing.
    async fn import(&self, tenant: &DemoTenant, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let counts = self.import_once(tenant).await?;
        ensure!(counts.read > 0, "{} has no rows", self.usage.file.display());
        step(
            out,
            "POST",
            "events",
            &format!("import of {}: {}", self.usage.file.display(), summary(&counts)),
        )?;
        let again = self.import_once(tenant).await?;
        let stored = counts.accepted + counts.unbilled + counts.replayed;
        let result = if again.replayed == stored && again.accepted == 0 {
            format!("the same file again: nothing changed, {} replayed", grouped(again.replayed.into()))
        } else {
            format!("the same file again: {}", summary(&again))
        };
        step(out, "POST", "events", &result)
    }

    async fn import_once(&self, tenant: &DemoTenant) -> anyhow::Result<Counts> {
        let file = self.usage.file.clone();
        let ending =
            file.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
        let format = match ending.as_str() {
            "ndjson" | "jsonl" => Format::Ndjson,
            "tsv" => Format::Delimited { delimiter: b'\t' },
            _ => Format::Delimited { delimiter: b',' },
        };
        let options = ImportOptions {
            mappings: self.usage.mappings.clone(),
            format,
            ..ImportOptions::new(
                file,
                Url::parse(self.url).context("the address of the server is no URL")?,
                tenant.key.clone(),
                Origin::Fixed(CUSTOMER.to_owned()),
                Origin::Fixed(EVENT_TYPE.to_owned()),
            )
        };
        Ok(import::import(options).await?.counts)
    }
}

/// Creates everything that usage needs to be billed. The order is that of a first day with the product.
async fn set_up(api: &Api, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    let _: Ignored = api.put("test-clock", &json!({ "now": START })).await?;
    step(out, "PUT", "test-clock", "it is 2023-11-01")?;
    let requests = [
        (
            "meters",
            json!({ "code": "calls", "event_type": EVENT_TYPE, "aggregation": "count" }),
            "count the calls",
        ),
        (
            "meters",
            json!({ "code": "tokens", "event_type": EVENT_TYPE, "aggregation": "sum", "value_property": "tokens" }),
            "sum the tokens",
        ),
        ("plans", starter_plan(), "starter: USD 10 a month, 0.001 a call, 0.00002 a token"),
        ("customers", customer(), "Code, 8 % tax"),
        (
            "customers/code/payment-methods",
            json!({ "type": "card", "token": "tok_success" }),
            "a card of the sandbox",
        ),
        (
            "subscriptions",
            json!({ "customer": CUSTOMER, "plan": "starter", "start_at": START }),
            "from 2023-11-01",
        ),
    ];
    for (path, body, what) in requests {
        let _: Ignored = api.post(path, &body).await?;
        step(out, "POST", path, what)?;
    }
    Ok(())
}

fn starter_plan() -> Value {
    json!({
        "code": "starter",
        "name": "Starter",
        "currency": "USD",
        "interval": "month",
        "prices": [
            { "code": "base", "charge_model": "flat", "amount": "10", "pay": "arrears" },
            { "code": "calls", "meter": "calls", "charge_model": "per_unit", "unit": "0.001" },
            { "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.00002" },
        ],
    })
}

fn customer() -> Value {
    json!({
        "external_id": CUSTOMER,
        "name": CUSTOMER_NAME,
        "email": CUSTOMER_EMAIL,
        "currency": "USD",
        "timezone": "UTC",
        "tax": { "rates": [{ "name": "tax", "percent": "8" }] },
    })
}

async fn find_invoice(api: &Api) -> anyhow::Result<Invoice> {
    let start: Timestamp = START.parse().context("the start of the month is no time")?;
    let invoices: List<Invoice> = api.get("customers/code/invoices").await?;
    let of_the_month = invoices.data.into_iter().find(|invoice| invoice.period.start == start);
    of_the_month.context("the server made no invoice for November 2023")
}

fn summary(counts: &Counts) -> String {
    let mut parts = vec![format!("{} accepted", grouped(counts.accepted.into()))];
    let others = [
        ("replayed", counts.replayed),
        ("unbilled", counts.unbilled),
        ("in conflict", counts.conflict),
        ("rejected", counts.rejected + counts.unreadable),
    ];
    parts.extend(
        others
            .iter()
            .filter(|other| other.1 > 0)
            .map(|(name, count)| format!("{} {name}", grouped((*count).into()))),
    );
    parts.join(", ")
}

/// One line for each request, as soon as it is answered.
fn step(out: &mut (dyn Write + Send), method: &str, path: &str, what: &str) -> anyhow::Result<()> {
    writeln!(out, "  {method:<4} /api/v1/{path:<31} {what}")?;
    Ok(out.flush()?)
}
