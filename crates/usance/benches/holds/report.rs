//! The figures: integers all the way, because the product has no floats; a decimal point is only printed.

use crate::Side;
use crate::cpu::CpuTime;
use crate::figures::{grouped, hundredths, median, microseconds, tenths};
use crate::plot::{Bar, Panel};
use comfy_table::{CellAlignment, Table, presets};
use std::thread::available_parallelism;
use std::time::Duration;

const TARGET_TO_BATCHED_HUNDREDTHS: u64 = 50;
const TARGET_TO_SINGLE_HUNDREDTHS: u64 = 500;

/// What other processes may take of the machine before the report warns.
const NOISE_PERCENT: u64 = 10;

const HEADER: [&str; 10] = [
    "round",
    "side",
    "batch",
    "reservations/s",
    "to batched",
    "to single",
    "server µs",
    "PG µs",
    "client µs",
    "others %",
];

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    side: Side,
    /// Reservations of a commit, on average.
    pub(crate) batch: u64,
    per_second: u64,
    /// To the same round's batched SQL.
    to_batched_hundredths: u64,
    /// To the same round's single updates.
    to_single_hundredths: u64,
    /// CPU per reservation.
    server_tenths_of_microseconds: u64,
    postgres_tenths_of_microseconds: u64,
    client_tenths_of_microseconds: u64,
    /// CPU that other processes used, of all there was.
    others_percent: u64,
}

impl Figures {
    /// Makes figures of a measured run; the ratios come when the round is known.
    pub(crate) fn new(side: Side, (requests, batch): (u64, u64), elapsed: Duration, cpu: CpuTime) -> Self {
        let elapsed = microseconds(elapsed).max(1);
        let requests = requests.max(1);
        let cores = available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1));
        Self {
            side,
            batch,
            per_second: requests.saturating_mul(1_000_000) / elapsed,
            to_batched_hundredths: 0,
            to_single_hundredths: 0,
            server_tenths_of_microseconds: cpu.server * 10 / requests,
            postgres_tenths_of_microseconds: cpu.postgres * 10 / requests,
            client_tenths_of_microseconds: cpu.client * 10 / requests,
            others_percent: cpu.others * 100 / elapsed.saturating_mul(cores),
        }
    }

    fn cells(&self, round: &str) -> [String; 10] {
        [
            round.to_owned(),
            self.side.name().to_owned(),
            grouped(self.batch),
            grouped(self.per_second),
            hundredths(self.to_batched_hundredths),
            hundredths(self.to_single_hundredths),
            tenths(self.server_tenths_of_microseconds),
            tenths(self.postgres_tenths_of_microseconds),
            tenths(self.client_tenths_of_microseconds),
            self.others_percent.to_string(),
        ]
    }
}

/// Sets the ratios of a round to its own sides, so that a machine which slows down slows both sides of a ratio.
pub(crate) fn set_ratios(round: &mut [Figures]) {
    let of = |side| round.iter().find(|it| it.side == side).map_or(1, |it| it.per_second.max(1));
    let (batched, single) = (of(Side::Batched), of(Side::Single));
    for figures in round {
        figures.to_batched_hundredths = figures.per_second * 100 / batched;
        figures.to_single_hundredths = figures.per_second * 100 / single;
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
            batch: over(|it| it.batch),
            per_second: over(|it| it.per_second),
            to_batched_hundredths: over(|it| it.to_batched_hundredths),
            to_single_hundredths: over(|it| it.to_single_hundredths),
            server_tenths_of_microseconds: over(|it| it.server_tenths_of_microseconds),
            postgres_tenths_of_microseconds: over(|it| it.postgres_tenths_of_microseconds),
            client_tenths_of_microseconds: over(|it| it.client_tenths_of_microseconds),
            others_percent: over(|it| it.others_percent),
        }
    });
    of_side.collect()
}

/// Renders the medians and holds them against the targets.
pub(crate) fn summary(medians: &[Figures]) -> String {
    let mut table = table();
    for figures in medians {
        table.add_row(figures.cells("median"));
    }
    let Some(http) = medians.iter().find(|it| it.side == Side::Http) else { return table.to_string() };
    let word = |is_met| if is_met { "met" } else { "MISSED" };
    format!(
        "{table}\n\
         CPU times are per reservation; PG is PostgreSQL; ratios are to the other sides of the same round.\n\
         Target, to batched SQL: at least {}: {} ({})\n\
         Target, to single updates: at least {}: {} ({})",
        hundredths(TARGET_TO_BATCHED_HUNDREDTHS),
        hundredths(http.to_batched_hundredths),
        word(http.to_batched_hundredths >= TARGET_TO_BATCHED_HUNDREDTHS),
        hundredths(TARGET_TO_SINGLE_HUNDREDTHS),
        hundredths(http.to_single_hundredths),
        word(http.to_single_hundredths >= TARGET_TO_SINGLE_HUNDREDTHS),
    )
}

/// Warns if other processes kept the machine busy during a run.
pub(crate) fn noise(rounds: &[Vec<Figures>]) -> Option<String> {
    let most = rounds.iter().flatten().map(|figures| figures.others_percent).max()?;
    (most >= NOISE_PERCENT)
        .then(|| format!("Other processes took up to {most} % of the machine: compare ratios only"))
}

/// Draws the sides beside each other.
pub(crate) fn panels(rounds: &[Vec<Figures>]) -> Vec<Panel> {
    type Figure = fn(&Figures) -> u64;
    let panel = |title: &str, (unit, write): (&'static str, fn(u64) -> String), figure: Figure, limits| {
        let sides = rounds.first().into_iter().flatten().enumerate();
        let bars = sides.map(|(place, side)| {
            Bar::of((side.side.name(), side.side.name().to_owned()), rounds, place, figure)
        });
        Panel { title: title.to_owned(), unit, write, bars: bars.collect(), limits }
    };
    let to_batched = vec![("target of HTTP", TARGET_TO_BATCHED_HUNDREDTHS)];
    let to_single = vec![("target of HTTP", TARGET_TO_SINGLE_HUNDREDTHS)];
    vec![
        panel("Throughput", ("reservations/s", grouped), |it| it.per_second, Vec::new()),
        panel("Ratio to batched SQL", ("ratio", hundredths), |it| it.to_batched_hundredths, to_batched),
        panel("Ratio to single updates", ("ratio", hundredths), |it| it.to_single_hundredths, to_single),
        panel(
            "CPU of a reservation, server and PostgreSQL",
            ("µs", tenths),
            |it| it.server_tenths_of_microseconds + it.postgres_tenths_of_microseconds,
            Vec::new(),
        ),
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
