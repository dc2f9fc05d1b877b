//! Minimum commitments: what is missing to an amount that was promised.

use crate::money::{Money, MoneyError};

/// Computes what is still due for a committed amount; nothing once the rounded usage reaches it.
///
/// Usage is rounded before it gets here, so that the usage lines and the true-up line add up to the commitment.
pub fn true_up(committed: Money, used: Money) -> Result<Money, MoneyError> {
    let missing = committed.checked_sub(used)?;
    Ok(if missing.minor() < 0 { Money::zero(committed.currency()) } else { missing })
}

#[cfg(test)]
mod tests {
    use super::true_up;
    use crate::money::{Currency, Money};

    #[test]
    fn only_what_is_missing_is_due() {
        let usd = |minor| Money::new(minor, Currency::parse("USD").unwrap());
        for (committed, used, expected) in
            [(100_000, 75_000, 25_000), (1_000, 1_000, 0), (1_000, 1_001, 0), (1_000, -500, 1_500)]
        {
            assert_eq!(true_up(usd(committed), usd(used)), Ok(usd(expected)));
        }
        assert!(true_up(usd(1), Money::new(1, Currency::parse("EUR").unwrap())).is_err());
    }
}
