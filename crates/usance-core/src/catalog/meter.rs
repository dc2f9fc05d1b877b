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
    /// The smallest value.
    Min,
    /// The sum of the values over the number of events.
    Average,
    /// The number of different values.
    UniqueCount,
    /// The value of the latest event by its own time.
    Latest,
    /// The sum of the values, each weighted with the share of the period that is left when its event happens.
    WeightedSum,
}

impl Aggregation {
    /// Every aggregation, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Count,
        Self::Sum,
        Self::Max,
        Self::Min,
        Self::Average,
        Self::UniqueCount,
        Self::Latest,
        Self::WeightedSum,
    ];

    /// The word used in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Max => "max",
            Self::Min => "min",
            Self::Average => "average",
            Self::UniqueCount => "unique_count",
            Self::Latest => "latest",
            Self::WeightedSum => "weighted_sum",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|aggregation| aggregation.as_str() == word)
    }

    /// Whether an event must carry the meter's value property.
    pub const fn needs_value(self) -> bool {
        match self {
            Self::Count => false,
            Self::Sum
            | Self::Max
            | Self::Min
            | Self::Average
            | Self::UniqueCount
            | Self::Latest
            | Self::WeightedSum => true,
        }
    }

    /// Whether the value must be a decimal; a unique count takes any scalar.
    pub const fn needs_decimal(self) -> bool {
        self.needs_value() && !matches!(self, Self::UniqueCount)
    }

    /// Whether the value can be carried over from period to period, as the stock of something that stays.
    ///
    /// An extreme or an average is about the events of one period, and has nothing to carry.
    pub const fn can_recur(self) -> bool {
        match self {
            Self::Count | Self::Sum | Self::UniqueCount | Self::Latest | Self::WeightedSum => true,
            Self::Max | Self::Min | Self::Average => false,
        }
    }
}
