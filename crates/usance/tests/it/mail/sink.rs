//! A mail server in a process of its own.

use std::{fs, path::PathBuf, process::Stdio};

use secrecy::SecretString;
use serde_json::Value;
use tokio::{process::Command, time::timeout};
use usance_app::{config::Settings, mail::SmtpServer};
use usance_testkit::{Client, TempDir, python};

use super::without_delay;
use crate::program::{DEADLINE, Running};

/// A mail server, and what it took.
pub(super) struct Sink {
    pub(super) dir: TempDir,
    pub(super) port: u16,
    pub(super) running: Option<Running>,
}

impl Sink {
    /// Starts one, unless the tests run without Python.
    pub(super) async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    #[expect(clippy::print_stderr, reason = "why a test is skipped")]
    pub(super) async fn with(options: &[&str]) -> Option<Self> {
        let Some(python) = python() else {
            eprintln!("skipped: USANCE_TEST_PYTHON is not set, see scripts/test");
            return None;
        };
        let dir = TempDir::new("usance-sink").unwrap();
        let mut sink = Self { dir, port: 0, running: None };
        sink.run(python, options).await;
        Some(sink)
    }

    async fn run(&mut self, python: PathBuf, options: &[&str]) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/mail/sink.py");
        let mut command = Command::new(python);
        command.args([script, &self.port.to_string()]).arg(self.dir.path()).args(options);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let mut running = Running::start(command, &self.dir.path().join("sink.log"));
        let line = running.line_with("listening on").await;
        self.port = line.rsplit(' ').next().unwrap().parse().unwrap();
        self.running = Some(running);
    }

    /// Ends it as `kill -9` does.
    pub(super) async fn kill(&mut self) {
        self.running.take().unwrap().kill().await;
    }

    /// Starts it again where it was.
    pub(super) async fn restart(&mut self) {
        self.run(python().unwrap(), &[]).await;
    }

    /// Answers recipients so from now on; an empty mood takes everything.
    pub(super) fn feel(&self, mood: &str) {
        fs::write(self.dir.path().join("mood"), mood).unwrap();
    }

    /// What it took.
    pub(super) fn mails(&self) -> Vec<Value> {
        let mails = fs::read_to_string(self.dir.path().join("mails")).unwrap_or_default();
        // A line that is just being written is none yet.
        mails.split_inclusive('\n').filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a mail to an address about something.
    pub(super) async fn mail(&self, client: &Client, to: &str, about: &str) -> Value {
        let arriving = async {
            loop {
                let is_it =
                    |mail: &Value| mail["envelope_to"][0] == to && header(mail, "Subject").contains(about);
                if let Some(mail) = self.mails().into_iter().rev().find(is_it) {
                    return mail;
                }
                client.get("//livez").await;
            }
        };
        let mail = timeout(DEADLINE, arriving).await;
        mail.unwrap_or_else(|_| panic!("no mail {about:?} to {to} among {:#?}", self.mails()))
    }

    /// The address of the server for settings.
    pub(super) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Settings of a server that sends through it.
    pub(super) fn settings(&self) -> impl FnOnce(&mut Settings) + use<> {
        let url = SecretString::from(self.url());
        move |settings| {
            without_delay(settings);
            settings.mail.smtp = SmtpServer::parse(&url);
            settings.mail.from = "Usance <billing@example.com>".parse().unwrap();
        }
    }
}

/// A header of a mail that was taken.
pub(super) fn header(mail: &Value, name: &str) -> String {
    let headers = mail["headers"].as_array().unwrap().iter();
    let mut found = headers.filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    let header = found.next().unwrap_or_else(|| panic!("no {name} in {mail}"));
    assert!(found.next().is_none(), "{name} stands twice in {mail}");
    header[1].as_str().unwrap().to_owned()
}
