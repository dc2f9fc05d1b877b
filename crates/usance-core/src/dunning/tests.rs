use jiff::Timestamp;
use proptest::prelude::*;

use super::{DunningFault, DunningPolicy, DunningStep, FinalAction};
use crate::programmes::programmes;

fn policy(retry_days: &[u16]) -> DunningPolicy {
    DunningPolicy { retry_days: retry_days.to_vec(), final_action: FinalAction::Cancel }
}

#[test]
fn retries_count_from_the_first_failure_and_end_with_the_final_action() {
    // given a payment that failed in the night before clocks change in Berlin
    let failed_at: Timestamp = "2024-03-30T22:00:00Z".parse().unwrap();
    let ladder = policy(&[1, 3, 7]);

    // when one attempt after another fails
    let steps: Vec<DunningStep> = (0..=5).map(|failed| ladder.next(failed, failed_at)).collect();

    // then each retry has its day, and none is left after the last
    let retry = |time: &str| DunningStep::RetryAt(time.parse().unwrap());
    let exhausted = DunningStep::Exhausted(FinalAction::Cancel);
    let days =
        ["2024-03-30T22:00:00Z", "2024-03-31T22:00:00Z", "2024-04-02T22:00:00Z", "2024-04-06T22:00:00Z"];
    assert_eq!(steps[..4], days.map(retry));
    assert_eq!(steps[4..], [exhausted, exhausted]);
}

#[test]
fn a_policy_without_retries_gives_up_at_once() {
    let unpaid = DunningPolicy { retry_days: Vec::new(), final_action: FinalAction::MarkUnpaid };

    assert_eq!(unpaid.validate(), Ok(()));
    assert_eq!(unpaid.next(1, Timestamp::UNIX_EPOCH), DunningStep::Exhausted(FinalAction::MarkUnpaid));
    assert_eq!(
        unpaid.next(usize::MAX, Timestamp::UNIX_EPOCH),
        DunningStep::Exhausted(FinalAction::MarkUnpaid)
    );
}

#[test]
fn a_retry_beyond_the_range_of_dates_is_at_its_end() {
    assert_eq!(policy(&[365]).next(1, Timestamp::MAX), DunningStep::RetryAt(Timestamp::MAX));
}

#[test]
fn policies_that_cannot_be_followed_are_refused() {
    let many: Vec<u16> = (1..=21).collect();
    for (days, expected) in [
        (&[1, 3, 5, 7][..], Ok(())),
        (&many, Err(DunningFault::TooManyRetries)),
        (&[0], Err(DunningFault::DayOutOfRange { place: 0 })),
        (&[1, 366], Err(DunningFault::DayOutOfRange { place: 1 })),
        (&[3, 3], Err(DunningFault::NotAscending { place: 1 })),
        (&[1, 5, 2], Err(DunningFault::NotAscending { place: 2 })),
    ] {
        assert_eq!(policy(days).validate(), expected, "{days:?}");
    }
}

#[test]
fn words_are_read_back() {
    for action in [FinalAction::Cancel, FinalAction::MarkUnpaid] {
        assert_eq!(FinalAction::parse(action.as_str()), Some(action));
    }
    assert_eq!(FinalAction::parse("pause"), None);
}

proptest! {
    #![proptest_config(programmes())]

    #[test]
    fn every_retry_is_later_than_the_one_before(days in prop::collection::btree_set(1_u16..=365, 0..=20), second in 0_i64..4_000_000_000) {
        let ladder = policy(&days.into_iter().collect::<Vec<_>>());
        let failed_at = Timestamp::from_second(second).unwrap();
        prop_assert_eq!(ladder.validate(), Ok(()));

        let mut last = failed_at;
        for failed in 1..=ladder.retry_days.len() {
            let DunningStep::RetryAt(at) = ladder.next(failed, failed_at) else { panic!("no retry after {failed}") };
            prop_assert!(at > last);
            last = at;
        }
        prop_assert_eq!(ladder.next(ladder.retry_days.len() + 1, failed_at), DunningStep::Exhausted(FinalAction::Cancel));
    }
}
