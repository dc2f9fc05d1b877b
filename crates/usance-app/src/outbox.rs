//! Announces what happened, in the transaction in which it happens.

use serde_json::Value;
use usance_core::ids::OutboxEventId;
use usance_db::TenantTx;

use crate::{Cx, error::Result};

/// Writes an outbox event, for example of type `invoice.paid`.
pub async fn announce(cx: &Cx, tx: &mut TenantTx, event_type: &str, data: Value) -> Result<()> {
    let id = OutboxEventId::from_uuid(cx.app.ids.next());
    usance_db::outbox::insert(tx, id, event_type, &data, cx.now).await?;
    Ok(())
}
