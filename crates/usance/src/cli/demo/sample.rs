//! The usage of a month that nobody sold: the same 5,000 calls of a language model on every machine.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

const ROWS: u64 = 5000;
const SEED: u64 = 0x7573_616e_6365;
/// 2023-11-01T00:00:00Z
const START_SECONDS: i64 = 1_698_796_800;
const DAYS: u64 = 30;
const HOUR_US: u64 = 3_600_000_000;
/// How busy each hour of the day is: quiet at night, busiest in the early afternoon.
const HOUR_WEIGHTS: [u64; 24] =
    [2, 1, 1, 1, 1, 2, 3, 5, 8, 10, 11, 11, 10, 12, 13, 12, 11, 9, 7, 6, 5, 5, 4, 3];

/// The `SplitMix64` generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; that small numbers are more likely by 1 in 2^40 is of no matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Microseconds since the beginning of the month.
    fn moment(&mut self) -> u64 {
        let day = self.below(DAYS);
        let mut ticket = self.below(HOUR_WEIGHTS.iter().sum());
        let mut hour = 0;
        for weight in HOUR_WEIGHTS {
            if ticket < weight {
                break;
            }
            ticket -= weight;
            hour += 1;
        }
        (day * 24 + hour) * HOUR_US + self.below(HOUR_US)
    }

    /// From 2^low up to 2^(high + 1), each doubling as likely as the other: many short texts, few long ones.
    fn tokens(&mut self, low: u64, high: u64) -> u64 {
        let floor = 1 << (low + self.below(high - low + 1));
        floor + self.below(floor)
    }
}

/// The rows in the order of their time, as CSV with the columns TIMESTAMP, `ContextTokens` and `GeneratedTokens`.
pub(super) fn csv() -> String {
    let mut random = SplitMix64(SEED);
    let mut moments: Vec<u64> = (0..ROWS).map(|_| random.moment()).collect();
    moments.sort_unstable();
    let start = Timestamp::from_second(START_SECONDS).unwrap_or_default();
    let mut text = String::from("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    for moment in moments {
        let elapsed = SignedDuration::from_micros(i64::try_from(moment).unwrap_or_default());
        let at = start.saturating_add(elapsed).unwrap_or(start);
        let (context, generated) = (random.tokens(7, 12), random.tokens(3, 9));
        writeln!(text, "{at:.6},{context},{generated}").expect("a String takes every write");
    }
    text
}
