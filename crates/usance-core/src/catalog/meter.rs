//! Meters: what is measured of a usage event, and how events add up.

/// How a meter turns many events into one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aggregation {
    /// The number of events.
    Count,
    /// The sum of the value property.
    Sum,
    /// The greatest value.
    Max,
    /// The number of different values.
    UniqueCount,
    /// The value of the latest event by its own time.
    Latest,
}

impl Aggregation {
    /// Every aggregation, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Max, Self::UniqueCount, Self::Latest];

    /// The word used in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::UniqueCount => "unique_count",
            Self::Latest => "latest",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aggregation| aggregation.as_str() == word)
    }

    /// Whether an event must carry the meter's value property.
    pub const fn needs_value(self) -> bool {
        !matches!(self, Self::Count)
    }

    /// Whether the value must be a decimal; a unique count takes any scalar.
    pub const fn needs_decimal(self) -> bool {
        matches!(self, Self::Sum | Self::Max | Self::Latest)
    }
}
