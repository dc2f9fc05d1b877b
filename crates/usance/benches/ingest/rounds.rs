//! One run after the other, and the proof that nothing was lost.

use crate::baseline::{self, BareConnection, BareReader};
use crate::connection::Connection;
use crate::cpu::{CpuTime, Processes};
use crate::events::{Events, Tally};
use crate::figures::{facts, grouped, say};
use crate::http::{HttpReader, events_request, usage_request};
use crate::instance::{BARE, Instance, PRODUCT};
use crate::load::{Drive, Driven, drive};
use crate::options::Options;
use crate::report::{self, Figures};
use crate::server::Server;
use crate::target::Target;
use crate::{Load, Side, stored, tenant};
use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Write};
use std::path::Path;

const SEED: u64 = 20_231_116;

/// The largest request the API takes, and how many events are in memory at once while the sides are filled.
const FILL_BATCH: u64 = 10_000;
const FILL_CHUNK: u64 = 100_000;
const FILL_CONNECTIONS: usize = 4;

/// Both sides, ready for a run.
struct Bench<'a> {
    instance: &'a mut Instance,
    processes: Processes,
    target: Target,
    bare: Vec<BareConnection>,
    events: Events,
    sent_bare: Tally,
    sent_http: Tally,
}

/// Sets both sides up, runs all rounds, prints the figures and checks what is stored.
pub(crate) async fn run(options: &Options, dir: &Path, instance: &mut Instance) -> Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{}", facts(dir, &instance.settings().await?))?;

    say("Starting the server, a tenant and its customers");
    let server = Server::start(&instance.url(PRODUCT), dir, &[]).await?;
    let target = tenant::set_up(server.address()?).await?;
    let loads = options.loads();
    let bare_connections =
        loads.iter().filter(|load| load.side == Side::Postgres).map(|load| load.connections);
    let bare = baseline::connect(&instance.url(BARE), bare_connections.max().unwrap_or(1)).await?;
    let mut bench = Bench {
        processes: Processes { server: server.pid()?, postmaster: instance.postmaster()? },
        instance,
        target,
        bare,
        events: Events::new(SEED),
        sent_bare: Tally::default(),
        sent_http: Tally::default(),
    };
    let mut stored = 0;
    let mut stages = Vec::new();
    for stage in options.stages() {
        bench.fill(stage.saturating_sub(stored)).await?;
        let rounds = bench.stage(options, &loads, &mut output).await?;
        stored = bench.sent_http.events;
        stages.push((stage, rounds));
    }
    if let [(few, first), .., (many, last)] = stages.as_slice() {
        let (first, last) = (report::medians(first), report::medians(last));
        writeln!(output, "{}", report::growth((*few, &first), (*many, &last)))?;
    }
    bench.read(options.usage_events(), &mut output).await?;
    writeln!(output, "{}", report::memory(bench.processes.server_memory_kib()?.1))?;
    let plot = options.plots.draw(
        "ingest",
        "Ingest: POST /events beside PostgreSQL alone",
        &report::panels(&stages),
    )?;
    writeln!(output, "Plot: {}", plot.display())?;
    bench.check(&mut output).await
}

/// Requests that read usage, one after another: about half of what the machine could do.
const READS: usize = 4_000;
const READ_CONNECTIONS: usize = 1;

impl Bench<'_> {
    /// Stores the same number of events on both sides, as fast as it goes.
    async fn fill(&mut self, count: u64) -> Result<()> {
        say(&format!("Storing {} events on both sides", grouped(count)));
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} ({eta} left)")?;
        let progress = ProgressBar::new(count).with_style(style);
        while progress.position() < count {
            let events = FILL_CHUNK.min(count - progress.position());
            for (side, connections) in [(Side::Postgres, self.bare.len()), (Side::Http, FILL_CONNECTIONS)] {
                self.drive(Load { side, batch: FILL_BATCH, connections, events }).await?;
            }
            progress.inc(events);
        }
        progress.finish_and_clear();
        self.instance.settle().await
    }

    /// Runs all rounds on what is stored now.
    async fn stage(
        &mut self,
        options: &Options,
        loads: &[Load],
        output: &mut impl Write,
    ) -> Result<Vec<Vec<Figures>>> {
        let mut rounds = Vec::new();
        for number in 1..=options.runs() {
            say(&format!("Round {number} of {}", options.runs()));
            rounds.push(self.round(loads).await?);
        }
        writeln!(output, "{}", report::rounds(&rounds))?;
        writeln!(output, "{}", report::summary(&report::medians(&rounds)))?;
        if let Some(warning) = report::noise(&rounds) {
            writeln!(output, "{warning}")?;
        }
        let mut admin = self.instance.connect_admin(PRODUCT).await?;
        let (index, buffers) = stored::key_index_and_buffers_mib(&mut admin).await?;
        writeln!(
            output,
            "{} events stored: the index of their keys has {} MiB, shared_buffers {} MiB; the server holds {} MiB",
            grouped(self.sent_http.events),
            grouped(index),
            grouped(buffers),
            grouped(self.processes.server_memory_kib()?.0 / 1024),
        )?;
        Ok(rounds)
    }

    /// Gives one customer so many events on both sides, and reads its usage from both.
    async fn read(&mut self, count: u64, output: &mut impl Write) -> Result<()> {
        const CUSTOMER: u32 = 0;
        say(&format!("Storing {} events of one customer on both sides", grouped(count)));
        let mut left = count;
        while left > 0 {
            let events = self.events.take_of(CUSTOMER, FILL_CHUNK.min(left));
            left -= FILL_CHUNK.min(left);
            let of_chunk = u64::try_from(events.len())?;
            let batches = events.chunks(usize::try_from(FILL_BATCH)?);
            self.sent_bare.add(&events);
            drive(&mut self.bare, batches.clone().map(baseline::columns).collect(), of_chunk).await?;
            self.sent_http.add(&events);
            let mut connections = Connection::open_many(self.target.address, FILL_CONNECTIONS).await?;
            let requests = batches.map(|events| events_request(&self.target, events)).collect();
            drive(&mut connections, requests, of_chunk).await?;
        }
        self.instance.settle().await?;
        let connections = Connection::open_many(self.target.address, READ_CONNECTIONS).await?;
        let mut http: Vec<_> = connections.into_iter().map(HttpReader).collect();
        let mut bare: Vec<_> = self.bare.drain(..).map(BareReader).collect();
        let reads = u64::try_from(READS)?;
        let of_bare = drive(&mut bare, vec![CUSTOMER.cast_signed(); READS], reads).await?;
        let of_http = drive(&mut http, vec![usage_request(&self.target, CUSTOMER); READS], reads).await?;
        self.bare.extend(bare.into_iter().map(|reader| reader.0));
        writeln!(output, "{}", report::reads(count, &of_bare, &of_http))?;
        Ok(())
    }

    async fn round(&mut self, loads: &[Load]) -> Result<Vec<Figures>> {
        let mut figures = Vec::with_capacity(loads.len());
        for load in loads {
            figures.push(self.measure(*load).await?);
        }
        report::set_ratios(&mut figures);
        Ok(figures)
    }

    async fn measure(&mut self, load: Load) -> Result<Figures> {
        let (drive, cpu) = self.drive(load).await?;
        Ok(Figures::new(load, &drive, cpu))
    }

    /// Makes new events, then stores them and watches what it takes.
    async fn drive(&mut self, load: Load) -> Result<(Drive, CpuTime)> {
        let events = self.events.take(load.events);
        let batches = events.chunks(usize::try_from(load.batch)?);
        match load.side {
            Side::Postgres => {
                self.sent_bare.add(&events);
                let batches = batches.map(baseline::columns).collect();
                watched(self.processes, &mut self.bare, batches, load.events).await
            }
            Side::Http => {
                self.sent_http.add(&events);
                let batches = batches.map(|events| events_request(&self.target, events)).collect();
                let mut connections = Connection::open_many(self.target.address, load.connections).await?;
                watched(self.processes, &mut connections, batches, load.events).await
            }
        }
    }

    /// Compares what was accepted with what is stored: every event once, and every event in the aggregate.
    async fn check(&mut self, output: &mut impl Write) -> Result<()> {
        if let Some(connection) = self.bare.first_mut() {
            let stored = baseline::tallies(connection).await?;
            ensure_equal(Side::Postgres, self.sent_bare, stored)?;
        }
        let mut admin = self.instance.connect_admin(PRODUCT).await?;
        ensure_equal(Side::Http, self.sent_http, stored::tallies(&mut admin).await?)?;
        let Tally { events, tokens } = self.sent_http;
        writeln!(
            output,
            "Exact: {} events accepted, as many keys, events and counted events; their values sum to {}",
            grouped(events),
            grouped(tokens),
        )?;
        Ok(())
    }
}

async fn watched<C: Driven>(
    processes: Processes,
    connections: &mut Vec<C>,
    batches: Vec<C::Batch>,
    events: u64,
) -> Result<(Drive, CpuTime)> {
    let before = processes.sample()?;
    let drive = drive(connections, batches, events).await?;
    Ok((drive, processes.sample()? - before))
}

fn ensure_equal(side: Side, sent: Tally, [stored, counted]: [Tally; 2]) -> Result<()> {
    let name = side.name();
    ensure!(stored == sent, "{name}: {sent:?} was accepted, but {stored:?} is stored");
    ensure!(counted == sent, "{name}: {sent:?} was accepted, but {counted:?} is in the aggregate");
    Ok(())
}
