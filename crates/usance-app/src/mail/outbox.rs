//! Writes mails in the transaction of their cause.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use usance_core::{access::Role, ids::MailId};
use usance_db::{
    Scope, TenantTx,
    mails::{self, NewMail},
    members,
};

use super::{compose::Letter, kinds::MailKind};
use crate::{
    App, Cx,
    auth::role_of,
    error::{Error, Result},
    sessions::nobody,
};

/// Members of a staff who are told of one trouble.
const STAFF_TOLD_MAX: usize = 50;

/// Somebody who wants to reset a password, as far as is known.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ResetRequest {
    pub(crate) email: String,
    pub(crate) tenant: Option<String>,
}

/// What to send, and how long it is of use.
pub(crate) struct Errand<'a> {
    kind: MailKind,
    expires_at: Option<Timestamp>,
    once_key: Option<&'a str>,
}

/// Writes a mail that is sent once the transaction has committed.
pub(crate) async fn enqueue(
    app: &App,
    tx: &mut TenantTx,
    kind: MailKind,
    letter: &Letter,
    expires_at: Option<Timestamp>,
) -> Result<()> {
    insert(app, tx, Errand { kind, expires_at, once_key: None }, letter).await
}

/// Tells the owners and admins of something, each once under the same key.
pub(crate) async fn tell_staff(
    cx: &Cx,
    tx: &mut TenantTx,
    once: &str,
    letter: impl Fn(String) -> Letter,
) -> Result<()> {
    let mut told = 0;
    for member in members::list(tx).await? {
        if told == STAFF_TOLD_MAX || !member.is_active || role_of(&member.role)? < Role::Admin {
            continue;
        }
        told += 1;
        let once_key = format!("{once}:{}", member.id);
        let errand = Errand { kind: MailKind::Webhook, expires_at: None, once_key: Some(&once_key) };
        insert(&cx.app, tx, errand, &letter(member.email)).await?;
    }
    Ok(())
}

/// Keeps a request to reset a password until the worker looks who it is for. An address that nobody has costs the same.
pub(crate) async fn enqueue_reset_request(app: &App, request: &ResetRequest) -> Result<()> {
    let mut tx = app.db.tenant(nobodys_scope(app, &request.email)).await?;
    let errand = Errand { kind: MailKind::ResetRequest, expires_at: None, once_key: None };
    insert(app, &mut tx, errand, request).await?;
    Ok(tx.commit().await?)
}

/// Where what is known of an address alone is kept.
pub(super) fn nobodys_scope(app: &App, email: &str) -> Scope {
    Scope { tenant: nobody(&address_hash(app, email)), livemode: false }
}

pub(super) fn address_hash(app: &App, email: &str) -> Vec<u8> {
    app.keyring.hash("mail address", &email.to_lowercase())
}

async fn insert(app: &App, tx: &mut TenantTx, errand: Errand<'_>, content: &impl Serialize) -> Result<()> {
    let id = MailId::from_uuid(app.ids.next());
    let content =
        serde_json::to_string(content).map_err(|_| Error::Internal("a mail cannot be written as JSON"))?;
    let sealed = app.keyring.seal(
        app.random.as_ref(),
        &place(&tx.scope().tenant.to_string(), &id.to_string()),
        &content,
    );
    let mail = NewMail {
        id,
        kind: errand.kind.as_str(),
        sealed: &sealed,
        once_key: errand.once_key,
        created_at: app.now(),
        expires_at: errand.expires_at,
    };
    Ok(mails::insert(tx, &mail).await?)
}

/// What a sealed mail is bound to.
pub(super) fn place<'a>(tenant: &'a str, mail: &'a str) -> [&'a str; 3] {
    ["mails", tenant, mail]
}
