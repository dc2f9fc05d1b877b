//! One event, in the transaction of what it records.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::oneshot;
use usance_core::ids::{CustomerId, FeatureId};
use usance_db::{Scope, WriterTx, consumptions};

use super::{
    EventStatus, Incoming, Ingest, ParsedEvent, Receipt, Submission,
    commit::{self, Memory},
    resolve::Images,
};
use crate::{
    App,
    entitlements::NewUsage,
    error::{Error, Result},
};

/// Images that are kept for the next events; as many as are stored at once.
const IMAGES_MAX: usize = 16;

/// What single events are resolved by. An image is valid by its version, whoever read it.
#[derive(Debug, Default)]
pub(super) struct SpareImages(Mutex<Vec<Images>>);

/// An event that is stored alone.
pub(crate) struct Single {
    pub(crate) scope: Scope,
    pub(crate) event: ParsedEvent,
    /// What counts it, if it is kept although no meter measures it.
    pub(crate) unmeasured: Option<Unmeasured>,
}

/// Something else than a meter that counts an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unmeasured {
    pub(crate) customer: CustomerId,
    /// What the customer consumed, if a counter counts it.
    pub(crate) feature: Option<FeatureId>,
    /// When that was decided. The event has this time too, so that a correction finds the window that counts it.
    pub(crate) at: Timestamp,
}

impl Ingest {
    /// Stores an event in a transaction that is going on, notes what else counts it, and says what it means to meters.
    pub(crate) async fn store_single(
        &self,
        app: &App,
        tx: &mut WriterTx,
        single: Single,
    ) -> Result<(Receipt, Vec<NewUsage>)> {
        let bytes = single.event.properties.canonical().len();
        let mut room = self.open_room(bytes)?;
        room.grow(bytes)?;
        let (scope, unmeasured) = (single.scope, single.unmeasured);
        let origin = single.event.identity.id_hash;
        let batch = [Submission {
            scope: single.scope,
            events: vec![Incoming::Event(Box::new(single.event))],
            unmeasured: single.unmeasured,
            reply: oneshot::channel().0,
            _room: room,
        }];
        let mut memory = Memory::of_images(self.spare_images.take());
        let (receipts, usage) = commit::write(app, tx, &mut memory, &batch).await?;
        self.spare_images.give_back(memory.into_images());
        let receipt = receipts.into_iter().flatten().next();
        let receipt = receipt.ok_or(Error::Internal("an event has no receipt"))?;
        if let (Some(feature), EventStatus::Accepted | EventStatus::Unbilled(_)) =
            (unmeasured.and_then(|it| it.feature), receipt.status)
        {
            consumptions::insert(tx, scope, origin, feature).await?;
        }
        Ok((receipt, usage))
    }
}

impl SpareImages {
    fn take(&self) -> Images {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, images: Images) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < IMAGES_MAX {
            spare.push(images);
        }
    }
}
