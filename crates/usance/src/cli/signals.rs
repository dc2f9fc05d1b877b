//! SIGINT (Ctrl-C) and SIGTERM: the first asks for an orderly end, the second ends the process at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What a shell reports for a process that SIGINT ended.
const EXIT_CODE: i32 = 130;

/// Cancels the token at the first signal. Watches until the process ends.
pub(super) fn watch() -> std::io::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let (interrupts, terminations) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    TaskTracker::new().spawn(react(interrupts, terminations, shutdown.clone()));
    Ok(shutdown)
}

async fn react(mut interrupts: Signal, mut terminations: Signal, shutdown: CancellationToken) {
    for count in 1_u32.. {
        tokio::select! {
            _ = interrupts.recv() => {}
            _ = terminations.recv() => {}
        }
        if count > 1 {
            tracing::warn!("A second signal came: the process ends without waiting");
            std::process::exit(EXIT_CODE);
        }
        shutdown.cancel();
    }
}
