//! Mutating requests that may be sent again: the first answer is kept in the transaction of its effect, or, where that
//! takes several transactions, under a key that is held while they run.

use std::future::Future;

use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use usance_db::{
    TenantTx,
    idempotency::{self, Claim, RequestKey, StoredRequest},
};

use crate::{
    Cx,
    error::{Code, Error, Result, chain},
};

/// How long an answer is kept. Afterwards the same key runs the request anew.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a request may hold its key without an answer. Afterwards it counts as lost, and the key may run it again.
pub const LOCK: SignedDuration = SignedDuration::from_secs(60);

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
        && let Some(stored) = idempotency::claim(&mut tx, key, claim_of(cx)).await?
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

/// Runs a request that needs several transactions and is harmless when repeated.
///
/// The key is held while it runs: meanwhile the same request is refused with [`Code::IdempotencyKeyInUse`]. What [`once`]
/// would keep is kept at the end; after anything else the key is free again.
pub async fn at_least_once(
    cx: &Cx,
    key: Option<&RequestKey>,
    refused: impl FnOnce(&Error) -> Option<Answer>,
    run: impl Future<Output = Result<Answer>>,
) -> Result<Answer> {
    let Some(key) = key else { return run.await };
    let mut tx = cx.begin().await?;
    if let Some(stored) = idempotency::claim(&mut tx, key, claim_of(cx)).await? {
        return replay(key, stored);
    }
    tx.commit().await?;
    let outcome = run.await;
    let kept = match &outcome {
        Ok(answer) => Some(answer.clone()),
        Err(error) => refused(error),
    };
    if let Err(error) = settle(cx, key, kept).await {
        // What was done stays done, and its answer is true: the key frees itself when its lock ends.
        tracing::error!(error = chain(&error), "An answer could not be kept under its Idempotency-Key");
    }
    outcome
}

async fn settle(cx: &Cx, key: &RequestKey, kept: Option<Answer>) -> Result<()> {
    let mut tx = cx.begin().await?;
    match kept {
        Some(answer) => store(&mut tx, key, &answer).await?,
        None => idempotency::release(&mut tx, key, claim_of(cx)).await?,
    }
    Ok(tx.commit().await?)
}

async fn keep(cx: &Cx, key: &RequestKey, answer: &Answer) -> Result<()> {
    let mut tx = cx.begin().await?;
    if idempotency::claim(&mut tx, key, claim_of(cx)).await?.is_none() {
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

fn claim_of(cx: &Cx) -> Claim {
    let after = |span| cx.now.saturating_add(span).unwrap_or(cx.now);
    Claim { now: cx.now, locked_until: after(LOCK), expires_at: after(LIFETIME) }
}

fn replay(key: &RequestKey, stored: StoredRequest) -> Result<Answer> {
    if stored.request_hash != key.request_hash {
        let detail =
            "this Idempotency-Key was used with another body: send the same body, or choose a new key";
        return Err(Error::refused(Code::IdempotencyKeyReused, detail));
    }
    let Some(answer) = stored.answer else {
        let detail = "the request with this Idempotency-Key still runs: send it again in a moment";
        return Err(Error::refused(Code::IdempotencyKeyInUse, detail));
    };
    let status = u16::try_from(answer.status).map_err(|_| Error::Internal("a stored status does not fit"))?;
    Ok(Answer { status, body: answer.body })
}
