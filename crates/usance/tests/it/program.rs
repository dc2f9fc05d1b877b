//! The program as a child process, as a shell sees it.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use usance_testkit::{SECRET_KEY, TestDatabase};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// A number of repeats that a soak raises.
#[expect(clippy::disallowed_methods, reason = "a soak asks for more than a test")]
pub(crate) fn asked_for(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a whole number"))
}
/// The number of the signal that cannot be caught.
pub(crate) const SIGKILL: i32 = 9;

/// Prepares a run of the program in a directory of the test, with nothing of the test's own environment but paths.
pub(crate) fn usance(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usance"));
    command.args(arguments).env_clear().current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status; absent after a signal.
    pub(crate) code: Option<i32>,
    /// What it wrote to standard output.
    pub(crate) stdout: String,
    /// What it wrote to standard error.
    pub(crate) stderr: String,
}

impl Finished {
    /// The same, if the exit status is the expected one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end.
pub(crate) async fn finish(mut command: Command) -> Finished {
    let output = timeout(DEADLINE, command.output()).await.expect("the program ends in time").unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal by its short name, as a shell does.
pub(crate) async fn send_signal(name: &str, pid: u32) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"kill -s "$0" "$1""#, name, &pid.to_string()]);
    assert!(shell.status().await.unwrap().success(), "process {pid} takes no SIG{name}");
}

/// A program that stays up. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl Running {
    /// Starts a command whose standard error is added to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let errors = File::options().create(true).append(true).open(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, log: log.to_owned() }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("nobody has waited for its end yet")
    }

    /// Waits for the first line of standard output that contains a text.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        let search = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return Some(line);
                }
            }
            None
        };
        let found = timeout(DEADLINE, search).await.ok().flatten();
        found.unwrap_or_else(|| panic!("no line with {text:?}; the log:\n{}", self.log()))
    }

    /// What it has written to standard error so far, earlier runs with the same file included.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Sends a signal and waits for the end.
    pub(crate) async fn end_by(self, signal: &str) -> ExitStatus {
        send_signal(signal, self.pid()).await;
        self.ended().await
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.child.start_kill().unwrap();
        assert_eq!(self.ended().await.signal(), Some(SIGKILL));
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        timeout(DEADLINE, self.child.wait()).await.expect("the process ends in time").unwrap()
    }
}

/// A server on a database of the test, which others may use too.
#[derive(Debug)]
pub(crate) struct Instance {
    /// The process.
    pub(crate) process: Running,
    /// Its address, without a slash at the end.
    pub(crate) url: String,
}

impl Instance {
    /// Starts a server with a log of its own, and waits until it takes requests.
    pub(crate) async fn start(dir: &Path, name: &str, database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut command = usance(dir, &["serve", "--listen", "127.0.0.1:0"]);
        command.env("DATABASE_URL", database_url).env("USANCE_SECRET_KEY", SECRET_KEY);
        command.env("USANCE_DATABASE_CONNECTIONS", "8").envs(settings.iter().copied());
        let mut process = Running::start(command, &dir.join(format!("{name}.log")));
        let url = address(&process.line_with(GREETING).await);
        Self { process, url }
    }
}

const GREETING: &str = "Usance serves http://";

fn address(greeting: &str) -> String {
    greeting.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned()
}

/// A server with its own PostgreSQL, in one directory of the test.
#[derive(Debug)]
pub(crate) struct Server {
    /// The process.
    pub(crate) process: Running,
    /// Its address, without a slash at the end.
    pub(crate) url: String,
    data_dir: PathBuf,
}

impl Server {
    /// Starts `usance serve` on the directory's data and waits until it takes requests.
    pub(crate) async fn start(dir: &Path) -> Self {
        let mut process = Running::start(serve(dir), &dir.join("server.log"));
        let url = address(&process.line_with(GREETING).await);
        Self { process, url, data_dir: data_dir(dir) }
    }

    /// The process id of its PostgreSQL.
    pub(crate) fn postmaster(&self) -> u32 {
        postmaster_file(&self.data_dir)[0].parse().unwrap()
    }

    /// Its database.
    pub(crate) fn database(&self) -> TestDatabase {
        // The fifth line of the file is the directory of the socket.
        let socket_dir = postmaster_file(&self.data_dir)[4].replace('/', "%2F");
        TestDatabase::existing(&format!("postgres://usance@{socket_dir}:5432/usance?sslmode=disable"))
    }
}

/// The command that serves the data of a directory.
pub(crate) fn serve(dir: &Path) -> Command {
    let data_dir = data_dir(dir);
    let mut command = usance(dir, &["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data_dir);
    command
}

/// Where a server keeps its data.
pub(crate) fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn postmaster_file(data_dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The processes of PostgreSQL that work on a server's data, whoever started them.
pub(crate) fn postgres_processes(dir: &Path) -> Vec<u32> {
    let cluster = fs::canonicalize(data_dir(dir).join("postgres")).unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        fs::read_link(Path::new("/proc").join(pid.to_string()).join("cwd")).is_ok_and(|cwd| cwd == cluster)
    })
    .collect()
}
