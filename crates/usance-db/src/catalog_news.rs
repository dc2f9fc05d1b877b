//! Tells every instance that a tenant's catalogue changed: LISTEN and NOTIFY, and within the process a number.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::postgres::PgListener;
use usance_core::ids::TenantId;
use uuid::Uuid;

use crate::{Db, DbError, Scope};

/// The channel of the notifications.
pub(crate) const CHANNEL: &str = "usance_catalog";

/// Counts per tenant and mode the changes of the catalogue that this process knows of: those that it commits, and those
/// that others tell. What was read before the number rose may be out of date.
#[derive(Debug, Default)]
pub struct Generations(RwLock<HashMap<Scope, Arc<AtomicU64>>>);

impl Generations {
    /// The number of a tenant and mode, to be looked at again and again.
    pub fn of(&self, scope: Scope) -> Arc<AtomicU64> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&scope).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(scope).or_default())
        })
    }

    /// Notes that a catalogue changed.
    pub fn count_up(&self, scope: Scope) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = all.get(&scope) {
            number.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Notes that any catalogue may have changed: news may have been missed.
    pub fn count_up_all(&self) {
        for number in self.0.read().unwrap_or_else(PoisonError::into_inner).values() {
            number.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// What a listener hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The catalogue of a tenant and mode changed.
    Changed(Scope),
    /// The connection was lost and is there again: news may have been missed.
    Missed,
}

/// A connection on which news arrive.
#[derive(Debug)]
pub struct CatalogListener(PgListener);

impl CatalogListener {
    /// Takes a connection of the pool and keeps it.
    pub async fn connect(db: &Db) -> Result<Self, DbError> {
        let mut listener = PgListener::connect_with(db.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits for the next news. After an error it can be asked again, and connects anew.
    pub async fn next(&mut self) -> Result<News, DbError> {
        let Some(notification) = self.0.try_recv().await? else { return Ok(News::Missed) };
        // What cannot be read is from a newer version: nothing is known to be as it was.
        Ok(read(notification.payload()).map_or(News::Missed, News::Changed))
    }
}

/// The payload: tenant and mode.
pub(crate) fn write(scope: Scope) -> String {
    format!("{} {}", scope.tenant.uuid(), scope.livemode)
}

fn read(payload: &str) -> Option<Scope> {
    let (tenant, livemode) = payload.split_once(' ')?;
    let tenant = TenantId::from_uuid(Uuid::try_parse(tenant).ok()?);
    Some(Scope { tenant, livemode: livemode.parse().ok()? })
}
