//! The invoice and its explanation as text: at most 100 columns, and readable without colours.

use std::fmt::{self, Write};

use super::{
    answers::{ExplainedLine, Explanation, Invoice, Line, Money},
    figures::{grouped, major},
};

/// Columns of the invoice.
const WIDTH: usize = 78;
const QUANTITY_WIDTH: usize = 16;
const UNIT_WIDTH: usize = 14;
const AMOUNT_WIDTH: usize = 16;
/// The rest, less the signs between the columns.
const DESCRIPTION_WIDTH: usize = WIDTH - QUANTITY_WIDTH - UNIT_WIDTH - AMOUNT_WIDTH - 6;

/// Who bills whom.
pub(super) struct Parties {
    pub(super) seller: String,
    pub(super) customer: String,
}

/// Lays out the invoice, and behind it how each line came about.
pub(super) fn text(explanation: &Explanation, parties: &Parties) -> String {
    let mut text = String::new();
    write_all(&mut text, explanation, parties).expect("a String takes every write");
    text
}

fn write_all(out: &mut String, explanation: &Explanation, parties: &Parties) -> fmt::Result {
    let invoice = &explanation.invoice;
    write_head(out, invoice, parties)?;
    for line in &invoice.lines {
        let explained = explanation.lines.iter().find(|explained| explained.line == line.id);
        write_line(out, line, explained)?;
    }
    write_totals(out, explanation)?;
    writeln!(
        out,
        "\nHow it came about (plan {}, version {})",
        explanation.plan.code, explanation.plan.version
    )?;
    explanation.lines.iter().try_for_each(|line| write_explanation(out, line))?;
    writeln!(out, "\nThe same as JSON: GET /api/v1/invoices/{}/explain", invoice.id)
}

fn write_head(out: &mut String, invoice: &Invoice, parties: &Parties) -> fmt::Result {
    let title = format!("Invoice {}", invoice.number.as_deref().unwrap_or("(draft)"));
    let status = invoice.status.to_uppercase();
    let room = WIDTH - title.chars().count().min(WIDTH);
    writeln!(out, "{}", "═".repeat(WIDTH))?;
    writeln!(out, "{title}{status:>room$}")?;
    writeln!(out, "{}", "─".repeat(WIDTH))?;
    writeln!(out, "From      {}", shortened(&parties.seller, WIDTH - 10))?;
    writeln!(out, "To        {}", shortened(&parties.customer, WIDTH - 10))?;
    writeln!(out, "Period    {} up to {}", invoice.period.start, invoice.period.end)?;
    writeln!(out)?;
    let currency = format!("Amount {}", invoice.total.currency);
    write_row(out, ["Description", "Quantity", " ", "Unit price", " ", &currency])?;
    writeln!(out, "{}", "─".repeat(WIDTH))
}

fn write_line(out: &mut String, line: &Line, explained: Option<&ExplainedLine>) -> fmt::Result {
    let (times, unit) = match explained.map(|explained| explained.arithmetic.as_slice()) {
        Some([only]) => ("×", grouped(only.unit)),
        // A line of several steps is spelt out below.
        _ => (" ", "see below".to_owned()),
    };
    write_row(out, [&line.description, &grouped(line.quantity), times, &unit, "=", &major(&line.amount)])
}

fn write_row(
    out: &mut String,
    [description, quantity, times, unit, equals, amount]: [&str; 6],
) -> fmt::Result {
    let description = shortened(description, DESCRIPTION_WIDTH);
    writeln!(
        out,
        "{description:<DESCRIPTION_WIDTH$}{quantity:>QUANTITY_WIDTH$} {times} {unit:<UNIT_WIDTH$} {equals} {amount:>AMOUNT_WIDTH$}"
    )
}

fn write_totals(out: &mut String, explanation: &Explanation) -> fmt::Result {
    let invoice = &explanation.invoice;
    let rates: Vec<String> = explanation.lines.first().map_or_else(Vec::new, |line| {
        line.taxes.iter().map(|tax| format!("{} {} %", tax.name, grouped(tax.percent))).collect()
    });
    let tax = if rates.is_empty() { "tax".to_owned() } else { rates.join(" + ") };
    writeln!(out, "{}", "─".repeat(WIDTH))?;
    let sums = [
        ("subtotal", &invoice.subtotal),
        (&tax, &invoice.tax),
        ("total", &invoice.total),
        ("still due", &invoice.amount_due),
    ];
    for (name, amount) in sums {
        let room = WIDTH - AMOUNT_WIDTH;
        writeln!(out, "{:>room$}{:>AMOUNT_WIDTH$}", shortened(name, room), major(amount))?;
    }
    writeln!(out, "{}", "═".repeat(WIDTH))
}

fn write_explanation(out: &mut String, line: &ExplainedLine) -> fmt::Result {
    writeln!(out, "\n  {}: {} {}", line.price, line.charge_model, line.parameters)?;
    for step in &line.arithmetic {
        writeln!(out, "    {} × {} = {}", grouped(step.quantity), grouped(step.unit), grouped(step.amount))?;
    }
    let amount = format!("{} {}", line.amount.currency, major(&line.amount));
    writeln!(out, "    {} rounded once is {amount}", grouped(line.exact_amount))?;
    for tax in &line.taxes {
        let amount = Money { amount_minor: tax.amount_minor, ..line.amount.clone() };
        writeln!(
            out,
            "    {} {} % of it is {} {}",
            tax.name,
            grouped(tax.percent),
            amount.currency,
            major(&amount)
        )?;
    }
    let Some(events) = &line.events else { return Ok(()) };
    write!(out, "    from {} events", grouped(events.count.into()))?;
    if let (Some(first), Some(last)) = (events.first_at, events.last_at) {
        write!(out, ", {first} to {last}")?;
    }
    writeln!(out, "\n    whose set has the digest {}", events.digest)
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
