use super::PostgresError;
use super::log::Log;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use tokio::sync::oneshot;

/// A running server process.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) pid: u32,
    exit: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl Postmaster {
    /// Starts the server and a thread that spawns it and waits for its end.
    ///
    /// The kernel sends the death signal when the spawning *thread* ends, and threads of the async runtime come and go.
    /// This blocks for the milliseconds of the spawn instead of awaiting it: a caller that is cancelled must not lose
    /// sight of a running server.
    pub(super) fn spawn(mut command: Command, log: &Log) -> Result<Self, PostgresError> {
        let program = PathBuf::from(command.get_program());
        command.stdin(Stdio::null()).stdout(log.open()?).stderr(log.open()?);

        let (spawned_sender, spawned) = mpsc::channel();
        let (exit_sender, exit) = oneshot::channel();
        let watch = move || match command.spawn() {
            // A receiver that is gone has no interest in the result.
            Ok(mut child) => {
                drop(spawned_sender.send(Ok(child.id())));
                drop(exit_sender.send(child.wait()));
            }
            Err(error) => drop(spawned_sender.send(Err(error))),
        };
        let started = thread::Builder::new().name("postgres".to_owned()).spawn(watch);
        let pid = match started {
            Ok(_) => spawned.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())),
            Err(error) => Err(error),
        };
        Ok(Self { pid: pid.map_err(|source| PostgresError::Spawn { program, source })?, exit })
    }

    /// Waits for the end of the server and says how it ended; must not be awaited again after that.
    pub(super) async fn exited(&mut self) -> String {
        match (&mut self.exit).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(_)) | Err(_) => "exit status unknown".to_owned(),
        }
    }
}

/// Runs a program to its end on a thread of its own, for the reason of [`Postmaster::spawn`], with a text of at most a
/// few kilobytes as its input.
pub(super) async fn run(mut command: Command, input: &'static str) -> Result<Output, PostgresError> {
    let program = PathBuf::from(command.get_program());
    let (sender, output) = oneshot::channel();
    let work = move || drop(sender.send(run_blocking(&mut command, input)));
    let started = thread::Builder::new().name("postgres-tool".to_owned()).spawn(work);
    let output = match started {
        Ok(_) => output.await.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())),
        Err(error) => Err(error),
    };
    output.map_err(|source| PostgresError::Spawn { program, source })
}

/// Returns what a program said on both streams, for an error message.
pub(super) fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn run_blocking(command: &mut Command, input: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input says why on its error stream.
        drop(stdin.write_all(input.as_bytes()));
    }
    child.wait_with_output()
}
