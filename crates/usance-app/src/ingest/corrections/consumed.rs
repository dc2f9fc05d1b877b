//! Corrected events that recorded what was consumed of features without a meter: their counters follow.

use std::collections::HashMap;

use rust_decimal::Decimal;
use usance_core::{
    ids::FeatureId,
    metering::{Properties, RejectReason, Scalar, amount_value},
};
use usance_db::{TenantTx, consumptions, event_revisions::StoredEvent};
use uuid::Uuid;

use super::{super::rejected, Move, draft::Draft};
use crate::{
    entitlements::{CorrectedUse, CountChange},
    error::{Error, Result},
};

const QUANTITY: &str = "quantity";

/// The features that corrected events recorded a use of, with their codes, by the events' id hashes.
pub(super) struct Consumed(HashMap<Uuid, (FeatureId, String)>);

impl Consumed {
    pub(super) async fn find(tx: &mut TenantTx, moves: &[Move]) -> Result<Self> {
        let origins: Vec<Uuid> =
            moves.iter().filter_map(|it| it.from.as_ref().or(it.to.as_ref())).map(|it| it.origin).collect();
        Ok(Self(consumptions::find_many(tx, &origins).await?))
    }

    /// Whether an event counts also where no meter measures it.
    pub(super) fn holds(&self, origin: Uuid) -> bool {
        self.0.contains_key(&origin)
    }

    /// Sees to it that an amended event still says how much of the same feature was consumed.
    pub(super) fn check(&self, draft: &Draft) -> Result<()> {
        let Some((_, code)) = self.0.get(&draft.origin) else { return Ok(()) };
        if !matches!(draft.properties.get("feature"), Some(Scalar::Text(said)) if said == code.as_str()) {
            return Err(rejected(RejectReason::MissingValue).into());
        }
        quantity(&draft.properties).map(drop).map_err(|reason| rejected(reason).into())
    }

    /// What becomes of the counters.
    pub(super) fn changes(&self, moves: &[Move]) -> Result<Vec<CorrectedUse>> {
        let mut changes = Vec::new();
        for Move { from, to, .. } in moves {
            let from = from.iter().map(|event| (event, CountChange::GiveBack));
            for (event, change) in from.chain(to.iter().map(|event| (event, CountChange::Count))) {
                changes.extend(self.change(event, change)?);
            }
        }
        Ok(changes)
    }

    fn change(&self, event: &StoredEvent, change: CountChange) -> Result<Option<CorrectedUse>> {
        const UNREADABLE: Error = Error::Internal("a stored consumption cannot be read");
        let Some((feature, _)) = self.0.get(&event.origin) else { return Ok(None) };
        let properties = Properties::parse(&event.properties).map_err(|_| UNREADABLE)?;
        let quantity = quantity(&properties).map_err(|_| UNREADABLE)?;
        let (customer, at) = (event.customer, event.occurred_at);
        Ok(Some(CorrectedUse { customer, feature: *feature, at, quantity, change }))
    }
}

fn quantity(properties: &Properties) -> std::result::Result<Decimal, RejectReason> {
    let quantity = amount_value(QUANTITY, properties)?;
    if quantity > Decimal::ZERO { Ok(quantity) } else { Err(RejectReason::MalformedDecimal) }
}
