//! What tenants owe their customers: append-only entries whose sum is the balance.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use usance_core::ids::{CreditBalanceEntryId, CreditNoteId, CustomerId, InvoiceId};
use uuid::Uuid;

use crate::{DbError, Page, PageRequest, TenantTx};

/// A change of a customer's credit balance.
#[derive(Debug, Clone)]
pub struct CreditBalanceEntry {
    /// Its id.
    pub id: CreditBalanceEntryId,
    /// Whose balance.
    pub customer_id: CustomerId,
    /// ISO 4217.
    pub currency: String,
    /// Minor units; positive is in the customer's favour.
    pub amount_minor: i64,
    /// `negative_invoice`, `credit_note`, `refund_failed`, `applied_to_invoice` or `invoice_voided`.
    pub reason: String,
    /// The invoice that it comes from or goes to.
    pub invoice_id: Option<InvoiceId>,
    /// The credit note that it comes from.
    pub credit_note_id: Option<CreditNoteId>,
    /// In the tenant's time.
    pub created_at: Timestamp,
}

/// Adds entries.
pub async fn insert_many(tx: &mut TenantTx, entries: &[CreditBalanceEntry]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- credit_balances::insert_many
        INSERT INTO credit_balance_entries
            (tenant_id, livemode, id, customer_id, currency, amount_minor, reason, invoice_id, credit_note_id, created_at)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[], $8::uuid[], $9::uuid[], $10::timestamptz[]) AS t",
        tenant,
        livemode,
        &entries.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.customer_id.uuid()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.currency.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.amount_minor).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.reason.clone()).collect::<Vec<_>>(),
        &entries.iter().map(|it| it.invoice_id.map(InvoiceId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|it| it.credit_note_id.map(CreditNoteId::uuid)).collect::<Vec<_>>() as &[Option<Uuid>],
        &entries.iter().map(|it| it.created_at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists those of the customers who ever had a balance, in any order.
pub async fn list_owners(tx: &mut TenantTx, customers: &[CustomerId]) -> Result<Vec<CustomerId>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- credit_balances::list_owners
        SELECT DISTINCT customer_id FROM credit_balance_entries
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = ANY($3)",
        tenant,
        livemode,
        &customers.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| CustomerId::from_uuid(row.customer_id)).collect())
}

/// Reads the balances of customers, in minor units by customer and currency; those that are used up are absent.
pub async fn list_many(
    tx: &mut TenantTx,
    customers: &[CustomerId],
) -> Result<HashMap<(CustomerId, String), i64>, DbError> {
    if customers.is_empty() {
        return Ok(HashMap::new());
    }
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- credit_balances::list_many
        SELECT customer_id, currency, sum(amount_minor)::bigint AS "balance!"
        FROM credit_balance_entries
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = ANY($3)
        GROUP BY customer_id, currency
        HAVING sum(amount_minor) <> 0"#,
        tenant,
        livemode,
        &customers.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    let of_row = |id, currency| (CustomerId::from_uuid(id), currency);
    Ok(rows.into_iter().map(|row| (of_row(row.customer_id, row.currency), row.balance)).collect())
}

/// The balance of a customer in one currency, in minor units.
pub async fn get(tx: &mut TenantTx, customer: CustomerId, currency: &str) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- credit_balances::get
        SELECT coalesce(sum(amount_minor), 0)::bigint AS "balance!"
        FROM credit_balance_entries
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND currency = $4"#,
        tenant,
        livemode,
        customer.uuid(),
        currency,
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.balance)
}

/// Lists the balances of a customer by currency, in minor units, also those that are used up.
pub async fn list_balances(tx: &mut TenantTx, customer: CustomerId) -> Result<Vec<(String, i64)>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- credit_balances::list_balances
        SELECT currency, sum(amount_minor)::bigint AS "balance!"
        FROM credit_balance_entries
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3
        GROUP BY currency
        ORDER BY currency"#,
        tenant,
        livemode,
        customer.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.currency, row.balance)).collect())
}

/// Lists the entries of a customer, latest first.
pub async fn list(
    tx: &mut TenantTx,
    customer: CustomerId,
    page: PageRequest,
) -> Result<Page<CreditBalanceEntry>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- credit_balances::list
        SELECT id, customer_id, currency, amount_minor, reason, invoice_id, credit_note_id, created_at
        FROM credit_balance_entries
        WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND ($4::uuid IS NULL OR id < $4)
        ORDER BY id DESC
        LIMIT $5",
        tenant,
        livemode,
        customer.uuid(),
        page.after,
        page.fetch(),
    )
    .fetch_all(tx.connection())
    .await?;
    let entry = rows.into_iter().map(|row| CreditBalanceEntry {
        id: CreditBalanceEntryId::from_uuid(row.id),
        customer_id: CustomerId::from_uuid(row.customer_id),
        currency: row.currency,
        amount_minor: row.amount_minor,
        reason: row.reason,
        invoice_id: row.invoice_id.map(InvoiceId::from_uuid),
        credit_note_id: row.credit_note_id.map(CreditNoteId::from_uuid),
        created_at: row.created_at.to_jiff(),
    });
    Ok(Page::new(page, entry.collect::<Vec<_>>()))
}
