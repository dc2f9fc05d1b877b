//! Rounding of quantities: of what a meter measured, and of what a price counts. Money is rounded elsewhere.

#[cfg(test)]
mod tests;

use rust_decimal::Decimal;

use crate::decimal::{DecimalError, SCALE_MAX, exact_add, exact_div_rem, exact_mul};

/// Digits before the point that rounding may clear: -6 rounds to whole millions.
pub const ROUNDING_SCALE_MIN: i8 = -6;

/// Digits after the point that rounding may keep, as many as a stored quantity has.
pub const ROUNDING_SCALE_MAX: i8 = 12;

/// Which neighbour a value goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoundingMode {
    /// The nearer one; away from zero at exactly one half.
    HalfUp,
    /// The greater one.
    Ceil,
    /// The smaller one.
    Floor,
}

/// How a quantity is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuantityRounding {
    /// Which neighbour is taken.
    pub mode: RoundingMode,
    /// Digits after the point, or below zero the zeros before it: 2 is hundredths, -2 is hundreds.
    pub scale: i8,
}

impl RoundingMode {
    /// Every mode, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::HalfUp, Self::Ceil, Self::Floor];

    /// Returns `half_up`, `ceil` or `floor`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HalfUp => "half_up",
            Self::Ceil => "ceil",
            Self::Floor => "floor",
        }
    }

    /// Reads the word of [`RoundingMode::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

impl QuantityRounding {
    /// Half-up at as many digits as a stored quantity has: what a quotient without end is cut to.
    pub const STORED: Self = Self { mode: RoundingMode::HalfUp, scale: ROUNDING_SCALE_MAX };

    /// Tells whether the scale lies between [`ROUNDING_SCALE_MIN`] and [`ROUNDING_SCALE_MAX`].
    pub const fn is_valid(self) -> bool {
        ROUNDING_SCALE_MIN <= self.scale && self.scale <= ROUNDING_SCALE_MAX
    }

    /// Rounds a value.
    pub fn round(self, value: Decimal) -> Result<Decimal, DecimalError> {
        self.divide(value, Decimal::ONE)
    }

    /// Divides and rounds the exact quotient once; a divisor of zero or below zero is refused.
    pub fn divide(self, dividend: Decimal, divisor: Decimal) -> Result<Decimal, DecimalError> {
        if divisor <= Decimal::ZERO {
            return Err(DecimalError::DivisionByZero);
        }
        let power = power_of_ten(self.scale.unsigned_abs())?;
        if self.scale < 0 {
            let divisor = exact_mul(divisor, power)?;
            let (quotient, remainder) = exact_div_rem(dividend, divisor)?;
            return exact_mul(exact_add(quotient, self.step(remainder, divisor)?)?, power);
        }
        // Only the part after the point is scaled up, so that whole numbers may be as large as decimals can be.
        let (whole, rest) = exact_div_rem(dividend, divisor)?;
        let (quotient, remainder) = exact_div_rem(exact_mul(rest, power)?, divisor)?;
        let steps = exact_add(quotient, self.step(remainder, divisor)?)?;
        exact_add(whole, exact_mul(steps, Decimal::new(1, u32::from(self.scale.unsigned_abs())))?)
    }

    /// One up, one down or none, for a quotient that was cut towards zero.
    fn step(self, remainder: Decimal, divisor: Decimal) -> Result<Decimal, DecimalError> {
        let sign = if remainder < Decimal::ZERO { Decimal::NEGATIVE_ONE } else { Decimal::ONE };
        let is_taken = match self.mode {
            RoundingMode::HalfUp => exact_add(remainder.abs(), remainder.abs())? >= divisor,
            RoundingMode::Ceil => remainder > Decimal::ZERO,
            RoundingMode::Floor => remainder < Decimal::ZERO,
        };
        Ok(if is_taken { sign } else { Decimal::ZERO })
    }
}

/// Gives 10 to a power of at most [`SCALE_MAX`]; a scale beyond it is refused.
fn power_of_ten(power: u8) -> Result<Decimal, DecimalError> {
    if u32::from(power) > SCALE_MAX {
        return Err(DecimalError::TooPrecise);
    }
    Decimal::try_from_i128_with_scale(10_i128.pow(u32::from(power)), 0).map_err(|_| DecimalError::TooLarge)
}
