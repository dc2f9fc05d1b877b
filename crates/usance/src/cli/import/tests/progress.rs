use super::super::options::ProgressMode;
use super::super::progress::Progress;
use super::super::summary::rows_per_second;
use std::time::Duration;

#[test]
fn every_mode_can_be_driven_from_start_to_end() {
    for mode in [ProgressMode::Bar, ProgressMode::Lines, ProgressMode::Silent] {
        let progress = Progress::start(mode, 0);
        progress.hashed(10);
        progress.start_sending();
        progress.sent(5, 20);
        progress.retrying("busy", Duration::from_secs(1));
        progress.finish();
        assert_eq!(progress.count(2).0, 7, "{mode:?}");
    }
}

#[test]
fn a_rate_needs_no_measurable_time() {
    assert_eq!(rows_per_second(7, Duration::ZERO), 7000);
    assert_eq!(rows_per_second(9000, Duration::from_millis(1500)), 6000);
}
