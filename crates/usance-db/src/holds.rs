//! Holds: amounts of accounts that are reserved.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::HoldId;
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// A hold as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The code of the ledger account that it reserves of.
    pub account_code: String,
    /// The wallet or customer whose account it is.
    pub owner_id: Uuid,
    /// A currency, or the id of a feature.
    pub unit: String,
    /// What it reserves.
    pub amount: i64,
    /// `open`, `settled`, `released` or `expired`.
    pub status: String,
    /// What was taken of it.
    pub settled: i64,
    /// For people.
    pub description: String,
    /// In the tenant's time.
    pub created_at: Timestamp,
    /// The first instant at which it reserves nothing any more.
    pub expires_at: Timestamp,
    /// When it was settled, released or seen to be expired.
    pub resolved_at: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    account_code: String,
    owner_id: Uuid,
    unit: String,
    amount: i64,
    status: String,
    settled: i64,
    description: String,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
    resolved_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Hold {
    fn from(row: Row) -> Self {
        Self {
            id: HoldId::from_uuid(row.id),
            account_code: row.account_code,
            owner_id: row.owner_id,
            unit: row.unit,
            amount: row.amount,
            status: row.status,
            settled: row.settled,
            description: row.description,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
            resolved_at: row.resolved_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

/// Lists the holds with these ids that exist. Their accounts are locked, or what is read may change.
pub async fn list(tx: &mut TenantTx, ids: &[HoldId]) -> Result<Vec<Hold>, DbError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- holds::list
        SELECT id, account_code, owner_id, unit, amount, status, settled, description, created_at, expires_at, resolved_at
        FROM holds
        WHERE tenant_id = $1 AND livemode = $2 AND id = ANY($3)",
        tenant,
        livemode,
        &ids.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Hold::from).collect())
}

/// Lists open holds of accounts whose time is over, the longest first.
pub async fn list_expired(
    tx: &mut TenantTx,
    account_code: &str,
    owners: &[Uuid],
    now: Timestamp,
) -> Result<Vec<Hold>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        "-- holds::list_expired
        SELECT id, account_code, owner_id, unit, amount, status, settled, description, created_at, expires_at, resolved_at
        FROM holds
        WHERE tenant_id = $1 AND livemode = $2 AND account_code = $3 AND owner_id = ANY($4) AND status = 'open'
            AND expires_at <= $5
        ORDER BY expires_at, id",
        tenant,
        livemode,
        account_code,
        owners,
        now.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(Hold::from).collect())
}

/// What the open holds of an account reserve that have not expired.
pub async fn reserved(
    tx: &mut TenantTx,
    account_code: &str,
    owner: Uuid,
    now: Timestamp,
) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let amount = sqlx::query_scalar!(
        r#"-- holds::reserved
        SELECT coalesce(sum(amount), 0)::bigint AS "amount!"
        FROM holds
        WHERE tenant_id = $1 AND livemode = $2 AND account_code = $3 AND owner_id = $4 AND status = 'open' AND expires_at > $5"#,
        tenant,
        livemode,
        account_code,
        owner,
        now.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(amount)
}

/// When the first open hold of an account expires that has not yet.
pub async fn find_next_expiry(
    tx: &mut TenantTx,
    account_code: &str,
    owner: Uuid,
    now: Timestamp,
) -> Result<Option<Timestamp>, DbError> {
    let (tenant, livemode) = tx.keys();
    let first = sqlx::query_scalar!(
        r#"-- holds::find_next_expiry
        SELECT min(expires_at) AS "first: jiff_sqlx::Timestamp"
        FROM holds
        WHERE tenant_id = $1 AND livemode = $2 AND account_code = $3 AND owner_id = $4 AND status = 'open' AND expires_at > $5"#,
        tenant,
        livemode,
        account_code,
        owner,
        now.to_sqlx(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(first.map(jiff_sqlx::Timestamp::to_jiff))
}

/// Adds holds.
pub async fn insert_many(tx: &mut TenantTx, holds: &[Hold]) -> Result<(), DbError> {
    if holds.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- holds::insert_many
        INSERT INTO holds
            (tenant_id, livemode, id, account_code, owner_id, unit, amount, status, settled, description, created_at, expires_at,
             resolved_at)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::bigint[], $8::text[], $9::bigint[], $10::text[],
            $11::timestamptz[], $12::timestamptz[], $13::timestamptz[]) AS t",
        tenant,
        livemode,
        &holds.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.account_code.clone()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.owner_id).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.unit.clone()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.amount).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.status.clone()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.settled).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.description.clone()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.created_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &holds.iter().map(|it| it.expires_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &holds.iter().map(|it| it.resolved_at.map(ToSqlx::to_sqlx)).collect::<Vec<_>>() as &[Option<jiff_sqlx::Timestamp>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes how open holds stand. Refused by `holds_open_check` for one that is resolved.
pub async fn update_many(tx: &mut TenantTx, holds: &[&Hold]) -> Result<(), DbError> {
    if holds.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- holds::update_many
        UPDATE holds h SET status = t.status, settled = t.settled, expires_at = t.expires_at, resolved_at = t.resolved_at
        FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::timestamptz[], $7::timestamptz[])
            AS t (id, status, settled, expires_at, resolved_at)
        WHERE h.tenant_id = $1 AND h.livemode = $2 AND h.id = t.id",
        tenant,
        livemode,
        &holds.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.status.clone()).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.settled).collect::<Vec<_>>(),
        &holds.iter().map(|it| it.expires_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
        &holds.iter().map(|it| it.resolved_at.map(ToSqlx::to_sqlx)).collect::<Vec<_>>() as &[Option<jiff_sqlx::Timestamp>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
