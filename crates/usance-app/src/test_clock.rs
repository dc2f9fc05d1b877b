//! The test clock: a tenant's own time, in test mode only.

use jiff::{SignedDuration, Timestamp};
use usance_db::{TenantTx, catalog_versions, subscriptions, test_clocks};

use crate::{
    Cx,
    error::{Code, Error, Result},
    work,
};

/// How far one call may move the clock.
pub const ADVANCE_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

fn require_test_mode(cx: &Cx) -> Result<()> {
    if cx.scope.livemode {
        return Err(Error::refused(Code::TestModeOnly, "live mode has no test clock: use a test key"));
    }
    Ok(())
}

/// The tenant's time, and whether a test clock holds it.
pub async fn get(cx: &Cx, tx: &mut TenantTx) -> Result<(Timestamp, bool)> {
    require_test_mode(cx)?;
    let frozen_at = test_clocks::find(tx).await?;
    Ok((frozen_at.unwrap_or(cx.now), frozen_at.is_some()))
}

/// The earliest instant of a tenant's time: 2015-01-01. Months from here on get a partition when they are used.
const TIME_MIN_SECONDS: i64 = 1_420_070_400;
/// How far a tenant's time may lie ahead of the wall clock.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// Refuses an instant that no tenant can reach.
pub(crate) fn check_instant(pointer: &str, at: Timestamp, wall_now: Timestamp) -> Result<()> {
    if at.as_second() < TIME_MIN_SECONDS || at.duration_since(wall_now) > AHEAD_MAX {
        return Err(Error::field(
            pointer,
            "out_of_range",
            "must lie between 2015-01-01 and five years from now",
        ));
    }
    Ok(())
}

/// Starts the clock at any time, as long as there is no subscription whose periods would be torn.
pub async fn set(cx: &Cx, tx: &mut TenantTx, now: Timestamp) -> Result<Timestamp> {
    require_test_mode(cx)?;
    check_instant("/now", now, cx.now)?;
    tx.lock_catalog().await?;
    if subscriptions::any(tx).await? {
        return Err(Error::refused(
            Code::TestClockInUse,
            "there are subscriptions already: advance the clock instead",
        ));
    }
    test_clocks::set(tx, now, cx.now).await?;
    catalog_versions::bump(tx).await?;
    Ok(now)
}

/// Moves the clock forward. Everything that becomes due on the way happens in order before this returns.
pub async fn advance(cx: &Cx, to: Timestamp) -> Result<Timestamp> {
    require_test_mode(cx)?;
    let mut tx = cx.begin().await?;
    let from = test_clocks::find(&mut tx).await?.ok_or_else(|| {
        Error::refused(
            Code::TestClockInUse,
            "no test clock runs: start one with PUT /api/v1/test-clock before the first subscription",
        )
    })?;
    drop(tx);
    check_instant("/to", to, cx.now)?;
    if to < from {
        return Err(Error::refused(
            Code::TestClockBackwards,
            format!("the clock stands at {from} and only moves forward"),
        ));
    }
    if to.duration_since(from) > ADVANCE_MAX {
        return Err(Error::refused(Code::TestClockTooFar, "one call moves the clock by at most 400 days"));
    }
    work::run_until(cx, to).await?;
    move_to(cx, to).await?;
    Ok(to)
}

/// Sets the clock to a time that is not before the one it shows.
pub(crate) async fn move_to(cx: &Cx, at: Timestamp) -> Result<()> {
    let mut tx = cx.begin().await?;
    tx.lock_catalog().await?;
    let frozen_at = test_clocks::lock(&mut tx).await?;
    if frozen_at.is_some_and(|frozen_at| frozen_at < at) {
        test_clocks::set(&mut tx, at, cx.now).await?;
        catalog_versions::bump(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
