//! The figures: integers all the way, because the product has no floats; a decimal point is only printed.

use crate::figures::{grouped, hundredths, median, microseconds, tenths};
use crate::load::Drive;
use crate::plot::{Bar, Panel};
use crate::sides::Side;
use comfy_table::{CellAlignment, Table, presets};

const HEADER: [&str; 8] = [
    "round",
    "side",
    "requests/s",
    "µs each",
    "to authenticated",
    "to constant",
    "p50 µs at half load",
    "p99 µs at half load",
];

/// What one run of a side showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    side: Side,
    per_second: u64,
    /// To the same round's constant answer behind middleware and authentication.
    to_constant_hundredths: u64,
    /// To the same round's constant answer alone.
    to_bare_hundredths: u64,
    p50_microseconds: u64,
    p99_microseconds: u64,
}

impl Figures {
    /// Makes figures of a run at full load and one at half load; the ratios come when the round is known.
    pub(crate) fn new(side: Side, full: &Drive, half: &Drive) -> Self {
        Self {
            side,
            per_second: full.per_second(),
            to_constant_hundredths: 0,
            to_bare_hundredths: 0,
            p50_microseconds: microseconds(half.p50),
            p99_microseconds: microseconds(half.p99),
        }
    }

    fn cells(&self, round: &str) -> [String; 8] {
        [
            round.to_owned(),
            self.side.name().to_owned(),
            grouped(self.per_second),
            tenths(10_000_000 / self.per_second.max(1)),
            hundredths(self.to_constant_hundredths),
            hundredths(self.to_bare_hundredths),
            grouped(self.p50_microseconds),
            grouped(self.p99_microseconds),
        ]
    }
}

/// Sets the ratios of a round to its own constant answers, so that a machine which slows down slows both sides of a ratio.
pub(crate) fn set_ratios(round: &mut [Figures]) {
    let of = |side| round.iter().find(|it| it.side == side).map_or(1, |it| it.per_second.max(1));
    let (constant, bare) = (of(Side::Constant), of(Side::Bare));
    for figures in round {
        figures.to_constant_hundredths = figures.per_second * 100 / constant;
        figures.to_bare_hundredths = figures.per_second * 100 / bare;
    }
}

/// Renders every run.
pub(crate) fn rounds(rounds: &[Vec<Figures>]) -> String {
    let mut table = table();
    for (index, round) in rounds.iter().enumerate() {
        for figures in round {
            table.add_row(figures.cells(&(index + 1).to_string()));
        }
    }
    table.to_string()
}

/// Returns the medians over the rounds, each figure for itself.
pub(crate) fn medians(rounds: &[Vec<Figures>]) -> Vec<Figures> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let of_side = first.iter().enumerate().map(|(index, figures)| {
        let over = |figure: fn(&Figures) -> u64| {
            median(rounds.iter().filter_map(|round| round.get(index)).map(figure).collect())
        };
        Figures {
            side: figures.side,
            per_second: over(|it| it.per_second),
            to_constant_hundredths: over(|it| it.to_constant_hundredths),
            to_bare_hundredths: over(|it| it.to_bare_hundredths),
            p50_microseconds: over(|it| it.p50_microseconds),
            p99_microseconds: over(|it| it.p99_microseconds),
        }
    });
    of_side.collect()
}

/// Renders the medians.
pub(crate) fn summary(medians: &[Figures]) -> String {
    let mut table = table();
    for figures in medians {
        table.add_row(figures.cells("median"));
    }
    format!(
        "{table}\nRatios are to the constant answers of the same round; client and servers share the machine."
    )
}

/// Draws the sides beside each other.
pub(crate) fn panels(rounds: &[Vec<Figures>]) -> Vec<Panel> {
    type Figure = fn(&Figures) -> u64;
    let panel = |title: &str, unit, write: fn(u64) -> String, figures: &[(&str, Figure)]| {
        let sides = rounds.first().into_iter().flatten().enumerate();
        let bars = sides.flat_map(|(place, side)| {
            figures.iter().map(move |(label, figure)| {
                Bar::of((side.side.name(), (*label).to_owned()), rounds, place, *figure)
            })
        });
        Panel { title: title.to_owned(), unit, write, bars: bars.collect(), limits: Vec::new() }
    };
    let rate: Figure = |it| it.per_second;
    let latencies: [(&str, Figure); 2] =
        [("p50", |it| it.p50_microseconds), ("p99", |it| it.p99_microseconds)];
    vec![
        panel("Requests as fast as they are answered", "requests/s", grouped, &[("full load", rate)]),
        panel(
            "Ratio to the authenticated constant answer",
            "ratio",
            hundredths,
            &[("full load", |it| it.to_constant_hundredths)],
        ),
        panel("Latency at half of that rate", "µs", grouped, &latencies),
    ]
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(HEADER);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != 1 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
