//! Features.

use axum::{Json, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_app::catalog::features;
use usance_db::features::Feature;
use utoipa::ToSchema;

use crate::{
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query},
    wire::{ListView, ProblemView},
};

/// A new feature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "chat", "name": "Chat"}))]
pub(crate) struct CreateFeature {
    /// Unique: letters, digits, `_`, `-`, `.`.
    code: String,
    /// For people; the code if absent.
    name: Option<String>,
    /// For people.
    description: Option<String>,
    /// Code of the meter whose usage counts against limits; without one, what is consumed counts. It never changes.
    meter: Option<String>,
}

impl From<CreateFeature> for features::CreateFeature {
    fn from(body: CreateFeature) -> Self {
        let CreateFeature { code, name, description, meter } = body;
        Self { code, name, description, meter }
    }
}

/// What may change of a feature; absent fields stay.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Team chat"}))]
pub(crate) struct UpdateFeature {
    /// For people.
    name: Option<String>,
    /// For people.
    description: Option<String>,
}

/// A feature.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FeatureView {
    id: String,
    code: String,
    name: String,
    description: String,
    /// Code of the meter whose usage counts against limits.
    meter: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Feature> for FeatureView {
    fn from(feature: Feature) -> Self {
        Self {
            id: feature.id.to_string(),
            code: feature.code,
            name: feature.name,
            description: feature.description,
            meter: feature.meter.map(|(_, code)| code),
            created_at: feature.created_at,
            updated_at: feature.updated_at,
        }
    }
}

/// Create a feature
#[utoipa::path(post, path = "/features", tag = "Catalogue", request_body = CreateFeature, responses(
    (status = 201, description = "The feature", body = FeatureView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn create_feature(request: Mutation<CreateFeature>) -> ApiResult<Response> {
    request
        .run(StatusCode::CREATED, |cx, tx, body: CreateFeature| {
            async move { Ok(FeatureView::from(features::create(cx, tx, body.into()).await?)) }.boxed()
        })
        .await
}

/// List features
#[utoipa::path(get, path = "/features", tag = "Catalogue", params(ListQuery), responses(
    (status = 200, description = "A page of features", body = ListView<FeatureView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_features(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<FeatureView>>> {
    let mut tx = cx.begin().await?;
    let page = features::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |feature| feature.id.uuid(), FeatureView::from)))
}

/// Get a feature
#[utoipa::path(get, path = "/features/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the feature")), responses(
    (status = 200, description = "The feature", body = FeatureView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn get_feature(
    Authorized(cx): Authorized,
    Path(code): Path<String>,
) -> ApiResult<Json<FeatureView>> {
    let mut tx = cx.begin().await?;
    Ok(Json(features::get(&mut tx, &code).await?.into()))
}

/// Change a feature
#[utoipa::path(patch, path = "/features/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the feature")), request_body = UpdateFeature, responses(
    (status = 200, description = "The feature", body = FeatureView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_feature(
    Path(code): Path<String>,
    request: Mutation<UpdateFeature>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateFeature| {
            async move {
                Ok(FeatureView::from(features::update(cx, tx, &code, body.name, body.description).await?))
            }
            .boxed()
        })
        .await
}

/// Archive a feature
///
/// Plan versions that grant it keep it; new ones cannot have it.
#[utoipa::path(delete, path = "/features/{code}", tag = "Catalogue", params(("code" = String, Path, description = "Code of the feature")), responses(
    (status = 204, description = "Archived"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn archive_feature(
    Path(code): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { features::archive(cx, tx, &code).await }.boxed()
        })
        .await
}
