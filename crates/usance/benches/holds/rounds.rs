//! One run after the other, and the proof that exactly the limit was reserved.

use crate::Side;
use crate::cpu::{CpuTime, Processes};
use crate::figures::{facts, grouped, say};
use crate::instance::{BARE, Instance, PRODUCT};
use crate::options::{Load, Options};
use crate::report::{self, Figures};
use crate::server::Server;
use crate::sql::{Batched, Single};
use crate::target::Target;
use crate::wallets::{self, Answers};
use anyhow::{Context, Result, ensure};
use sqlx::PgConnection;
use std::io::{self, Write};
use std::path::Path;
use tokio::time::{Duration, Instant};
use usance_core::ids::WalletId;

/// All sides, ready for a run.
struct Bench<'a> {
    options: &'a Options,
    processes: Processes,
    /// Ends when it is dropped.
    _server: Server,
    target: Target,
    batched: Batched,
    single: Single,
    admin: PgConnection,
}

/// Sets all sides up, runs all rounds and prints the figures.
pub(crate) async fn run(options: &Options, dir: &Path, instance: &mut Instance) -> Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{}", facts(dir, &instance.settings().await?))?;
    say("Starting the server");
    let server = Server::start(&instance.url(PRODUCT), dir, &[]).await?;
    let mut admin = instance.connect_admin(PRODUCT).await?;
    let mut bench = Bench {
        processes: Processes { server: server.pid()?, postmaster: instance.postmaster()? },
        target: Target::register(server.address()?).await?,
        _server: server,
        batched: Batched::connect(&instance.url(PRODUCT), &mut admin).await?,
        single: Single::connect(&instance.url(BARE), options.sql_connections.max(1)).await?,
        admin,
        options,
    };
    instance.settle().await?;
    let mut rounds = Vec::new();
    for number in 1..=options.runs() {
        say(&format!("Round {number} of {}", options.runs()));
        rounds.push(bench.round(number).await?);
    }
    writeln!(output, "{}", report::rounds(&rounds))?;
    writeln!(output, "{}", report::summary(&report::medians(&rounds)))?;
    if let Some(warning) = report::noise(&rounds) {
        writeln!(output, "{warning}")?;
    }
    let title = "Holds: reserving of one wallet beside PostgreSQL alone";
    let plot = options.plots.draw("holds", title, &report::panels(&rounds))?;
    writeln!(output, "Plot: {}", plot.display())?;
    let memory_kib = bench.processes.server_memory_kib()?.1;
    writeln!(output, "Most memory the server held: {} MiB", memory_kib / 1024)?;
    let reserved = options.load().limit;
    writeln!(
        output,
        "Exact: of every hot wallet {} were reserved, its limit, and not one more",
        grouped(reserved)
    )?;
    Ok(())
}

impl Bench<'_> {
    async fn round(&mut self, number: usize) -> Result<Vec<Figures>> {
        let mut round = vec![self.measure_http(number).await?];
        let batch = round.first().map_or(1, |http| http.batch);
        round.push(self.measure_batched(number, batch).await?);
        round.push(self.measure_single().await?);
        report::set_ratios(&mut round);
        Ok(round)
    }

    async fn measure_http(&mut self, number: usize) -> Result<Figures> {
        let load = self.options.load();
        let wallet = wallets::make(&self.target, &format!("http-{number}"), load.limit).await?;
        let links_before = self.links().await?;
        let watch = Watch::start(self.processes)?;
        let answers = wallets::reserve(&self.target, &wallet, load, self.options.connections).await?;
        let (elapsed, cpu) = watch.stop()?;
        self.check(answers, load, &wallet).await?;
        let commits = (self.links().await? - links_before).max(1);
        let batch = load.limit.div_ceil(u64::try_from(commits)?);
        Ok(Figures::new(Side::Http, (load.requests, batch), elapsed, cpu))
    }

    async fn measure_batched(&mut self, number: usize, batch: u64) -> Result<Figures> {
        let load = self.options.load();
        let wallet = wallets::make(&self.target, &format!("batched-{number}"), load.limit).await?;
        let watch = Watch::start(self.processes)?;
        let answers = self.batched.reserve(&wallet, load, batch).await?;
        let (elapsed, cpu) = watch.stop()?;
        self.check(answers, load, &wallet).await?;
        Ok(Figures::new(Side::Batched, (load.requests, batch), elapsed, cpu))
    }

    async fn measure_single(&mut self) -> Result<Figures> {
        let load = self.options.single_load();
        let wallet = self.single.make_wallet(load.limit).await?;
        let watch = Watch::start(self.processes)?;
        let answers = self.single.reserve(wallet, load).await?;
        let (elapsed, cpu) = watch.stop()?;
        ensure_exact(answers, load)?;
        let held = self.single.held(wallet).await?;
        ensure!(held == i64::try_from(load.limit)?, "{held} is reserved, and the limit is {}", load.limit);
        Ok(Figures::new(Side::Single, (load.requests, 1), elapsed, cpu))
    }

    /// Each commit that reserves adds one link to the hash chain of the ledger.
    async fn links(&mut self) -> Result<i64> {
        let links = sqlx::query_scalar("SELECT coalesce(max(last_link), 0) FROM ledger_chains");
        Ok(links.fetch_one(&mut self.admin).await?)
    }

    /// Compares what was answered with what is stored: in the holds, and in the ledger's account.
    async fn check(&mut self, answers: Answers, load: Load, wallet: &str) -> Result<()> {
        ensure_exact(answers, load)?;
        let wallet: WalletId = wallet.parse().ok().context("a wallet's id cannot be read")?;
        let sql = "SELECT (SELECT coalesce(sum(amount), 0)::bigint FROM holds WHERE owner_id = $1 AND status = 'open'),
            (SELECT debits_pending::bigint FROM ledger_accounts WHERE code = 'wallet' AND owner_id = $1)";
        let (held, pending): (i64, i64) =
            sqlx::query_as(sql).bind(wallet.uuid()).fetch_one(&mut self.admin).await?;
        let limit = i64::try_from(load.limit)?;
        ensure!(
            (held, pending) == (limit, limit),
            "{held} is held and {pending} pending, and the limit is {limit}"
        );
        Ok(())
    }
}

fn ensure_exact(answers: Answers, load: Load) -> Result<()> {
    let Answers { accepted, refused } = answers;
    ensure!(accepted == load.limit, "{accepted} were accepted, and the limit is {}", load.limit);
    ensure!(accepted + refused == load.requests, "{} were answered of {}", accepted + refused, load.requests);
    Ok(())
}

/// The time and CPU of a run.
struct Watch {
    processes: Processes,
    began: Instant,
    before: CpuTime,
}

impl Watch {
    fn start(processes: Processes) -> Result<Self> {
        Ok(Self { processes, before: processes.sample()?, began: Instant::now() })
    }

    fn stop(self) -> Result<(Duration, CpuTime)> {
        let elapsed = self.began.elapsed();
        Ok((elapsed, self.processes.sample()? - self.before))
    }
}
