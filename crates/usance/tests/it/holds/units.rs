//! The use of a feature as somebody would keep it on paper: the reference of the programmes.

use super::money::{Answer, Hold, held};

const DAY: i64 = 86_400;

/// What is used of a limit for each day.
#[derive(Debug)]
pub(super) struct Use {
    now: i64,
    used: i64,
    pub(super) limit: i64,
    pub(super) holds: Vec<Hold>,
}

impl Use {
    pub(super) fn new(now: i64, limit: i64) -> Self {
        Self { now, used: 0, limit, holds: Vec::new() }
    }

    /// Used, held and remaining.
    pub(super) fn state(&self) -> [i64; 3] {
        [self.used, held(&self.holds), self.room().max(0)]
    }

    fn room(&self) -> i64 {
        self.limit - self.used - held(&self.holds)
    }

    pub(super) fn hold(&self, quantity: i64) -> Answer {
        if quantity > self.room() { Answer::NoRoom } else { Answer::Done }
    }

    pub(super) fn consume(&mut self, quantity: i64) -> Answer {
        let answer = self.hold(quantity);
        if answer == Answer::Done {
            self.used += quantity;
        }
        answer
    }

    pub(super) fn settle(&mut self, index: usize, quantity: i64) -> Answer {
        let answer = self.holds[index].settling(quantity);
        if answer == Answer::Done {
            self.holds[index].is_open = false;
            self.used += quantity;
        }
        answer
    }

    /// A day's use ends with the day.
    pub(super) fn advance(&mut self, to: i64) {
        if to.div_euclid(DAY) != self.now.div_euclid(DAY) {
            self.used = 0;
        }
        self.now = to;
        for hold in self.holds.iter_mut().filter(|hold| hold.expires_at <= to) {
            hold.is_open = false;
        }
    }
}
