//! Line items of invoices.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use rust_decimal::Decimal;
use serde_json::Value;
use usance_core::{
    ids::{InvoiceId, LineItemId, PlanVersionId, PriceId, SubscriptionId, SubscriptionItemId},
    period::Period,
};
use uuid::Uuid;

use crate::{DbError, TenantTx};

/// The usage events behind a line.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventSet {
    /// How many.
    pub count: i64,
    /// Time of the earliest and of the latest.
    pub first_and_last_at: Option<(Timestamp, Timestamp)>,
    /// Exclusive or over their id hashes.
    pub digest: Uuid,
}

/// A line of an invoice. Amounts are in minor units.
#[derive(Debug, Clone)]
pub struct LineItem {
    /// Its id.
    pub id: LineItemId,
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Order on the invoice, from 0.
    pub position: i16,
    /// `fee`, `usage`, `adjustment`, `credit`, `minimum`, `trial`, `one_off` or `progressive`.
    pub kind: String,
    /// The subscription that it bills.
    pub subscription_id: Option<SubscriptionId>,
    /// The item of the subscription.
    pub item_id: Option<SubscriptionItemId>,
    /// The price that made it.
    pub price_id: Option<PriceId>,
    /// The price's code; read only.
    pub price_code: Option<String>,
    /// For people.
    pub description: String,
    /// The service that it charges.
    pub period: Period,
    /// How much was used; the seats, or 1, for a fixed fee.
    pub quantity: Decimal,
    /// Major units, before the one rounding.
    pub exact_amount: Decimal,
    /// Before discount and tax.
    pub amount_minor: i64,
    /// What coupons take off.
    pub discount_minor: i64,
    /// On the amount after the discount.
    pub tax_minor: i64,
    /// The steps that sum to the price of a full period.
    pub arithmetic: Value,
    /// The part of a full period that is charged, such as `17/31`; the whole if absent.
    pub share: Option<String>,
    /// Name, percent and amount per rate.
    pub taxes: Value,
    /// Of a usage line.
    pub events: Option<EventSet>,
    /// Counts the ratings of one stretch of usage, from 0.
    pub revision: i32,
    /// The charge that it gives back.
    pub credited_line_id: Option<LineItemId>,
}

struct Row {
    id: Uuid,
    invoice_id: Uuid,
    position: i16,
    kind: String,
    subscription_id: Option<Uuid>,
    item_id: Option<Uuid>,
    price_id: Option<Uuid>,
    price_code: Option<String>,
    description: String,
    period_start: jiff_sqlx::Timestamp,
    period_end: jiff_sqlx::Timestamp,
    quantity: Decimal,
    exact_amount: Decimal,
    amount_minor: i64,
    discount_minor: i64,
    tax_minor: i64,
    arithmetic: Value,
    share: Option<String>,
    taxes: Value,
    event_count: Option<i64>,
    first_event_at: Option<jiff_sqlx::Timestamp>,
    last_event_at: Option<jiff_sqlx::Timestamp>,
    events_digest: Option<Uuid>,
    revision: i32,
    credited_line_id: Option<Uuid>,
}

impl From<Row> for LineItem {
    fn from(row: Row) -> Self {
        let span = row.first_event_at.zip(row.last_event_at);
        let first_and_last_at = span.map(|(first, last)| (first.to_jiff(), last.to_jiff()));
        let set = row.event_count.zip(row.events_digest);
        Self {
            id: LineItemId::from_uuid(row.id),
            invoice_id: InvoiceId::from_uuid(row.invoice_id),
            position: row.position,
            kind: row.kind,
            subscription_id: row.subscription_id.map(SubscriptionId::from_uuid),
            item_id: row.item_id.map(SubscriptionItemId::from_uuid),
            price_id: row.price_id.map(PriceId::from_uuid),
            price_code: row.price_code,
            description: row.description,
            period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
            quantity: row.quantity,
            exact_amount: row.exact_amount,
            amount_minor: row.amount_minor,
            discount_minor: row.discount_minor,
            tax_minor: row.tax_minor,
            arithmetic: row.arithmetic,
            share: row.share,
            taxes: row.taxes,
            events: set.map(|(count, digest)| EventSet { count, first_and_last_at, digest }),
            revision: row.revision,
            credited_line_id: row.credited_line_id.map(LineItemId::from_uuid),
        }
    }
}

/// Adds lines. Conflicts: `line_items_usage_key` (billed already), `line_items_credited_line_id_key` (given back already).
pub async fn insert_many(tx: &mut TenantTx, lines: &[LineItem]) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let minors = |of: fn(&LineItem) -> i64| -> Vec<i64> { lines.iter().map(of).collect() };
    let ids = |of: fn(&LineItem) -> Option<Uuid>| -> Vec<Option<Uuid>> { lines.iter().map(of).collect() };
    let times = |of: fn(&LineItem) -> Option<Timestamp>| -> Vec<Option<jiff_sqlx::Timestamp>> {
        lines.iter().map(|it| of(it).map(ToSqlx::to_sqlx)).collect()
    };
    sqlx::query!(
        "-- line_items::insert_many
        INSERT INTO line_items
            (tenant_id, livemode, id, invoice_id, position, kind, subscription_id, item_id, price_id, description, period_start,
             period_end, quantity, exact_amount, amount_minor, discount_minor, tax_minor, arithmetic, taxes, event_count,
             first_event_at, last_event_at, events_digest, revision, credited_line_id, share)
        SELECT $1, $2, t.*
        FROM unnest($3::uuid[], $4::uuid[], $5::smallint[], $6::text[], $7::uuid[], $8::uuid[], $9::uuid[], $10::text[],
            $11::timestamptz[], $12::timestamptz[], $13::numeric[], $14::numeric[], $15::bigint[], $16::bigint[], $17::bigint[],
            $18::jsonb[], $19::jsonb[], $20::bigint[], $21::timestamptz[], $22::timestamptz[], $23::uuid[], $24::integer[],
            $25::uuid[], $26::text[]) AS t",
        tenant,
        livemode,
        &lines.iter().map(|it| it.id.uuid()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.invoice_id.uuid()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.position).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.kind.clone()).collect::<Vec<_>>(),
        &ids(|it| it.subscription_id.map(SubscriptionId::uuid)) as &[Option<Uuid>],
        &ids(|it| it.item_id.map(SubscriptionItemId::uuid)) as &[Option<Uuid>],
        &ids(|it| it.price_id.map(PriceId::uuid)) as &[Option<Uuid>],
        &lines.iter().map(|it| it.description.clone()).collect::<Vec<_>>(),
        &times(|it| Some(it.period.start)) as &[Option<jiff_sqlx::Timestamp>],
        &times(|it| Some(it.period.end)) as &[Option<jiff_sqlx::Timestamp>],
        &lines.iter().map(|it| it.quantity).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.exact_amount).collect::<Vec<_>>(),
        &minors(|it| it.amount_minor),
        &minors(|it| it.discount_minor),
        &minors(|it| it.tax_minor),
        &lines.iter().map(|it| it.arithmetic.clone()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.taxes.clone()).collect::<Vec<_>>(),
        &lines.iter().map(|it| it.events.map(|events| events.count)).collect::<Vec<_>>() as &[Option<i64>],
        &times(|it| it.events.and_then(|events| events.first_and_last_at).map(|at| at.0)) as &[Option<jiff_sqlx::Timestamp>],
        &times(|it| it.events.and_then(|events| events.first_and_last_at).map(|at| at.1)) as &[Option<jiff_sqlx::Timestamp>],
        &ids(|it| it.events.map(|events| events.digest)) as &[Option<Uuid>],
        &lines.iter().map(|it| it.revision).collect::<Vec<_>>(),
        &ids(|it| it.credited_line_id.map(LineItemId::uuid)) as &[Option<Uuid>],
        &lines.iter().map(|it| it.share.clone()).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes the lines of a draft. The database refuses it for an issued invoice.
pub async fn delete_of(tx: &mut TenantTx, invoice: InvoiceId) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- line_items::delete_of\nDELETE FROM line_items WHERE tenant_id = $1 AND livemode = $2 AND invoice_id = $3",
        tenant,
        livemode,
        invoice.uuid(),
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the lines of several invoices in their order.
pub async fn list(tx: &mut TenantTx, invoices: &[InvoiceId]) -> Result<Vec<LineItem>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- line_items::list
        SELECT l.id, l.invoice_id, l.position, l.kind, l.subscription_id, l.item_id, l.price_id, p.code AS "price_code?", l.description,
            l.period_start, l.period_end, l.quantity, l.exact_amount, l.amount_minor, l.discount_minor, l.tax_minor, l.arithmetic,
            l.share, l.taxes, l.event_count, l.first_event_at, l.last_event_at, l.events_digest, l.revision, l.credited_line_id
        FROM line_items l
        LEFT JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.invoice_id = ANY($3)
        ORDER BY l.invoice_id, l.position"#,
        tenant,
        livemode,
        &invoices.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(LineItem::from).collect())
}

/// Lists the fees in advance of items for service after an instant that were charged and not given back, neither by a line
/// nor in full by credit notes, on invoices that no other one stands in the place of.
pub async fn list_creditable(
    tx: &mut TenantTx,
    items: &[SubscriptionItemId],
    after: Timestamp,
) -> Result<Vec<LineItem>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- line_items::list_creditable
        SELECT l.id, l.invoice_id, l.position, l.kind, l.subscription_id, l.item_id, l.price_id, p.code AS "price_code?", l.description,
            l.period_start, l.period_end, l.quantity, l.exact_amount, l.amount_minor, l.discount_minor, l.tax_minor, l.arithmetic,
            l.share, l.taxes, l.event_count, l.first_event_at, l.last_event_at, l.events_digest, l.revision, l.credited_line_id
        FROM line_items l
        JOIN invoices i ON i.tenant_id = l.tenant_id AND i.livemode = l.livemode AND i.id = l.invoice_id AND i.status <> 'void'
        LEFT JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.item_id = ANY($3) AND l.kind = 'fee' AND l.period_end > $4
            AND p.pay = 'advance'
            AND NOT EXISTS (
                SELECT FROM line_items c
                WHERE c.tenant_id = l.tenant_id AND c.livemode = l.livemode AND c.credited_line_id = l.id
            )
            AND NOT EXISTS (
                SELECT FROM credit_note_lines n
                WHERE n.tenant_id = l.tenant_id AND n.livemode = l.livemode AND n.line_item_id = l.id
                HAVING sum(n.amount_minor) = l.amount_minor - l.discount_minor
            )
            AND NOT EXISTS (
                SELECT FROM invoice_corrections k
                WHERE k.tenant_id = l.tenant_id AND k.livemode = l.livemode AND k.corrected_invoice_id = l.invoice_id
            )
        ORDER BY l.id"#,
        tenant,
        livemode,
        &items.iter().map(|id| id.uuid()).collect::<Vec<_>>(),
        after.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(LineItem::from).collect())
}

/// Lists every rating of one stretch of usage, oldest first; none of invoices that another one stands in the place of.
pub async fn list_ratings(
    tx: &mut TenantTx,
    item: SubscriptionItemId,
    period_start: Timestamp,
) -> Result<Vec<LineItem>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- line_items::list_ratings
        SELECT l.id, l.invoice_id, l.position, l.kind, l.subscription_id, l.item_id, l.price_id, p.code AS "price_code?", l.description,
            l.period_start, l.period_end, l.quantity, l.exact_amount, l.amount_minor, l.discount_minor, l.tax_minor, l.arithmetic,
            l.share, l.taxes, l.event_count, l.first_event_at, l.last_event_at, l.events_digest, l.revision, l.credited_line_id
        FROM line_items l
        LEFT JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.item_id = $3 AND l.period_start = $4 AND l.kind IN ('usage', 'adjustment')
            AND NOT EXISTS (
                SELECT FROM invoice_corrections k
                WHERE k.tenant_id = l.tenant_id AND k.livemode = l.livemode AND k.corrected_invoice_id = l.invoice_id
            )
        ORDER BY l.price_id, l.revision"#,
        tenant,
        livemode,
        item.uuid(),
        period_start.to_sqlx(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(LineItem::from).collect())
}

/// Lists what threshold invoices of a subscription asked for and no invoice has taken off yet.
pub async fn list_progressive(
    tx: &mut TenantTx,
    subscription: SubscriptionId,
) -> Result<Vec<LineItem>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Row,
        r#"-- line_items::list_progressive
        SELECT l.id, l.invoice_id, l.position, l.kind, l.subscription_id, l.item_id, l.price_id, p.code AS "price_code?", l.description,
            l.period_start, l.period_end, l.quantity, l.exact_amount, l.amount_minor, l.discount_minor, l.tax_minor, l.arithmetic,
            l.share, l.taxes, l.event_count, l.first_event_at, l.last_event_at, l.events_digest, l.revision, l.credited_line_id
        FROM line_items l
        LEFT JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.subscription_id = $3 AND l.kind = 'progressive'
            AND l.amount_minor > 0
            AND NOT EXISTS (
                SELECT FROM line_items c
                WHERE c.tenant_id = l.tenant_id AND c.livemode = l.livemode AND c.credited_line_id = l.id
            )
            AND EXISTS (
                SELECT FROM invoices i
                WHERE i.tenant_id = l.tenant_id AND i.livemode = l.livemode AND i.id = l.invoice_id AND i.status <> 'void'
            )
        ORDER BY l.id"#,
        tenant,
        livemode,
        subscription.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(LineItem::from).collect())
}

/// The fees in advance of a plan version that an item was charged for service that begins within a stretch, less what
/// was given back of them, in minor units.
pub async fn sum_advance(
    tx: &mut TenantTx,
    item: SubscriptionItemId,
    plan_version: PlanVersionId,
    service: Period,
) -> Result<i64, DbError> {
    let (tenant, livemode) = tx.keys();
    let row = sqlx::query!(
        r#"-- line_items::sum_advance
        SELECT coalesce(sum(l.amount_minor), 0)::bigint AS "sum!"
        FROM line_items l
        JOIN prices p ON p.tenant_id = l.tenant_id AND p.livemode = l.livemode AND p.id = l.price_id
        JOIN invoices i ON i.tenant_id = l.tenant_id AND i.livemode = l.livemode AND i.id = l.invoice_id
        WHERE l.tenant_id = $1 AND l.livemode = $2 AND l.item_id = $3 AND l.kind IN ('fee', 'credit') AND p.pay = 'advance'
            AND i.status <> 'void' AND l.period_start >= $4 AND l.period_start < $5 AND p.plan_version_id = $6
            AND NOT EXISTS (
                SELECT FROM invoice_corrections k
                WHERE k.tenant_id = l.tenant_id AND k.livemode = l.livemode AND k.corrected_invoice_id = l.invoice_id
            )"#,
        tenant,
        livemode,
        item.uuid(),
        service.start.to_sqlx(),
        service.end.to_sqlx(),
        plan_version.uuid(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(row.sum)
}
