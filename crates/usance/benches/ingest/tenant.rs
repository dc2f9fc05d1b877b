//! A tenant whose customers all have a metered subscription.

use crate::events::{CUSTOMERS, EVENT_TYPE};
use crate::target::Target;
use anyhow::Result;
use serde_json::json;
use std::net::SocketAddr;

/// The subscriptions begin before the day of the events, and the tenant's time is right after it.
const SUBSCRIBED_AT: &str = "2023-11-01T00:00:00Z";
const NOW: &str = "2023-11-17T00:00:00Z";

/// Registers the tenant and everything its events need.
pub(crate) async fn set_up(address: SocketAddr) -> Result<Target> {
    let target = Target::register(address).await?;
    target.call("PUT", "/api/v1/test-clock", &json!({ "now": NOW })).await?;
    let meter = json!({
        "code": "tokens", "event_type": EVENT_TYPE, "aggregation": "sum", "value_property": "tokens",
    });
    target.call("POST", "/api/v1/meters", &meter).await?;
    let plan = json!({
        "code": "metered", "name": "Metered", "currency": "USD", "interval": "month",
        "prices": [{ "code": "tokens", "meter": "tokens", "charge_model": "per_unit", "unit": "0.00002" }],
    });
    target.call("POST", "/api/v1/plans", &plan).await?;
    for index in 0..CUSTOMERS {
        subscribe(&target, index).await?;
    }
    Ok(target)
}

async fn subscribe(target: &Target, index: u32) -> Result<()> {
    let customer = format!("c{index}");
    let body = json!({
        "external_id": customer, "name": format!("Customer {index}"), "email": format!("{customer}@usance.example"),
        "currency": "USD", "timezone": "UTC",
    });
    target.call("POST", "/api/v1/customers", &body).await?;
    let body = json!({ "customer": customer, "plan": "metered", "start_at": SUBSCRIBED_AT });
    target.call("POST", "/api/v1/subscriptions", &body).await?;
    Ok(())
}
