//! One event, in the transaction of what it records.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;
use usance_core::ids::CustomerId;
use usance_db::{Scope, WriterTx};

use super::{
    Incoming, Ingest, ParsedEvent, Receipt, Submission,
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
    /// Its customer, if it is kept although no meter measures it: something else than a meter counts it.
    pub(crate) unmeasured: Option<CustomerId>,
}

impl Ingest {
    /// Stores an event in a transaction that is going on, and says what it means to meters.
    pub(crate) async fn store_single(
        &self,
        app: &App,
        tx: &mut WriterTx,
        single: Single,
    ) -> Result<(Receipt, Vec<NewUsage>)> {
        let bytes = single.event.properties.canonical().len();
        let mut room = self.open_room(bytes)?;
        room.grow(bytes)?;
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
        Ok((receipt.ok_or(Error::Internal("an event has no receipt"))?, usage))
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
