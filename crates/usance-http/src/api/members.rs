//! The staff of a tenant, and invitations to it.

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::FutureExt;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use usance_app::{
    members::{self, AcceptInvitation, ChangeMember},
    second_factor,
};
use usance_db::{
    invitations::{self, Invitation},
    members::Member,
};
use utoipa::ToSchema;

use super::tenants::sessions::LoginView;
use crate::{
    HttpState,
    error::ApiResult,
    extract::{Authorized, ListQuery, Mutation, NoBody, Path, Query, SecretBody, Visitor, as_bad_request},
    wire::{ListView, ProblemView},
};

/// A member of the staff.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaffView {
    id: String,
    email: String,
    first_name: String,
    last_name: String,
    /// `owner`, `admin`, `developer` or `viewer`.
    role: String,
    /// Whether the member may sign in.
    is_active: bool,
    /// When it was known that the member reads what is sent to the address.
    #[schema(value_type = Option<String>, format = DateTime)]
    email_verified_at: Option<Timestamp>,
    /// Whether its sign-in needs a code of an authenticator.
    second_factor: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Member> for StaffView {
    fn from(member: Member) -> Self {
        Self {
            id: member.id.to_string(),
            email: member.email,
            first_name: member.first_name,
            last_name: member.last_name,
            role: member.role,
            is_active: member.is_active,
            email_verified_at: member.email_verified_at,
            second_factor: member.second_factor_at.is_some(),
            last_login_at: member.last_login_at,
            created_at: member.created_at,
            updated_at: member.updated_at,
        }
    }
}

/// List the members
#[utoipa::path(get, path = "/members", tag = "Members", responses(
    (status = 200, description = "All members, the oldest first, 1000 at most", body = ListView<StaffView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_members(Authorized(cx): Authorized) -> ApiResult<Json<ListView<StaffView>>> {
    let data = members::list(&cx).await?.into_iter().map(StaffView::from).collect();
    Ok(Json(ListView { data, has_more: false, next_cursor: None }))
}

/// What changes about a member.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "admin"}))]
pub(crate) struct UpdateMember {
    /// Not greater than your own: `owner`, `admin`, `developer` or `viewer`.
    role: Option<String>,
    /// Whether the member may sign in; false ends its sessions.
    is_active: Option<bool>,
}

/// Change what a member may do
///
/// From the next request on. A tenant keeps one active owner.
#[utoipa::path(patch, path = "/members/{id}", tag = "Members", params(("id" = String, Path)), request_body = UpdateMember, responses(
    (status = 200, description = "The member", body = StaffView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn update_member(
    Path(id): Path<String>,
    request: Mutation<UpdateMember>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::OK, move |cx, tx, body: UpdateMember| {
            async move {
                let change = ChangeMember { role: body.role, is_active: body.is_active };
                Ok(StaffView::from(members::change(cx, tx, &id, change).await?))
            }
            .boxed()
        })
        .await
}

/// Take the second factor from a member
///
/// For somebody who lost it, of no greater role than your own: the password is enough from then on. The member's sessions end.
#[utoipa::path(delete, path = "/members/{id}/second-factor", tag = "Members", params(("id" = String, Path)), responses(
    (status = 204, description = "The member has no second factor"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn reset_second_factor(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { second_factor::reset(cx, tx, &id).await }.boxed()
        })
        .await
}

/// An invitation to the staff.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationView {
    id: String,
    email: String,
    role: String,
    /// Id of the member who invited.
    invited_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    accepted_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id.to_string(),
            email: invitation.email,
            role: invitation.role,
            invited_by: invitation.invited_by.to_string(),
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
            accepted_at: invitation.accepted_at,
            revoked_at: invitation.revoked_at,
        }
    }
}

/// Who is invited.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "grace@acme.example", "role": "developer"}))]
pub(crate) struct InviteMember {
    email: String,
    /// Not greater than your own: `owner`, `admin`, `developer` or `viewer`.
    role: String,
}

/// A new invitation with its token, which is shown here and never again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedInvitationView {
    #[serde(flatten)]
    fields: InvitationView,
    /// To be handed to the person who is invited; valid for a week.
    token: String,
}

/// Invite somebody to the staff
///
/// The person gets a token by mail too, which proves the address; with the one in the answer it is verified afterwards. The
/// answer's token is not kept, so the route takes no `Idempotency-Key`; there is at most one
/// open invitation for an e-mail address.
#[utoipa::path(post, path = "/members/invitations", tag = "Members", request_body = InviteMember, responses(
    (status = 201, description = "The invitation", body = CreatedInvitationView),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn invite_member(
    Authorized(cx): Authorized,
    body: SecretBody<InviteMember>,
) -> ApiResult<(StatusCode, Json<CreatedInvitationView>)> {
    let InviteMember { email, role } = body.read()?;
    let (invitation, token) = members::invite(&cx, &email, &role).await?;
    let view = CreatedInvitationView { fields: invitation.into(), token: token.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Json(view)))
}

/// List invitations
#[utoipa::path(get, path = "/members/invitations", tag = "Members", params(ListQuery), responses(
    (status = 200, description = "A page of invitations", body = ListView<InvitationView>),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn list_invitations(
    Authorized(cx): Authorized,
    Query(query): Query<ListQuery>,
) -> ApiResult<Json<ListView<InvitationView>>> {
    let mut tx = cx.begin().await?;
    let page = invitations::list(&mut tx, query.page()?).await?;
    Ok(Json(ListView::new(page, |invitation| invitation.id.uuid(), InvitationView::from)))
}

/// Take an invitation back
#[utoipa::path(delete, path = "/members/invitations/{id}", tag = "Members", params(("id" = String, Path)), responses(
    (status = 204, description = "It cannot be accepted any more"),
    (status = "4XX", description = "Refused", body = ProblemView),
))]
pub(crate) async fn revoke_invitation(
    Path(id): Path<String>,
    request: Mutation<NoBody>,
) -> ApiResult<Response> {
    request
        .run(StatusCode::NO_CONTENT, move |cx, tx, _| {
            async move { members::revoke_invitation(cx, tx, &id).await }.boxed()
        })
        .await
}

/// Who accepts an invitation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "inv_ten_01h455vb4pex5vsknk084sn02q_4sn02q", "password": "gravel tulip nine bone",
    "first_name": "Grace", "last_name": "Hopper"}))]
pub(crate) struct AcceptInvitationBody {
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    /// At least 12 characters; neither digits alone, nor common, nor similar to your own data.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    #[serde(default)]
    first_name: String,
    #[serde(default)]
    last_name: String,
}

/// Accept an invitation
///
/// Makes a member of whoever holds the token, and signs the member in.
#[utoipa::path(post, path = "/auth/tenants/invitations/accept", tag = "Members", security(()), request_body = AcceptInvitationBody, responses(
    (status = 201, description = "The member and the tokens of its first session", body = LoginView),
    (status = 400, description = "A field cannot be accepted", body = ProblemView),
    (status = 404, description = "No open invitation has this token", body = ProblemView),
))]
pub(crate) async fn accept_invitation(
    State(state): State<HttpState>,
    Visitor(origin): Visitor,
    body: SecretBody<AcceptInvitationBody>,
) -> ApiResult<(StatusCode, Json<LoginView>)> {
    let AcceptInvitationBody { token, password, first_name, last_name } = body.read_or_bad_request()?;
    let input = AcceptInvitation { token, password, first_name, last_name };
    let signed_in = members::accept(&state.app, input, origin).await.map_err(as_bad_request)?;
    Ok((StatusCode::CREATED, Json(LoginView::new("Invitation accepted", signed_in))))
}
