//! Times an invoice of ten lines beside an empty page in the same run: the ratio holds on any machine.

#[path = "../tests/render/fixture.rs"]
mod fixture;

use std::time::{Duration, Instant};

/// Enough for a stable median, and over in seconds.
const ROUNDS: usize = 50;
const LINES: u32 = 10;

#[expect(clippy::print_stdout, reason = "the numbers are what a benchmark is for")]
fn main() {
    let first = timed(|| invoice(0));
    let invoices = median((1..=ROUNDS).map(|round| timed(|| invoice(round))).collect());
    let pages = median((0..ROUNDS).map(|_| timed(empty_page)).collect());
    let ratio = invoices.as_micros() / pages.as_micros().max(1);
    println!("first invoice of the process, fonts included: {first:?}");
    println!("median of {ROUNDS} invoices of {LINES} lines: {invoices:?}");
    println!("median of {ROUNDS} empty pages: {pages:?} (an invoice takes about {ratio} times that)");
}

fn invoice(round: usize) {
    let mut document = fixture::invoice(LINES);
    document.customer = fixture::customer(&format!("Customer {round}"));
    let pdf = usance_pdf::render(&document).expect("the fixture can be laid out");
    assert!(pdf.missing_characters.is_empty(), "a font is missing");
}

fn empty_page() {
    let pdf = usance_pdf::render_empty_page().expect("an empty page can be laid out");
    assert!(pdf.starts_with(b"%PDF"), "the result is no PDF");
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
