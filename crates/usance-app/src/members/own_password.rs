//! The caller's own password, asked for again before something that an open session alone must not do.

use secrecy::SecretString;
use usance_db::{
    TenantTx,
    members::{self, Member},
    sign_in_attempts::Source,
};

use super::own_rows;
use crate::{
    Cx,
    auth::password::Place,
    error::{Error, Result},
    sessions::{Attempt, count_attempt, note_success},
};

/// A password that the caller has proved.
#[derive(Debug)]
pub(crate) struct ProvedPassword {
    member: Member,
    pointer: &'static str,
    attempt: Attempt,
    source: Source,
    place: Place,
}

impl ProvedPassword {
    /// Looks at the caller's password; `pointer` is the field that holds it.
    pub(crate) async fn of_caller(cx: &Cx, pointer: &'static str, password: SecretString) -> Result<Self> {
        let mut tx = cx.begin().await?;
        let (member, _) = own_rows(cx, &mut tx).await?;
        drop(tx);
        Self::of(cx, member, pointer, password).await
    }

    /// The same for a caller whose row was read. Whoever found an open session must not be able to guess the password with it.
    pub(super) async fn of(
        cx: &Cx,
        member: Member,
        pointer: &'static str,
        password: SecretString,
    ) -> Result<Self> {
        let place = cx.app.password_hashing.reserve()?;
        let account = Some((cx.scope.tenant, member.id));
        let attempt = Attempt::new(&cx.app, account, (&member.email, None), cx.address);
        let mut tx = cx.begin().await?;
        let source = count_attempt(&mut tx, &attempt, cx.now).await?;
        tx.commit().await?;
        if !place.verify(password, Some(member.password_hash.clone())).await? {
            return Err(wrong_password(pointer));
        }
        Ok(Self { member, pointer, attempt, source, place })
    }

    /// Hashes another password in the turn of the one that was proved.
    pub(super) async fn hash(&self, cx: &Cx, password: SecretString) -> Result<String> {
        self.place.hash(cx.app.random.as_ref(), password).await
    }

    /// Locks the member, if its password is still the one that was proved.
    pub(crate) async fn lock(&self, cx: &Cx, tx: &mut TenantTx) -> Result<Member> {
        let locked = members::lock(tx, self.member.id).await?;
        let unchanged = locked.filter(|it| it.is_active && it.password_hash == self.member.password_hash);
        let member = unchanged.ok_or_else(|| wrong_password(self.pointer))?;
        note_success(tx, &self.source, &self.attempt, cx.now).await?;
        Ok(member)
    }
}

fn wrong_password(pointer: &'static str) -> Error {
    let detail =
        if pointer == "/old_password" { "Old password is incorrect." } else { "Password is incorrect." };
    Error::field(pointer, "incorrect", detail)
}
