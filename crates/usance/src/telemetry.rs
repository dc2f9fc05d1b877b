//! What the process tells about itself: log lines on standard error, and metrics.

use std::io::{IsTerminal as _, stderr};

use anyhow::{Context as _, anyhow};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use usance_app::config::{LogFormat, Settings};

/// Sends the log to standard error. At most once in a process.
pub fn start_log(settings: &Settings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|_| {
        anyhow!(
            "log (--log, USANCE_LOG) is \"{}\", but must be a level or levels by module, such as info,usance_app=debug",
            settings.log
        )
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match settings.log_format {
        LogFormat::Text => lines.with_ansi(stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!(error)).context("the log cannot be started")
}

/// Collects metrics from now on. At most once in a process. The handle's upkeep must run now and then.
pub fn start_metrics() -> anyhow::Result<PrometheusHandle> {
    // From well below the fastest answer to the longest a request may take by default.
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    let events = [1.0, 10.0, 100.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 20_000.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), &events))
        .and_then(PrometheusBuilder::install_recorder)
        .context("the metrics cannot be started")
}
