//! Plan migrations: the subscriptions of older versions of a plan are moved to its newest, one by one, as due work.

use usance_core::{
    ids::{PlanMigrationId, PlanVersionId, SubscriptionId},
    money::Money,
    subscription::SubscriptionStatus,
};
use usance_db::{
    Page, PageRequest, TenantTx,
    plan_migrations::{self, Candidate, MigrationException, PlanMigration},
    plans::Plan,
};

use crate::{
    Cx,
    billing::{Offers, fixed_fees},
    catalog::plans::{self, PlanAtVersion, PlanKind},
    error::{Code, Error, Result, chain},
    outbox::announce,
    subscriptions::{self, ChangeWhen},
    work,
};

/// Subscriptions that are dealt with before other work gets its turn.
const SUBSCRIPTIONS_PER_TURN: usize = 20;

/// Which subscriptions are to be moved, and when.
#[derive(Debug, Default)]
pub struct MigratePlan {
    /// Numbers of the versions that they have; all older ones if absent.
    pub from_versions: Option<Vec<i32>>,
    /// When their open periods end, or at once.
    pub at_period_end: bool,
}

/// What a migration would do.
#[derive(Debug, Clone)]
pub struct MigrationPreview {
    /// The number of the newest version.
    pub to_version: i32,
    /// Subscriptions that would be changed.
    pub subscriptions: i64,
    /// Subscriptions that would be left alone.
    pub skipped: i64,
    /// What all of them together would pay more for a full period, before tax and usage, in the plan's currency.
    pub difference: Money,
    /// One by one.
    pub page: Page<PreviewedSubscription>,
}

/// What a migration would do to one subscription.
#[derive(Debug, Clone)]
pub struct PreviewedSubscription {
    /// Which one.
    pub candidate: Candidate,
    /// The fixed fees of its plan for a full period as they are.
    pub before: Money,
    /// As they would be; absent if it would be left as it is.
    pub after: Option<Money>,
    /// Why it would be left as it is.
    pub exception: Option<MigrationException>,
}

/// A migration with the plan's code and the numbers of its versions.
#[derive(Debug, Clone)]
pub struct MigrationOfPlan {
    /// The migration.
    pub migration: PlanMigration,
    /// Code of the plan.
    pub plan: String,
    /// The number of the version that the subscriptions get.
    pub to_version: i32,
}

fn from_versions(plan: &Plan, wanted: Option<&Vec<i32>>) -> Result<Vec<i32>> {
    let Some(wanted) = wanted else { return Ok((1..plan.version).collect()) };
    let mut versions = wanted.clone();
    versions.sort_unstable();
    versions.dedup();
    if let Some(index) = wanted.iter().position(|version| !(1..plan.version).contains(version)) {
        let detail = format!("must be an older version of the plan, 1 to {}", plan.version - 1);
        return Err(Error::field(&format!("/from_versions/{index}"), "unknown_version", detail));
    }
    Ok(versions)
}

/// Tells what a migration would do; nothing is stored.
pub async fn preview(
    tx: &mut TenantTx,
    code: &str,
    input: &MigratePlan,
    page: PageRequest,
) -> Result<MigrationPreview> {
    let target = plans::get(tx, PlanKind::Plan, code).await?;
    let versions = from_versions(&target.plan, input.from_versions.as_ref())?;
    let groups = plan_migrations::list_candidate_groups(tx, target.plan.id, &versions).await?;
    let mut comparing = Comparing { target: target.version.id, offers: Offers::default() };
    let ids = groups.iter().map(|group| group.plan_version).chain([target.version.id]);
    comparing.offers.load(tx, ids).await?;
    let currency = comparing.offers.get(target.version.id)?.currency;
    let (mut subscriptions, mut skipped, mut difference_minor) = (0, 0, 0_i64);
    for group in groups {
        let (before, after) = comparing.fees(group.plan_version, group.quantity)?;
        let Some(after) = after.filter(|_| !group.skipped) else {
            skipped += group.count;
            continue;
        };
        subscriptions += group.count;
        let of_all = after.checked_sub(before)?.minor().checked_mul(group.count);
        let sum = of_all.and_then(|of_all| difference_minor.checked_add(of_all));
        difference_minor = sum.ok_or(Error::Money(usance_core::money::MoneyError::TooLarge))?;
    }
    let candidates = plan_migrations::list_candidates(tx, target.plan.id, &versions, page).await?;
    let mut items = Vec::with_capacity(candidates.items.len());
    for candidate in candidates.items {
        items.push(comparing.preview(candidate)?);
    }
    Ok(MigrationPreview {
        to_version: target.version.version,
        subscriptions,
        skipped,
        difference: Money::new(difference_minor, currency),
        page: Page { items, has_more: candidates.has_more },
    })
}

/// Fixed fees now and then.
struct Comparing {
    target: PlanVersionId,
    offers: Offers,
}

impl Comparing {
    /// What a full period costs by a version and by the target; the latter is absent where the seats cannot be bought.
    fn fees(&self, version: PlanVersionId, quantity: i32) -> Result<(Money, Option<Money>)> {
        let seats = u32::try_from(quantity).unwrap_or_default();
        let before = fixed_fees(self.offers.get(version)?.as_ref(), seats)?;
        match fixed_fees(self.offers.get(self.target)?.as_ref(), seats) {
            Ok(after) => Ok((before, Some(after))),
            Err(Error::Rate(_)) => Ok((before, None)),
            Err(error) => Err(error),
        }
    }

    fn preview(&self, candidate: Candidate) -> Result<PreviewedSubscription> {
        let (before, after) = self.fees(candidate.plan_version, candidate.quantity)?;
        let exception = left_alone(&candidate).map(|reason| exception(&candidate, "skipped", reason));
        let refused = || exception_of_seats(&candidate);
        let exception = exception.or_else(|| if after.is_none() { Some(refused()) } else { None });
        let after = after.filter(|_| exception.is_none());
        Ok(PreviewedSubscription { candidate, before, after, exception })
    }
}

fn exception_of_seats(candidate: &Candidate) -> MigrationException {
    exception(candidate, "failed", "the new version has no price for the quantity".to_owned())
}

fn exception(candidate: &Candidate, outcome: &str, reason: String) -> MigrationException {
    MigrationException { subscription: candidate.subscription, outcome: outcome.to_owned(), reason }
}

/// Why a migration does not touch a subscription.
fn left_alone(candidate: &Candidate) -> Option<String> {
    let reason = if candidate.overridden {
        "it has prices of its own"
    } else if candidate.scheduled {
        "another change is planned"
    } else if candidate.status == SubscriptionStatus::Paused.as_str() {
        "it is paused"
    } else {
        return None;
    };
    Some(reason.to_owned())
}

/// Begins to move subscriptions to the newest version of their plan.
pub async fn start(cx: &Cx, tx: &mut TenantTx, code: &str, input: &MigratePlan) -> Result<MigrationOfPlan> {
    tx.lock_catalog().await?;
    let now = cx.tenant_now(tx).await?;
    let target = plans::lock(tx, PlanKind::Plan, code).await?;
    let versions = from_versions(&target.plan, input.from_versions.as_ref())?;
    if plan_migrations::any_open(tx, target.plan.id).await? {
        let detail = "a migration of the plan is under way: wait until it has finished";
        return Err(Error::refused(Code::MigrationInProgress, detail));
    }
    let groups = plan_migrations::list_candidate_groups(tx, target.plan.id, &versions).await?;
    let migration = PlanMigration {
        id: PlanMigrationId::from_uuid(cx.app.ids.next()),
        plan_id: target.plan.id,
        to_version_id: target.version.id,
        from_versions: versions,
        at_period_end: input.at_period_end,
        total: groups.iter().map(|group| group.count).sum(),
        done: 0,
        skipped: 0,
        failed: 0,
        cursor: None,
        created_at: now,
        finished_at: None,
    };
    plan_migrations::insert(tx, &migration).await?;
    work::schedule(tx, work::Kind::MigratePlan, migration.id.uuid(), now).await?;
    Ok(of_plan(target, migration))
}

fn of_plan(target: PlanAtVersion, migration: PlanMigration) -> MigrationOfPlan {
    MigrationOfPlan { migration, plan: target.plan.code, to_version: target.version.version }
}

/// Tells how far a migration is, and which subscriptions it left as they were.
pub async fn get(
    tx: &mut TenantTx,
    code: &str,
    id: PlanMigrationId,
    page: PageRequest,
) -> Result<(MigrationOfPlan, Page<MigrationException>)> {
    let missing = || Error::not_found("migration of this plan");
    let migration = plan_migrations::find(tx, id).await?.ok_or_else(missing)?;
    let target = plans::get_version(tx, migration.to_version_id).await?;
    if target.plan.code != code {
        return Err(missing());
    }
    let exceptions = plan_migrations::list_exceptions(tx, id, page).await?;
    Ok((of_plan(target, migration), exceptions))
}

/// What became of one subscription.
enum Outcome {
    Done,
    Skipped(String),
    Failed(String),
}

/// Deals with some of the subscriptions, each in a transaction of its own. Returns whether there are no more.
pub(crate) async fn carry_on(cx: &Cx, id: PlanMigrationId) -> Result<bool> {
    for _ in 0..SUBSCRIPTIONS_PER_TURN {
        if step(cx, id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn step(cx: &Cx, id: PlanMigrationId) -> Result<bool> {
    let mut tx = cx.begin().await?;
    let mut migration = lock(&mut tx, id).await?;
    if migration.finished_at.is_some() {
        return Ok(true);
    }
    let Some(candidate) = next(&mut tx, &migration).await? else {
        migration.finished_at = Some(cx.tenant_now(&mut tx).await?);
        plan_migrations::update(&mut tx, &migration).await?;
        announce_end(cx, &mut tx, &migration).await?;
        tx.commit().await?;
        return Ok(true);
    };
    let outcome = match left_alone(&candidate) {
        Some(reason) => Outcome::Skipped(reason),
        None => match move_one(cx, &mut tx, &migration, &candidate).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                let reason = refusal(error)?;
                // What the attempt wrote must not stay.
                drop(tx);
                tx = cx.begin().await?;
                let again = lock(&mut tx, id).await?;
                if again.cursor != migration.cursor {
                    return Ok(false);
                }
                Outcome::Failed(reason)
            }
        },
    };
    note(&mut tx, &mut migration, &candidate, outcome).await?;
    tx.commit().await?;
    Ok(false)
}

/// The catalogue first, like everything that changes subscriptions: no two of them wait for each other.
async fn lock(tx: &mut TenantTx, id: PlanMigrationId) -> Result<PlanMigration> {
    tx.lock_catalog().await?;
    let migration = plan_migrations::lock(tx, id).await?;
    migration.ok_or(Error::Internal("due work names no migration"))
}

async fn next(tx: &mut TenantTx, migration: &PlanMigration) -> Result<Option<Candidate>> {
    let page = PageRequest { limit: 1, after: migration.cursor.map(SubscriptionId::uuid) };
    let found = plan_migrations::list_candidates(tx, migration.plan_id, &migration.from_versions, page);
    Ok(found.await?.items.pop())
}

async fn move_one(
    cx: &Cx,
    tx: &mut TenantTx,
    migration: &PlanMigration,
    candidate: &Candidate,
) -> Result<()> {
    let when = if migration.at_period_end { ChangeWhen::PeriodEnd } else { ChangeWhen::Now };
    subscriptions::move_to_version(cx, tx, candidate.subscription, migration.to_version_id, when).await
}

/// Why a subscription cannot be moved. What may go better the next time stays an error.
fn refusal(error: Error) -> Result<String> {
    match error {
        Error::Refused(refusal) if refusal.code == Code::Unavailable => Err(Error::Refused(refusal)),
        Error::Refused(refusal) => Ok(refusal.detail.into_owned()),
        Error::TooManyGroups { .. }
        | Error::Rate(_)
        | Error::Invoice(_)
        | Error::Money(_)
        | Error::Period(_)
        | Error::StoredEvent(_) => Ok(chain(&error)),
        Error::Db(_) | Error::Document(_) | Error::Pdf(_) | Error::Internal(_) => Err(error),
    }
}

async fn note(
    tx: &mut TenantTx,
    migration: &mut PlanMigration,
    candidate: &Candidate,
    outcome: Outcome,
) -> Result<()> {
    migration.cursor = Some(candidate.subscription);
    let exception = match outcome {
        Outcome::Done => {
            migration.done += 1;
            None
        }
        Outcome::Skipped(reason) => {
            migration.skipped += 1;
            Some(exception(candidate, "skipped", reason))
        }
        Outcome::Failed(reason) => {
            migration.failed += 1;
            Some(exception(candidate, "failed", reason))
        }
    };
    if let Some(exception) = exception {
        plan_migrations::insert_exception(tx, migration.id, &exception).await?;
    }
    Ok(plan_migrations::update(tx, migration).await?)
}

async fn announce_end(cx: &Cx, tx: &mut TenantTx, migration: &PlanMigration) -> Result<()> {
    let PlanMigration { id, plan_id, done, skipped, failed, .. } = migration;
    let data = serde_json::json!({
        "id": plan_id, "migration": id, "done": done, "skipped": skipped, "failed": failed,
    });
    announce(cx, tx, "plan.migrated", data).await
}
