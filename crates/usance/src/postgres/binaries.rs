use super::PostgresError;
use super::account::find_in_path;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest version the schema is written for.
pub(super) const MAJOR_MIN: u32 = 15;

/// Where Debian and its relatives keep one directory per major version.
const VERSIONS_DIR: &str = "/usr/lib/postgresql";

/// What the supervisor runs.
const PROGRAMS: [&str; 4] = ["postgres", "initdb", "psql", "pg_ctl"];

/// A directory of PostgreSQL's programs that holds all of [`PROGRAMS`] in a supported version.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// Finds the programs: the named directory, else the installed version of the cluster, else the newest one, else
    /// those in `PATH`.
    pub(super) fn find(named: Option<&Path>, cluster_major: Option<u32>) -> Result<Self, PostgresError> {
        if let Some(dir) = named {
            let dir = fs::canonicalize(dir).map_err(PostgresError::file("open", dir))?;
            return Self::check(dir);
        }
        match preferred(&installed_majors(), cluster_major) {
            Some(major) => Self::check(Path::new(VERSIONS_DIR).join(major.to_string()).join("bin")),
            None => Self::check(find_in_path("postgres").ok_or(PostgresError::NotInstalled)?),
        }
    }

    /// Returns the path of one of the programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Tells whether the server was built with LZ4, which compresses the log at a fraction of what PGLZ costs.
    pub(super) fn have_lz4(&self) -> bool {
        let output = Command::new(self.program("pg_config")).arg("--configure").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--with-lz4"))
    }

    fn check(dir: PathBuf) -> Result<Self, PostgresError> {
        if let Some(program) = PROGRAMS.into_iter().find(|program| !dir.join(program).is_file()) {
            return Err(PostgresError::ProgramMissing { dir, program });
        }
        let major = version_of(&dir.join("postgres"))?;
        if major < MAJOR_MIN {
            return Err(PostgresError::TooOld { dir, major });
        }
        Ok(Self { dir, major })
    }
}

/// Reads the major version from a reply such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
pub(super) fn parse_major(reply: &str) -> Option<u32> {
    let (_, version) = reply.split_once("(PostgreSQL) ")?;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

/// Picks the cluster's own version if it is installed, else the newest.
pub(super) fn preferred(installed: &[u32], cluster_major: Option<u32>) -> Option<u32> {
    cluster_major.filter(|major| installed.contains(major)).or_else(|| installed.iter().max().copied())
}

/// Lists the major versions whose server is installed; client-only directories do not count.
fn installed_majors() -> Vec<u32> {
    let Ok(entries) = fs::read_dir(VERSIONS_DIR) else { return Vec::new() };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("bin/postgres").is_file())
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn version_of(program: &Path) -> Result<u32, PostgresError> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|source| PostgresError::Spawn { program: program.to_owned(), source })?;
    let reply = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    parse_major(&reply).ok_or_else(|| PostgresError::VersionUnknown { program: program.to_owned(), reply })
}
