//! Money: an integer of minor units and the currency that gives them a size.

#[cfg(test)]
mod tests;

use std::fmt;

use rust_decimal::Decimal;
use thiserror::Error;

use crate::decimal::{div_power_of_ten_half_up, power_of_ten};

/// A currency of ISO 4217 in which amounts can be paid, which leaves out precious metals and test codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
    exponent: u16,
}

/// The text is not an upper-case ISO 4217 code of a currency that has a minor unit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{code}` is not an ISO 4217 currency code such as USD")]
pub struct UnknownCurrency {
    /// The text that was read.
    pub code: String,
}

impl Currency {
    /// Reads an upper-case alphabetic code.
    pub fn parse(code: &str) -> Result<Self, UnknownCurrency> {
        let iso = iso_currency::Currency::from_code(code);
        match iso.and_then(|iso| Some(Self { iso, exponent: iso.exponent()? })) {
            Some(currency) => Ok(currency),
            None => Err(UnknownCurrency { code: code.to_owned() }),
        }
    }

    /// Returns the three upper-case letters.
    pub fn code(&self) -> &'static str {
        self.iso.code()
    }

    /// Returns the number of decimal digits of the minor unit: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(&self) -> u32 {
        u32::from(self.exponent)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount of whole minor units in one currency, shown as `USD 384.94`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

/// Why an amount cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// The two amounts are in two currencies.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch {
        /// The currency of the amount that was added to.
        left: Currency,
        /// The currency of the other amount.
        right: Currency,
    },
    /// The result is beyond 64 bits of minor units.
    #[error("the amount is too large")]
    TooLarge,
}

impl Money {
    /// Wraps an amount that is already in minor units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Gives nothing, in a currency.
    pub const fn zero(currency: Currency) -> Self {
        Self::new(0, currency)
    }

    /// Rounds an exact amount of major units to the currency's minor unit, half-up, away from zero at one half.
    ///
    /// This is the only place where money is rounded: call it once for each line and each tax amount.
    pub fn from_exact(exact_major: Decimal, currency: Currency) -> Result<Self, MoneyError> {
        let (digits, scale, exponent) = (exact_major.mantissa(), exact_major.scale(), currency.exponent());
        let minor = if scale > exponent {
            div_power_of_ten_half_up(digits, scale - exponent)
        } else {
            digits.checked_mul(power_of_ten(exponent - scale)).ok_or(MoneyError::TooLarge)?
        };
        let minor = i64::try_from(minor).map_err(|_| MoneyError::TooLarge)?;
        Ok(Self::new(minor, currency))
    }

    /// Returns the amount in minor units.
    pub const fn minor(&self) -> i64 {
        self.minor
    }

    /// Returns the currency.
    pub const fn currency(&self) -> Currency {
        self.currency
    }

    /// Returns the amount in major units, with as many decimal digits as the currency has.
    pub fn to_decimal(&self) -> Decimal {
        Decimal::try_new(self.minor, self.currency.exponent()).expect("ISO 4217 exponents are at most 4")
    }

    /// Adds an amount of the same currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.with_minor(other, self.minor.checked_add(other.minor))
    }

    /// Subtracts an amount of the same currency; the result may be negative.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.with_minor(other, self.minor.checked_sub(other.minor))
    }

    fn with_minor(self, other: Self, minor: Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency });
        }
        minor.map(|minor| Self::new(minor, self.currency)).ok_or(MoneyError::TooLarge)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency, self.to_decimal())
    }
}
