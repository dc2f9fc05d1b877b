use super::PostgresError;
use super::account::Account;
use std::fmt::Write;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// The number in the socket's file name; no network port is opened.
pub(super) const PORT: u16 = 5432;

/// The longest path of a Unix socket: `sun_path` has 108 bytes, the last of which is NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// How often a starting server is asked whether it is ready, and how long one answer may take.
const POLL_PERIOD: Duration = Duration::from_millis(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The `StartupMessage` of protocol 3.0, a length of 41 bytes first, and the `Terminate` message; see chapter
/// "Frontend/Backend Protocol" of PostgreSQL's manual.
pub(super) const STARTUP: &[u8; 41] = b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
const TERMINATE: &[u8; 5] = b"X\0\0\0\x04";

/// Creates the directory of the socket, open to the account alone, and returns its path.
pub(super) fn create_dir(data_dir: &Path, account: &Account) -> Result<String, PostgresError> {
    let dir = choose_dir(data_dir, &std::env::temp_dir())?;
    if let Some(parent) = dir.parent() {
        account.check_entry(parent, "--data-dir")?;
    }
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => account.give(&dir)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PostgresError::file("create", &dir)(error)),
    }
    // The temporary directory is open to everybody: what lies there under our name need not be ours.
    let metadata = fs::symlink_metadata(&dir).map_err(PostgresError::file("read", &dir))?;
    if !metadata.is_dir() || metadata.uid() != account.uid || metadata.permissions().mode() & 0o777 != 0o700 {
        return Err(PostgresError::SocketDirUntrusted { dir });
    }
    dir.into_os_string().into_string().map_err(|path| PostgresError::PathNotUtf8 { path: path.into() })
}

/// Chooses the data directory's `socket`, or a short name in a temporary directory if that path does not suit a socket.
pub(super) fn choose_dir(data_dir: &Path, temp_dir: &Path) -> Result<PathBuf, PostgresError> {
    let short_name = format!("usance-{:016x}", fingerprint(data_dir.as_os_str().as_encoded_bytes()));
    let candidates =
        [data_dir.join("socket"), temp_dir.join(&short_name), Path::new("/tmp").join(&short_name)];
    let suitable = candidates.into_iter().find(|dir| suits(dir));
    suitable.ok_or_else(|| PostgresError::SocketPathTooLong { path: file(data_dir) })
}

/// Returns the path of the socket in its directory.
pub(super) fn file(dir: &Path) -> PathBuf {
    dir.join(format!(".s.PGSQL.{PORT}"))
}

/// Returns the address of a database behind a socket, readable for sqlx and libpq alike.
///
/// Everything is spelled out, because sqlx fills gaps from the environment (`PGPORT`, `PGSSLMODE`).
pub(super) fn url(socket_dir: &str, database: &str) -> String {
    let (host, database) = (percent_encoded(socket_dir), percent_encoded(database));
    format!("postgres://usance@{host}:{PORT}/{database}?sslmode=disable")
}

/// Waits until the server lets a session in.
pub(super) async fn ready(socket_dir: &str) {
    let socket = file(Path::new(socket_dir));
    loop {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, lets_in(&socket)).await;
        if matches!(answer, Ok(Ok(true))) {
            return;
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
}

/// Begins a session and tells whether the server agrees.
///
/// The answer begins with `R` (authentication) or, while the server recovers, with `E` (error).
async fn lets_in(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(STARTUP).await?;
    let answer = stream.read_u8().await?;
    // A server that has already closed the session needs no farewell.
    drop(stream.write_all(TERMINATE).await);
    Ok(answer == b'R')
}

/// Tells whether a directory's socket is short enough and its path means the same in every place that names it: libpq
/// splits host names at commas, PostgreSQL's settings have quotes.
fn suits(dir: &Path) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'\'' | b'\\');
    let path = file(dir);
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.len() <= PATH_BYTES_MAX && bytes.iter().all(is_plain)
}

/// Returns the FNV-1a hash, which stays the same from release to release, unlike the hasher of the standard library.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Encodes everything but the unreserved characters of RFC 3986.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 3), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes every write");
        }
        encoded
    })
}
