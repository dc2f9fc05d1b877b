use super::super::args::ImportArgs;
use super::super::options::{Format, ImportOptions, Origin};
use super::Scratch;
use clap::Parser;
use secrecy::ExposeSecret as _;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ImportArgs,
}

fn parse(arguments: &[&str]) -> Result<ImportArgs, clap::Error> {
    Command::try_parse_from(["import"].iter().chain(arguments)).map(|command| command.args)
}

const NEEDED: &[&str] = &["--key", "sk_test_secret", "--customer", "code", "--type", "llm_call"];

fn options(arguments: &[&str]) -> anyhow::Result<ImportOptions> {
    parse(&[arguments, NEEDED].concat())?.into_options()
}

#[test]
fn the_format_follows_from_the_name_unless_it_is_given() {
    let delimited = |delimiter| Some(Format::Delimited { delimiter });
    for (arguments, expected) in [
        (&["x.csv"][..], delimited(b',')),
        (&["x.TSV"], delimited(b'\t')),
        (&["x.ndjson"], Some(Format::Ndjson)),
        (&["x.jsonl"], Some(Format::Ndjson)),
        (&["x.txt", "--format", "csv", "--delimiter", ";"], delimited(b';')),
        (&["x.csv", "--delimiter", "tab"], delimited(b'\t')),
        (&["x.txt"], None),
    ] {
        assert_eq!(options(arguments).ok().map(|options| options.format), expected, "{arguments:?}");
    }
}

#[test]
fn the_command_of_the_documentation_is_understood() {
    let options = options(&["x.csv", "--map", "tokens=ContextTokens+GeneratedTokens"]).unwrap();
    assert_eq!(options.url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(options.customer, Origin::Fixed("code".to_owned()));
    assert_eq!(options.mappings.len(), 1);
    assert_eq!((options.batch_rows, options.concurrency), (1000, 2));
}

#[test]
fn arguments_that_contradict_or_exceed_a_limit_are_refused() {
    for arguments in [
        &["x.csv", "--customer-column", "who"][..],
        &["x.csv", "--type-column", "kind"],
        &["x.csv", "--key-file", "key"],
        &["x.csv", "--batch", "10001"],
        &["x.csv", "--batch", "0"],
        &["x.csv", "--concurrency", "65"],
        &["x.csv", "--delimiter", "\""],
        &["x.csv", "--delimiter", "é"],
        &["x.csv", "--map", "tokens"],
        &["x.csv", "--url", "nowhere"],
    ] {
        assert!(options(arguments).is_err(), "{arguments:?}");
    }
    assert!(parse(&["x.csv", "--key", "k", "--type", "t"]).is_err());
}

#[test]
fn the_key_is_read_from_its_file_and_never_shown() {
    let scratch = Scratch::new("key");
    let key_file = scratch.write("key", "sk_live_secret\n");
    let key_file = key_file.to_str().unwrap();
    let args = parse(&["x.csv", "--key-file", key_file, "--customer", "c", "--type", "t"]).unwrap();
    let options = args.into_options().unwrap();
    assert_eq!(options.key.expose_secret(), "sk_live_secret");
    assert!(!format!("{options:?}").contains("secret"));
    assert!(!format!("{:?}", parse(&[&["x.csv"], NEEDED].concat()).unwrap()).contains("sk_test"));
}
