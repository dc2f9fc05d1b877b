//! Tests of everything that needs no server.

mod arguments;
mod events;
mod identity;
mod mapping;
mod progress;
mod rows;
mod sending;
mod state;
mod time;

use super::cells::{Cells, Fields, Header};
use super::delimited;
use super::options::{ImportOptions, Origin};
use secrecy::SecretString;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of one test, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("usance-import-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn options(file: &Path, mappings: &[&str]) -> ImportOptions {
    let mut options = ImportOptions::new(
        file.to_path_buf(),
        "http://127.0.0.1:8080".parse().unwrap(),
        SecretString::from("sk_test_secret"),
        Origin::Fixed("code".to_owned()),
        Origin::Fixed("llm_call".to_owned()),
    );
    options.mappings = mappings.iter().map(|text| text.parse().unwrap()).collect();
    options
}

/// A header and one record, split at commas.
struct Record {
    header: Header,
    fields: Fields,
}

impl Record {
    fn new(header: &str, record: &str) -> Self {
        let (mut names, mut fields) = (Fields::default(), Fields::default());
        delimited::split(header, b',', &mut names);
        delimited::split(record, b',', &mut fields);
        Self { header: Header::new(&names), fields }
    }

    fn cells(&self) -> Cells<'_> {
        Cells::Delimited(&self.header, &self.fields)
    }
}
