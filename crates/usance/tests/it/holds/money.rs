//! A wallet as somebody would keep it on paper: the reference of the programmes. Amounts are minor units, times seconds.

/// What a request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// The limit is in the way.
    NoRoom,
    /// The request itself is wrong.
    Wrong,
    /// The hold is resolved.
    NotOpen,
}

/// A hold of anything.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    pub(super) is_open: bool,
}

impl Hold {
    /// What settling so much of it is answered with.
    pub(super) fn settling(&self, amount: i64) -> Answer {
        match (self.is_open, amount <= self.amount) {
            (false, _) => Answer::NotOpen,
            (true, false) => Answer::Wrong,
            (true, true) => Answer::Done,
        }
    }

    /// Keeps it open until a time at least.
    pub(super) fn extend(&mut self, until: i64) -> Answer {
        if !self.is_open {
            return Answer::NotOpen;
        }
        self.expires_at = self.expires_at.max(until);
        Answer::Done
    }
}

/// What open holds reserve.
pub(super) fn held(holds: &[Hold]) -> i64 {
    holds.iter().filter(|hold| hold.is_open).map(|hold| hold.amount).sum()
}

#[derive(Debug)]
struct Credit {
    left: i64,
    /// Paid credits come after given ones.
    paid: bool,
    expires_at: Option<i64>,
}

/// The wallet.
#[derive(Debug, Default)]
pub(super) struct Wallet {
    now: i64,
    balance: i64,
    pub(super) debt_limit: i64,
    credits: Vec<Credit>,
    pub(super) holds: Vec<Hold>,
}

impl Wallet {
    /// Balance, held and available.
    pub(super) fn state(&self) -> [i64; 3] {
        [self.balance, held(&self.holds), self.room().max(0)]
    }

    fn room(&self) -> i64 {
        self.balance - held(&self.holds) + self.debt_limit
    }

    /// Puts credits in; they pay what was used without credits first.
    pub(super) fn put_in(&mut self, amount: i64, paid: bool, expires_at: Option<i64>) {
        let covered: i64 = self.credits.iter().map(|credit| credit.left).sum();
        let debt = (covered - self.balance).clamp(0, amount);
        self.credits.push(Credit { left: amount - debt, paid, expires_at });
        self.balance += amount;
    }

    /// Takes out what is asked for, or what was used already.
    pub(super) fn take_out(&mut self, amount: i64, already_used: bool) -> Answer {
        if !already_used && amount > self.room() {
            return Answer::NoRoom;
        }
        self.spend(amount, self.now);
        Answer::Done
    }

    /// Of what could be used at a time: given credits before paid ones, those that expire soonest first, then the oldest.
    fn spend(&mut self, amount: i64, at: i64) {
        self.balance -= amount;
        let mut missing = amount;
        let mut order: Vec<&mut Credit> =
            self.credits.iter_mut().filter(|credit| credit.expires_at.is_none_or(|end| at < end)).collect();
        order.sort_by_key(|credit| (credit.paid, credit.expires_at.unwrap_or(i64::MAX)));
        for credit in order {
            let part = missing.min(credit.left);
            credit.left -= part;
            missing -= part;
        }
    }

    pub(super) fn hold(&self, amount: i64) -> Answer {
        if amount > self.room() { Answer::NoRoom } else { Answer::Done }
    }

    pub(super) fn settle(&mut self, index: usize, amount: i64) -> Answer {
        let hold = self.holds[index].clone();
        let answer = hold.settling(amount);
        if answer == Answer::Done {
            self.spend(amount, hold.created_at);
            self.holds[index].is_open = false;
            self.lose_expired();
        }
        answer
    }

    pub(super) fn set_debt_limit(&mut self, limit: i64) -> Answer {
        if limit + self.balance - held(&self.holds) < 0 {
            return Answer::Wrong;
        }
        self.debt_limit = limit;
        Answer::Done
    }

    /// Lives until a time, from one end of a hold or of credits to the next.
    pub(super) fn advance(&mut self, to: i64) {
        let ends = self.holds.iter().filter(|hold| hold.is_open).map(|hold| hold.expires_at);
        let mut ends: Vec<i64> =
            ends.chain(self.credits.iter().filter_map(|credit| credit.expires_at)).collect();
        ends.sort_unstable();
        for end in ends.into_iter().filter(|end| *end <= to).chain([to]) {
            self.now = self.now.max(end);
            for hold in self.holds.iter_mut().filter(|hold| hold.expires_at <= end) {
                hold.is_open = false;
            }
            self.lose_expired();
        }
    }

    /// Credits whose time is over are lost, but for what holds keep.
    fn lose_expired(&mut self) {
        let now = self.now;
        let over = |credit: &Credit| credit.expires_at.is_some_and(|end| end <= now);
        let left: i64 = self.credits.iter().filter(|credit| over(credit)).map(|credit| credit.left).sum();
        let mut lost = (left - held(&self.holds)).max(0);
        for credit in self.credits.iter_mut().filter(|credit| over(credit)) {
            let part = lost.min(credit.left);
            credit.left -= part;
            self.balance -= part;
            lost -= part;
        }
    }
}
