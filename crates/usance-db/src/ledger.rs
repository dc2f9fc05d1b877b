//! The ledger: transfers wait in their transaction and are written at its commit, all at once.
//!
//! So the end of the tenant's chain and the accounts that all invoices share are locked as late and as shortly as
//! possible, and a commit adds one link however much it posts. Accounts with a limit are an exception: whoever debits one
//! locks it before, and therefore before the chain.

use jiff_sqlx::ToSqlx;
use usance_core::ledger::{Owner, Transfer};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// Notes transfers that are written when the transaction commits. What was posted before for the same source and reason
/// stays as it is.
pub fn post(tx: &mut TenantTx, transfers: impl IntoIterator<Item = Transfer>) {
    tx.transfers().extend(transfers);
}

/// Writes the transfers that wait. A trigger moves the counters of the accounts, holds their limits
/// (`ledger_accounts_limit_check`) and adds the link to the chain.
pub(crate) async fn flush(tx: &mut TenantTx) -> Result<(), DbError> {
    let transfers = std::mem::take(tx.transfers());
    if transfers.is_empty() {
        return Ok(());
    }
    let (tenant, livemode) = tx.keys();
    let owner = |owner: Owner| match owner {
        Owner::Tenant => tenant,
        Owner::Of(id) => id,
    };
    let words = |of: fn(&Transfer) -> &'static str| -> Vec<String> {
        transfers.iter().map(|it| of(it).to_owned()).collect()
    };
    sqlx::query!(
        "-- ledger::flush
        WITH chain AS (
            INSERT INTO ledger_chains AS c (tenant_id, livemode, last_link, last_hash)
            VALUES ($1, $2, 0, decode(repeat('00', 32), 'hex'))
            ON CONFLICT (tenant_id, livemode) DO UPDATE SET last_link = c.last_link
            RETURNING last_link + 1 AS link
        )
        INSERT INTO ledger_transfers
            (tenant_id, livemode, link, source_id, reason, kind, debit_code, debit_owner_id, credit_code, credit_owner_id, unit,
             amount, pending_id, pending_amount, invoice_id, over_limit, posted_at)
        SELECT $1, $2, chain.link, t.*
        FROM chain, unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::text[], $9::uuid[], $10::text[],
            $11::bigint[], $12::uuid[], $13::bigint[], $14::uuid[], $15::boolean[], $16::timestamptz[]) AS t
        ON CONFLICT (tenant_id, livemode, source_id, reason) DO NOTHING",
        tenant,
        livemode,
        &transfers.iter().map(|it| it.source).collect::<Vec<_>>(),
        &words(|it| it.reason.as_str()),
        &words(|it| it.kind.as_str()),
        &words(|it| it.debit.code.as_str()),
        &transfers.iter().map(|it| owner(it.debit.owner)).collect::<Vec<_>>(),
        &words(|it| it.credit.code.as_str()),
        &transfers.iter().map(|it| owner(it.credit.owner)).collect::<Vec<_>>(),
        &transfers.iter().map(|it| it.unit.word()).collect::<Vec<_>>(),
        &transfers.iter().map(|it| it.amount).collect::<Vec<_>>(),
        &transfers.iter().map(|it| Some(it.kind.pending()?.id)).collect::<Vec<_>>() as &[Option<Uuid>],
        &transfers.iter().map(|it| Some(it.kind.pending()?.amount)).collect::<Vec<_>>() as &[Option<i64>],
        &transfers.iter().map(|it| Some(it.invoice?.uuid())).collect::<Vec<_>>() as &[Option<Uuid>],
        &transfers.iter().map(|it| it.over_limit).collect::<Vec<_>>(),
        &transfers.iter().map(|it| it.at.to_sqlx()).collect::<Vec<_>>() as &[jiff_sqlx::Timestamp],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
