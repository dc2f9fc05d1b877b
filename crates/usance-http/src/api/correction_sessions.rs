//! Correction sessions.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use usance_app::{
    Cx,
    correction_sessions::{self, CorrectionPreview, SentCorrection, SettledEffect, UpcomingEffect},
    error::{Error, Result},
};
use usance_core::ids::CorrectionSessionId;
use usance_db::correction_sessions::CorrectionSession;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, objects},
    wire::{ListView, MoneyView, PeriodView, ProblemView},
};

/// A correction of one event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"event": "req-4711", "action": "amend", "properties": {"tokens": 4818}}))]
pub(crate) struct CorrectionBody {
    /// Id of the event as sent.
    event: String,
    /// The attribute `source` of an event that was sent as a `CloudEvent`.
    source: Option<String>,
    /// `void` or `amend`.
    action: String,
    /// Of an amendment: id or `external_id` of the customer.
    customer: Option<String>,
    /// Of an amendment: what happened.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Of an amendment: when it happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    time: Option<String>,
    /// Of an amendment: all properties, in the place of those before.
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
}

impl From<CorrectionBody> for SentCorrection {
    fn from(body: CorrectionBody) -> Self {
        let CorrectionBody { event, source, action, customer, event_type, time, properties } = body;
        Self { event, source, action, customer, event_type, time, properties }
    }
}

/// Collects corrections that count together or not at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"description": "The probe of 11 November", "corrections": [{"event": "req-4711", "action": "void"}]}))]
pub(crate) struct CreateCorrectionSession {
    /// For people.
    description: Option<String>,
    /// 1 to 1,000, of different events.
    #[serde(deserialize_with = "objects")]
    corrections: Vec<CorrectionBody>,
}

/// A correction as it was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CorrectionView {
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    properties: Option<Box<RawValue>>,
}

impl From<SentCorrection> for CorrectionView {
    fn from(sent: SentCorrection) -> Self {
        let SentCorrection { event, source, action, customer, event_type, time, properties } = sent;
        Self { event, source, action, customer, event_type, time, properties }
    }
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CorrectionSessionView {
    id: String,
    description: String,
    /// `draft`, `applied` or `undone`.
    status: &'static str,
    corrections: Vec<CorrectionView>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    applied_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    undone_at: Option<Timestamp>,
}

impl TryFrom<CorrectionSession> for CorrectionSessionView {
    type Error = Error;

    fn try_from(session: CorrectionSession) -> Result<Self> {
        let corrections = correction_sessions::corrections_of(&session)?;
        let status = match (session.applied_at, session.undone_at) {
            (_, Some(_)) => "undone",
            (Some(_), None) => "applied",
            (None, None) => "draft",
        };
        Ok(Self {
            id: session.id.to_string(),
            description: session.description,
            status,
            corrections: corrections.into_iter().map(CorrectionView::from).collect(),
            created_at: session.created_at,
            applied_at: session.applied_at,
            undone_at: session.undone_at,
        })
    }
}

/// A settled period that would cost something else.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettledEffectView {
    subscription: String,
    period: PeriodView,
    /// The invoice that billed it. It stays as it is.
    invoice: Option<String>,
    number: Option<String>,
    /// What the next invoice books, before discounts and tax.
    difference: MoneyView,
}

impl From<SettledEffect> for SettledEffectView {
    fn from(effect: SettledEffect) -> Self {
        let SettledEffect { subscription, period, invoice, number, difference } = effect;
        Self {
            subscription: subscription.to_string(),
            period: period.into(),
            invoice: invoice.map(|invoice| invoice.to_string()),
            number,
            difference: MoneyView::new(difference.minor(), difference.currency().code()),
        }
    }
}

/// A subscription's next invoice that would be different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpcomingEffectView {
    subscription: String,
    /// The total without the corrections.
    before: MoneyView,
    /// The total with them, the differences of settled periods included.
    after: MoneyView,
}

impl From<UpcomingEffect> for UpcomingEffectView {
    fn from(effect: UpcomingEffect) -> Self {
        let UpcomingEffect { subscription, before_minor, after_minor, currency } = effect;
        Self {
            subscription: subscription.to_string(),
            before: MoneyView::new(before_minor, &currency),
            after: MoneyView::new(after_minor, &currency),
        }
    }
}

/// What a draft would change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CorrectionPreviewView {
    settled: Vec<SettledEffectView>,
    upcoming: Vec<UpcomingEffectView>,
}

impl From<CorrectionPreview> for CorrectionPreviewView {
    fn from(preview: CorrectionPreview) -> Self {
        Self {
            settled: preview.settled.into_iter().map(SettledEffectView::from).collect(),
            upcoming: preview.upcoming.into_iter().map(UpcomingEffectView::from).collect(),
        }
    }
}

fn read_id(id: &str) -> Result<CorrectionSessionId> {
    id.parse().map_err(|_| Error::not_found("correction session"))
}

/// Collect corrections in a session
///
/// A session is a draft first and changes nothing: preview it, then apply it.
#[utoipa::path(post, path = "/correction-sessions", tag = "Usage", request_body = CreateCorrectionSession, responses(
    (status = 201, description = "The session", body = CorrectionSessionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_correction_session(
    request: Mutation<CreateCorrectionSession>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateCorrectionSession| {
            async move {
                let corrections = body.corrections.into_iter().map(SentCorrection::from).collect();
                let description = body.description.unwrap_or_default();
                let session = correction_sessions::create(cx, tx, description, corrections).await?;
                CorrectionSessionView::try_from(session)
            }
            .boxed()
        })
        .await
}

/// List correction sessions
#[utoipa::path(get, path = "/correction-sessions", tag = "Usage", params(ListQuery), responses(
    (status = 200, description = "A page of sessions", body = ListView<CorrectionSessionView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_correction_sessions(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<CorrectionSessionView>>> {
    let mut tx = cx.begin().await?;
    let page = correction_sessions::list(&mut tx, query.page()?).await?;
    let ListView { data, has_more, next_cursor } =
        ListView::new(page, |session| session.id.uuid(), CorrectionSessionView::try_from);
    let data = data.into_iter().collect::<Result<_>>()?;
    Ok(Json(ListView { data, has_more, next_cursor }))
}

/// Get a correction session
#[utoipa::path(get, path = "/correction-sessions/{session}", tag = "Usage", params(("session" = String, Path)), responses(
    (status = 200, description = "The session", body = CorrectionSessionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_correction_session(
    Authorized(cx): Authorized,
    Path(session): Path<String>,
) -> ApiResult<Json<CorrectionSessionView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(correction_sessions::get(&mut tx, read_id(&session)?).await?.try_into()?))
}

/// Preview a correction session
///
/// What applying it now would change: settled periods that are rated again, and invoices to come. Nothing is stored.
#[utoipa::path(get, path = "/correction-sessions/{session}/preview", tag = "Usage", params(("session" = String, Path)), responses(
    (status = 200, description = "What would change", body = CorrectionPreviewView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn preview_correction_session(
    Authorized(cx): Authorized,
    Path(session): Path<String>,
) -> ApiResult<Json<CorrectionPreviewView>> {
    Ok(Json(correction_sessions::preview(&cx, read_id(&session)?).await?.into()))
}

/// Apply a correction session
///
/// All of its corrections are made, or none. Applying it again changes nothing.
#[utoipa::path(post, path = "/correction-sessions/{session}/apply", tag = "Usage", params(("session" = String, Path)), responses(
    (status = 200, description = "The session", body = CorrectionSessionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn apply_correction_session(
    Path(session): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    let id = read_id(&session)?;
    request
        .run_in_steps(StatusCode::OK, move |cx: &Cx, _| {
            let cx = cx.clone();
            async move { CorrectionSessionView::try_from(correction_sessions::apply(&cx, id).await?) }.boxed()
        })
        .await
}

/// Undo a correction session
///
/// What counted before it counts again, by corrections of the opposite sense. Refused if one of its events was corrected since.
#[utoipa::path(post, path = "/correction-sessions/{session}/undo", tag = "Usage", params(("session" = String, Path)), responses(
    (status = 200, description = "The session", body = CorrectionSessionView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn undo_correction_session(
    Path(session): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    let id = read_id(&session)?;
    request
        .run_in_steps(StatusCode::OK, move |cx: &Cx, _| {
            let cx = cx.clone();
            async move { CorrectionSessionView::try_from(correction_sessions::undo(&cx, id).await?) }.boxed()
        })
        .await
}
