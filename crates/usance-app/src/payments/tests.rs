use jiff::SignedDuration;

use super::look_up_delay;

#[test]
fn a_gateway_that_stays_silent_is_asked_less_and_less_often() {
    let delays = [0, 59, 60, 60 * 23, 60 * 24, 60 * 24 * 30]
        .map(|minutes| look_up_delay(SignedDuration::from_mins(minutes)).as_mins());

    assert_eq!(delays, [5, 5, 60, 60, 24 * 60, 24 * 60]);
}
