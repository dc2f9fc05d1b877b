//! What a person sees on standard error while a file is imported.

use super::options::ProgressMode;
use super::summary::rows_per_second;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const LINE_INTERVAL: Duration = Duration::from_secs(5);
const NOTICE_INTERVAL: Duration = Duration::from_secs(10);
const TICK_INTERVAL: Duration = Duration::from_millis(250);

/// Shows how far an import is; clones show the same one.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    mode: ProgressMode,
    bar: ProgressBar,
    total_bytes: u64,
    pace: Arc<Mutex<Pace>>,
}

#[derive(Debug)]
struct Pace {
    sending_since: Instant,
    sent_rows: u64,
    line_at: Instant,
    notice_at: Option<Instant>,
}

impl Progress {
    /// Starts showing an import of a file of this size.
    pub(super) fn start(mode: ProgressMode, total_bytes: u64) -> Self {
        let bar = match mode {
            ProgressMode::Bar => {
                ProgressBar::new(total_bytes).with_style(bar_style()).with_message("reading")
            }
            ProgressMode::Lines | ProgressMode::Silent => ProgressBar::hidden(),
        };
        if mode == ProgressMode::Bar {
            bar.enable_steady_tick(TICK_INTERVAL);
        }
        let now = Instant::now();
        let pace = Pace { sending_since: now, sent_rows: 0, line_at: now, notice_at: None };
        Self { mode, bar, total_bytes, pace: Arc::new(Mutex::new(pace)) }
    }

    /// Shows how much of the file is hashed.
    pub(super) fn hashed(&self, bytes: u64) {
        self.bar.set_position(bytes);
        self.line(|| format!("reading the file to identify its rows, {} %", self.percent(bytes)));
    }

    /// Goes from hashing to sending, with the time left counted from here.
    pub(super) fn start_sending(&self) {
        self.bar.set_position(0);
        self.bar.reset_eta();
        self.bar.set_message("sending");
        self.lock().sending_since = Instant::now();
    }

    /// Shows how much is acknowledged: rows sent by this run, and how far into the file they reach.
    pub(super) fn sent(&self, rows: u64, bytes: u64) {
        let (total, rate) = self.count(rows);
        self.bar.set_position(bytes);
        self.bar.set_message(format!("{total} rows, {rate} rows/s"));
        self.line(|| format!("{total} rows, {rate} rows/s, {} %", self.percent(bytes)));
    }

    /// Adds rows, and gives the rows of this run and how many of them a second has.
    pub(super) fn count(&self, rows: u64) -> (u64, u128) {
        let mut pace = self.lock();
        pace.sent_rows += rows;
        (pace.sent_rows, rows_per_second(pace.sent_rows, pace.sending_since.elapsed()))
    }

    /// Says once in a while that the server does not take the events.
    pub(super) fn retrying(&self, cause: &str, retry_for: Duration) {
        {
            let mut pace = self.lock();
            if pace.notice_at.is_some_and(|at| at.elapsed() < NOTICE_INTERVAL) {
                return;
            }
            pace.notice_at = Some(Instant::now());
        }
        self.notice(&format!("{cause}; trying again for up to {} s", retry_for.as_secs()));
    }

    /// Says something that is worth a line of its own.
    pub(super) fn notice(&self, text: &str) {
        match self.mode {
            ProgressMode::Bar => self.bar.println(text),
            ProgressMode::Lines => write_line(text),
            ProgressMode::Silent => {}
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: impl FnOnce() -> String) {
        if self.mode != ProgressMode::Lines {
            return;
        }
        let due = {
            let mut pace = self.lock();
            let due = pace.line_at.elapsed() >= LINE_INTERVAL;
            if due {
                pace.line_at = Instant::now();
            }
            due
        };
        if due {
            write_line(&text());
        }
    }

    fn percent(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(100) / self.total_bytes.max(1)
    }

    /// A panic elsewhere leaves the numbers intact, so they are shown all the same.
    fn lock(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {wide_bar} {percent} % {bytes}/{total_bytes}, {eta} left")
        .expect("the template is a constant that a test renders")
}

/// A closed standard error is no reason to stop an import.
fn write_line(text: &str) {
    writeln!(std::io::stderr(), "usance import: {text}").ok();
}
