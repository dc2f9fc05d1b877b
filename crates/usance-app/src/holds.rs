//! Holds by their id, whatever they reserve: money of a wallet, or units of a feature.

use usance_core::ids::HoldId;
use usance_db::{TenantTx, feature_holds::FeatureHold, holds};

use crate::{
    Cx,
    entitlements::{self, SettleFeatureHold},
    error::{Code, Error, Result},
    wallets::{self, Amount},
};

/// A hold.
#[derive(Debug, Clone)]
pub enum AnyHold {
    /// Of a wallet's money.
    Money(Box<holds::Hold>),
    /// Of a feature's units.
    Units(Box<FeatureHold>),
}

/// What was used of a hold.
#[derive(Debug)]
pub enum Settlement {
    /// Money, and a description for people.
    Money(Amount, Option<String>),
    /// Units.
    Units(SettleFeatureHold),
}

impl From<holds::Hold> for AnyHold {
    fn from(hold: holds::Hold) -> Self {
        Self::Money(Box::new(hold))
    }
}

impl From<FeatureHold> for AnyHold {
    fn from(hold: FeatureHold) -> Self {
        Self::Units(Box::new(hold))
    }
}

/// Finds a hold; one whose time is over is shown as expired.
pub async fn get(cx: &Cx, tx: &mut TenantTx, id: HoldId) -> Result<AnyHold> {
    match entitlements::find_hold(cx, tx, id).await? {
        Some(hold) => Ok(hold.into()),
        None => Ok(wallets::get_hold(cx, tx, id).await?.into()),
    }
}

/// Takes what was used of a hold and frees the rest.
pub async fn settle(cx: &Cx, id: HoldId, settlement: Settlement) -> Result<AnyHold> {
    let settled = match settlement {
        Settlement::Money(amount, description) => {
            wallets::settle(cx, id, amount, description).await.map(AnyHold::from)
        }
        Settlement::Units(units) => entitlements::settle_hold(cx, id, &units).await.map(AnyHold::from),
    };
    let error = match settled {
        Err(error) if is_not_found(&error) => error,
        done => return done,
    };
    let mut tx = cx.begin().await?;
    match get(cx, &mut tx, id).await {
        Ok(AnyHold::Money(_)) => {
            Err(Error::field("/quantity", "not_units", "the hold is of a wallet's money: give amount"))
        }
        Ok(AnyHold::Units(_)) => {
            Err(Error::field("/amount", "not_money", "the hold is of a feature's units: give quantity"))
        }
        Err(_) => Err(error),
    }
}

/// Frees what a hold reserves.
pub async fn release(cx: &Cx, id: HoldId) -> Result<AnyHold> {
    match wallets::release(cx, id).await {
        Err(error) if is_not_found(&error) => Ok(entitlements::release_hold(cx, id).await?.into()),
        done => Ok(done?.into()),
    }
}

/// Reserves for so many seconds from now on; a hold is never shortened.
pub async fn extend(cx: &Cx, id: HoldId, expires_in: Option<i64>) -> Result<AnyHold> {
    match wallets::extend(cx, id, expires_in).await {
        Err(error) if is_not_found(&error) => Ok(entitlements::extend_hold(cx, id, expires_in).await?.into()),
        done => Ok(done?.into()),
    }
}

fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Refused(refusal) if refusal.code == Code::NotFound)
}
