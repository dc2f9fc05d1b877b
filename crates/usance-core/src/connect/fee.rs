//! What the operator keeps of a charge that a tenant's own Stripe account takes.

use rust_decimal::Decimal;

/// Added to the share of each charge, in minor units.
const FIXED_MINOR: i128 = 50;
/// The operator keeps at most so much of a charge, in hundredths of a percent.
const SHARE_MAX: i128 = 9_500;
/// The whole of a charge, in hundredths of a percent.
const WHOLE: i128 = 10_000;

/// A share in percent, from 0 to 100 with at most two digits after the point, as the database keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeePercentage {
    hundredths: i128,
}

impl FeePercentage {
    /// Reads a share; what is out of range or more precise gives nothing.
    pub fn new(percent: Decimal) -> Option<Self> {
        let percent = percent.normalize();
        let missing_digits = 2_u32.checked_sub(percent.scale())?;
        let hundredths = percent.mantissa().checked_mul(10_i128.pow(missing_digits))?;
        (0..=WHOLE).contains(&hundredths).then_some(Self { hundredths })
    }
}

/// Gives the application fee of a charge, in minor units of its currency: the share rounded down, and 50 minor units, but at
/// most 95 % of the charge rounded down. Of nothing, or less, nothing is kept.
///
/// This is the formula of the Django platform whose clients Usance takes over: `min(int(amount * percent) + 50,
/// int(amount * 0.95))`, here without floats. The cap leaves a tenant something of a charge of a few cents, and Stripe
/// refuses a fee that exceeds its charge.
pub fn application_fee(amount_minor: i64, percentage: FeePercentage) -> i64 {
    let amount = i128::from(amount_minor.max(0));
    let fee = amount * percentage.hundredths / WHOLE + FIXED_MINOR;
    let most = amount * SHARE_MAX / WHOLE;
    i64::try_from(fee.min(most)).expect("a fee is smaller than its charge")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::programmes::programmes;

    fn percent(text: &str) -> FeePercentage {
        FeePercentage::new(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_fee_is_a_share_and_fifty_but_never_more_than_95_percent() {
        for (amount, share, fee) in [
            (10_000, "15", 1_550),
            (10_000, "15.00", 1_550),
            (2_999, "15", 499),
            (1_000, "15", 200),
            (100, "15", 65),
            // 7 + 50 of 50 would be more than the charge.
            (50, "15", 47),
            (62, "15", 58),
            (63, "15", 59),
            (1, "15", 0),
            (2, "15", 1),
            (0, "15", 0),
            (-500, "15", 0),
            (10_000, "0", 50),
            (10_000, "100", 9_500),
            (10_000, "2.75", 325),
            (3_333, "2.75", 141),
            (i64::MAX, "15", 1_383_505_805_528_216_421),
            (i64::MIN, "15", 0),
        ] {
            assert_eq!(application_fee(amount, percent(share)), fee, "{share} % of {amount}");
        }
    }

    #[test]
    fn a_share_has_two_digits_after_the_point_and_is_a_part_of_the_whole() {
        for refused in ["-0.01", "100.01", "15.001", "79228162514264337593543950335"] {
            assert_eq!(FeePercentage::new(refused.parse().unwrap()), None, "{refused}");
        }
        for accepted in ["0", "0.01", "15.000", "99.99", "100"] {
            assert!(FeePercentage::new(accepted.parse().unwrap()).is_some(), "{accepted}");
        }
    }

    proptest! {
        #![proptest_config(programmes())]

        #[test]
        fn a_fee_lies_between_nothing_and_95_percent(amount in any::<i64>(), hundredths in 0_i64..=10_000) {
            let percentage = FeePercentage::new(Decimal::new(hundredths, 2)).unwrap();

            let fee = i128::from(application_fee(amount, percentage));

            prop_assert!(fee >= 0);
            prop_assert!(fee * 100 <= i128::from(amount.max(0)) * 95);
        }

        #[test]
        fn a_greater_charge_or_share_never_has_a_smaller_fee(
            amount in 0_i64..1_000_000, more in 0_i64..1_000_000, hundredths in 0_i64..10_000
        ) {
            let percentage = |hundredths| FeePercentage::new(Decimal::new(hundredths, 2)).unwrap();

            let fee = application_fee(amount, percentage(hundredths));

            prop_assert!(application_fee(amount + more, percentage(hundredths)) >= fee);
            prop_assert!(application_fee(amount, percentage(hundredths + 1)) >= fee);
        }

        #[test]
        fn below_the_cap_the_fee_is_the_exact_share_rounded_down_and_fifty(
            amount in 1_000_i64..1_000_000_000, hundredths in 0_i64..=8_000
        ) {
            let share = Decimal::from(amount) * Decimal::new(hundredths, 4);

            let fee = application_fee(amount, FeePercentage::new(Decimal::new(hundredths, 2)).unwrap());

            prop_assert_eq!(Decimal::from(fee - 50), share.floor());
        }
    }
}
