//! Mutating requests that may be sent again: the first answer is kept in the transaction of its effect.

use std::future::Future;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use usance_db::{
    TenantTx,
    idempotency::{self, RequestKey, StoredAnswer},
};

use crate::{
    Cx,
    error::{Code, Error, Result},
};

/// How long an answer is kept. Afterwards the same key runs the request anew.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An answer in the form in which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: Vec<u8>,
}

/// Runs a request in one transaction. With a key, a repeated request gets the first answer and runs nothing.
///
/// Refusals that would be the same the next time are kept too; failures and what depends on the moment are not.
pub async fn once<F>(
    cx: &Cx,
    key: Option<&RequestKey>,
    refused: impl FnOnce(&Error) -> Option<Answer>,
    run: F,
) -> Result<Answer>
where
    F: for<'a> FnOnce(&'a Cx, &'a mut TenantTx) -> BoxFuture<'a, Result<Answer>>,
{
    let mut tx = cx.begin().await?;
    if let Some(key) = key
        && let Some(stored) = idempotency::claim(&mut tx, key, cx.now, expiry(cx.now)).await?
    {
        return replay(key, stored);
    }
    match run(cx, &mut tx).await {
        Ok(answer) => {
            if let Some(key) = key {
                store(&mut tx, key, &answer).await?;
            }
            tx.commit().await?;
            cx.app.work_added.notify_one();
            Ok(answer)
        }
        Err(error) => {
            drop(tx);
            if let (Some(key), Some(answer)) = (key, refused(&error)) {
                keep(cx, key, &answer).await?;
            }
            Err(error)
        }
    }
}

/// Runs a request that needs several transactions and is harmless when repeated; its answer is kept at the end.
pub async fn at_least_once(
    cx: &Cx,
    key: Option<&RequestKey>,
    run: impl Future<Output = Result<Answer>>,
) -> Result<Answer> {
    if let Some(key) = key {
        let mut tx = cx.begin().await?;
        if let Some(stored) = idempotency::claim(&mut tx, key, cx.now, expiry(cx.now)).await? {
            return replay(key, stored);
        }
    }
    let answer = run.await?;
    if let Some(key) = key {
        keep(cx, key, &answer).await?;
    }
    Ok(answer)
}

async fn keep(cx: &Cx, key: &RequestKey, answer: &Answer) -> Result<()> {
    let mut tx = cx.begin().await?;
    if idempotency::claim(&mut tx, key, cx.now, expiry(cx.now)).await?.is_none() {
        store(&mut tx, key, answer).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn store(tx: &mut TenantTx, key: &RequestKey, answer: &Answer) -> Result<()> {
    let status = i16::try_from(answer.status).map_err(|_| Error::Internal("a status does not fit"))?;
    idempotency::store(tx, key, status, &answer.body).await?;
    Ok(())
}

fn expiry(now: Timestamp) -> Timestamp {
    now.saturating_add(LIFETIME).unwrap_or(now)
}

fn replay(key: &RequestKey, stored: StoredAnswer) -> Result<Answer> {
    if stored.request_hash != key.request_hash {
        let detail =
            "this Idempotency-Key was used with another body: send the same body, or choose a new key";
        return Err(Error::refused(Code::IdempotencyKeyReused, detail));
    }
    let status = u16::try_from(stored.status).map_err(|_| Error::Internal("a stored status does not fit"))?;
    Ok(Answer { status, body: stored.body })
}
