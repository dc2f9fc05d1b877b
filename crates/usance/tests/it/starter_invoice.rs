//! The invoice that the starter plan makes of a usage file, computed a second time and in integers.

use std::{fs, path::Path};

const TAX_PERCENT: i64 = 8;
const BASE_MINOR: i64 = 1_000;
/// $0.001 a call.
const CALLS_PER_CENT: i64 = 10;
/// $0.00002 a token.
const TOKENS_PER_CENT: i64 = 500;

/// The usage of a file with the columns time, `ContextTokens` and `GeneratedTokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Rows below the header.
    pub(crate) calls: i64,
    /// The sum of both columns.
    pub(crate) tokens: i64,
}

impl Usage {
    /// Adds a file up.
    pub(crate) fn of(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let rows = text.lines().skip(1).filter(|line| !line.is_empty());
        let tokens = rows.map(|row| {
            row.split(',').skip(1).map(|number| number.trim().parse::<i64>().unwrap()).sum::<i64>()
        });
        tokens.fold(Self { calls: 0, tokens: 0 }, |sum, tokens| Self {
            calls: sum.calls + 1,
            tokens: sum.tokens + tokens,
        })
    }

    /// The amounts of the three lines in cents, each rounded once.
    pub(crate) fn lines(self) -> [i64; 3] {
        [
            BASE_MINOR,
            rounded_half_up(self.calls, CALLS_PER_CENT),
            rounded_half_up(self.tokens, TOKENS_PER_CENT),
        ]
    }

    /// The total in cents, with the tax of each line rounded once.
    pub(crate) fn total(self) -> i64 {
        self.lines().iter().map(|line| line + rounded_half_up(line * TAX_PERCENT, 100)).sum()
    }
}

fn rounded_half_up(numerator: i64, denominator: i64) -> i64 {
    (2 * numerator + denominator) / (2 * denominator)
}
