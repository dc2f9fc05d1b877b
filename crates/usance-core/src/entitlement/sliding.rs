//! Use in a window that slides: the last hour, not the hour of the clock.
//!
//! A window is cut into [`SLOTS`] slots, and a slot counts until its *last* use has left the window. So the limit holds in
//! every window of that length, wherever it begins; what was used is free again exactly when it leaves the window if it
//! came at once, and at most a sixtieth of the window later if not. The state stays small whatever the limit.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::SlidingSpan;
use crate::decimal::{DecimalError, exact_add, exact_sub};

/// Slots of a window.
pub(super) const SLOTS: i64 = 60;

/// What was used within one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// When it was used last.
    pub last_at: Timestamp,
    /// How much.
    pub used: Decimal,
}

/// What was used in a sliding window, the oldest slot first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlidingUse(Vec<Slot>);

impl SlidingUse {
    /// Takes slots as they were stored, the oldest first.
    pub fn from_slots(slots: Vec<Slot>) -> Self {
        Self(slots)
    }

    /// The slots to store, the oldest first.
    pub fn slots(&self) -> &[Slot] {
        &self.0
    }

    /// What counts at an instant.
    pub fn used(&self, span: SlidingSpan, now: Timestamp) -> Decimal {
        let counting = self.0.iter().filter(|slot| leaves_at(slot, span) > now);
        counting.fold(Decimal::ZERO, |sum, slot| exact_add(sum, slot.used).unwrap_or(Decimal::MAX))
    }

    /// Adds a use, and forgets what has left the window. A clock that goes back adds to the latest slot.
    pub fn add(&mut self, span: SlidingSpan, quantity: Decimal, now: Timestamp) -> Result<(), DecimalError> {
        self.0.retain(|slot| leaves_at(slot, span) > now);
        match self.0.last_mut() {
            Some(last) if last.last_at >= now || index(last.last_at, span) == index(now, span) => {
                last.used = exact_add(last.used, quantity)?;
                last.last_at = last.last_at.max(now);
            }
            Some(_) | None => self.0.push(Slot { last_at: now, used: quantity }),
        }
        Ok(())
    }

    /// Takes what was used at an earlier instant out of its slot, if that still counts. What else was used in the slot leaves
    /// the window when the last use would have.
    pub fn give_back(&mut self, span: SlidingSpan, quantity: Decimal, at: Timestamp, now: Timestamp) {
        let mut left = quantity;
        let is_its = |slot: &&mut Slot| index(slot.last_at, span) == index(at, span);
        for slot in self.0.iter_mut().filter(is_its).filter(|slot| leaves_at(slot, span) > now) {
            let taken = left.min(slot.used);
            slot.used = exact_sub(slot.used, taken).unwrap_or_default();
            left = exact_sub(left, taken).unwrap_or_default();
        }
        self.0.retain(|slot| slot.used > Decimal::ZERO);
    }

    /// Adds what was used at an earlier instant, if that lies in the window.
    pub fn insert(
        &mut self,
        span: SlidingSpan,
        quantity: Decimal,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), DecimalError> {
        let new = Slot { last_at: at, used: quantity };
        if leaves_at(&new, span) <= now {
            return Ok(());
        }
        let place = self.0.partition_point(|slot| index(slot.last_at, span) < index(at, span));
        match self.0.get_mut(place) {
            Some(slot) if index(slot.last_at, span) == index(at, span) => {
                slot.used = exact_add(slot.used, quantity)?;
                slot.last_at = slot.last_at.max(at);
            }
            Some(_) | None => self.0.insert(place, new),
        }
        Ok(())
    }

    /// When a quantity fits under a limit, if nothing else is used meanwhile; never, if it is above the limit itself.
    pub fn fits_at(
        &self,
        span: SlidingSpan,
        limit: Decimal,
        quantity: Decimal,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let room = exact_sub(limit, quantity).ok().filter(|room| !room.is_sign_negative())?;
        let mut used = self.used(span, now);
        let mut fits_at = now;
        for slot in self.0.iter().filter(|slot| leaves_at(slot, span) > now) {
            if used <= room {
                break;
            }
            used = exact_sub(used, slot.used).unwrap_or_default();
            fits_at = leaves_at(slot, span);
        }
        Some(fits_at)
    }

    /// When the first of what counts leaves the window.
    pub fn first_leaves_at(&self, span: SlidingSpan, now: Timestamp) -> Option<Timestamp> {
        self.0.iter().map(|slot| leaves_at(slot, span)).find(|leaves_at| *leaves_at > now)
    }
}

/// The first instant at which a slot does not count.
fn leaves_at(slot: &Slot, span: SlidingSpan) -> Timestamp {
    slot.last_at.saturating_add(span.duration()).unwrap_or(Timestamp::MAX)
}

fn index(at: Timestamp, span: SlidingSpan) -> i64 {
    at.as_microsecond().div_euclid(span.slot_micros())
}
