//! The figures: integers all the way, because the product has no floats; a decimal point is only printed.

use crate::cpu::CpuTime;
use crate::figures::{grouped, hundredths, median, microseconds, tenths};
use crate::plot::{Bar, Panel};
use comfy_table::{CellAlignment, Table, presets};
use std::thread::available_parallelism;
use std::time::Duration;

const TARGET_INVOICES_PER_SECOND: u64 = 3_000;

/// What the cost of an invoice at the greatest size may be of that at the smallest and still count as linear.
const TARGET_GROWTH_HUNDREDTHS: u64 = 120;

/// What other processes may take of the machine before the report warns.
const NOISE_PERCENT: u64 = 10;

const HEADER: [&str; 10] = [
    "round",
    "subscriptions",
    "invoices/s",
    "limit/s",
    "ratio",
    "server µs",
    "PG µs",
    "limit µs",
    "MiB server/backend",
    "others %",
];

/// What one side took for all invoices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: CpuTime,
}

/// What one billed tenant showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    subscriptions: u64,
    invoices_per_second: u64,
    /// What bare PostgreSQL stores of the same rows.
    limit_per_second: u64,
    ratio_hundredths: u64,
    /// Of wall time for an invoice.
    nanoseconds: u64,
    server_tenths_of_microseconds: u64,
    postgres_tenths_of_microseconds: u64,
    /// CPU of bare PostgreSQL.
    limit_tenths_of_microseconds: u64,
    server_kib: u64,
    backend_kib: u64,
    others_percent: u64,
}

impl Figures {
    /// Makes figures of a run and of its limit.
    pub(crate) fn new(
        subscriptions: u64,
        Measured { elapsed, cpu }: Measured,
        limit: Measured,
        (server_kib, backend_kib): (u64, u64),
    ) -> Self {
        let limit_cpu = limit.cpu.postgres;
        let (elapsed, limit) = (microseconds(elapsed).max(1), microseconds(limit.elapsed).max(1));
        let cores = available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1));
        Self {
            subscriptions,
            invoices_per_second: subscriptions * 1_000_000 / elapsed,
            limit_per_second: subscriptions * 1_000_000 / limit,
            ratio_hundredths: limit * 100 / elapsed,
            nanoseconds: elapsed * 1_000 / subscriptions.max(1),
            server_tenths_of_microseconds: cpu.server * 10 / subscriptions.max(1),
            postgres_tenths_of_microseconds: cpu.postgres * 10 / subscriptions.max(1),
            limit_tenths_of_microseconds: limit_cpu * 10 / subscriptions.max(1),
            server_kib,
            backend_kib,
            others_percent: (cpu.others + cpu.client) * 100 / elapsed.saturating_mul(cores),
        }
    }

    fn cells(&self, round: &str) -> [String; 10] {
        [
            round.to_owned(),
            grouped(self.subscriptions),
            grouped(self.invoices_per_second),
            grouped(self.limit_per_second),
            hundredths(self.ratio_hundredths),
            tenths(self.server_tenths_of_microseconds),
            tenths(self.postgres_tenths_of_microseconds),
            tenths(self.limit_tenths_of_microseconds),
            format!("{}/{}", self.server_kib / 1024, self.backend_kib / 1024),
            self.others_percent.to_string(),
        ]
    }
}

/// Renders every run, the medians, and how they stand to the targets.
pub(crate) fn render(rounds: &[Vec<Figures>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_header(HEADER);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (index, round) in rounds.iter().enumerate() {
        for figures in round {
            table.add_row(figures.cells(&(index + 1).to_string()));
        }
    }
    let medians = medians(rounds);
    for figures in &medians {
        table.add_row(figures.cells("median"));
    }
    let text = format!(
        "{table}\nCPU times are per invoice; PG is PostgreSQL. The limit is bare PostgreSQL that stores the same rows.\n"
    );
    let (Some(least), Some(most)) = (medians.first(), medians.last()) else { return text };
    let word = |is_met| if is_met { "met" } else { "MISSED" };
    let growth = most.nanoseconds * 100 / least.nanoseconds.max(1);
    let others = rounds.iter().flatten().map(|figures| figures.others_percent).max().unwrap_or_default();
    let noise = if others >= NOISE_PERCENT {
        format!("Other processes took up to {others} % of the machine: compare ratios only\n")
    } else {
        String::new()
    };
    format!(
        "{text}Target, {} subscriptions: at least {} invoices/s: {} ({})\n\
         Cost of an invoice at {} subscriptions to that at {}, at most {}: {} ({})\n{noise}",
        grouped(most.subscriptions),
        grouped(TARGET_INVOICES_PER_SECOND),
        grouped(most.invoices_per_second),
        word(most.invoices_per_second >= TARGET_INVOICES_PER_SECOND),
        grouped(most.subscriptions),
        grouped(least.subscriptions),
        hundredths(TARGET_GROWTH_HUNDREDTHS),
        hundredths(growth),
        word(growth <= TARGET_GROWTH_HUNDREDTHS),
    )
}

/// Draws every size beside its limit.
pub(crate) fn panels(rounds: &[Vec<Figures>]) -> Vec<Panel> {
    type Figure = fn(&Figures) -> u64;
    let panel = |title: &str,
                 (unit, write): (&'static str, fn(u64) -> String),
                 sides: &[(&'static str, Figure)],
                 limits| {
        let sizes = rounds.first().into_iter().flatten().enumerate();
        let bars = sizes.flat_map(|(place, size)| {
            let label = format!("{} subscriptions", grouped(size.subscriptions));
            sides.iter().map(move |(side, figure)| Bar::of((*side, label.clone()), rounds, place, *figure))
        });
        Panel { title: title.to_owned(), unit, write, bars: bars.collect(), limits }
    };
    let target = vec![("target", TARGET_INVOICES_PER_SECOND)];
    let rates: [(&str, Figure); 2] =
        [("PostgreSQL", |it| it.limit_per_second), ("billing run", |it| it.invoices_per_second)];
    let costs: [(&str, Figure); 2] = [
        ("PostgreSQL", |it| it.limit_tenths_of_microseconds),
        ("billing run", |it| it.server_tenths_of_microseconds + it.postgres_tenths_of_microseconds),
    ];
    vec![
        panel("Throughput", ("invoices/s", grouped), &rates, target),
        panel(
            "Ratio to PostgreSQL storing the same rows",
            ("ratio", hundredths),
            &[("billing run", |it| it.ratio_hundredths)],
            Vec::new(),
        ),
        panel("CPU of an invoice, server and PostgreSQL", ("µs", tenths), &costs, Vec::new()),
    ]
}

/// Returns the medians over the rounds, each figure for itself.
fn medians(rounds: &[Vec<Figures>]) -> Vec<Figures> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let of = |(index, figures): (usize, &Figures)| {
        let over = |figure: fn(&Figures) -> u64| {
            median(rounds.iter().filter_map(|round| round.get(index)).map(figure).collect())
        };
        Figures {
            subscriptions: figures.subscriptions,
            invoices_per_second: over(|it| it.invoices_per_second),
            limit_per_second: over(|it| it.limit_per_second),
            ratio_hundredths: over(|it| it.ratio_hundredths),
            nanoseconds: over(|it| it.nanoseconds),
            server_tenths_of_microseconds: over(|it| it.server_tenths_of_microseconds),
            postgres_tenths_of_microseconds: over(|it| it.postgres_tenths_of_microseconds),
            limit_tenths_of_microseconds: over(|it| it.limit_tenths_of_microseconds),
            server_kib: over(|it| it.server_kib),
            backend_kib: over(|it| it.backend_kib),
            others_percent: over(|it| it.others_percent),
        }
    };
    first.iter().enumerate().map(of).collect()
}
