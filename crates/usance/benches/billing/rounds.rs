//! One tenant after the other: filled, billed, checked, and its rows stored once more as the limit.

use crate::cpu::{Processes, memory_kib};
use crate::figures::{facts, say};
use crate::instance::{Instance, PRODUCT};
use crate::limit;
use crate::options::Options;
use crate::report::{self, Figures, Measured};
use crate::seed::{self, BUCKET_EVENTS, BUCKET_VALUE};
use crate::server::Server;
use anyhow::{Result, bail, ensure};
use sqlx::PgConnection;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Subscriptions of the tenant that is billed before the first round.
const WARM_UP: u64 = 1_000;

const POLL_PERIOD: Duration = Duration::from_millis(20);

/// Runs all rounds and prints the figures.
pub(crate) async fn run(options: &Options, dir: &Path, instance: &mut Instance) -> Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{}", facts(dir, &instance.settings().await?))?;
    // The first start makes the schema.
    Server::start(&instance.url(PRODUCT), dir, &[("USANCE_ROLE", "api")]).await?.child.kill().await?;
    let mut admin = instance.connect_admin(PRODUCT).await?;
    seed::prepare(&mut admin).await?;
    let mut site = Site { options, dir, instance, admin };
    // PostgreSQL plans for the sizes that it knows: an installation that never billed is not what is measured.
    site.bill_tenant("warm-up", WARM_UP).await?;
    let mut rounds = Vec::new();
    for round in 1..=options.runs() {
        let mut figures = Vec::new();
        for size in options.sizes() {
            say(&format!("Round {round} of {}: {size} subscriptions", options.runs()));
            figures.push(site.bill_tenant(&format!("bench-{round}-{size}"), size).await?);
        }
        rounds.push(figures);
    }
    writeln!(output, "{}", report::render(&rounds))?;
    let title = "Billing: one cycle, beside PostgreSQL alone";
    let plot = options.plots.draw("billing", title, &report::panels(&rounds))?;
    writeln!(output, "Plot: {}", plot.display())?;
    Ok(())
}

/// Where tenants are billed.
struct Site<'a> {
    options: &'a Options,
    dir: &'a Path,
    instance: &'a mut Instance,
    /// A session of the superuser.
    admin: PgConnection,
}

impl Site<'_> {
    /// Makes a tenant with so many subscriptions, bills one cycle of it, and checks the result.
    async fn bill_tenant(&mut self, name: &str, size: u64) -> Result<Figures> {
        let mut api = self.server("api").await?;
        let tenant = seed::register(&mut self.admin, api.address()?, name).await?;
        api.child.kill().await?;
        seed::fill(&mut self.admin, tenant, size, self.options.buckets).await?;
        self.instance.settle().await?;
        let figures = self.bill(tenant, size).await?;
        check(&mut self.admin, tenant, size, self.options.buckets).await?;
        Ok(figures)
    }

    async fn server(&self, role: &str) -> Result<Server> {
        let workers = self.options.workers.map(|workers| workers.to_string());
        let mut settings = vec![("USANCE_ROLE", role)];
        settings.extend(workers.as_deref().map(|workers| ("USANCE_WORKERS", workers)));
        Server::start(&self.instance.url(PRODUCT), self.dir, &settings).await
    }

    /// Starts a worker on what is due and waits until every subscription has its invoice.
    async fn bill(&mut self, tenant: Uuid, size: u64) -> Result<Figures> {
        let wanted = i64::try_from(size)?;
        let mut worker = self.server("worker").await?;
        let started = Instant::now();
        let processes = Processes { server: worker.pid()?, postmaster: self.instance.postmaster()? };
        let before = processes.sample()?;
        let mut backend_kib = 0;
        let last = "SELECT coalesce(max(last), 0) FROM invoice_sequences WHERE tenant_id = $1 AND livemode";
        loop {
            let issued: i64 = sqlx::query_scalar(last).bind(tenant).fetch_one(&mut self.admin).await?;
            if issued >= wanted {
                break;
            }
            backend_kib = backend_kib.max(largest_backend(&mut self.admin).await?);
            if let Some(status) = worker.child.try_wait()? {
                bail!("the worker ended: {status}");
            }
            sleep(POLL_PERIOD).await;
        }
        let elapsed = started.elapsed();
        let cpu = processes.sample()? - before;
        let server_kib = processes.server_memory_kib()?.1;
        worker.child.kill().await?;
        let billed = Measured { elapsed, cpu };
        let before = Processes { server: std::process::id(), ..processes }.sample()?;
        let elapsed = limit::measure(&mut self.admin, tenant, size).await?;
        let cpu = Processes { server: std::process::id(), ..processes }.sample()? - before;
        Ok(Figures::new(size, billed, Measured { elapsed, cpu }, (server_kib, backend_kib)))
    }
}

/// The private memory of the largest process that serves the product, without the shared buffers.
async fn largest_backend(admin: &mut PgConnection) -> Result<u64> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name = 'usance'";
    let pids: Vec<i32> = sqlx::query_scalar(sql).fetch_all(admin).await?;
    let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    // One that has ended meanwhile is no error.
    Ok(pids.filter_map(|pid| memory_kib(pid, "RssAnon:").ok()).max().unwrap_or_default())
}

/// Every subscription has one invoice of three lines, and all lines together hold all usage.
async fn check(admin: &mut PgConnection, tenant: Uuid, size: u64, buckets: u32) -> Result<()> {
    let sql = "SELECT
        (SELECT count(*) FROM invoices WHERE tenant_id = $1 AND status = 'finalized'),
        (SELECT count(DISTINCT subscription_id) FROM billing_periods WHERE tenant_id = $1 AND invoice_id IS NOT NULL),
        (SELECT count(*) FROM line_items WHERE tenant_id = $1),
        (SELECT coalesce(sum(event_count), 0)::bigint FROM line_items WHERE tenant_id = $1),
        (SELECT coalesce(sum(quantity), 0)::bigint FROM line_items WHERE tenant_id = $1 AND kind = 'usage'),
        (SELECT count(*) FROM due_work WHERE tenant_id = $1 AND kind = 'advance_subscription' AND due_at > now() AND NOT parked)";
    let found: (i64, i64, i64, i64, i64, i64) = sqlx::query_as(sql).bind(tenant).fetch_one(admin).await?;
    let size = i64::try_from(size)?;
    let events = size * i64::from(buckets) * i64::from(BUCKET_EVENTS);
    let value = size * i64::from(buckets) * i64::from(BUCKET_VALUE);
    let expected = (size, size, 3 * size, 2 * events, events + value, size);
    ensure!(found == expected, "{found:?} is stored instead of {expected:?}");
    Ok(())
}
