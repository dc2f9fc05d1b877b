use super::super::file::hash_file;
use super::super::identity::{RowIdentity, import_fingerprint, plan_fingerprint};
use super::super::options::{Format, ImportOptions, Origin, ProgressMode};
use super::super::progress::Progress;
use super::{Scratch, options};
use std::path::Path;

const CONTENT: &str = "Time,In,Out\n2023-11-16 18:17:03,1,2\n";
const MAPPINGS: &[&str] = &["tokens=In+Out", "input=In"];

fn row_id(options: &ImportOptions, line: u64) -> String {
    let progress = Progress::start(ProgressMode::Silent, 0);
    let file = hash_file(&options.file, options.format, &progress).unwrap();
    RowIdentity::new(file, plan_fingerprint(options, Some("Time"))).row_id(line)
}

#[test]
fn the_id_of_a_row_is_the_same_for_ever() {
    // A change of this value would import every file a second time, so it belongs to the contract.
    let scratch = Scratch::new("pinned");
    let file = scratch.write("usage.csv", CONTENT);
    assert_eq!(row_id(&options(&file, MAPPINGS), 2), "row_adae831c496af502ae44c1d4e6727a99");
}

#[test]
fn the_id_of_a_row_does_not_depend_on_how_the_file_is_sent() {
    // given one file under two names
    let scratch = Scratch::new("same");
    let (file, copy) = (scratch.write("usage.csv", CONTENT), scratch.write("copy.csv", CONTENT));
    let expected = row_id(&options(&file, MAPPINGS), 2);
    // when everything that is not content differs
    let mut other = options(&copy, &["input = In", "tokens = In + Out"]);
    other.batch_rows = 7;
    other.concurrency = 9;
    other.url = "https://billing.example/".parse().unwrap();
    other.jitter_seed = 5;
    // then the id is the same.
    assert_eq!(row_id(&other, 2), expected);
}

#[test]
fn the_id_of_a_row_stays_when_the_mapping_is_corrected() {
    // given
    let scratch = Scratch::new("mapping");
    let file = scratch.write("usage.csv", CONTENT);
    // when
    let corrected = row_id(&options(&file, &["tokens=In"]), 2);
    // then the server sees a conflict and not a new event.
    assert_eq!(corrected, row_id(&options(&file, MAPPINGS), 2));
}

#[test]
fn the_id_of_a_row_depends_on_content_line_and_plan() {
    let scratch = Scratch::new("differ");
    let file = scratch.write("usage.csv", CONTENT);
    let changed = scratch.write("changed.csv", CONTENT.replace("1,2", "1,3"));
    let base = options(&file, MAPPINGS);
    let with = |change: fn(&mut ImportOptions)| {
        let mut options = base.clone();
        change(&mut options);
        row_id(&options, 2)
    };
    let mut ids = vec![
        row_id(&base, 2),
        row_id(&base, 3),
        row_id(&options(&changed, MAPPINGS), 2),
        with(|options| options.customer = Origin::Fixed("conv".to_owned())),
        with(|options| options.customer = Origin::Column("code".to_owned())),
        with(|options| options.event_type = Origin::Fixed("code".to_owned())),
        with(|options| options.format = Format::Delimited { delimiter: b';' }),
    ];
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn an_unfinished_import_is_continued_only_for_the_same_mapping_server_and_key() {
    let fingerprint = |options: &ImportOptions| import_fingerprint(options, &plan_fingerprint(options, None));
    let base = options(Path::new("usage.csv"), MAPPINGS);
    let mut other_server = base.clone();
    other_server.url = "https://billing.example/".parse().unwrap();
    let mut other_key = base.clone();
    other_key.key = "sk_test_other".to_owned().into();
    let other_mapping = options(Path::new("usage.csv"), &["tokens=In"]);
    let other_order = options(Path::new("usage.csv"), &["input=In", "tokens=In+Out"]);
    assert_eq!(fingerprint(&base), fingerprint(&other_order));
    assert_ne!(fingerprint(&base), fingerprint(&other_mapping));
    assert_ne!(fingerprint(&base), fingerprint(&other_server));
    assert_ne!(fingerprint(&base), fingerprint(&other_key));
}
