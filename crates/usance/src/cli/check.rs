//! `usance check`.

use std::{
    fmt::Write as _,
    io::{Write as _, stdout},
    process::ExitCode,
};

use serde_json::{Value, json};
use usance_app::check::{self, Head, Invariant, Report, Violation};
use usance_db::Scope;

use super::{settings::SettingsFlags, signals};
use crate::{server::Database, telemetry};

/// Looks at every row of the database for broken invariants; exits with 1 if there is one
///
/// Nothing is changed, and a server may run meanwhile. The invariants are that the ledger balances, that nothing in it was
/// changed later, that invoices are the sums of their lines, that limits hold, and that nothing happened twice. Every row
/// that breaks one is named. The ends of the ledgers' hash chains are printed too: kept elsewhere, they prove later that
/// nothing before them was cut off.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Prints the outcome as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    flags: SettingsFlags,
}

/// Checks the database of the settings, or that of the private PostgreSQL.
pub(super) async fn run(mut args: CheckArgs) -> anyhow::Result<ExitCode> {
    args.flags.log.get_or_insert_with(|| "warn".to_owned());
    let settings = args.flags.load(Vec::new())?;
    telemetry::start_log(&settings)?;
    let database = Database::start(&settings, signals::watch()?).await?;
    let checked = match database.connect(&settings) {
        Ok(db) => {
            let checked = check::check(&db).await;
            db.close().await;
            checked.map_err(|error| {
                anyhow::Error::from(error).context("the database cannot be checked; `usance migrate` brings it to the schema of this version")
            })
        }
        Err(error) => Err(error),
    };
    let stopped = database.stop().await;
    let report = checked?;
    stopped?;
    let text = if args.json { format!("{:#}\n", as_json(&report)) } else { as_text(&report) };
    stdout().write_all(text.as_bytes())?;
    Ok(if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn mode(scope: Scope) -> &'static str {
    if scope.livemode { "live" } else { "test" }
}

fn as_json(report: &Report) -> Value {
    let of = |invariant: Invariant| {
        let broken = report.violations.iter().filter(|violation| violation.invariant == invariant).count();
        json!({ "code": invariant.code(), "holds": broken == 0, "sentence": invariant.sentence(), "violations": broken })
    };
    let violation = |violation: &Violation| {
        json!({
            "invariant": violation.invariant.code(),
            "tenant": violation.scope.tenant,
            "livemode": violation.scope.livemode,
            "row": violation.finding.row,
            "detail": violation.finding.detail,
        })
    };
    let head = |head: &Head| json!({ "tenant": head.scope.tenant, "livemode": head.scope.livemode, "link": head.link, "hash": head.hash });
    json!({
        "ok": report.violations.is_empty(),
        "tenants": report.tenants,
        "invariants": Invariant::ALL.map(of),
        "violations": report.violations.iter().map(violation).collect::<Vec<_>>(),
        "heads": report.heads.iter().map(head).collect::<Vec<_>>(),
    })
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for invariant in Invariant::ALL {
        let broken: Vec<_> =
            report.violations.iter().filter(|violation| violation.invariant == invariant).collect();
        let mark = if broken.is_empty() { "ok    " } else { "BROKEN" };
        line(&mut text, &format!("{mark} {:<4} {}", invariant.code(), invariant.sentence()));
        for Violation { scope, finding, .. } in broken {
            let (tenant, mode) = (scope.tenant, mode(*scope));
            line(&mut text, &format!("         {}: {} ({tenant}, {mode})", finding.row, finding.detail));
        }
    }
    for head in &report.heads {
        let (tenant, mode) = (head.scope.tenant, mode(head.scope));
        line(&mut text, &format!("ledger of {tenant} ({mode}) ends at link {}: {}", head.link, head.hash));
    }
    line(&mut text, &summary(report));
    text
}

fn summary(report: &Report) -> String {
    let tenants = match report.tenants {
        1 => "1 tenant".to_owned(),
        tenants => format!("{tenants} tenants"),
    };
    match report.violations.len() {
        0 => format!("All invariants hold for {tenants}."),
        rows => format!(
            "{rows} rows of {tenants} break an invariant. Do not mend them by hand: stop what writes to the database, keep a copy \
             of it and this report, and look for what wrote to these rows."
        ),
    }
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes every write");
}
