//! Transactions that lose against others.

use usance_db::DbError;

use crate::error::{Error, Result};

/// How often a transaction is tried.
pub(crate) const TRIES_MAX: usize = 5;

/// Runs a transaction, and anew as long as it loses against another one.
pub(crate) async fn retried<T, F>(run: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut tries = 0;
    loop {
        tries += 1;
        match run().await {
            Err(Error::Db(DbError::Contended(_))) if tries < TRIES_MAX => {}
            done => return done,
        }
    }
}
