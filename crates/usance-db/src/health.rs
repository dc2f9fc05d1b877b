//! Whether the database answers.

use crate::{DbError, SystemTx};

/// Runs the smallest statement.
pub async fn ping(tx: &mut SystemTx) -> Result<(), DbError> {
    sqlx::query!("-- health::ping\nSELECT 1 AS one").fetch_one(tx.connection()).await?;
    Ok(())
}
