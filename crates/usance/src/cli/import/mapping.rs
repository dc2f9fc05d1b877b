//! `--map NAME=EXPRESSION`: how a property of an event is computed from the columns of a row.

use super::cells::{Cell, Cells, RowError};
use super::decimal::{self, Sign};
use rust_decimal::Decimal;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// One property of the event and the expression that gives its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The name of the property in the event.
    pub property: String,
    /// The text behind the equals sign, kept for messages.
    source: String,
    expression: Expression,
}

/// Why a `--map` argument cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// There is no `=`, or nothing before it.
    #[error("a mapping is written NAME=COLUMN or NAME=COLUMN+COLUMN, for example tokens=Input+Output")]
    NoProperty,
    /// Two operators follow each other, or nothing stands after one.
    #[error("a column name or a number is missing in \"{0}\"")]
    MissingTerm(String),
    /// A name that opens with a double quote does not end with one.
    #[error("a double quote is not closed in \"{0}\"")]
    OpenQuote(String),
    /// Text stands directly behind a quoted name.
    #[error("only + or - can follow a quoted column name in \"{0}\"")]
    AfterQuote(String),
}

/// The JSON value of a property.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// JSON text that is copied as it is.
    Json(Cow<'a, str>),
    /// Text that becomes a JSON string.
    Text(Cow<'a, str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    /// One column: its text or number is taken over.
    Column(String),
    /// A sum of exact decimals.
    Sum(Vec<(Sign, Operand)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Column(String),
    Number(Decimal),
}

impl FromStr for Mapping {
    type Err = MappingError;

    fn from_str(text: &str) -> Result<Self, MappingError> {
        let (property, source) = text.split_once('=').ok_or(MappingError::NoProperty)?;
        let (property, source) = (property.trim(), source.trim());
        if property.is_empty() {
            return Err(MappingError::NoProperty);
        }
        let expression = parse_expression(source)?;
        Ok(Self { property: property.to_owned(), source: source.to_owned(), expression })
    }
}

/// The canonical form: equal for mappings that mean the same, whatever their spacing.
///
/// It tells whether an unfinished import is the same one: a change here starts such an import from the front.
impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", quoted(&self.property))?;
        match &self.expression {
            Expression::Column(name) => f.write_str(&quoted(name)),
            Expression::Sum(terms) => terms.iter().try_for_each(|(sign, operand)| {
                f.write_str(match sign {
                    Sign::Plus => "+",
                    Sign::Minus => "-",
                })?;
                match operand {
                    Operand::Column(name) => f.write_str(&quoted(name)),
                    Operand::Number(number) => write!(f, "{}", number.normalize()),
                }
            }),
        }
    }
}

impl Mapping {
    /// The text of the expression as it was given.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The names of the columns that the expression reads.
    pub(super) fn columns(&self) -> Vec<&str> {
        match &self.expression {
            Expression::Column(name) => vec![name],
            Expression::Sum(terms) => terms.iter().filter_map(|(_, operand)| operand.column()).collect(),
        }
    }

    /// Computes the property for one row; `None` when a single mapped column is empty or absent.
    ///
    /// A sum never skips an empty column: a missing quantity would bill zero in silence.
    pub(super) fn evaluate<'a>(&self, cells: &'a Cells<'_>) -> Result<Option<Value<'a>>, RowError> {
        match &self.expression {
            Expression::Column(name) => Ok(value_of(cells.get(name))),
            Expression::Sum(terms) => {
                let terms = terms
                    .iter()
                    .map(|(sign, operand)| Ok((*sign, operand.number(cells)?)))
                    .collect::<Result<Vec<_>, RowError>>()?;
                let total = decimal::sum(&terms).ok_or_else(|| {
                    RowError::new("not_a_number", format!("{} has more digits than can be kept", self.source))
                })?;
                Ok(Some(Value::Json(Cow::Owned(total.to_string()))))
            }
        }
    }
}

impl Operand {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Column(name) => Some(name),
            Self::Number(_) => None,
        }
    }

    fn number(&self, cells: &Cells<'_>) -> Result<Decimal, RowError> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Column(name) => {
                let Some(text) = cells.text(name)? else {
                    return Err(RowError::new("missing_value", format!("column {name} is empty")));
                };
                decimal::parse(&text).ok_or_else(|| {
                    let text = RowError::shorten(&text);
                    RowError::new(
                        "not_a_number",
                        format!("column {name} holds \"{text}\", which is not a number"),
                    )
                })
            }
        }
    }
}

/// The value of one cell: a number where the text is exactly one, otherwise the text; `None` for an empty cell.
///
/// Text such as `007` stays text: a leading zero marks an identifier, and JSON has no such number.
pub(super) fn value_of(cell: Cell<'_>) -> Option<Value<'_>> {
    match cell {
        Cell::Missing => None,
        Cell::Json(json) => Some(Value::Json(Cow::Borrowed(json))),
        Cell::Text(text) => {
            let trimmed = text.trim();
            if trimmed.is_empty() {
                return None;
            }
            let numeric = decimal::is_json_number(trimmed) && decimal::parse(trimmed).is_some();
            let value = Cow::Borrowed(if numeric { trimmed } else { text });
            Some(if numeric { Value::Json(value) } else { Value::Text(value) })
        }
    }
}

fn parse_expression(source: &str) -> Result<Expression, MappingError> {
    let mut rest = source;
    let mut sign = take_sign(&mut rest);
    let signed = sign.is_some();
    let mut terms = Vec::new();
    loop {
        terms.push((sign.unwrap_or(Sign::Plus), take_operand(&mut rest, source)?));
        if rest.is_empty() {
            break;
        }
        sign = take_sign(&mut rest);
        if sign.is_none() {
            return Err(MappingError::AfterQuote(source.to_owned()));
        }
    }
    match terms.as_slice() {
        [(Sign::Plus, Operand::Column(name))] if !signed => Ok(Expression::Column(name.clone())),
        _ => Ok(Expression::Sum(terms)),
    }
}

fn take_sign(rest: &mut &str) -> Option<Sign> {
    let sign = match rest.chars().next() {
        Some('+') => Sign::Plus,
        Some('-') => Sign::Minus,
        _ => return None,
    };
    *rest = rest[1..].trim_start();
    Some(sign)
}

/// Takes a quoted name, a number or a bare name from the front, with the blanks behind it.
fn take_operand(rest: &mut &str, source: &str) -> Result<Operand, MappingError> {
    if let Some(quoted) = rest.strip_prefix('"') {
        let (name, behind) = take_quoted(quoted).ok_or_else(|| MappingError::OpenQuote(source.to_owned()))?;
        *rest = behind.trim_start();
        return Ok(Operand::Column(name));
    }
    let end = rest.find(['+', '-']).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    let word = word.trim();
    if word.is_empty() {
        return Err(MappingError::MissingTerm(source.to_owned()));
    }
    *rest = behind;
    Ok(decimal::parse(word).map_or_else(|| Operand::Column(word.to_owned()), Operand::Number))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Reads up to the closing double quote, a doubled one standing for itself.
fn take_quoted(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, behind) = rest.split_once('"')?;
        name.push_str(before);
        let Some(doubled) = behind.strip_prefix('"') else { return Some((name, behind)) };
        name.push('"');
        rest = doubled;
    }
}
