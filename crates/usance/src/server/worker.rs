//! A worker: looks for due work when it is told of some, and now and then unasked. A process has several; that nothing is
//! done twice is the database's doing.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use usance_app::{App, work};

/// Pause after the first failed round; it doubles up to the greatest one.
const BACK_OFF: Duration = Duration::from_millis(500);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// What a round of the worker came to.
enum Round {
    /// Something was done; more may be due.
    Busy,
    /// Nothing is due.
    Idle,
    /// The database failed, or a bug showed.
    Failed,
}

/// Works until it is told to stop. A round that has begun is finished.
pub(super) async fn run(app: App, interval: Duration, stop: CancellationToken) {
    let mut failures: u32 = 0;
    while !stop.is_cancelled() {
        match round(&app).await {
            Round::Busy => failures = 0,
            Round::Idle => {
                failures = 0;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = app.work_added.notified() => {}
                    () = sleep(interval) => {}
                }
            }
            Round::Failed => {
                failures = failures.saturating_add(1);
                // New work does not shorten this pause: it would fail like the last one.
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = sleep(back_off(failures)) => {}
                }
            }
        }
    }
}

/// In a task of its own, so that a panic ends the round and not the worker.
async fn round(app: &App) -> Round {
    let app = app.clone();
    match TaskTracker::new().spawn(async move { work::run_due(&app).await }).await {
        Ok(Ok(true)) => Round::Busy,
        Ok(Ok(false)) => Round::Idle,
        Ok(Err(error)) => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "A round of due work failed and is tried again");
            Round::Failed
        }
        Err(error) => {
            tracing::error!(%error, "A round of due work panicked and is tried again");
            Round::Failed
        }
    }
}

fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    BACK_OFF.saturating_mul(factor).min(BACK_OFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::{BACK_OFF, BACK_OFF_MAX, back_off};

    #[test]
    fn the_pause_after_failures_doubles_up_to_a_bound() {
        let pauses: Vec<_> = [1, 2, 3].map(back_off).into();

        assert_eq!(pauses, [BACK_OFF, BACK_OFF * 2, BACK_OFF * 4]);
        assert_eq!(back_off(7), BACK_OFF_MAX);
        assert_eq!(back_off(u32::MAX), BACK_OFF_MAX);
    }
}
