//! A usage file of the test's own, for machines without the shared one.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

const ROWS: u64 = 20_000;
const SEED: u64 = 1;
const SECONDS_OF_DAY: u64 = 86_400;

/// The `SplitMix64` generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(super) struct SplitMix64(pub(super) u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small against 2^64.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

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
