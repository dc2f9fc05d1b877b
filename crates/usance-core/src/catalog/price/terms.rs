//! The terms of a price: its charge model, and what happens before and after it.

use rust_decimal::Decimal;

use super::{ChargeModel, WindowPricing};
use crate::catalog::rounding::QuantityRounding;

/// Everything of a price that decides its amount.
///
/// The quantity is converted and rounded, then the free quantity is taken off; the model makes an amount of the rest;
/// the discount, the maximum and, on the last rating of a period, the minimum are applied to that in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceTerms {
    /// How a quantity becomes an amount.
    pub model: ChargeModel,
    /// How a measured unit becomes a priced one.
    pub conversion: Option<UnitConversion>,
    /// The quantity that is free in each period, in priced units.
    pub usage_discount: Option<Decimal>,
    /// What is taken off the amount: 10 stands for 10 %.
    pub discount_percent: Option<Decimal>,
    /// What a period costs at least.
    pub minimum: Option<Decimal>,
    /// What a period costs at most.
    pub maximum: Option<Decimal>,
    /// Whether the first tier's flat fee is due without usage.
    pub first_tier_flat: FirstTierFlat,
    /// Whether usage is rated window by window; without it the period is rated as a whole.
    pub window: Option<WindowPricing>,
}

/// Turns measured units into priced ones, such as tokens into thousands of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitConversion {
    /// What is done with the factor.
    pub operation: ConversionOperation,
    /// The number that the quantity is multiplied with or divided by.
    pub factor: Decimal,
    /// How the result is rounded; without it a quotient that has no end is cut half-up to 12 digits.
    pub rounding: Option<QuantityRounding>,
}

/// What a conversion does with its factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConversionOperation {
    /// The quantity times the factor.
    Multiply,
    /// The quantity over the factor.
    Divide,
}

/// Whether the flat fee of the first tier is due when nothing was used, on which billing systems differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FirstTierFlat {
    /// It is due: usage of zero lies in the first tier.
    #[default]
    Charge,
    /// It is not due until something is used.
    Skip,
}

impl From<ChargeModel> for PriceTerms {
    /// Wraps a model that nothing happens before or after.
    fn from(model: ChargeModel) -> Self {
        Self {
            model,
            conversion: None,
            usage_discount: None,
            discount_percent: None,
            minimum: None,
            maximum: None,
            first_tier_flat: FirstTierFlat::Charge,
            window: None,
        }
    }
}

impl ConversionOperation {
    /// Returns `multiply` or `divide`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multiply => "multiply",
            Self::Divide => "divide",
        }
    }

    /// Reads `multiply` or `divide`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Multiply, Self::Divide].into_iter().find(|operation| operation.as_str() == text)
    }
}

impl FirstTierFlat {
    /// Returns `charge` or `skip`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Skip => "skip",
        }
    }

    /// Reads `charge` or `skip`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Charge, Self::Skip].into_iter().find(|policy| policy.as_str() == text)
    }
}
