use proptest::prelude::*;

use super::{
    CreditNote, CreditNoteError, CreditRequest, CreditSplit, InvoiceBalance, IssuedLine, LineCredit,
    credit_note, refund_cap, split_credit,
};
use crate::invoice::TaxBehavior;
use crate::money::{Currency, Money};
use crate::programmes::costly_programmes;

fn currency() -> Currency {
    Currency::parse("USD").unwrap()
}

fn usd(minor: i64) -> Money {
    Money::new(minor, currency())
}

fn line(amount: i64, discount: i64, taxes: &[i64]) -> IssuedLine {
    IssuedLine {
        amount: usd(amount),
        discount: usd(discount),
        taxes: taxes.iter().map(|tax| usd(*tax)).collect(),
        credited: LineCredit::none(currency(), taxes.len()),
    }
}

fn credit(lines: &[IssuedLine], request: &CreditRequest) -> Result<CreditNote, CreditNoteError> {
    credit_note(currency(), TaxBehavior::Exclusive, lines, request)
}

/// Records a note on the lines, as later notes see it.
fn record(lines: &mut [IssuedLine], note: &CreditNote) {
    for (line, credit) in lines.iter_mut().zip(&note.lines) {
        line.credited.amount = line.credited.amount.checked_add(credit.amount).unwrap();
        for (taken, tax) in line.credited.taxes.iter_mut().zip(&credit.taxes) {
            *taken = taken.checked_add(*tax).unwrap();
        }
    }
}

fn figures(note: &CreditNote) -> [i64; 3] {
    [note.subtotal, note.tax, note.total].map(|money| money.minor())
}

// Published as "lago-cn-*" in the conformance cases.
#[test]
fn each_component_is_rounded_and_the_total_is_their_sum() {
    for (amount, tax, asked, expected) in [
        (20_000, 5_000, 19_333, [19_333, 4_833, 24_166]),
        (16_000, 4_000, 15_467, [15_467, 3_867, 19_334]),
        (3_929, 786, 3_750, [3_750, 750, 4_500]),
    ] {
        let note = credit(&[line(amount, 0, &[tax])], &CreditRequest::Amount(usd(asked))).unwrap();
        assert_eq!(figures(&note), expected);
    }
}

#[test]
fn the_last_credit_takes_exactly_what_is_left() {
    // given a line of 1.00 whose taxes do not divide by three
    let mut lines = [line(110, 10, &[19, 1])];

    // when it is credited in thirds and then in full
    let mut notes = Vec::new();
    for request in
        [CreditRequest::Amount(usd(33)), CreditRequest::Lines(vec![(0, usd(33))]), CreditRequest::Full]
    {
        let note = credit(&lines, &request).unwrap();
        record(&mut lines, &note);
        notes.push(figures(&note));
    }

    // then the notes add up to the bill, and nothing is left
    assert_eq!(notes, [[33, 6, 39], [33, 8, 41], [34, 6, 40]]);
    assert_eq!(credit(&lines, &CreditRequest::Full), Err(CreditNoteError::NothingLeft));
}

#[test]
fn an_amount_is_divided_over_what_is_left_of_the_lines() {
    let mut lines = [line(1_000, 0, &[100]), line(3_000, 0, &[0]), line(-500, 0, &[-50])];

    let note = credit(&lines, &CreditRequest::Amount(usd(400))).unwrap();
    record(&mut lines, &note);

    assert_eq!(note.lines.iter().map(|line| line.amount.minor()).collect::<Vec<_>>(), [100, 300, 0]);
    assert_eq!(figures(&credit(&lines, &CreditRequest::Full).unwrap()), [3_100, 40, 3_140]);
}

#[test]
fn a_tax_inside_of_the_line_is_not_added_again() {
    let note = credit_note(
        currency(),
        TaxBehavior::Inclusive,
        &[line(1_200, 0, &[200])],
        &CreditRequest::Amount(usd(600)),
    );

    assert_eq!(figures(&note.unwrap()), [600, 100, 600]);
}

#[test]
fn credits_beyond_the_invoice_are_refused() {
    let lines = [line(1_000, 200, &[80]), line(-300, 0, &[])];
    let refused = |request| credit(&lines, &request).unwrap_err();
    let above = |asked| CreditNoteError::AboveInvoice { asked: usd(asked), left: usd(500) };
    let chosen = |minor| CreditRequest::Lines(vec![(0, usd(minor))]);

    assert_eq!(refused(CreditRequest::Amount(usd(501))), above(501));
    assert_eq!(refused(chosen(700)), above(700));
    assert_eq!(refused(chosen(801)), CreditNoteError::AboveLine { line: 0, asked: usd(801), left: usd(800) });
    assert_eq!(refused(chosen(0)), CreditNoteError::NotPositive);
    assert_eq!(refused(CreditRequest::Amount(usd(-1))), CreditNoteError::NotPositive);
    assert_eq!(refused(CreditRequest::Lines(Vec::new())), CreditNoteError::NotPositive);
    assert_eq!(refused(CreditRequest::Lines(vec![(2, usd(1))])), CreditNoteError::UnknownLine { line: 2 });
    assert_eq!(
        refused(CreditRequest::Lines(vec![(0, usd(1)), (0, usd(1))])),
        CreditNoteError::LineTwice { line: 0 }
    );
    let euro = CreditRequest::Amount(Money::new(1, Currency::parse("EUR").unwrap()));
    assert!(matches!(refused(euro), CreditNoteError::Amount(_)));
    assert_eq!(credit(&[], &CreditRequest::Full), Err(CreditNoteError::NothingLeft));
}

#[test]
fn refunds_never_exceed_what_was_paid() {
    for (paid, before, wanted, expected) in
        [(200, 50, 100, 100), (200, 180, 200, 20), (200, 200, 100, 0), (200, 250, 100, 0)]
    {
        assert_eq!(refund_cap(usd(paid), usd(before), usd(wanted)), Ok(usd(expected)));
    }
}

fn balance(due: i64, paid: i64, from_balance: i64, refunded: i64, to_balance: i64) -> InvoiceBalance {
    InvoiceBalance {
        due: usd(due),
        paid: usd(paid),
        from_balance: usd(from_balance),
        refunded: usd(refunded),
        to_balance: usd(to_balance),
    }
}

fn parts(split: &CreditSplit) -> [i64; 3] {
    [split.reduces_due, split.refund, split.to_balance].map(|money| money.minor())
}

#[test]
fn a_credit_reduces_what_is_due_before_anything_is_paid_back() {
    let balance = balance(300, 700, 600, 600, 0);
    for (total, wanted, expected) in [
        (200, 200, [200, 0, 0]),
        (350, 0, [300, 0, 50]),
        (350, 50, [300, 50, 0]),
        (1_000, 1_000, [300, 100, 600]),
    ] {
        assert_eq!(parts(&split_credit(usd(total), balance, usd(wanted)).unwrap()), expected);
    }
}

#[test]
fn nothing_is_given_back_that_was_not_paid() {
    for (balance, left, refundable) in [
        (balance(0, 700, 300, 0, 0), 1_000, 700),
        (balance(0, 700, 300, 500, 0), 500, 200),
        (balance(0, 700, 300, 0, 600), 400, 400),
        (balance(0, 700, 300, 700, 300), 0, 0),
    ] {
        assert_eq!((balance.left(), balance.refundable()), (Ok(usd(left)), Ok(usd(refundable))));
        assert!(split_credit(usd(left), balance, usd(left)).is_ok());
        assert_eq!(
            split_credit(usd(left + 1), balance, usd(0)),
            Err(CreditNoteError::AbovePaid { asked: usd(left + 1), left: usd(left) })
        );
    }
}

fn any_lines() -> impl Strategy<Value = Vec<IssuedLine>> {
    let line = (0_i64..10_000, 0_i64..=100, prop::collection::vec(0_i64..=3_000, 0..3)).prop_map(
        |(net, discount, taxes)| line(net + discount, discount, if net == 0 { &[] } else { &taxes }),
    );
    prop::collection::vec(line, 1..5)
}

/// Requests of any kind, as shares of what is left at their turn.
fn any_requests() -> impl Strategy<Value = Vec<(Option<usize>, i64)>> {
    prop::collection::vec((prop::option::of(0_usize..5), 1_i64..=1_000), 0..8)
}

fn request(lines: &[IssuedLine], place: Option<usize>, per_mille: i64) -> CreditRequest {
    let left = |line: &IssuedLine| line.left().unwrap().minor();
    match place {
        Some(place) => {
            let place = place % lines.len();
            CreditRequest::Lines(vec![(place, usd(left(&lines[place]) * per_mille / 1_000))])
        }
        None => CreditRequest::Amount(usd(lines.iter().map(left).sum::<i64>() * per_mille / 1_000)),
    }
}

proptest! {
    #![proptest_config(costly_programmes())]

    #[test]
    fn credits_never_exceed_the_bill_and_end_at_it_in_any_order(mut lines in any_lines(), mut requests in any_requests(), backwards in any::<bool>()) {
        if backwards {
            requests.reverse();
        }
        for (place, per_mille) in requests {
            // given a request that may be too small to be one
            let request = request(&lines, place, per_mille);

            // when it is credited
            match credit(&lines, &request) {
                Ok(note) => {
                    prop_assert_eq!(note.total.minor(), note.subtotal.minor() + note.tax.minor());
                    record(&mut lines, &note);
                }
                Err(error) => prop_assert_eq!(error, CreditNoteError::NotPositive),
            }

            // then no line and no tax is below zero or beyond its bill
            for line in &lines {
                prop_assert!((0..=line.billed().unwrap().minor()).contains(&line.credited.amount.minor()));
                for (taken, billed) in line.credited.taxes.iter().zip(&line.taxes) {
                    prop_assert!((0..=billed.minor()).contains(&taken.minor()));
                }
            }
        }
        if let Ok(note) = credit(&lines, &CreditRequest::Full) {
            record(&mut lines, &note);
        }
        for line in &lines {
            prop_assert_eq!(line.credited.amount, line.billed().unwrap());
            prop_assert_eq!(&line.credited.taxes, &line.taxes);
        }
    }

    #[test]
    fn the_parts_of_a_split_add_up(total in 0_i64..1_000, due in -100_i64..1_000, paid in 0_i64..1_000, refunded in 0_i64..1_000, wanted in -100_i64..1_500) {
        let balance = balance(due, paid, 0, refunded, 0);

        match split_credit(usd(total), balance, usd(wanted)) {
            Ok(split) => {
                let parts = parts(&split);
                prop_assert_eq!(parts.iter().sum::<i64>(), total);
                prop_assert!(parts.iter().all(|part| *part >= 0));
                prop_assert!(parts[1] + parts[2] <= (paid - refunded).max(0));
            }
            Err(_) => prop_assert!(total - due.max(0) > (paid - refunded).max(0)),
        }
    }

    #[test]
    fn no_sequence_of_credits_and_refunds_gives_back_more_than_was_paid(billed in 1_i64..1_000, from_balance in 0_i64..1_000, steps in prop::collection::vec(any_step(), 0..12)) {
        // given an invoice that the customer's balance pays in part
        let from_balance = from_balance.min(billed);
        let mut credited = 0;
        let mut state = balance(billed - from_balance, 0, from_balance, 0, 0);
        for step in steps {
            // when anything happens to it
            match step {
                GiveBack::Pay => {
                    state.paid = usd(state.paid.minor() + state.due.minor());
                    state.due = usd(0);
                }
                GiveBack::Note { total, wanted } => {
                    let total = total.min(billed - credited);
                    if let Ok(split) = split_credit(usd(total), state, usd(wanted)) {
                        let [reduced, refund, to_balance] = parts(&split);
                        credited += total;
                        state.due = usd(state.due.minor() - reduced);
                        state.refunded = usd(state.refunded.minor() + refund);
                        state.to_balance = usd(state.to_balance.minor() + to_balance);
                    }
                }
                GiveBack::Refund(amount) => {
                    let amount = amount.min(state.refundable().unwrap().minor());
                    state.refunded = usd(state.refunded.minor() + amount);
                }
                GiveBack::Fail(amount) => {
                    // A refund of a credit note that fails is kept as a balance.
                    let amount = amount.min(state.refunded.minor());
                    state.refunded = usd(state.refunded.minor() - amount);
                    state.to_balance = usd(state.to_balance.minor() + amount);
                }
            }

            // then neither the gateway nor anyone gives back more than came in
            prop_assert!(state.due.minor() >= 0);
            prop_assert!(state.refunded.minor() <= state.paid.minor());
            let given = state.refunded.minor() + state.to_balance.minor();
            prop_assert!(given <= state.paid.minor() + from_balance, "{:?}", state);
        }
    }
}

#[derive(Debug, Clone)]
enum GiveBack {
    Pay,
    Note { total: i64, wanted: i64 },
    Refund(i64),
    Fail(i64),
}

fn any_step() -> impl Strategy<Value = GiveBack> {
    prop_oneof![
        Just(GiveBack::Pay),
        (1_i64..1_000, 0_i64..1_000).prop_map(|(total, wanted)| GiveBack::Note { total, wanted }),
        (1_i64..1_000).prop_map(GiveBack::Refund),
        (1_i64..1_000).prop_map(GiveBack::Fail),
    ]
}
