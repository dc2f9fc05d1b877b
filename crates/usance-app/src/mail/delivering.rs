//! The worker that sends mails: it leases what is due, sends without a transaction, and notes what became of it.
//!
//! A worker that dies leaves leases behind; when they are over, somebody else sends again.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::{
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use usance_core::mail::{ATTEMPTS_MAX, next_attempt};
use usance_db::{
    Scope, TenantTx, mail_limits,
    mails::{self, ClaimedMail, MailOutcome},
};

use super::{
    MailFault,
    compose::{Letter, Mail},
    kinds::{MailKind, MailLimit},
    outbox::{ResetRequest, address_hash, nobodys_scope, place},
};
use crate::{
    App,
    error::{Result, chain},
    members,
};

/// Mails under way in one process.
const UNDER_WAY_MAX: usize = 16;
/// Mails of one tenant that one round takes up.
const CLAIMED_OF_TENANT: usize = 4;
/// Tenants that one round looks at.
const TENANTS_PER_ROUND: i64 = 64;
/// How long it is known that a mail was sent.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
/// Old mails that one round forgets.
const FORGOTTEN_PER_ROUND: i64 = 100;
/// How long a window of a limit is kept; none is longer.
const WINDOW_KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Sends mails until it is told to stop; what is under way then is brought to its end.
pub async fn run_mailer(app: App, interval: Duration, stop: CancellationToken) {
    let mut under_way = JoinSet::new();
    while !stop.is_cancelled() {
        while let Some(ended) = under_way.try_join_next() {
            note_end(ended);
        }
        let is_more_expected = claim(&app, &mut under_way).await.unwrap_or_else(|error| {
            tracing::error!(error = chain(&error), "Mails could not be claimed");
            false
        });
        if is_more_expected {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = under_way.join_next() => note_end(ended),
            () = sleep(interval) => {}
        }
    }
    while let Some(ended) = under_way.join_next().await {
        note_end(ended);
    }
}

fn note_end(ended: std::result::Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "A mail panicked; it is attempted again when its lease is over");
    }
}

/// Claims what is due and sends it. Returns whether there may be more at once.
async fn claim(app: &App, under_way: &mut JoinSet<()>) -> Result<bool> {
    if under_way.len() >= UNDER_WAY_MAX {
        return Ok(false);
    }
    let mut tx = app.db.system().await?;
    let due = mails::list_due(&mut tx, app.now(), TENANTS_PER_ROUND).await?;
    drop(tx);
    let mut has_claimed = false;
    for tenant in due {
        let room = UNDER_WAY_MAX.saturating_sub(under_way.len()).min(CLAIMED_OF_TENANT);
        if room == 0 {
            return Ok(false);
        }
        let scope = Scope { tenant, livemode: false };
        for mail in claim_of(app, scope, room).await? {
            has_claimed = true;
            under_way.spawn(run(app.clone(), scope, mail));
        }
    }
    Ok(has_claimed)
}

async fn claim_of(app: &App, scope: Scope, room: usize) -> Result<Vec<ClaimedMail>> {
    let now = app.now();
    let leased_until = now.checked_add(app.work_lease).unwrap_or(now);
    let mut tx = app.db.tenant(scope).await?;
    mails::forget(&mut tx, now.saturating_sub(KEPT).unwrap_or(now), FORGOTTEN_PER_ROUND).await?;
    let claimed = mails::claim(&mut tx, now, leased_until, i64::try_from(room).unwrap_or(1)).await?;
    tx.commit().await?;
    Ok(claimed)
}

async fn run(app: App, scope: Scope, mail: ClaimedMail) {
    if let Err(error) = attempt(&app, scope, &mail).await {
        // Its lease ends, and it is attempted again.
        tracing::error!(tenant = %scope.tenant, mail = %mail.id, error = chain(&error), "A mail could not be noted");
    }
}

async fn attempt(app: &App, scope: Scope, claimed: &ClaimedMail) -> Result<()> {
    let given_up = |why: &str| Err(MailFault::Refused(why.to_owned()));
    let attempts = usize::try_from(claimed.attempt).unwrap_or(usize::MAX);
    let outcome = if attempts > ATTEMPTS_MAX {
        given_up("whoever sends it dies")
    } else if claimed.expires_at.is_some_and(|at| at <= app.now()) {
        given_up("it is of no use any more")
    } else {
        match MailKind::parse(&claimed.kind) {
            None => given_up("its kind is not known"),
            Some(MailKind::ResetRequest) => return resolve(app, scope, claimed).await,
            Some(kind) => send(app, scope, claimed, kind).await?,
        }
    };
    settle(app, scope, claimed, outcome).await
}

/// Makes mails of a request to reset a password, and forgets it.
async fn resolve(app: &App, scope: Scope, claimed: &ClaimedMail) -> Result<()> {
    if let Some(request) = open::<ResetRequest>(app, scope, claimed) {
        let accounts = members::accounts_to_reset(app, &request).await?;
        // A request for nobody uses nothing up, or it would keep the next one from somebody.
        if !accounts.is_empty()
            && is_within_limit(app, MailKind::ResetRequest, &request.email, claimed).await?
        {
            members::issue_resets(app, accounts).await?;
        }
    }
    let mut tx = app.db.tenant(scope).await?;
    mails::remove(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}

async fn send(
    app: &App,
    scope: Scope,
    claimed: &ClaimedMail,
    kind: MailKind,
) -> Result<std::result::Result<(), MailFault>> {
    let Some(letter) = open::<Letter>(app, scope, claimed) else {
        return Ok(Err(MailFault::Refused("it was sealed with another secret key".to_owned())));
    };
    if !may_mail_strangers(app, scope, kind, claimed).await? {
        let why =
            "no owner of its tenant has verified an address, and the tenant's mails of the day are used up";
        return Ok(Err(MailFault::Refused(why.to_owned())));
    }
    if !is_within_limit(app, kind, &letter.to, claimed).await? {
        return Ok(Err(MailFault::Refused("its recipient got too many of the kind".to_owned())));
    }
    let mail = Mail { id: claimed.id, created_at: claimed.created_at, letter };
    // Nobody else may take it up while it is under way.
    let lease = claimed.leased_until.duration_since(app.now()).try_into().unwrap_or(Duration::ZERO);
    let late = |_| Err(MailFault::Later("its lease ended while it was sent".to_owned()));
    Ok(timeout(lease, app.mailing.send(&mail)).await.unwrap_or_else(late))
}

fn open<T: DeserializeOwned>(app: &App, scope: Scope, claimed: &ClaimedMail) -> Option<T> {
    let (tenant, mail) = (scope.tenant.to_string(), claimed.id.to_string());
    let opened: SecretString = app.keyring.open(&place(&tenant, &mail), &claimed.sealed).ok()?;
    serde_json::from_str(opened.expose_secret()).ok()
}

/// Counts a mail at its first attempt.
async fn is_within_limit(app: &App, kind: MailKind, email: &str, claimed: &ClaimedMail) -> Result<bool> {
    let Some(limit) = kind.limit().filter(|_| claimed.attempt == 1) else { return Ok(true) };
    let tx = app.db.tenant(nobodys_scope(app, email)).await?;
    count(app, tx, &address_hash(app, email), kind.as_str(), limit).await
}

/// Counts, at its first attempt, a mail of a tenant that nobody has verified an address for.
async fn may_mail_strangers(app: &App, scope: Scope, kind: MailKind, claimed: &ClaimedMail) -> Result<bool> {
    let limit = kind.limit_of_unverified().filter(|_| claimed.attempt == 1);
    let Some(limit) = limit else { return Ok(true) };
    let mut tx = app.db.tenant(scope).await?;
    if usance_db::members::has_verified_owner(&mut tx).await? {
        return Ok(true);
    }
    count(app, tx, &[], "unverified", limit).await
}

async fn count(app: &App, mut tx: TenantTx, of: &[u8], kind: &str, limit: MailLimit) -> Result<bool> {
    let now = app.now();
    let before = |span| now.saturating_sub(span).unwrap_or(now);
    mail_limits::forget(&mut tx, before(WINDOW_KEPT)).await?;
    let counted = mail_limits::count(&mut tx, of, kind, limit.mails, before(limit.window), now).await?;
    tx.commit().await?;
    Ok(counted)
}

async fn settle(
    app: &App,
    scope: Scope,
    claimed: &ClaimedMail,
    sent: std::result::Result<(), MailFault>,
) -> Result<()> {
    let now = app.now();
    let outcome = match &sent {
        Ok(()) => MailOutcome::Sent,
        Err(MailFault::Refused(_)) => MailOutcome::Dead,
        Err(MailFault::Later(_)) => {
            let mut chance = [0; 4];
            app.random.fill(&mut chance);
            let attempts = usize::try_from(claimed.attempt).unwrap_or(usize::MAX);
            next_attempt(attempts, now, u32::from_be_bytes(chance))
                .map_or(MailOutcome::Dead, MailOutcome::Retry)
        }
    };
    let fault = sent.err().map(|fault| fault.to_string());
    let mut tx = app.db.tenant(scope).await?;
    let is_settled = mails::settle(&mut tx, claimed, outcome, fault.as_deref(), now).await?;
    tx.commit().await?;
    let word = match outcome {
        _ if !is_settled => "overtaken",
        MailOutcome::Sent => "sent",
        MailOutcome::Retry(_) => "failed",
        MailOutcome::Dead => "dead",
    };
    metrics::counter!("usance_mail_attempts_total", "outcome" => word).increment(1);
    if let Some(fault) = fault {
        let (mail, kind) = (claimed.id, &claimed.kind);
        tracing::warn!(%mail, kind, outcome = word, "A mail was not sent: {fault}");
    }
    Ok(())
}
