//! Answers that are kept under an Idempotency-Key and name what their request made.

use std::{collections::HashMap, str::FromStr};

use usance_core::ids::{CreditNoteId, CustomerId, InvoiceId, RefundId, SubscriptionId};
use usance_db::{
    DbError, TenantTx,
    checks::{
        Finding,
        billing::{self, KeptAnswer, Made},
    },
};
use uuid::Uuid;

/// Finds the answers that name a row which is not there. Rows of the kinds that are looked at are never deleted.
pub(super) async fn find_untrue(tx: &mut TenantTx) -> Result<Vec<Finding>, DbError> {
    let mut untrue = Vec::new();
    let mut place = (String::new(), String::new());
    loop {
        let page = billing::list_kept_answers(tx, &place).await?;
        let Some((_, last)) = page.last() else { return Ok(untrue) };
        place = last.clone();
        let answers: Vec<KeptAnswer> = page.into_iter().map(|(answer, _)| answer).collect();
        untrue.extend(missing_of(tx, &answers).await?);
    }
}

async fn missing_of(tx: &mut TenantTx, answers: &[KeptAnswer]) -> Result<Vec<Finding>, DbError> {
    let mut wanted: HashMap<Made, Vec<(Uuid, &KeptAnswer)>> = HashMap::new();
    for answer in answers {
        if let Some((table, id)) = read(&answer.made) {
            wanted.entry(table).or_default().push((id, answer));
        }
    }
    let mut found = Vec::new();
    for (table, named) in wanted {
        let ids: Vec<Uuid> = named.iter().map(|(id, _)| *id).collect();
        let missing = billing::list_missing(tx, table, &ids).await?;
        let untrue = named.iter().filter(|(id, _)| missing.contains(id));
        found.extend(untrue.map(|(_, answer)| Finding {
            row: format!("idempotency key {}", answer.key),
            detail: format!("its answer names {}, which does not exist", answer.made),
        }));
    }
    Ok(found)
}

fn read(text: &str) -> Option<(Made, Uuid)> {
    fn id<T: FromStr>(text: &str, uuid: fn(T) -> Uuid) -> Option<Uuid> {
        T::from_str(text).ok().map(uuid)
    }
    let (prefix, _) = text.split_once('_')?;
    match prefix {
        CustomerId::PREFIX => Some((Made::Customers, id(text, CustomerId::uuid)?)),
        InvoiceId::PREFIX => Some((Made::Invoices, id(text, InvoiceId::uuid)?)),
        CreditNoteId::PREFIX => Some((Made::CreditNotes, id(text, CreditNoteId::uuid)?)),
        RefundId::PREFIX => Some((Made::Refunds, id(text, RefundId::uuid)?)),
        SubscriptionId::PREFIX => Some((Made::Subscriptions, id(text, SubscriptionId::uuid)?)),
        _ => None,
    }
}
