//! Topping a wallet up by itself: one charge for each time its balance falls below the threshold.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use usance_core::ids::TopUpId;
use usance_db::{
    PageRequest, TenantTx, payment_methods,
    wallet_top_ups::{self, TopUp},
    wallets::Wallet,
};

use crate::{
    Cx,
    error::{Error, Result},
    work,
};

/// Plans a top-up, due at once, if the wallet, which is locked, has fallen below its threshold, and says whether it did.
/// Without a payment method, or when the month's cap is reached, the next change of the balance looks again.
pub(super) async fn plan(
    cx: &Cx,
    tx: &mut TenantTx,
    wallet: &mut Wallet,
    balance: i64,
    now: Timestamp,
) -> Result<bool> {
    let (Some(below), Some(amount)) = (wallet.recharge_below_minor, wallet.recharge_minor) else {
        return Ok(false);
    };
    if !wallet.recharge_armed || balance >= below {
        return Ok(false);
    }
    if !wallet_top_ups::list_recharging(tx, &[wallet.id]).await?.is_empty() {
        return Ok(false);
    }
    if let Some(cap) = wallet.recharge_month_minor {
        let spent = wallet_top_ups::sum_automatic_since(tx, wallet.id, month_start(now)?).await?;
        if spent.saturating_add(amount) > cap {
            return Ok(false);
        }
    }
    let newest = PageRequest { limit: 1, after: None };
    let methods = payment_methods::list(tx, wallet.customer_id, newest).await?;
    let Some(method) = methods.items.into_iter().next() else { return Ok(false) };
    let top_up = TopUp {
        id: TopUpId::from_uuid(cx.app.ids.next()),
        wallet_id: wallet.id,
        payment_method_id: method.id,
        gateway: method.gateway,
        automatic: true,
        status: "processing".to_owned(),
        amount_minor: amount,
        currency: wallet.currency.clone(),
        gateway_reference: None,
        failure_code: None,
        reference: None,
        created_at: now,
        sent_at: None,
    };
    wallet_top_ups::insert(tx, &top_up, cx.now).await?;
    work::schedule(tx, work::Kind::ChargeTopUp, top_up.id.uuid(), now).await?;
    wallet.recharge_armed = false;
    Ok(true)
}

/// The first instant of the calendar month in UTC.
fn month_start(now: Timestamp) -> Result<Timestamp> {
    let date = TimeZone::UTC.to_datetime(now).date().first_of_month();
    let start: DateTime = date.to_datetime(jiff::civil::Time::midnight());
    let start = start.to_zoned(TimeZone::UTC).map_err(|_| Error::Internal("a month has no start"))?;
    Ok(start.timestamp())
}
