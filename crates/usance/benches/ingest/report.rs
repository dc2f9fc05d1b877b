//! The figures: integers all the way, because the product has no floats; a decimal point is only printed.

use crate::cpu::CpuTime;
use crate::figures::{grouped, hundredths, median, microseconds, tenths};
use crate::load::Drive;
use crate::plot::{Bar, Panel};
use crate::{Load, Side};
use comfy_table::{CellAlignment, Table, presets};
use std::thread::available_parallelism;

/// The batch whose runs the target and the ratio are about.
pub(crate) const REFERENCE_BATCH: u64 = 1_000;

const TARGET_RATIO_HUNDREDTHS: u64 = 70;
const TARGET_EVENTS_PER_SECOND: u64 = 80_000;
/// One event at a time.
const TARGET_SINGLE_EVENTS_PER_SECOND: u64 = 15_000;
const TARGET_SINGLE_P99_MICROSECONDS: u64 = 20_000;
/// The baseline of a machine on which the absolute targets hold; on another one they hold in proportion.
const TARGET_BASELINE: u64 = 110_000;
/// What an event may cost with ten times the history.
const TARGET_GROWTH_HUNDREDTHS: u64 = 130;
const TARGET_MEMORY_MB: u64 = 150;
const TARGET_READ_P99_MICROSECONDS: u64 = 5_000;

/// What other processes may take of the machine before the report warns.
const NOISE_PERCENT: u64 = 10;

const HEADER: [&str; 12] = [
    "round",
    "side",
    "batch",
    "conns",
    "events/s",
    "ratio",
    "p50 ms",
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
    p50_microseconds: u64,
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
            p50_microseconds: microseconds(drive.p50),
            p99_microseconds: microseconds(drive.p99),
            server_tenths_of_microseconds: cpu.server * 10 / events,
            postgres_tenths_of_microseconds: cpu.postgres * 10 / events,
            client_tenths_of_microseconds: cpu.client * 10 / events,
            others_percent: cpu.others * 100 / elapsed.saturating_mul(cores),
        }
    }

    fn cost(&self) -> u64 {
        match self.load.side {
            // The server is idle while the baseline runs.
            Side::Postgres => self.postgres_tenths_of_microseconds,
            Side::Http => self.server_tenths_of_microseconds + self.postgres_tenths_of_microseconds,
        }
    }

    fn is_reference(&self) -> bool {
        self.load.side == Side::Postgres && self.load.batch == REFERENCE_BATCH
    }

    fn cells(&self, round: &str) -> [String; 12] {
        [
            round.to_owned(),
            self.load.side.name().to_owned(),
            grouped(self.load.batch),
            self.load.connections.to_string(),
            grouped(self.events_per_second),
            hundredths(self.ratio_hundredths),
            tenths(self.p50_microseconds / 100),
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
                p50_microseconds: over(|figures| figures.p50_microseconds),
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

    let ratio = word(http.ratio_hundredths >= TARGET_RATIO_HUNDREDTHS);
    let in_proportion = |target: u64| target.saturating_mul(bare.events_per_second) / TARGET_BASELINE;
    let batches = in_proportion(TARGET_EVENTS_PER_SECOND);
    let mut text = format!(
        "{table}\n\
         CPU times are per event; PG is PostgreSQL; the ratio is to PostgreSQL in batches of {} of the same round.\n\
         Targets of events/s are in proportion to a baseline of {}.\n\
         Target, batches of {}: ratio of at least {}: {} ({ratio})\n\
         Target, batches of {}: {} events/s: {} ({})",
        grouped(REFERENCE_BATCH),
        grouped(TARGET_BASELINE),
        grouped(REFERENCE_BATCH),
        hundredths(TARGET_RATIO_HUNDREDTHS),
        hundredths(http.ratio_hundredths),
        grouped(REFERENCE_BATCH),
        grouped(batches),
        grouped(http.events_per_second),
        word(http.events_per_second >= batches),
    );
    if let Some(single) = medians.iter().find(|it| it.load.side == Side::Http && it.load.batch == 1) {
        let wanted = in_proportion(TARGET_SINGLE_EVENTS_PER_SECOND);
        let target = format!(
            "\nTarget, one by one: {} events/s: {} ({}); p99 of at most {} ms: {} ({})",
            grouped(wanted),
            grouped(single.events_per_second),
            word(single.events_per_second >= wanted),
            tenths(TARGET_SINGLE_P99_MICROSECONDS / 100),
            tenths(single.p99_microseconds / 100),
            word(single.p99_microseconds <= TARGET_SINGLE_P99_MICROSECONDS),
        );
        text.push_str(&target);
    }
    text
}

const fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// Compares what an event costs with little and with much history.
pub(crate) fn growth((few, first): (u64, &[Figures]), (many, last): (u64, &[Figures])) -> String {
    let cost = |figures: &[Figures], side: Side| {
        let of_side = figures.iter().find(|it| it.load.side == side && it.load.batch == REFERENCE_BATCH);
        of_side.map_or(0, Figures::cost)
    };
    let of_side = |side: Side| (cost(first, side), cost(last, side));
    let times = |(before, after): (u64, u64)| after * 100 / before.max(1);
    let (before, after) = of_side(Side::Http);
    let growth = times((before, after));
    format!(
        "Target, batches of {}: an event costs at most {} times as much after {} events as after {}: {} µs and {} µs, {} times ({}); PostgreSQL alone {} times, by its own history and what else has slowed the machine",
        grouped(REFERENCE_BATCH),
        hundredths(TARGET_GROWTH_HUNDREDTHS),
        grouped(many),
        grouped(few),
        tenths(after),
        tenths(before),
        hundredths(growth),
        word(growth <= TARGET_GROWTH_HUNDREDTHS),
        hundredths(times(of_side(Side::Postgres))),
    )
}

/// Holds the most memory that the server held, in KiB, against its target.
pub(crate) fn memory(most_kib: u64) -> String {
    let most_mb = most_kib * 1_024 / 1_000_000;
    let is_met = word(most_mb < TARGET_MEMORY_MB);
    format!("Target, memory of the server: less than {TARGET_MEMORY_MB} MB: {} ({is_met})", grouped(most_mb))
}

/// Compares how long reading a customer's usage takes.
pub(crate) fn reads(events: u64, bare: &Drive, http: &Drive) -> String {
    let (of_bare, of_http) = (microseconds(bare.p99), microseconds(http.p99));
    format!(
        "Target, usage of a customer with {} events by the hour: p99 of at most {} ms: {} ms, PostgreSQL alone {} ms, ratio {} ({})",
        grouped(events),
        tenths(TARGET_READ_P99_MICROSECONDS / 100),
        hundredths(of_http / 10),
        hundredths(of_bare / 10),
        hundredths(of_http * 100 / of_bare.max(1)),
        word(of_http <= TARGET_READ_P99_MICROSECONDS),
    )
}

/// Warns if other processes kept the machine busy during a run.
pub(crate) fn noise(rounds: &[Vec<Figures>]) -> Option<String> {
    let most = rounds.iter().flatten().map(|figures| figures.others_percent).max()?;
    (most >= NOISE_PERCENT)
        .then(|| format!("Other processes took up to {most} % of the machine: compare ratios only"))
}

/// The rounds that ran with so many events stored.
pub(crate) type Stage = (u64, Vec<Vec<Figures>>);

/// Draws every load of every stage.
pub(crate) fn panels(stages: &[Stage]) -> Vec<Panel> {
    let mut panels = Vec::new();
    for (stored, rounds) in stages {
        let title = |what: &str| format!("{what}, {} events stored", grouped(*stored));
        let ratio = vec![("target in batches of 1,000", TARGET_RATIO_HUNDREDTHS)];
        let p99 = vec![("target one by one", TARGET_SINGLE_P99_MICROSECONDS)];
        panels.extend([
            panel(
                title("Throughput"),
                ("events/s", grouped),
                (rounds, |it| it.events_per_second),
                Vec::new(),
            ),
            panel(
                title("Ratio to PostgreSQL in batches of 1,000"),
                ("ratio", hundredths),
                (rounds, |it| it.ratio_hundredths),
                ratio,
            ),
            panel(
                title("Latency of a batch, p50"),
                ("ms", milliseconds),
                (rounds, |it| it.p50_microseconds),
                Vec::new(),
            ),
            panel(
                title("Latency of a batch, p99"),
                ("ms", milliseconds),
                (rounds, |it| it.p99_microseconds),
                p99,
            ),
        ]);
    }
    panels.push(costs(stages));
    panels
}

/// Draws what an event costs the server and PostgreSQL together, at every stage.
fn costs(stages: &[Stage]) -> Panel {
    let mut bars = Vec::new();
    for (stored, rounds) in stages {
        for (place, figures) in rounds.iter().flatten().take(rounds.first().map_or(0, Vec::len)).enumerate() {
            let label = format!("{}, {} M", grouped(figures.load.batch), tenths(stored / 100_000));
            bars.push(Bar::of((figures.load.side.name(), label), rounds, place, Figures::cost));
        }
    }
    let title = "CPU of an event, server and PostgreSQL: batch, millions of events stored".to_owned();
    Panel { title, unit: "µs", write: tenths, bars, limits: Vec::new() }
}

/// What is drawn of the figures of a load.
type Figure = fn(&Figures) -> u64;

fn panel(
    title: String,
    (unit, write): (&'static str, fn(u64) -> String),
    (rounds, figure): (&[Vec<Figures>], Figure),
    limits: Vec<(&'static str, u64)>,
) -> Panel {
    let loads = rounds.first().into_iter().flatten().enumerate();
    let bars = loads.map(|(place, figures)| {
        let Load { side, batch, .. } = figures.load;
        Bar::of((side.name(), format!("batches of {}", grouped(batch))), rounds, place, figure)
    });
    Panel { title, unit, write, bars: bars.collect(), limits }
}

fn milliseconds(microseconds: u64) -> String {
    hundredths(microseconds / 10)
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
