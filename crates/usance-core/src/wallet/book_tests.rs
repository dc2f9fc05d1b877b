use jiff::Timestamp;
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{
    Book, BookError, Debit, Grant, Hold, HoldCommand, HoldError, HoldStatus, LimitExceeded, Moved, UsageTotal,
};
use crate::decimal::parse_decimal;
use crate::money::Currency;
use crate::programmes::costly_programmes;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn book(balance: i64, debt_limit: i64) -> Book {
    let currency = Currency::parse("USD").unwrap();
    let mut book =
        Book { currency, balance: 0, held: 0, debt_limit, grants: Vec::new(), usage: UsageTotal::default() };
    if balance > 0 {
        book.put_in(grant("first", balance, None)).unwrap();
    }
    book
}

fn grant(id: &str, amount: i64, expires_at: Option<i64>) -> Grant {
    Grant {
        id: id.to_owned(),
        amount: Decimal::from(amount),
        priority: 50,
        effective_at: Timestamp::MIN,
        expires_at: expires_at.map(at),
        created_at: at(0),
    }
}

fn refusal(result: Result<Moved, BookError>) -> LimitExceeded {
    match result {
        Err(BookError::Limit(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_published_vectors_of_the_debt_limit_hold() {
    let mut book = book(100, 500);
    let mut take = |amount| book.take_out(amount, Debit::Asked, at(1));

    assert_eq!(take(400).unwrap(), Moved { before: 100, after: -300, over_limit: false });
    let refused = refusal(take(600));
    assert_eq!((refused.balance, refused.would_be, refused.over_limit), (-300, -900, 400));
    assert_eq!(take(200).unwrap().after, -500);
    assert_eq!(refusal(take(1)).over_limit, 1);
    assert_eq!((book.balance, book.debt_capacity(), book.available()), (-500, 0, 0));
}

#[test]
fn usage_that_happened_is_recorded_beyond_the_limit_and_flagged() {
    let mut book = book(0, 500);

    let moved = book.take_out(700, Debit::AlreadyUsed, at(1)).unwrap();

    assert_eq!(moved, Moved { before: 0, after: -700, over_limit: true });
    assert_eq!(refusal(book.take_out(1, Debit::Asked, at(1))).over_limit, 1);
}

#[test]
fn a_new_grant_pays_what_was_used_on_credit_first() {
    let mut book = book(0, 500);
    book.take_out(300, Debit::Asked, at(1)).unwrap();

    book.put_in(grant("second", 1_000, None)).unwrap();

    assert_eq!((book.balance, book.grants[0].amount), (700, Decimal::from(700)));
}

#[test]
fn usage_is_rounded_as_a_whole_and_its_rest_counts_against_what_is_available() {
    let mut book = book(100, 0);
    let mut debited = Vec::new();
    for _ in 0..7 {
        let moved = book.use_up(parse_decimal("0.003").unwrap(), Debit::Asked, at(1)).unwrap();
        debited.push(moved.amount());
    }

    // 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1 cents
    assert_eq!(debited, [0, 1, 0, 0, 1, 0, 0]);
    assert_eq!((book.balance, book.available()), (98, 97));
    assert_eq!(book.unrounded(), parse_decimal("0.001").unwrap());
}

#[test]
fn usage_below_the_minor_unit_is_refused_at_the_limit() {
    let mut book = book(0, 0);
    let fraction = parse_decimal("0.001").unwrap();

    assert_eq!(refusal(book.use_up(fraction, Debit::Asked, at(1))).attempted, 1);
    assert_eq!(book.use_up(fraction, Debit::AlreadyUsed, at(1)).unwrap().amount(), 0);
    assert_eq!(book.available(), 0);
}

#[test]
fn holds_count_against_the_limit_until_they_are_settled() {
    let mut book = book(100, 500);

    book.hold(550).unwrap();
    assert!(matches!(book.hold(51), Err(BookError::Limit(_))));
    book.hold(50).unwrap();
    assert_eq!(refusal(book.take_out(1, Debit::Asked, at(1))).held, 600);
    let settled = book.settle(550, 120, at(1)).unwrap();

    assert_eq!((settled.before, settled.after), (100, -20));
    assert_eq!((book.held, book.available()), (50, 430));
}

#[test]
fn credits_that_a_hold_reserves_expire_when_they_are_free_again() {
    let mut book = book(0, 0);
    book.put_in(grant("expiring", 100, Some(10))).unwrap();
    book.hold(60).unwrap();

    let lost: Vec<_> = book.expire(at(10)).unwrap().into_iter().map(|(_, moved)| moved.amount()).collect();
    assert_eq!((lost, book.balance, book.available()), (vec![40], 60, 0));
    // What was reserved in time is spent; the rest is lost.
    book.settle(60, 25, at(5)).unwrap();
    let lost: Vec<_> = book.expire(at(11)).unwrap().into_iter().map(|(_, moved)| moved.amount()).collect();
    assert_eq!((lost, book.balance), (vec![35], 0));
    assert!(book.expire(at(12)).unwrap().is_empty());
}

#[test]
fn amounts_at_the_edge_are_refused_and_change_nothing() {
    let mut full = book(i64::MAX, 500);
    let before = full.clone();

    assert_eq!(full.put_in(grant("more", 1, None)), Err(BookError::TooLarge));
    assert_eq!(full, before);
    let mut empty = book(0, i64::MAX);
    assert_eq!(empty.take_out(i64::MAX, Debit::Asked, at(1)).unwrap().after, -i64::MAX);
    assert_eq!(empty.take_out(2, Debit::AlreadyUsed, at(1)), Err(BookError::TooLarge));
    assert_eq!(empty.available(), 0);
}

fn hold(amount: i64) -> Hold<i64> {
    Hold { amount, status: HoldStatus::Open, settled: 0, created_at: at(0), expires_at: at(60) }
}

#[test]
fn a_hold_is_resolved_once() {
    let commands = [HoldCommand::Settle(10), HoldCommand::Release, HoldCommand::Extend(at(90))];
    for first in [HoldCommand::Settle(3), HoldCommand::Release] {
        let resolved = hold(10).apply(first, at(1)).unwrap();
        for again in commands {
            assert_eq!(resolved.apply(again, at(2)), Err(HoldError::NotOpen(resolved.status)));
        }
    }
    for late in commands {
        assert_eq!(hold(10).apply(late, at(60)), Err(HoldError::NotOpen(HoldStatus::Expired)));
    }
}

#[test]
fn a_hold_is_settled_by_at_most_what_it_holds_and_never_shortened() {
    assert_eq!(hold(10).apply(HoldCommand::Settle(11), at(1)), Err(HoldError::AboveHeld { held: 10 }));
    assert_eq!(hold(10).apply(HoldCommand::Settle(10), at(59)).unwrap().settled, 10);
    assert_eq!(hold(10).apply(HoldCommand::Extend(at(30)), at(1)).unwrap().expires_at, at(60));
    assert_eq!(hold(10).apply(HoldCommand::Extend(at(90)), at(1)).unwrap().expires_at, at(90));
    assert_eq!(HoldStatus::parse("expired"), Some(HoldStatus::Expired));
}

/// One thing that happens to a wallet.
#[derive(Debug, Clone)]
enum Step {
    PutIn(i64, Option<i64>),
    TakeOut(i64, bool),
    UseUp(i64, bool),
    Hold(i64),
    Settle(i64),
    Release,
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1_i64..400, prop::option::of(0_i64..60)).prop_map(|(amount, expiry)| Step::PutIn(amount, expiry)),
        (1_i64..400, prop::bool::weighted(0.1)).prop_map(|(amount, used)| Step::TakeOut(amount, used)),
        (0_i64..40_000, prop::bool::weighted(0.1)).prop_map(|(digits, used)| Step::UseUp(digits, used)),
        (1_i64..400).prop_map(Step::Hold),
        (0_i64..400).prop_map(Step::Settle),
        Just(Step::Release),
        (0_i64..20).prop_map(Step::Wait),
    ]
}

/// The book with what a bookkeeper without grants would know of it.
struct Model {
    book: Book,
    now: i64,
    granted: i64,
    spent: i64,
    lost: i64,
    above_limit: i64,
    holds: Vec<(i64, Timestamp)>,
}

impl Model {
    fn take(&mut self, result: &Result<Moved, BookError>, before: &Book) {
        match result {
            Ok(moved) => {
                self.spent += moved.amount();
                self.above_limit += if moved.over_limit { moved.amount() } else { 0 };
            }
            Err(_) => assert_eq!(&self.book, before, "a refusal changes nothing"),
        }
    }

    fn run(&mut self, number: usize, step: &Step) {
        let (before, now) = (self.book.clone(), at(self.now));
        let debit = |used: bool| if used { Debit::AlreadyUsed } else { Debit::Asked };
        match *step {
            Step::PutIn(amount, expiry) => {
                let new = grant(&format!("g{number}"), amount, expiry.map(|after| self.now + after + 1));
                self.book.put_in(new).unwrap();
                self.granted += amount;
            }
            Step::TakeOut(amount, used) => {
                let result = self.book.take_out(amount, debit(used), now);
                self.take(&result, &before);
            }
            Step::UseUp(digits, used) => {
                let result = self.book.use_up(Decimal::new(digits, 4), debit(used), now);
                self.take(&result, &before);
            }
            Step::Hold(amount) => match self.book.hold(amount) {
                Ok(()) => self.holds.push((amount, now)),
                Err(_) => assert_eq!(self.book, before),
            },
            Step::Settle(amount) => {
                if let Some((held, held_at)) = self.holds.pop() {
                    let result = self.book.settle(held, amount.min(held), held_at);
                    self.take(&result, &before);
                    self.expire();
                }
            }
            Step::Release => {
                if let Some((held, _)) = self.holds.pop() {
                    self.book.free(held);
                    self.expire();
                }
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                self.expire();
            }
        }
    }

    /// What a hold kept from expiring is lost as soon as it is free, before anybody else can take it.
    fn expire(&mut self) {
        let lost = self.book.expire(at(self.now)).unwrap();
        self.lost += lost.iter().map(|(_, moved)| moved.amount()).sum::<i64>();
    }

    fn check(&self) {
        let book = &self.book;
        assert_eq!(book.balance, self.granted - self.spent - self.lost);
        assert_eq!(book.held, self.holds.iter().map(|(held, _)| held).sum::<i64>());
        assert!(book.balance - book.held + book.debt_limit + self.above_limit >= 0, "{book:?}");
        let left: Decimal = book.grants.iter().map(|grant| grant.amount).sum();
        assert!(book.grants.iter().all(|grant| grant.amount >= Decimal::ZERO), "{book:?}");
        assert!(left >= Decimal::from(book.balance), "what grants have left covers the balance: {book:?}");
        assert!(book.unrounded().abs() <= parse_decimal("0.005").unwrap(), "{book:?}");
    }
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn no_programme_loses_money_or_passes_the_limit(steps in prop::collection::vec(any_step(), 0..60), limit in 0_i64..600) {
        let mut model = Model {
            book: book(0, limit), now: 0, granted: 0, spent: 0, lost: 0, above_limit: 0, holds: Vec::new(),
        };
        for (number, step) in steps.iter().enumerate() {
            model.run(number, step);
            model.check();
        }
    }
}
