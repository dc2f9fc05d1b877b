//! Corrections of what was consumed: a counter follows the events that count.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Counting, Entitled, Use};
use crate::decimal::{DecimalError, exact_add, exact_sub};

impl Entitled {
    /// Takes what was used at an earlier instant out of a use, as far as the window around now counts it. Of a sliding
    /// window, what came while a clock was behind, or before the length of the window was another one, may stay in it until
    /// it leaves by itself.
    pub fn give_back(&self, of: &mut Use, quantity: Decimal, at: Timestamp, now: Timestamp) {
        match self.grant.counting {
            Counting::Sliding(span) => of.sliding.give_back(span, quantity, at, now),
            Counting::Fixed(_) => of.give_back(quantity, at),
        }
    }

    /// Counts what was used at an earlier instant, if the window around now holds that instant, whatever the limit. An error
    /// means that the use needs more digits than a decimal has.
    pub fn count_again(
        &self,
        of: &mut Use,
        quantity: Decimal,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<(), DecimalError> {
        match self.grant.counting {
            Counting::Sliding(span) => of.sliding.insert(span, quantity, at, now),
            Counting::Fixed(_) => {
                let begins = self.window(now).map_or(now, |window| window.start).max(of.window_start);
                if at >= begins { self.add(of, quantity, now) } else { Ok(()) }
            }
        }
    }
}

impl Use {
    /// Takes what was used at an earlier instant out of the fixed window that is counted, if that holds the instant. For a
    /// customer without a right, of whom no other window is known.
    pub fn give_back(&mut self, quantity: Decimal, at: Timestamp) {
        if at >= self.window_start {
            self.used = exact_sub(self.used, quantity).unwrap_or_default().max(Decimal::ZERO);
        }
    }

    /// The opposite of [`Use::give_back`].
    pub fn count_again(&mut self, quantity: Decimal, at: Timestamp) -> Result<(), DecimalError> {
        if at >= self.window_start {
            self.used = exact_add(self.used, quantity)?;
        }
        Ok(())
    }
}
