//! What the subscriptions of a customer grant, and what single subscriptions grant instead of their plans.

use jiff::Timestamp;
use rust_decimal::Decimal;
use usance_core::{
    ids::{CustomerId, FeatureId, MeterId, SubscriptionId},
    period::Period,
};

use crate::{DbError, TenantTx, plans::Entitlement};

/// A subscription as far as it decides what its customer may use. All times are UTC.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The word of the state.
    pub status: String,
    /// When it begins.
    pub start_at: Timestamp,
    /// What anniversary periods count from.
    pub anchor_at: Timestamp,
    /// The open period.
    pub period: Period,
    /// End of the trial, and the word for what happens then.
    pub trial: Option<(Timestamp, String)>,
    /// When it is to end.
    pub cancel_at: Option<Timestamp>,
    /// Code of the plan.
    pub plan: String,
    /// The plan's family.
    pub family: Option<String>,
    /// `day`, `week`, `month`, `quarter` or `year`.
    pub interval_unit: String,
    /// How many units make a billing period.
    pub interval_count: i16,
    /// `calendar` or `anniversary`.
    pub alignment: String,
}

/// Lists a customer's subscriptions that have not ended, and the latest that has; the oldest first.
pub async fn list_subscriptions(
    tx: &mut TenantTx,
    customer: CustomerId,
) -> Result<Vec<Subscription>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        "-- entitlements::list_subscriptions
        SELECT s.id, s.status, s.start_at, s.anchor_at, s.period_start, s.period_end, s.trial_ends_at, s.trial_then, s.cancel_at,
            p.code, p.family, v.interval_unit, v.interval_count, v.alignment
        FROM subscriptions s
        JOIN subscription_items i
            ON i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id AND i.position = 0
        JOIN plan_versions v ON v.tenant_id = i.tenant_id AND v.livemode = i.livemode AND v.id = i.plan_version_id
        JOIN plans p ON p.tenant_id = v.tenant_id AND p.livemode = v.livemode AND p.id = v.plan_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.customer_id = $3 AND (
            s.status <> 'canceled'
            OR s.id = (
                SELECT id FROM subscriptions
                WHERE tenant_id = $1 AND livemode = $2 AND customer_id = $3 AND status = 'canceled'
                ORDER BY ended_at DESC, id DESC
                LIMIT 1
            )
        )
        ORDER BY s.start_at, s.id",
        tenant,
        livemode,
        customer.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let jiff = jiff_sqlx::Timestamp::to_jiff;
    let subscription = rows.into_iter().map(|row| Subscription {
        id: SubscriptionId::from_uuid(row.id),
        status: row.status,
        start_at: row.start_at.to_jiff(),
        anchor_at: row.anchor_at.to_jiff(),
        period: Period { start: row.period_start.to_jiff(), end: row.period_end.to_jiff() },
        trial: row.trial_ends_at.map(jiff).zip(row.trial_then),
        cancel_at: row.cancel_at.map(jiff),
        plan: row.code,
        family: row.family,
        interval_unit: row.interval_unit,
        interval_count: row.interval_count,
        alignment: row.alignment,
    });
    Ok(subscription.collect())
}

/// Who grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granter {
    /// The plan of the subscription.
    Plan,
    /// The plan, while the trial runs.
    Trial,
    /// The subscription itself.
    Subscription,
    /// An add-on of it.
    AddOn,
}

/// What a subscription grants of a feature.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Who grants.
    pub granter: Granter,
    /// How many of an add-on were bought.
    pub quantity: i32,
    /// The feature.
    pub feature_id: FeatureId,
    /// The meter of the feature.
    pub meter_id: Option<MeterId>,
    /// What is granted.
    pub entitlement: Entitlement,
}

/// Lists what a customer's subscriptions that have not ended grant.
pub async fn list_grants(tx: &mut TenantTx, customer: CustomerId) -> Result<Vec<Grant>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query!(
        r#"-- entitlements::list_grants
        SELECT s.id AS subscription_id, g.place AS "place!", g.quantity AS "quantity!", f.id AS feature_id, f.code, f.meter_id,
            g.value, g.usage_limit, g.reset AS "reset!", g.time_window AS "time_window!", g.hard AS "hard!", g.in_trial AS "in_trial!"
        FROM subscriptions s
        CROSS JOIN LATERAL (
            SELECT i.position AS place, i.quantity, e.feature_id, e.value, e.usage_limit, e.reset, e.time_window, e.hard, e.in_trial
            FROM subscription_items i
            JOIN plan_entitlements e
                ON e.tenant_id = i.tenant_id AND e.livemode = i.livemode AND e.plan_version_id = i.plan_version_id
            WHERE i.tenant_id = s.tenant_id AND i.livemode = s.livemode AND i.subscription_id = s.id
            UNION ALL
            SELECT -1, 1, o.feature_id, o.value, o.usage_limit, o.reset, o.time_window, o.hard, false
            FROM subscription_entitlements o
            WHERE o.tenant_id = s.tenant_id AND o.livemode = s.livemode AND o.subscription_id = s.id
        ) g
        JOIN features f ON f.tenant_id = s.tenant_id AND f.livemode = s.livemode AND f.id = g.feature_id
        WHERE s.tenant_id = $1 AND s.livemode = $2 AND s.customer_id = $3 AND s.status <> 'canceled'
        ORDER BY s.start_at, s.id, g.place, f.code"#,
        tenant,
        livemode,
        customer.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    let grant = rows.into_iter().map(|row| Grant {
        subscription: SubscriptionId::from_uuid(row.subscription_id),
        granter: match (row.place, row.in_trial) {
            (-1, _) => Granter::Subscription,
            (0, true) => Granter::Trial,
            (0, false) => Granter::Plan,
            (_, _) => Granter::AddOn,
        },
        quantity: row.quantity,
        feature_id: FeatureId::from_uuid(row.feature_id),
        meter_id: row.meter_id.map(MeterId::from_uuid),
        entitlement: Entitlement {
            feature: row.code,
            value: row.value,
            usage_limit: row.usage_limit,
            reset: row.reset,
            time_window: row.time_window,
            hard: row.hard,
            in_trial: row.in_trial,
        },
    });
    Ok(grant.collect())
}

/// Lists what a subscription grants instead of its plan, by feature.
pub async fn list_own(tx: &mut TenantTx, subscription: SubscriptionId) -> Result<Vec<Entitlement>, DbError> {
    let (tenant, livemode) = tx.keys();
    let rows = sqlx::query_as!(
        Entitlement,
        r#"-- entitlements::list_own
        SELECT f.code AS feature, o.value, o.usage_limit, o.reset, o.time_window, o.hard, false AS "in_trial!"
        FROM subscription_entitlements o
        JOIN features f ON f.tenant_id = o.tenant_id AND f.livemode = o.livemode AND f.id = o.feature_id
        WHERE o.tenant_id = $1 AND o.livemode = $2 AND o.subscription_id = $3
        ORDER BY f.code"#,
        tenant,
        livemode,
        subscription.uuid(),
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows)
}

/// Replaces all that a subscription grants instead of its plan. The features exist.
pub async fn replace_own(
    tx: &mut TenantTx,
    subscription: SubscriptionId,
    entitlements: &[Entitlement],
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    sqlx::query!(
        "-- entitlements::delete_own
        DELETE FROM subscription_entitlements WHERE tenant_id = $1 AND livemode = $2 AND subscription_id = $3",
        tenant,
        livemode,
        subscription.uuid(),
    )
    .execute(tx.connection())
    .await?;
    for entitlement in entitlements {
        insert_own(tx, subscription, entitlement).await?;
    }
    Ok(())
}

async fn insert_own(
    tx: &mut TenantTx,
    subscription: SubscriptionId,
    entitlement: &Entitlement,
) -> Result<(), DbError> {
    let (tenant, livemode) = tx.keys();
    let limit: Option<Decimal> = entitlement.usage_limit;
    sqlx::query!(
        "-- entitlements::insert_own
        INSERT INTO subscription_entitlements
            (tenant_id, livemode, subscription_id, feature_id, value, usage_limit, reset, time_window, hard)
        SELECT $1, $2, $3, f.id, $5, $6, $7, $8, $9
        FROM features f
        WHERE f.tenant_id = $1 AND f.livemode = $2 AND f.code = $4",
        tenant,
        livemode,
        subscription.uuid(),
        entitlement.feature,
        entitlement.value,
        limit,
        entitlement.reset,
        entitlement.time_window,
        entitlement.hard,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
