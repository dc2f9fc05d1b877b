//! How what is remembered is kept true: read anew when it is asked for, read again in the background, and forgotten on
//! news of other instances.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{sync::Mutex, sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;
use usance_db::catalog_news::{CatalogListener, News};

use super::{
    memory::{Freshness, Known, Remembered, ScopeMemory},
    rights::Rights,
    uses,
};
use crate::{
    App, Cx, customers,
    error::{Result, chain},
};

/// Pause after the connection for news was lost and could not be made anew; it doubles up to the greatest one.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// The customers that are to be read again.
#[derive(Debug)]
pub struct Due(Mutex<mpsc::Receiver<Arc<Remembered>>>);

impl Due {
    pub(super) fn new(receiver: mpsc::Receiver<Arc<Remembered>>) -> Self {
        Self(Mutex::new(receiver))
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
                Freshness::UsesStale => read_uses(cx, &remembered).await?,
                Freshness::Stale => return read_by_name(cx, &memory, name).await,
            }
        }
    }
    Ok(remembered)
}

async fn read_by_name(cx: &Cx, memory: &ScopeMemory, name: &str) -> Result<Arc<Remembered>> {
    let (generation, as_of) = (memory.generation(), cx.app.now());
    let additions = memory.additions(name);
    let mut tx = cx.begin().await?;
    let customer = customers::get(&mut tx, name).await?;
    let rights = Rights::load(&mut tx, &customer).await?;
    let uses = uses::load(&mut tx, &rights, rights.tenant_now(as_of)).await?;
    let known = Known::new(Arc::new(rights), uses, generation, as_of);
    Ok(memory.remember(cx.scope, name, known, additions))
}

/// Reads again what was used; the rights are those of the same catalogue.
async fn read_uses(cx: &Cx, remembered: &Remembered) -> Result<()> {
    let as_of: Timestamp = cx.app.now();
    let (rights, generation, additions) = {
        let known = remembered.known();
        (Arc::clone(&known.rights), known.generation, known.additions)
    };
    let mut tx = cx.begin().await?;
    let uses = uses::load(&mut tx, &rights, rights.tenant_now(as_of)).await?;
    remembered.replace(Known::new(rights, uses, generation, as_of), Some(additions));
    Ok(())
}

/// Reads again who is due, until it is told to stop.
pub async fn run_refresher(app: App, due: Arc<Due>, stop: CancellationToken) {
    loop {
        let next = async { due.0.lock().await.recv().await };
        let remembered = tokio::select! {
            () = stop.cancelled() => return,
            next = next => match next {
                Some(remembered) => remembered,
                None => return,
            },
        };
        let _reading = remembered.reading.lock().await;
        if let Err(error) = read_uses(&Cx::of_work(&app, remembered.scope), &remembered).await {
            // Whoever asks next reads it, or is told that the database cannot be reached.
            tracing::warn!(error = chain(&error), "What a customer used could not be read again");
        }
        remembered.unqueue();
    }
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
            Ok(News::Missed) => app.db.generations().count_up_all(),
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
