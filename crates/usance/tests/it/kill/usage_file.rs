//! A usage file of the test's own, for machines without the shared one.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use crate::random::SplitMix64;

const ROWS: u64 = 20_000;
const SEED: u64 = 1;
const SECONDS_OF_DAY: u64 = 86_400;

/// Writes the file, the same on every machine, into a directory.
pub(super) fn write(dir: &Path) -> PathBuf {
    let mut random = SplitMix64(SEED);
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for _ in 0..ROWS {
        let (day, second) = (1 + random.below(30), random.below(SECONDS_OF_DAY));
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let (context, generated) = (1 + random.below(4000), 1 + random.below(600));
        writeln!(text, "2023-11-{day:02} {hour:02}:{minute:02}:{second:02},{context},{generated}").unwrap();
    }
    let path = dir.join("usage.csv");
    fs::write(&path, text).unwrap();
    path
}
