//! The figures: integers all the way, because the product has no floats; a decimal point is only printed.

use crate::cpu::CpuTime;
use crate::figures::{grouped, hundredths, median, microseconds, tenths};
use crate::load::Drive;
use crate::{Load, Side};
use comfy_table::{CellAlignment, Table, presets};
use std::thread::available_parallelism;

/// The batch whose runs the target and the ratio are about.
pub(crate) const REFERENCE_BATCH: u64 = 1_000;

const TARGET_RATIO_HUNDREDTHS: u64 = 50;
const TARGET_EVENTS_PER_SECOND: u64 = 40_000;
/// The baseline of a machine on which the absolute target holds.
const TARGET_BASELINE: u64 = 100_000;

/// What other processes may take of the machine before the report warns.
const NOISE_PERCENT: u64 = 10;

const HEADER: [&str; 11] = [
    "round",
    "side",
    "batch",
    "conns",
    "events/s",
    "ratio",
    "p99 ms",
    "server µs",
    "PG µs",
    "client µs",
    "others %",
];

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) load: Load,
    events_per_second: u64,
    /// To the baseline of the same round, in batches of [`REFERENCE_BATCH`].
    ratio_hundredths: u64,
    p99_microseconds: u64,
    /// CPU per event.
    server_tenths_of_microseconds: u64,
    postgres_tenths_of_microseconds: u64,
    client_tenths_of_microseconds: u64,
    /// CPU that other processes used, of all there was.
    others_percent: u64,
}

impl Figures {
    /// Makes figures of a measured run; the ratio comes when the round's baseline is known.
    pub(crate) fn new(load: Load, drive: &Drive, cpu: CpuTime) -> Self {
        let elapsed = microseconds(drive.elapsed).max(1);
        let events = load.events.max(1);
        let cores = available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1));
        Self {
            load,
            events_per_second: load.events.saturating_mul(1_000_000) / elapsed,
            ratio_hundredths: 0,
            p99_microseconds: microseconds(drive.p99),
            server_tenths_of_microseconds: cpu.server * 10 / events,
            postgres_tenths_of_microseconds: cpu.postgres * 10 / events,
            client_tenths_of_microseconds: cpu.client * 10 / events,
            others_percent: cpu.others * 100 / elapsed.saturating_mul(cores),
        }
    }

    fn is_reference(&self) -> bool {
        self.load.side == Side::Postgres && self.load.batch == REFERENCE_BATCH
    }

    fn cells(&self, round: &str) -> [String; 11] {
        [
            round.to_owned(),
            self.load.side.name().to_owned(),
            grouped(self.load.batch),
            self.load.connections.to_string(),
            grouped(self.events_per_second),
            hundredths(self.ratio_hundredths),
            tenths(self.p99_microseconds / 100),
            tenths(self.server_tenths_of_microseconds),
            tenths(self.postgres_tenths_of_microseconds),
            tenths(self.client_tenths_of_microseconds),
            self.others_percent.to_string(),
        ]
    }
}

/// Sets the ratios of a round to its own baseline, so that a machine which slows down slows both sides of a ratio.
pub(crate) fn set_ratios(round: &mut [Figures]) {
    let reference =
        round.iter().find(|figures| figures.is_reference()).map(|figures| figures.events_per_second);
    for figures in round {
        figures.ratio_hundredths = figures.events_per_second * 100 / reference.unwrap_or(1).max(1);
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
    let loads = first.iter().enumerate();
    loads
        .map(|(index, figures)| {
            let over = |figure: fn(&Figures) -> u64| {
                median(rounds.iter().filter_map(|round| round.get(index)).map(figure).collect())
            };
            Figures {
                load: figures.load,
                events_per_second: over(|figures| figures.events_per_second),
                ratio_hundredths: over(|figures| figures.ratio_hundredths),
                p99_microseconds: over(|figures| figures.p99_microseconds),
                server_tenths_of_microseconds: over(|figures| figures.server_tenths_of_microseconds),
                postgres_tenths_of_microseconds: over(|figures| figures.postgres_tenths_of_microseconds),
                client_tenths_of_microseconds: over(|figures| figures.client_tenths_of_microseconds),
                others_percent: over(|figures| figures.others_percent),
            }
        })
        .collect()
}

/// Renders the medians and holds them against the targets.
pub(crate) fn summary(medians: &[Figures]) -> String {
    let mut table = table();
    for figures in medians {
        table.add_row(figures.cells("median"));
    }
    let of = |side| medians.iter().find(|it| it.load.side == side && it.load.batch == REFERENCE_BATCH);
    let (Some(bare), Some(http)) = (of(Side::Postgres), of(Side::Http)) else { return table.to_string() };

    let word = |is_met| if is_met { "met" } else { "MISSED" };
    let ratio = word(http.ratio_hundredths >= TARGET_RATIO_HUNDREDTHS);
    let absolute = if bare.events_per_second < TARGET_BASELINE {
        "does not apply to this machine"
    } else {
        word(http.events_per_second >= TARGET_EVENTS_PER_SECOND)
    };
    format!(
        "{table}\n\
         CPU times are per event; PG is PostgreSQL; the ratio is to PostgreSQL in batches of {} of the same round.\n\
         Target, batches of {}: ratio of at least {}: {} ({ratio})\n\
         Target, batches of {}: {} events/s where the baseline reaches {}: {} and {} ({absolute})",
        grouped(REFERENCE_BATCH),
        grouped(REFERENCE_BATCH),
        hundredths(TARGET_RATIO_HUNDREDTHS),
        hundredths(http.ratio_hundredths),
        grouped(REFERENCE_BATCH),
        grouped(TARGET_EVENTS_PER_SECOND),
        grouped(TARGET_BASELINE),
        grouped(http.events_per_second),
        grouped(bare.events_per_second),
    )
}

/// Warns if other processes kept the machine busy during a run.
pub(crate) fn noise(rounds: &[Vec<Figures>]) -> Option<String> {
    let most = rounds.iter().flatten().map(|figures| figures.others_percent).max()?;
    (most >= NOISE_PERCENT)
        .then(|| format!("Other processes took up to {most} % of the machine: compare ratios only"))
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
