//! Migrations of a plan's subscriptions to its newest version.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::{
    error::Error,
    plan_migrations::{self, MigratePlan, MigrationOfPlan, MigrationPreview, PreviewedSubscription},
};
use usance_core::{ids::PlanMigrationId, money::Money};
use usance_db::{Page, plan_migrations::MigrationException};
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, Path, Query},
    wire::{ListView, MoneyView, ProblemView},
};

/// Which subscriptions are to be moved to the newest version of the plan, and when.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"from_versions": [1], "when": "period_end", "preview": true}))]
pub(crate) struct CreatePlanMigration {
    /// Numbers of the versions that they have; all older ones if absent.
    from_versions: Option<Vec<i32>>,
    /// `now` or `period_end`; at the end of their open periods if absent.
    when: Option<String>,
    /// Whether the answer only tells what would happen; false if absent.
    preview: bool,
}

impl TryFrom<CreatePlanMigration> for MigratePlan {
    type Error = Error;

    fn try_from(body: CreatePlanMigration) -> Result<Self, Error> {
        let at_period_end = match body.when.as_deref() {
            Some("now") => false,
            None | Some("period_end") => true,
            Some(_) => return Err(Error::field("/when", "unknown_word", "must be now or period_end")),
        };
        Ok(Self { from_versions: body.from_versions, at_period_end })
    }
}

/// A subscription that stays as it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MigrationExceptionView {
    subscription: String,
    /// `skipped`: left alone on purpose; `failed`: the change was refused.
    outcome: String,
    /// For people.
    reason: String,
}

impl From<MigrationException> for MigrationExceptionView {
    fn from(exception: MigrationException) -> Self {
        let MigrationException { subscription, outcome, reason } = exception;
        Self { subscription: subscription.to_string(), outcome, reason }
    }
}

/// What a migration would do to a subscription. The amounts are the fixed fees of its plan for a full period, before tax.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewedSubscriptionView {
    subscription: String,
    customer: String,
    current_version: i32,
    before: MoneyView,
    /// Absent if it stays as it is.
    after: Option<MoneyView>,
    difference: Option<MoneyView>,
    /// Why it stays as it is.
    exception: Option<MigrationExceptionView>,
}

/// What a migration would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MigrationPreviewView {
    plan: String,
    to_version: i32,
    /// How many would be changed.
    subscriptions: i64,
    /// How many would stay as they are.
    skipped: i64,
    /// What all of them would pay more for a full period, by currency.
    difference: Vec<MoneyView>,
    data: Vec<PreviewedSubscriptionView>,
    has_more: bool,
    next_cursor: Option<String>,
}

fn money(amount: Money) -> MoneyView {
    MoneyView::new(amount.minor(), amount.currency().code())
}

impl From<PreviewedSubscription> for PreviewedSubscriptionView {
    fn from(previewed: PreviewedSubscription) -> Self {
        let PreviewedSubscription { candidate, before, after, exception } = previewed;
        Self {
            subscription: candidate.subscription.to_string(),
            customer: candidate.customer.to_string(),
            current_version: candidate.version,
            before: money(before),
            after: after.map(money),
            difference: after.and_then(|after| after.checked_sub(before).ok()).map(money),
            exception: exception.map(Into::into),
        }
    }
}

impl MigrationPreviewView {
    fn new(plan: String, preview: MigrationPreview) -> Self {
        let MigrationPreview { to_version, subscriptions, skipped, difference, page } = preview;
        let difference = vec![money(difference)];
        let of_item = |item: &PreviewedSubscription| item.candidate.subscription.uuid();
        let ListView { data, has_more, next_cursor } =
            ListView::new(page, of_item, PreviewedSubscriptionView::from);
        Self { plan, to_version, subscriptions, skipped, difference, data, has_more, next_cursor }
    }
}

/// A migration and how far it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanMigrationView {
    id: String,
    plan: String,
    from_versions: Vec<i32>,
    to_version: i32,
    /// `now` or `period_end`.
    when: &'static str,
    /// `running` or `finished`.
    status: &'static str,
    /// Subscriptions that it was about when it began.
    total: i64,
    /// Subscriptions that were changed, or whose change is planned for the end of their periods.
    done: i64,
    /// Subscriptions that were left alone on purpose.
    skipped: i64,
    /// Subscriptions whose change was refused.
    failed: i64,
    /// Those that stay as they are, page by page.
    exceptions: ListView<MigrationExceptionView>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
}

impl PlanMigrationView {
    fn new(of: MigrationOfPlan, exceptions: Page<MigrationException>) -> Self {
        let MigrationOfPlan { migration, plan, to_version } = of;
        let of_item = |exception: &MigrationException| exception.subscription.uuid();
        Self {
            id: migration.id.to_string(),
            plan,
            from_versions: migration.from_versions,
            to_version,
            when: if migration.at_period_end { "period_end" } else { "now" },
            status: if migration.finished_at.is_some() { "finished" } else { "running" },
            total: migration.total,
            done: migration.done,
            skipped: migration.skipped,
            failed: migration.failed,
            exceptions: ListView::new(exceptions, of_item, MigrationExceptionView::from),
            created_at: migration.created_at,
            finished_at: migration.finished_at,
        }
    }
}

/// A migration, or the preview of one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Preview(MigrationPreviewView),
    Started(PlanMigrationView),
}

/// Migrate a plan
///
/// Subscriptions of older versions are moved to the newest one, by and by. With `preview` nothing happens, and the answer
/// tells what would. Subscriptions with prices of their own, with a planned change, or that are paused stay as they are.
#[utoipa::path(post, path = "/plans/{code}/migrations", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan"), ListQuery), request_body = CreatePlanMigration, responses(
    (status = 200, description = "What would happen, with a page of the subscriptions", body = MigrationPreviewView),
    (status = 201, description = "The migration, which has begun", body = PlanMigrationView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn migrate_plan(
    Path(code): Path<String>,
    Query(query): Query<ListQuery>,
    request: Mutation<CreatePlanMigration>,
) -> ApiResult<Response> {
    let page = query.page()?;
    let is_preview = request.body().preview;
    let status = if is_preview { StatusCode::OK } else { StatusCode::CREATED };
    request
        .run(status, move |cx, tx, body: CreatePlanMigration| {
            async move {
                let input = body.try_into()?;
                if is_preview {
                    let preview = plan_migrations::preview(tx, &code, &input, page).await?;
                    return Ok(Answer::Preview(MigrationPreviewView::new(code, preview)));
                }
                let started = plan_migrations::start(cx, tx, &code, &input).await?;
                let none = Page { items: Vec::new(), has_more: false };
                Ok(Answer::Started(PlanMigrationView::new(started, none)))
            }
            .boxed()
        })
        .await
}

/// Get a migration
///
/// How far it is, and the subscriptions that stay as they are.
#[utoipa::path(get, path = "/plans/{code}/migrations/{id}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the plan"), ("id" = String, Path, description = "Id of the migration"), ListQuery), responses(
    (status = 200, description = "The migration", body = PlanMigrationView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_plan_migration(
    Authorized(cx): Authorized,
    Path((code, id)): Path<(String, String)>,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<PlanMigrationView>> {
    let id: PlanMigrationId = id.parse().map_err(|_| Error::not_found("migration of this plan"))?;
    let mut tx = cx.begin().await?;
    let (migration, exceptions) = plan_migrations::get(&mut tx, &code, id, query.page()?).await?;
    Ok(Json(PlanMigrationView::new(migration, exceptions)))
}
