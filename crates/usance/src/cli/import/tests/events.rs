use super::super::batch::{Batch, read_batches};
use super::super::columns::find_time_column;
use super::super::event::EventPlan;
use super::super::file::hash_file;
use super::super::identity::{RowIdentity, plan_fingerprint};
use super::super::options::{Format, ImportOptions, Origin, ProgressMode};
use super::super::progress::Progress;
use super::{Scratch, options};

/// Reads a whole file into batches, as an import does, from behind some rows.
fn batches(options: &ImportOptions, rows_done: u64) -> anyhow::Result<Vec<Batch>> {
    let time_column = find_time_column(options)?;
    let progress = Progress::start(ProgressMode::Silent, 0);
    let file = hash_file(&options.file, options.format, &progress)?;
    let identity = RowIdentity::new(file, plan_fingerprint(options, time_column.as_deref()));
    let plan = EventPlan::new(options, time_column, identity);
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1000);
    read_batches(options, &plan, rows_done, &file, &sender)?;
    drop(sender);
    Ok(std::iter::from_fn(|| receiver.try_recv().ok()).collect())
}

fn body(options: &ImportOptions) -> String {
    batches(options, 0).unwrap().remove(0).body
}

#[test]
fn the_columns_become_the_fields_of_the_event() {
    let scratch = Scratch::new("fields");
    let file = scratch
        .write("x.csv", "ref,who,kind,Timestamp,In,Model\ne-1,acme,chat,2024-01-01 00:00:00,1.50,gpt\n");
    let mut options = options(&file, &["tokens=In+1", "model=Model"]);
    options.id_column = Some("ref".to_owned());
    options.customer = Origin::Column("who".to_owned());
    options.event_type = Origin::Column("kind".to_owned());
    let event = r#"{"id":"e-1","type":"chat","customer":"acme","time":"2024-01-01T00:00:00.000000Z","properties":{"tokens":2.50,"model":"gpt"}}"#;
    assert_eq!(body(&options), format!(r#"{{"events":[{event}]}}"#));
}

#[test]
fn without_a_mapping_all_columns_without_another_use_become_properties() {
    let scratch = Scratch::new("all");
    let file = scratch.write("x.csv", ",id,time,a,b,c\n0,e1,2024-01-01 00:00:00,1,,t\"x\n");
    let mut options = options(&file, &[]);
    options.id_column = Some("id".to_owned());
    let expected = r#""properties":{"a":1,"c":"t\"x"}}]}"#;
    assert!(body(&options).ends_with(expected), "{}", body(&options));
}

#[test]
fn rows_that_cannot_become_events_are_kept_apart_with_their_lines() {
    let scratch = Scratch::new("apart");
    let large = "x".repeat(70_000);
    let content = format!("time,n\n2024-01-01 00:00:00,1\nnever,2\n2024-01-01 00:00:00,{large}\n,4\n");
    let batch = batches(&options(&scratch.write("x.csv", content), &["n=n"]), 0).unwrap().remove(0);
    let rejects: Vec<_> = batch.rejects.iter().map(|reject| (reject.line, reject.reason.as_str())).collect();
    assert_eq!((batch.rows, batch.sent.len()), (4, 1));
    assert_eq!(rejects, [(3, "bad_time"), (4, "event_too_large"), (5, "missing_value")]);
    assert_eq!(batch.rejects[0].row, "never,2");
}

#[test]
fn batches_are_bounded_by_rows_and_bytes_and_do_not_change_the_events() {
    // given rows that fill a request by their bytes
    let scratch = Scratch::new("bounds");
    let wide = "y".repeat(60_000);
    let content: String =
        (0..150).fold("n,t\n".to_owned(), |text, number| text + &format!("{number},{wide}\n"));
    let mut options = options(&scratch.write("x.csv", content), &[]);
    // when they are read in requests of many rows and of few
    options.batch_rows = 10_000;
    let large = batches(&options, 0).unwrap();
    options.batch_rows = 7;
    let small = batches(&options, 0).unwrap();
    // then every request is within its limits, and the ids are the same.
    assert!(large.len() > 1 && large.iter().all(|batch| batch.body.len() < 16 * 1024 * 1024));
    assert_eq!(small.len(), 22);
    assert!(small.iter().all(|batch| batch.rows <= 7));
    let ids = |batches: &[Batch]| batches.iter().flat_map(|batch| batch.sent.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&large), ids(&small));
}

#[test]
fn reading_continues_behind_the_rows_that_are_done() {
    let scratch = Scratch::new("continue");
    let options = options(&scratch.write("x.csv", "n\n1\n\n2\n3\n"), &[]);
    let lines: Vec<u64> = batches(&options, 1).unwrap()[0].sent.iter().map(|row| row.line).collect();
    assert_eq!(lines, [4, 5]);
    assert!(batches(&options, 3).unwrap().is_empty());
}

#[test]
fn a_file_that_changes_while_it_is_imported_is_an_error() {
    let scratch = Scratch::new("changing");
    let options = options(&scratch.write("x.csv", "n\n1\n"), &[]);
    let progress = Progress::start(ProgressMode::Silent, 0);
    let before = hash_file(&options.file, options.format, &progress).unwrap();
    let plan = EventPlan::new(&options, None, RowIdentity::new(before, plan_fingerprint(&options, None)));
    scratch.write("x.csv", "n\n2\n");
    let (sender, _receiver) = tokio::sync::mpsc::channel(10);
    let err = read_batches(&options, &plan, 0, &before, &sender).unwrap_err().to_string();
    assert!(err.ends_with("was changed while it was being imported"), "{err}");
}

/// The time column that is found, or the complaint about the file.
fn time_column(content: &str, format: Format, mappings: &[&str]) -> String {
    let scratch = Scratch::new("columns");
    let mut options = options(&scratch.write("x", content), mappings);
    options.format = format;
    match find_time_column(&options) {
        Ok(column) => format!("{column:?}"),
        Err(err) => err.root_cause().to_string(),
    }
}

#[test]
fn a_plan_that_does_not_fit_the_file_is_refused_before_anything_is_sent() {
    let csv = Format::Delimited { delimiter: b',' };
    for (content, format, mappings, expected) in [
        ("TimeStamp,b\n", csv, &["n=b"][..], "Some(\"TimeStamp\")"),
        ("a,b\n", csv, &[], "None"),
        (
            "time,TIMESTAMP\n",
            csv,
            &[],
            "both time and TIMESTAMP could be the time of the rows; choose one with --time",
        ),
        ("a,b\n", csv, &["n=x+b+y"], "the file has no columns x, y; its columns are: a, b"),
        ("a,a\n", csv, &[], "the header names the column a twice; rename one of them"),
        ("a,a,b\n", csv, &["n=b"], "None"),
        ("", csv, &[], "the file is empty"),
        ("{\"a\":1}\n{\"time\":1,\"u\":{\"n\":1}}\n", Format::Ndjson, &["n=u.n"], "Some(\"time\")"),
        ("{\"a\":1}\n", Format::Ndjson, &["n=u.n"], "the file has no column u.n; its columns are: a"),
    ] {
        assert_eq!(time_column(content, format, mappings), expected, "{content:?}");
    }
    let hint = time_column("in-tokens\n", csv, &["n=in-tokens"]);
    assert!(hint.ends_with("a name with + or - needs double quotes: --map 'n=\"in-tokens\"'"), "{hint}");
    let not_json = time_column("a,b\n1,2\n", Format::Ndjson, &[]);
    assert!(not_json.contains("can be read as NDJSON"), "{not_json}");
}
