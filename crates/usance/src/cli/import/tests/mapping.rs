use super::super::cells::Cells;
use super::super::decimal;
use super::super::mapping::{Mapping, MappingError, Value};
use super::Record;

/// Evaluates an expression and writes a JSON value as it is, text with quotes, and a refusal as its reason.
fn evaluate(cells: &Cells<'_>, expression: &str) -> String {
    let mapping: Mapping = format!("p={expression}").parse().unwrap();
    match mapping.evaluate(cells) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(Value::Json(json))) => json.into_owned(),
        Ok(Some(Value::Text(text))) => format!("text {text}"),
        Err(err) => err.reason.to_owned(),
    }
}

#[test]
fn an_expression_is_computed_exactly_or_refused() {
    let record = Record::new(
        "A,B,Empty,Word,Zip,Huge,Odd-name,Say \"\"x\"\",Exp",
        "4808,0.10,, gpt-4,007,79228162514264337593543950335,5,6,1e3",
    );
    for (expression, expected) in [
        ("A", "4808"),
        ("B", "0.10"),
        ("Word", "text  gpt-4"),
        ("Zip", "text 007"),
        ("Empty", "nothing"),
        ("A+A", "9616"),
        ("A + B", "4808.10"),
        ("A-B-0.1", "4807.80"),
        ("-A", "-4808"),
        ("A+1", "4809"),
        ("+A", "4808"),
        ("Zip+1", "8"),
        ("Exp+1", "1001"),
        ("\"Odd-name\"+A", "4813"),
        ("\"Say \"\"\"\"x\"\"\"\"\"", "6"),
        ("A+Empty", "missing_value"),
        ("A+Word", "not_a_number"),
        ("Huge+Huge", "not_a_number"),
        ("Huge+B", "not_a_number"),
    ] {
        assert_eq!(evaluate(&record.cells(), expression), expected, "{expression}");
    }
}

#[test]
fn json_values_keep_their_type_and_every_digit() {
    let line = r#"{"n":1.10,"big":12345678901234567890123,"s":"12","o":{"a":[1, 2]},"null":null,"o.a":"flat","t":true}"#;
    let cells = Cells::from_json(line).unwrap();
    for (expression, expected) in [
        ("n", "1.10"),
        ("big", "12345678901234567890123"),
        ("s", "\"12\""),
        ("o", r#"{"a":[1, 2]}"#),
        ("o.a", "\"flat\""),
        ("null", "nothing"),
        ("absent", "nothing"),
        ("t", "true"),
        ("n+s", "13.10"),
        ("n+o", "bad_row"),
        ("n+t", "not_a_number"),
        ("n+absent", "missing_value"),
    ] {
        assert_eq!(evaluate(&cells, expression), expected, "{expression}");
    }
}

#[test]
fn a_dotted_name_leads_into_nested_objects() {
    let cells = Cells::from_json(r#"{"usage":{"tokens":{"in":7},"x":1}}"#).unwrap();
    assert_eq!(evaluate(&cells, "usage.tokens.in+usage.x"), "8");
    assert_eq!(evaluate(&cells, "usage.tokens.out"), "nothing");
    assert_eq!(evaluate(&cells, "usage.x.in"), "nothing");
}

#[test]
fn a_mapping_that_cannot_be_read_says_why() {
    let missing = |text: &str| MappingError::MissingTerm(text.to_owned());
    for (text, expected) in [
        ("tokens", MappingError::NoProperty),
        ("=A", MappingError::NoProperty),
        ("t=", missing("")),
        ("t=A+", missing("A+")),
        ("t=A++B", missing("A++B")),
        ("t=\"A", MappingError::OpenQuote("\"A".to_owned())),
        ("t=\"A\"B", MappingError::AfterQuote("\"A\"B".to_owned())),
    ] {
        assert_eq!(text.parse::<Mapping>(), Err(expected), "{text}");
    }
}

#[test]
fn the_canonical_form_ignores_spacing_and_keeps_meaning() {
    let form = |text: &str| text.parse::<Mapping>().unwrap().to_string();
    assert_eq!(form(" t = A+B "), form("t=A + \"B\""));
    assert_eq!(form("t=A+1.0"), form("t=A+1"));
    assert_ne!(form("t=A+B"), form("t=A-B"));
    assert_ne!(form("t=A"), form("t=+A"));
    assert_ne!(form("t=1"), form("t=\"1\""));
}

#[test]
fn only_a_plain_decimal_is_a_number() {
    for (text, expected) in [
        ("1", Some("1")),
        ("+1.50", Some("1.50")),
        ("1e-3", Some("0.001")),
        ("1.5E2", Some("150")),
        ("0.0000000000000000000000000001", Some("0.0000000000000000000000000001")),
        ("0.00000000000000000000000000001", None),
        ("1e99", None),
        ("1e999999999999", None),
        ("1_000", None),
        ("1,000", None),
        ("NaN", None),
        (".5", None),
        ("5.", None),
        ("-", None),
        ("", None),
        ("٣", None),
    ] {
        assert_eq!(decimal::parse(text).map(|value| value.to_string()).as_deref(), expected, "{text}");
    }
}
