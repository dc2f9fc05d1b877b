//! The worker that delivers: it leases what is due, sends without a transaction, and notes what became of it.
//!
//! A worker that dies leaves leases behind; when they are over, somebody else sends again. So an endpoint is told at least
//! once, each time with the same id.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use usance_core::{ids::WebhookEndpointId, webhook::ATTEMPTS_MAX};
use usance_db::{
    TenantTx,
    webhook_deliveries::{self, ClaimedDelivery, InFlight, Outcome, ScopedEndpoint},
    webhook_endpoints,
};

use super::{
    endpoints::target_of,
    message::Message,
    sending::{AttemptStamp, TIMEOUT, Target, send},
    settling::settle,
};
use crate::{
    App, Cx,
    error::{Result, chain},
};

/// Deliveries under way in one process, and those of them to endpoints that have failed since their last success: the
/// others must not wait for these.
const UNDER_WAY_MAX: usize = 256;
const UNDER_WAY_FAILING_MAX: usize = 128;
/// One that does not answer must not take all workers, nor must all endpoints of one tenant.
const IN_FLIGHT_OF_ENDPOINT: i64 = 5;
const IN_FLIGHT_OF_TENANT: i64 = 20;
/// Endpoints that one round looks at.
const ENDPOINTS_PER_ROUND: i64 = 64;

/// Delivers until it is told to stop; what is under way then is brought to its end.
pub async fn run_deliverer(app: App, interval: Duration, stop: CancellationToken) {
    let mut rounds = Rounds { app, under_way: JoinSet::new(), failing: 0, last: None };
    while !stop.is_cancelled() {
        while let Some(ended) = rounds.under_way.try_join_next() {
            rounds.note_end(ended);
        }
        let is_more_expected = rounds.claim().await.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "Deliveries could not be claimed");
            false
        });
        if is_more_expected {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = rounds.under_way.join_next() => rounds.note_end(ended),
            () = sleep(interval) => {}
        }
    }
    while let Some(ended) = rounds.under_way.join_next().await {
        rounds.note_end(ended);
    }
}

/// Goes in circles through the endpoints for which something is due.
struct Rounds {
    app: App,
    /// Each returns whether its endpoint was failing.
    under_way: JoinSet<bool>,
    failing: usize,
    /// The endpoint at which the round before ended; none when it saw the last one.
    last: Option<ScopedEndpoint>,
}

impl Rounds {
    fn note_end(&mut self, ended: std::result::Result<bool, JoinError>) {
        match ended {
            Ok(is_failing) => self.failing -= usize::from(is_failing),
            Err(error) => {
                // Which of the two it was is not known; the count is right again when nothing is under way.
                tracing::error!(%error, "A delivery panicked; it is attempted again when its lease is over");
            }
        }
        if self.under_way.is_empty() {
            self.failing = 0;
        }
    }

    fn room(&self) -> InFlight {
        let free = |most: usize, taken: usize| i64::try_from(most.saturating_sub(taken)).unwrap_or(i64::MAX);
        let of_process = free(UNDER_WAY_MAX, self.under_way.len());
        InFlight {
            of_endpoint: IN_FLIGHT_OF_ENDPOINT,
            of_tenant: IN_FLIGHT_OF_TENANT,
            of_process,
            of_process_failing: of_process.min(free(UNDER_WAY_FAILING_MAX, self.failing)),
        }
    }

    /// Claims what is due and sends it. Returns whether there may be more at once.
    async fn claim(&mut self) -> Result<bool> {
        if self.room().of_process == 0 {
            return Ok(false);
        }
        let mut tx = self.app.db.system().await?;
        let now = self.app.now();
        let due =
            webhook_deliveries::list_due(&mut tx, self.last.take(), now, self.room(), ENDPOINTS_PER_ROUND)
                .await?;
        drop(tx);
        let mut has_claimed = false;
        for endpoint in &due {
            match self.claim_of(*endpoint).await {
                Ok(claimed) => has_claimed |= claimed,
                // Those behind it must not wait for it.
                Err(error) => {
                    tracing::error!(endpoint = %endpoint.1, error = chain(&error), "Deliveries to an endpoint could not be claimed");
                }
            }
            if self.room().of_process == 0 {
                self.last = Some(*endpoint);
                return Ok(false);
            }
        }
        let is_full = i64::try_from(due.len()).is_ok_and(|found| found >= ENDPOINTS_PER_ROUND);
        self.last = due.last().copied().filter(|_| is_full);
        Ok(has_claimed || is_full)
    }

    async fn claim_of(&mut self, (scope, endpoint): ScopedEndpoint) -> Result<bool> {
        let cx = Cx::of_work(&self.app, scope);
        let leased_until = cx.now.checked_add(self.app.work_lease).unwrap_or(cx.now);
        let mut tx = cx.begin().await?;
        let claimed = webhook_deliveries::claim(&mut tx, endpoint, cx.now, leased_until, self.room()).await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        let Some(target) = find_target(&cx, &mut tx, endpoint).await? else {
            // It was disabled or removed while the event happened.
            for delivery in &claimed {
                webhook_deliveries::settle(&mut tx, delivery, Outcome::Dead, cx.now).await?;
            }
            webhook_deliveries::give_up(&mut tx, endpoint, cx.now).await?;
            tx.commit().await?;
            return Ok(true);
        };
        tx.commit().await?;
        let target = Arc::new(target);
        for delivery in claimed {
            self.failing += usize::from(delivery.is_failing);
            let errand = Errand { cx: cx.clone(), target: Arc::clone(&target), delivery };
            self.under_way.spawn(errand.run());
        }
        Ok(true)
    }
}

async fn find_target(cx: &Cx, tx: &mut TenantTx, endpoint: WebhookEndpointId) -> Result<Option<Target>> {
    let endpoint = webhook_endpoints::find(tx, Some(endpoint)).await?.filter(|it| it.disabled.is_none());
    let Some(endpoint) = endpoint else { return Ok(None) };
    target_of(cx, tx, endpoint).await
}

/// A delivery that is to be attempted.
struct Errand {
    cx: Cx,
    target: Arc<Target>,
    delivery: ClaimedDelivery,
}

impl Errand {
    async fn run(self) -> bool {
        if let Err(error) = self.attempt().await {
            // Its lease ends, and it is attempted again.
            let (tenant, delivery) = (self.cx.scope.tenant, self.delivery.id);
            tracing::error!(%tenant, %delivery, error = chain(&error), "A delivery could not be noted");
        }
        self.delivery.is_failing
    }

    async fn attempt(&self) -> Result<()> {
        let Self { cx, target, delivery } = self;
        if usize::try_from(delivery.attempt).is_ok_and(|attempt| attempt > ATTEMPTS_MAX) {
            return give_up(cx, delivery).await;
        }
        let stamp = AttemptStamp { id: cx.app.ids.next(), at: cx.app.now() };
        // Nobody else may take it up while it is under way.
        let lease = delivery.leased_until.duration_since(stamp.at).try_into().unwrap_or(Duration::ZERO);
        let message = Message::of(&delivery.event, cx.scope);
        let sent = send(&cx.app.guarded_client, target, message, stamp, TIMEOUT.min(lease)).await;
        settle(cx, delivery, &target.url, &sent).await
    }
}

/// Ends what was attempted so often without a note of it: whoever attempts it dies.
async fn give_up(cx: &Cx, delivery: &ClaimedDelivery) -> Result<()> {
    let mut tx = cx.begin().await?;
    webhook_deliveries::settle(&mut tx, delivery, Outcome::Dead, cx.app.now()).await?;
    Ok(tx.commit().await?)
}
