use super::account::{ids_in_passwd, ids_in_status, may_enter};
use super::binaries::{parse_major, preferred};
use super::log::last_lines;
use super::settings::{fixed, mb_in_cgroup, mb_in_meminfo, settings};
use super::socket::{STARTUP, choose_dir, file, url};
use super::supervise::Restarts;
use super::{Durability, PostgresError, cluster};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Returns a fresh directory of a test, named after it.
fn scratch_dir(test: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("usance-test-{}-{test}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    dir
}

#[test]
fn the_major_version_is_read_from_releases_and_previews() {
    let replies = [
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
        ("postgres (PostgreSQL) 18beta1", Some(18)),
        ("postgres (PostgreSQL) 19devel", Some(19)),
        ("postgres (PostgreSQL) 9.6.24", Some(9)),
        ("postgres (EnterpriseDB) 16.1", None),
        ("postgres (PostgreSQL) ", None),
        ("", None),
    ];
    for (reply, major) in replies {
        assert_eq!(parse_major(reply), major, "{reply}");
    }
}

#[test]
fn the_version_of_the_cluster_is_preferred_to_a_newer_one() {
    assert_eq!(preferred(&[15, 17, 16], Some(16)), Some(16));
    assert_eq!(
        preferred(&[15, 17, 16], Some(14)),
        Some(17),
        "an absent version is reported later, with the newest"
    );
    assert_eq!(preferred(&[15, 17, 16], None), Some(17));
    assert_eq!(preferred(&[], Some(15)), None);
}

#[test]
fn shares_of_memory_grow_with_the_machine_up_to_a_cap() {
    let cases = [(512, "128MB", "256MB"), (4096, "1024MB", "2048MB"), (65_536, "2048MB", "32768MB")];
    for (memory_mb, shared_buffers, effective_cache) in cases {
        // When
        let text = settings(memory_mb, Durability::Durable, true);

        // Then
        assert!(text.contains(&format!("\nshared_buffers = {shared_buffers}\n")), "{memory_mb}: {text}");
        assert!(
            text.contains(&format!("\neffective_cache_size = {effective_cache}\n")),
            "{memory_mb}: {text}"
        );
    }
}

#[test]
fn a_tiny_machine_still_gets_settings_the_server_accepts() {
    let text = settings(0, Durability::Durable, true);

    assert!(text.contains("\nshared_buffers = 32MB\n"), "{text}");
    assert!(text.contains("\nwork_mem = 4MB\n"), "{text}");
}

#[test]
fn only_the_fast_server_gives_up_flushing() {
    for (durability, flush) in [(Durability::Durable, "on"), (Durability::Fast, "off")] {
        // When
        let arguments = fixed("/run/usance", durability);

        // Then
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert!(arguments.contains(&format!("{name}={flush}")), "{durability:?}: {arguments:?}");
        }
        assert!(arguments.contains(&"listen_addresses=".to_owned()), "{durability:?}: {arguments:?}");
    }
}

#[test]
fn the_settings_of_the_operator_are_read_last() {
    let text = settings(4096, Durability::Durable, true);

    assert_eq!(text.lines().last(), Some("include_if_exists = 'postgres.local.conf'"));
}

#[test]
fn memory_is_read_from_the_machine_and_from_the_container() {
    assert_eq!(mb_in_meminfo("MemTotal:       24684544 kB\nMemFree:        1024 kB\n"), Some(24_106));
    assert_eq!(mb_in_meminfo("MemFree:        1024 kB\n"), None);
    assert_eq!(mb_in_cgroup("536870912\n"), Some(512));
    assert_eq!(mb_in_cgroup("max\n"), None);
}

#[test]
fn the_socket_lies_in_the_data_directory_if_its_path_fits() {
    let longest = "d".repeat(107 - "//socket/.s.PGSQL.5432".len());
    let data_dir = Path::new("/").join(longest);

    // When
    let dir = choose_dir(&data_dir, Path::new("/tmp")).unwrap();

    // Then
    assert_eq!(dir, data_dir.join("socket"));
    assert_eq!(file(&dir).as_os_str().len(), 107);
}

#[test]
fn the_socket_of_an_unsuitable_data_directory_lies_in_the_temporary_directory() {
    let too_long = "d".repeat(108 - "//socket/.s.PGSQL.5432".len());
    for name in [too_long.as_str(), "with,comma", "with\"quote", "with space", "größe"] {
        // When
        let dir = choose_dir(&Path::new("/").join(name), Path::new("/tmp")).unwrap();

        // Then
        assert!(dir.starts_with("/tmp"), "{name}: {}", dir.display());
        assert!(file(&dir).as_os_str().len() <= 107, "{name}: {}", dir.display());
    }
}

#[test]
fn data_directories_do_not_share_a_short_socket_directory() {
    let temp_dir = Path::new("/tmp");
    let deep = PathBuf::from("/".to_owned() + &"d".repeat(120));

    let first = choose_dir(&deep.join("a"), temp_dir).unwrap();
    let second = choose_dir(&deep.join("b"), temp_dir).unwrap();

    assert_ne!(first, second);
    assert_eq!(choose_dir(&deep.join("a"), temp_dir).unwrap(), first, "the same directory is found again");
}

#[test]
fn the_url_names_the_socket_and_leaves_nothing_to_the_environment() {
    let expected = "postgres://usance@%2Fvar%2Flib%2Fusance%2Fsocket:5432/usance_test%201?sslmode=disable";
    assert_eq!(url("/var/lib/usance/socket", "usance_test 1"), expected);
}

#[test]
fn the_startup_message_tells_its_own_length() {
    assert_eq!(STARTUP[..4], u32::try_from(STARTUP.len()).unwrap().to_be_bytes());
}

#[test]
fn entry_is_decided_by_the_closest_of_owner_group_and_others() {
    let account = (101, 104);
    let cases = [
        ((101, 0), 0o700, true),
        ((101, 104), 0o077, false),
        ((0, 104), 0o710, true),
        ((0, 104), 0o701, false),
        ((0, 0), 0o711, true),
        ((0, 0), 0o700, false),
        ((0, 0), 0o744, false),
    ];
    for (owner, mode, expected) in cases {
        assert_eq!(may_enter(account, owner, mode), expected, "{owner:?} {mode:o}");
    }
}

#[test]
fn accounts_are_found_by_their_exact_name() {
    let passwd =
        "daemon:x:1:1::/:/bin/sh\npostgres2:x:7:7::/:/bin/sh\npostgres:x:101:104::/var/lib:/bin/bash\n";

    assert_eq!(ids_in_passwd(passwd, "postgres"), Some((101, 104)));
    assert_eq!(ids_in_passwd(passwd, "nobody"), None);
    assert_eq!(ids_in_passwd("postgres:x:many:104:::\n", "postgres"), None);
}

#[test]
fn the_effective_ids_count_and_not_the_real_ones() {
    let status = "Name:\tusance\nUid:\t1000\t1001\t1000\t1000\nGid:\t2000\t2001\t2000\t2000\n";

    assert_eq!(ids_in_status(status), Some((1001, 2001)));
    assert_eq!(ids_in_status("Name:\tusance\n"), None);
}

#[test]
fn only_the_last_lines_of_the_log_are_shown() {
    assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
    assert_eq!(last_lines("a\n", 2), "a");
    assert_eq!(last_lines("", 2), "");
}

#[test]
fn a_server_that_keeps_ending_is_started_ever_later_and_then_given_up() {
    let mut restarts = Restarts::default();
    let now = Instant::now();

    // When
    let delays: Vec<Duration> = std::iter::from_fn(|| restarts.next_delay(now)).take(1000).collect();

    // Then
    assert_eq!(delays.len(), Restarts::ENDS_MAX);
    assert_eq!(delays[..3], [50, 100, 200].map(Duration::from_millis));
    assert_eq!(delays.last(), Some(&Restarts::DELAY_MAX));
}

#[test]
fn a_server_that_ends_now_and_then_is_always_started_again_at_once() {
    let mut restarts = Restarts::default();
    let begin = Instant::now();

    for minute in 0..1000 {
        let delay = restarts.next_delay(begin + Duration::from_mins(minute));
        assert_eq!(delay, Some(Restarts::DELAY_FIRST), "minute {minute}");
    }
}

#[test]
fn a_locked_data_directory_is_refused_with_its_holder() {
    // Given
    let dir = scratch_dir("lock");
    let lock = cluster::lock(&dir).unwrap();

    // When
    let refused = cluster::lock(&dir).unwrap_err();
    drop(lock);
    let taken_over = cluster::lock(&dir);

    // Then
    assert!(taken_over.is_ok(), "{taken_over:?}");
    assert!(refused.to_string().contains(&format!("in use by process {}", std::process::id())), "{refused}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_directory_without_a_readable_version_is_not_taken_for_a_cluster() {
    // Given
    let dir = scratch_dir("version");
    let version = dir.join("PG_VERSION");

    // When
    let absent = cluster::major_of(&dir.join("absent")).unwrap();
    let empty = cluster::major_of(&dir).unwrap_err();
    fs::write(&version, "fifteen\n").unwrap();
    let garbled = cluster::major_of(&dir).unwrap_err();
    fs::write(&version, "15\n").unwrap();
    let good = cluster::major_of(&dir).unwrap();

    // Then
    assert_eq!(absent, None);
    assert!(matches!(empty, PostgresError::NotACluster { .. }), "{empty}");
    assert!(matches!(garbled, PostgresError::NotACluster { .. }), "{garbled}");
    assert_eq!(good, Some(15));
    fs::remove_dir_all(dir).unwrap();
}
