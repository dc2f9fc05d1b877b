//! Invariants of holds of units.

use usance_core::ids::CustomerId;

use super::{FINDINGS_MAX, Finding};
use crate::{DbError, TenantTx};

/// I4: what counters hold is what their open holds hold.
pub async fn wrong_counters(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- checks::feature_holds::wrong_counters
        SELECT c.customer_id, f.code,
            format('%s is held, and its open holds hold %s', c.held, coalesce(h.quantity, 0)) AS "detail!"
        FROM entitlement_counters c
        JOIN features f ON f.tenant_id = $1 AND f.livemode = $2 AND f.id = c.feature_id
        LEFT JOIN (
            SELECT customer_id, feature_id, sum(quantity) AS quantity
            FROM feature_holds
            WHERE tenant_id = $1 AND livemode = $2 AND status = 'open'
            GROUP BY customer_id, feature_id
        ) h ON h.customer_id = c.customer_id AND h.feature_id = c.feature_id
        WHERE c.tenant_id = $1 AND c.livemode = $2 AND c.held <> coalesce(h.quantity, 0)
        ORDER BY c.id
        LIMIT $3"#,
        tenant,
        livemode,
        FINDINGS_MAX,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let customer = CustomerId::from_uuid(row.customer_id);
            Finding { row: format!("use of {} by customer {customer}", row.code), detail: row.detail }
        })
        .collect())
}
