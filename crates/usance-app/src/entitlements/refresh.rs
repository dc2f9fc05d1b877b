//! How what is remembered is kept true: read anew when it is asked for, read again in the background, and forgotten on
//! news of other instances.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::Mutex, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use usance_db::{
    DbError,
    catalog_news::{CatalogListener, News},
    catalog_versions,
};

use super::{
    memory::{Additions, Freshness, Known, Remembered, ScopeMemory},
    rights::Rights,
    uses,
};
use crate::{
    App, Cx, customers,
    error::{Error, Result, chain},
};

/// Pause after the connection for news was lost and could not be made anew; it doubles up to the greatest one.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// How long those who are due wait for each other: a transaction that reads one costs hardly less than one that reads many.
const GATHER: Duration = Duration::from_millis(100);
/// Customers that are read together.
const TOGETHER_MAX: usize = 256;

/// The customers that are to be read again.
#[derive(Debug)]
pub struct Due(Mutex<mpsc::Receiver<Arc<Remembered>>>);

impl Due {
    pub(super) fn new(receiver: mpsc::Receiver<Arc<Remembered>>) -> Self {
        Self(Mutex::new(receiver))
    }

    /// Those that become due within a short time from the first one on; nothing when there will be none any more.
    async fn gather(&self) -> Option<Vec<Arc<Remembered>>> {
        let mut receiver = self.0.lock().await;
        let mut gathered = vec![receiver.recv().await?];
        sleep(GATHER).await;
        while gathered.len() < TOGETHER_MAX
            && let Ok(next) = receiver.try_recv()
        {
            gathered.push(next);
        }
        Some(gathered)
    }
}

/// The customer of a name, with what is at most a second old.
pub(super) async fn find(cx: &Cx, name: &str) -> Result<Arc<Remembered>> {
    let memory = cx.app.entitlements.scope(cx.app.db.generations(), cx.scope);
    let Some(remembered) = memory.find(name) else { return read_by_name(cx, &memory, name).await };
    match remembered.freshness(memory.generation(), cx.now) {
        Freshness::Fresh => {}
        Freshness::Aging => cx.app.entitlements.refresh_soon(&remembered),
        Freshness::UsesStale | Freshness::Stale => {
            let _reading = remembered.reading.lock().await;
            // Somebody else may have read it meanwhile.
            match remembered.freshness(memory.generation(), cx.now) {
                Freshness::Fresh | Freshness::Aging => {}
                Freshness::UsesStale => read_uses(cx, &[&remembered]).await?,
                Freshness::Stale => return read_by_name(cx, &memory, name).await,
            }
        }
    }
    Ok(remembered)
}

async fn read_by_name(cx: &Cx, memory: &ScopeMemory, name: &str) -> Result<Arc<Remembered>> {
    let (generation, as_of) = (memory.generation(), cx.app.now());
    let additions = memory.additions(name);
    let mut tx = cx.begin_as_tenant().await?;
    let customer = customers::get(&mut tx, name).await?;
    let rights = Rights::load(&mut tx, &customer).await?;
    let uses = uses::load(&mut tx, &[&rights], as_of).await?.pop().unwrap_or_default();
    let known = Known::new(Arc::new(rights), uses, generation, as_of);
    Ok(memory.remember(cx.scope, name, known, additions.as_ref()))
}

/// Reads again what customers of one tenant and mode used; the rights are those of the same catalogue.
async fn read_uses(cx: &Cx, of: &[&Remembered]) -> Result<()> {
    let as_of: Timestamp = cx.app.now();
    let before = of.iter().map(|remembered| {
        let known = remembered.known();
        (Arc::clone(&known.rights), known.generation, known.additions.clone())
    });
    let before: Vec<(Arc<Rights>, u64, Additions)> = before.collect();
    let rights: Vec<&Rights> = before.iter().map(|(rights, ..)| &**rights).collect();
    let mut tx = cx.begin_as_tenant().await?;
    let version = catalog_versions::get(&mut tx).await?;
    if rights.iter().any(|rights| rights.version != version) {
        // News of it may still come, or was lost with a connection that nobody knows to be dead.
        cx.app.db.generations().count_up(cx.scope);
    }
    let uses = uses::load(&mut tx, &rights, as_of).await?;
    for ((remembered, (rights, generation, additions)), uses) in of.iter().zip(before).zip(uses) {
        remembered.replace(Known::new(rights, uses, generation, as_of), Some(&additions));
    }
    Ok(())
}

/// Reads again who is due, many at once, until it is told to stop.
pub async fn run_refresher(app: App, due: Arc<Due>, stop: CancellationToken) {
    while let Some(Some(mut batch)) = stop.run_until_cancelled(due.gather()).await {
        batch.sort_unstable_by_key(|remembered| remembered.scope);
        for of_scope in batch.chunk_by(|one, next| one.scope == next.scope) {
            refresh(&Cx::of_work(&app, of_scope[0].scope), of_scope).await;
        }
    }
}

/// Reads customers of one tenant and mode again, but for those that somebody reads already.
async fn refresh(cx: &Cx, due: &[Arc<Remembered>]) {
    let free = due.iter().filter(|remembered| remembered.reading.try_lock().is_ok());
    let free: Vec<&Remembered> = free.map(|remembered| &**remembered).collect();
    if !free.is_empty() {
        read_together(cx, &free).await;
    }
    for remembered in due {
        remembered.unqueue();
    }
}

async fn read_together(cx: &Cx, of: &[&Remembered]) {
    match read_uses(cx, of).await {
        Ok(()) => {}
        // Whoever asks next reads it, or is told that the database cannot be reached.
        Err(error @ Error::Db(DbError::Unavailable(_))) => warn(&error),
        // What cannot be read of one customer must not make the others old.
        Err(_) => {
            for one in of {
                if let Err(error) = read_uses(cx, &[one]).await {
                    warn(&error);
                }
            }
        }
    }
}

fn warn(error: &Error) {
    tracing::warn!(error = chain(error), "What a customer used could not be read again");
}

/// Listens for changes that other instances commit, until it is told to stop. After a lost connection everything may have
/// changed.
pub async fn listen(app: App, stop: CancellationToken) {
    let mut failures: u32 = 0;
    let mut listener = None;
    while !stop.is_cancelled() {
        let heard = tokio::select! {
            () = stop.cancelled() => return,
            heard = hear(&app, &mut listener) => heard,
        };
        match heard {
            Ok(News::Changed(scope)) => {
                failures = 0;
                app.db.generations().count_up(scope);
            }
            Ok(News::Missed) => {
                failures = 0;
                app.db.generations().count_up_all();
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                listener = None;
                tracing::warn!(error = chain(&error), "News of other instances cannot be heard");
                let pause = BACK_OFF.saturating_mul(2_u32.saturating_pow(failures - 1)).min(BACK_OFF_MAX);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

async fn hear(
    app: &App,
    listener: &mut Option<CatalogListener>,
) -> std::result::Result<News, usance_db::DbError> {
    if let Some(listener) = listener {
        return listener.next().await;
    }
    *listener = Some(CatalogListener::connect(&app.db).await?);
    // Before this moment nobody listened.
    Ok(News::Missed)
}
