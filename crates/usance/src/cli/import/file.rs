//! Reads the file that is imported, and hashes it on the way.

use super::identity::Sha256;
use super::options::Format;
use super::progress::Progress;
use super::source::RowSource;
use anyhow::{Context as _, bail};
use aws_lc_rs::digest::{Context, SHA256};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Gives the size of the file, which is read twice and so cannot be a pipe or a terminal.
pub(super) fn check_file(path: &Path) -> anyhow::Result<u64> {
    let metadata = std::fs::metadata(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    if !metadata.is_file() {
        bail!("{} is not a regular file", path.display());
    }
    Ok(metadata.len())
}

/// Opens a file for reading it from the start.
pub(super) fn open_rows(path: &Path, format: Format) -> anyhow::Result<RowSource<HashingReader<File>>> {
    let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
    RowSource::open(HashingReader::new(file), format).with_context(|| path.display().to_string())
}

/// Makes an empty file for this user alone, in the place of a regular file that may be there.
///
/// The place may be in a directory that others can write: a link that somebody laid there is never followed.
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            return Err(io::Error::new(
                ErrorKind::AlreadyExists,
                "there is something that is not a regular file",
            ));
        }
        Ok(_) => fs::remove_file(path)?,
        Err(err) if err.kind() == ErrorKind::NotFound => {}
        Err(err) => return Err(err),
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Hashes the file and makes sure that it can be split into rows to its end.
///
/// A quote that is never closed must come to light before anything is sent: to repair it changes the file, and with it
/// the ids of all its rows.
pub(super) fn hash_file(path: &Path, format: Format, progress: &Progress) -> anyhow::Result<Sha256> {
    let mut source = open_rows(path, format)?;
    while source.advance().with_context(|| path.display().to_string())?.is_some() {
        progress.hashed(source.reader().bytes_read());
    }
    Ok(source.into_inner().finish())
}

/// Hashes and counts what is read through it.
#[derive(Debug)]
pub(super) struct HashingReader<R> {
    inner: R,
    context: HashContext,
    bytes: u64,
}

/// A running hash; it exists only to give the reader a `Debug` form.
struct HashContext(Context);

impl fmt::Debug for HashContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashContext")
    }
}

impl<R: Read> HashingReader<R> {
    /// Starts at the beginning of the content.
    pub(super) fn new(inner: R) -> Self {
        Self { inner, context: HashContext(Context::new(&SHA256)), bytes: 0 }
    }

    /// How many bytes were read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes
    }

    /// The hash of everything that was read.
    pub(super) fn finish(self) -> Sha256 {
        Sha256::from(self.context.0.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.context.0.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
