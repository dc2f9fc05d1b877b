//! When a mail is tried again.

use jiff::{SignedDuration, Timestamp};

/// The delays after the first attempt, the second one, and so on: a day and a half in all.
const DELAYS: [SignedDuration; 9] = [
    SignedDuration::from_secs(30),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    SignedDuration::from_mins(45),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(5),
    SignedDuration::from_hours(10),
    SignedDuration::from_hours(18),
];
/// Attempts at one mail, with the first.
pub const ATTEMPTS_MAX: usize = DELAYS.len() + 1;
/// Thousandths of a delay that chance adds or takes away at most.
const JITTER: i32 = 200;

/// Returns when a mail is tried again after so many attempts; none when it is given up. `chance` is any number that nobody can
/// foresee: what failed together is not tried again together.
pub fn next_attempt(attempts: usize, now: Timestamp, chance: u32) -> Option<Timestamp> {
    let planned = *DELAYS.get(attempts.checked_sub(1)?)?;
    let thousandths = 1_000 - JITTER + i32::try_from(chance % 401).unwrap_or(JITTER);
    now.checked_add(planned * thousandths / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{ATTEMPTS_MAX, DELAYS, next_attempt};

    fn delay(attempts: usize, chance: u32) -> Option<SignedDuration> {
        let next = next_attempt(attempts, Timestamp::UNIX_EPOCH, chance)?;
        Some(next.duration_since(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn ten_attempts_take_a_day_and_a_half_and_then_it_is_given_up() {
        let delays: Vec<_> = (1..).map_while(|attempts| delay(attempts, 200)).collect();

        assert_eq!(delays, DELAYS);
        assert_eq!(delays.len() + 1, ATTEMPTS_MAX);
        assert_eq!(delays.into_iter().sum::<SignedDuration>().as_hours(), 36);
        assert_eq!(delay(0, 0), None);
        assert_eq!(delay(usize::MAX, 0), None);
    }

    #[test]
    fn chance_moves_a_delay_by_a_fifth_at_most() {
        for chance in [0, 1, 400, 401, u32::MAX] {
            let seconds = delay(5, chance).unwrap().as_secs();
            assert!((36 * 60..=54 * 60).contains(&seconds), "{seconds}");
        }
    }
}
