//! Reads the members of a JSON object, noting each fault under its pointer and each member as known.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use crate::{error::Faults, fields::read_decimal};

/// The value is faulty, and the fault is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted;

/// A value that was read, or a fault that was noted.
pub(crate) type Read<T> = Result<T, Noted>;

/// The members of one object.
pub(crate) struct Reader<'a> {
    faults: &'a mut Faults,
    pointer: String,
    members: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(faults: &'a mut Faults, pointer: &str, members: &'a Map<String, Value>) -> Self {
        Self { faults, pointer: pointer.to_owned(), members, known: Vec::new() }
    }

    /// Notes a fault of a member.
    pub(crate) fn fault(&mut self, name: &str, code: &'static str, detail: &str) -> Noted {
        self.faults.add(&format!("{}/{name}", self.pointer), code, detail.to_owned());
        Noted
    }

    /// Finds a member that is there and not null.
    fn get(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// Reads a decimal string that must be there.
    pub(crate) fn decimal(&mut self, name: &'static str) -> Read<Decimal> {
        match self.decimal_opt(name)? {
            Some(value) => Ok(value),
            None => Err(self.fault(name, "required", "must be a decimal string such as \"0.001\"")),
        }
    }

    /// Reads a decimal string that is zero if it is absent.
    pub(crate) fn decimal_or_zero(&mut self, name: &'static str) -> Read<Decimal> {
        self.decimal_opt(name).map(Option::unwrap_or_default)
    }

    /// Reads a decimal string that may be absent.
    pub(crate) fn decimal_opt(&mut self, name: &'static str) -> Read<Option<Decimal>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let pointer = format!("{}/{name}", self.pointer);
                read_decimal(self.faults, &pointer, text).map(Some).ok_or(Noted)
            }
            Some(_) => {
                let detail = "must be a decimal in quotes, such as \"0.001\", so that no digit is lost";
                Err(self.fault(name, "not_a_string", detail))
            }
        }
    }

    /// Reads a whole number that may be absent.
    pub(crate) fn whole_opt<T: TryFrom<i64>>(&mut self, name: &'static str) -> Read<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let whole = value.as_i64().and_then(|whole| T::try_from(whole).ok());
        match whole {
            Some(whole) => Ok(Some(whole)),
            None => Err(self.fault(
                name,
                "not_a_whole_number",
                "must be a whole number that is in range, without quotes",
            )),
        }
    }

    /// Reads `true` or `false`, which is false if it is absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> Read<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.fault(name, "not_a_flag", "must be true or false")),
        }
    }

    /// Reads one of some words that may be absent.
    pub(crate) fn word_opt<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Option<T>,
        words: &str,
    ) -> Read<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str().and_then(parse) {
            Some(word) => Ok(Some(word)),
            None => Err(self.fault(name, "unknown_word", &format!("must be {words}"))),
        }
    }

    /// Reads a text that may be absent.
    pub(crate) fn text_opt(&mut self, name: &'static str) -> Read<Option<&'a str>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str() {
            Some(text) => Ok(Some(text)),
            None => Err(self.fault(name, "not_a_string", "must be a text")),
        }
    }

    /// Reads an object that may be absent; `form` is how it looks.
    pub(crate) fn object_opt<T>(
        &mut self,
        name: &'static str,
        form: &str,
        read: impl FnOnce(&mut Reader<'_>) -> Read<T>,
    ) -> Read<Option<T>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => {
                let pointer = format!("{}/{name}", self.pointer);
                read_object(self.faults, &pointer, value, form, read).map(Some)
            }
        }
    }

    /// Reads a list of objects that may be absent; each fault of each of them is noted.
    pub(crate) fn objects_opt<T>(
        &mut self,
        name: &'static str,
        form: &str,
        read: impl Fn(&mut Reader<'_>) -> Read<T>,
    ) -> Read<Option<Vec<T>>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let Some(values) = value.as_array() else {
            return Err(self.fault(name, "malformed", &format!("must be a list of objects {form}")));
        };
        let mut objects = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let pointer = format!("{}/{name}/{index}", self.pointer);
            objects.push(read_object(self.faults, &pointer, value, form, &read));
        }
        objects.into_iter().collect::<Read<Vec<T>>>().map(Some)
    }

    /// Notes every member that nothing asked for.
    pub(crate) fn refuse_unknown(&mut self, whose: &str) {
        let unknown: Vec<&String> =
            self.members.keys().filter(|name| !self.known.contains(&name.as_str())).collect();
        let detail = format!("{whose} {}", self.known.join(", "));
        for name in unknown {
            self.fault(name, "unknown_field", &detail);
        }
    }
}

fn read_object<T>(
    faults: &mut Faults,
    pointer: &str,
    value: &Value,
    form: &str,
    read: impl FnOnce(&mut Reader<'_>) -> Read<T>,
) -> Read<T> {
    let Some(members) = value.as_object() else {
        faults.add(pointer, "malformed", format!("must be an object {form}"));
        return Err(Noted);
    };
    let mut reader = Reader::new(faults, pointer, members);
    let object = read(&mut reader);
    if object.is_ok() {
        reader.refuse_unknown("it has");
    }
    object
}
