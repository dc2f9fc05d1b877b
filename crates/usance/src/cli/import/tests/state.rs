use super::super::batch::SentRow;
use super::super::checkpoint::{Checkpoint, CheckpointFile};
use super::super::options::ProgressMode;
use super::super::progress::Progress;
use super::super::rejects::{Reject, RejectsFile};
use super::super::send::EventResult;
use super::super::summary::{Counts, ImportSummary};
use super::super::transfer::{Acknowledged, Ledger, merge_rejects};
use super::Scratch;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

fn start() -> Checkpoint {
    Checkpoint::start("hash".to_owned(), "fingerprint".to_owned())
}

fn rows(count: u64) -> Counts {
    Counts { read: count, accepted: count, ..Counts::default() }
}

fn reject(line: u64) -> Reject {
    let (status, reason, row) = ("rejected".to_owned(), "bad_time".to_owned(), "never,2".to_owned());
    Reject { line, id: None, status, reason, detail: String::new(), row }
}

#[test]
fn a_checkpoint_is_found_again_by_the_same_import_only() {
    // given a saved checkpoint
    let scratch = Scratch::new("checkpoint");
    let path = scratch.path("x.usance-checkpoint");
    let mut saved = start();
    saved.counts = rows(7);
    CheckpointFile::new(vec![path.clone()]).save(&saved).unwrap();
    // when it is looked for
    let find = |start: Checkpoint| CheckpointFile::new(vec![path.clone()]).load_or(start).counts.read;
    // then only the same file and plan find it, and no draft is left behind.
    assert_eq!(find(start()), 7);
    assert_eq!(find(Checkpoint::start("other".to_owned(), "fingerprint".to_owned())), 0);
    assert_eq!(find(Checkpoint::start("hash".to_owned(), "other".to_owned())), 0);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_damaged_checkpoint_is_ignored() {
    let scratch = Scratch::new("damaged");
    for content in ["", "{", "[]", "{\"version\":1}"] {
        let path = scratch.write("x.usance-checkpoint", content);
        assert_eq!(CheckpointFile::new(vec![path]).load_or(start()), start(), "{content}");
    }
}

#[test]
fn the_checkpoint_goes_to_the_first_place_that_can_be_written() {
    let scratch = Scratch::new("places");
    let (missing, good) = (scratch.path("no/such/directory/x"), scratch.path("x"));
    let mut file = CheckpointFile::new(vec![missing.clone(), good.clone()]);
    file.save(&start()).unwrap();
    assert!(good.exists());
    file.remove().unwrap();
    file.remove().unwrap();
    assert!(!good.exists());
    assert!(CheckpointFile::new(vec![missing]).save(&start()).unwrap_err().to_string().contains("no/such"));
}

#[test]
fn the_rejects_file_is_made_with_the_first_reject_and_cut_back_to_the_checkpoint() {
    // given a run that wrote two rejects, the second one behind its last checkpoint
    let scratch = Scratch::new("rejects");
    let path = scratch.path("x.rejects.ndjson");
    let mut first = RejectsFile::new(vec![path.clone()], 0);
    assert_eq!(first.append(&[]).unwrap(), 0);
    assert!(!path.exists() && first.path().is_none());
    let kept = first.append(&[reject(2)]).unwrap();
    first.append(&[reject(3)]).unwrap();
    // when the next run meets the second row again
    let mut second = RejectsFile::new(vec![path.clone()], kept);
    assert_eq!(second.path(), Some(path.as_path()));
    second.append(&[reject(3), reject(9)]).unwrap();
    // then every row is listed once.
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [2, 3, 9]);
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"line":2,"status":"rejected","reason":"bad_time","row":"never,2"}"#
    );
}

#[test]
fn only_a_prefix_without_gaps_is_counted() {
    // given three batches of ten rows
    let scratch = Scratch::new("prefix");
    let path = scratch.path("checkpoint");
    let rejects = RejectsFile::new(vec![scratch.path("rejects")], 0);
    let progress = Progress::start(ProgressMode::Silent, 0);
    let mut ledger = Ledger::new(start(), CheckpointFile::new(vec![path.clone()]), rejects, progress);
    let batch = || Acknowledged { counts: rows(10), rejects: vec![], end_byte: 0 };
    let saved = || CheckpointFile::new(vec![path.clone()]).load_or(start()).counts.read;
    // when the first answer comes last
    ledger.acknowledge(1, batch()).unwrap();
    ledger.acknowledge(2, batch()).unwrap();
    // then nothing counts before it is there.
    assert_eq!(saved(), 0);
    ledger.acknowledge(0, batch()).unwrap();
    assert_eq!(saved(), 30);
}

#[test]
fn a_complaint_about_an_id_that_is_there_twice_belongs_to_the_later_row() {
    let sent = |id: &str, line| SentRow { id: id.to_owned(), line, text: String::new() };
    let result = |id: &str, status: &str| EventResult {
        id: id.to_owned(),
        status: status.to_owned(),
        reason: None,
        detail: None,
    };
    let rejects = merge_rejects(
        vec![reject(4)],
        vec![sent("a", 2), sent("b", 3), sent("a", 5), sent("a", 6)],
        vec![result("b", "unbilled"), result("a", "conflict"), result("a", "replayed")],
    );
    let found: Vec<_> = rejects.iter().map(|reject| (reject.line, reject.status.as_str())).collect();
    assert_eq!(found, [(3, "unbilled"), (4, "rejected"), (5, "conflict")]);
}

fn summary(counts: Counts) -> ImportSummary {
    ImportSummary {
        file: "usage.csv".into(),
        counts,
        resumed_rows: 0,
        ids_from_rows: true,
        elapsed: Duration::from_millis(1500),
        rejects_file: None,
    }
}

#[test]
fn the_summary_says_when_nothing_changed() {
    let text = summary(Counts { read: 9000, replayed: 9000, ..Counts::default() }).to_string();
    let expected = "Imported usage.csv in 1.5 s (6000 rows/s)\n  read      9000\n  accepted  0\n  replayed  9000\n  \
                    unbilled  0\n  conflict  0\n  rejected  0\n\
                    Nothing changed: all 9000 events were imported before.\n";
    assert_eq!(text, expected);
}

#[test]
fn the_exit_status_is_2_when_rows_were_refused_and_the_summary_says_where_they_are() {
    let refused =
        Counts { read: 5, accepted: 1, unbilled: 1, conflict: 1, rejected: 1, unreadable: 1, replayed: 0 };
    let summary = ImportSummary { rejects_file: Some("r.ndjson".into()), ..summary(refused) };
    let text = summary.to_string();
    assert!(!summary.complete());
    assert!(text.contains("  rejected  2  (1 not sent, 1 by the server)\n"), "{text}");
    assert!(text.contains("listed with their reasons in r.ndjson\n"), "{text}");
    for counts in [rows(5), Counts { read: 1, unbilled: 1, ..Counts::default() }, Counts::default()] {
        assert!(super::state::summary(counts).complete());
    }
}

#[test]
fn a_link_is_never_written_through() {
    // given a link in the place of the rejects file and of the checkpoint
    let scratch = Scratch::new("link");
    let victim = scratch.write("victim", "precious");
    let (rejects, checkpoint) = (scratch.path("rejects"), scratch.path("checkpoint"));
    symlink(&victim, &rejects).unwrap();
    symlink(&victim, &checkpoint).unwrap();
    // when both are written
    assert!(RejectsFile::new(vec![rejects], 0).append(&[reject(2)]).is_err());
    CheckpointFile::new(vec![checkpoint.clone()]).save(&start()).unwrap();
    // then the file behind the link is untouched, and the checkpoint has replaced the link.
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert!(fs::symlink_metadata(&checkpoint).unwrap().is_file());
    assert_eq!(fs::metadata(&checkpoint).unwrap().permissions().mode() & 0o777, 0o600);
}
