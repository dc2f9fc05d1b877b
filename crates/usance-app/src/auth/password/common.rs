//! Passwords that are guessed first: made of the words and rows of keys that head every published list of leaked passwords.
//!
//! A list of whole passwords would hold hardly any of twelve characters and more, and none with a year at its end. What long
//! common passwords have in common is what they are made of.

/// Words, in lower case, after digits and signs that stand for letters were replaced.
const WORDS: [&str; 60] = [
    "password",
    "passwort",
    "motdepasse",
    "contrasena",
    "passcode",
    "passwd",
    "pass",
    "welcome",
    "letmein",
    "iloveyou",
    "admin",
    "administrator",
    "root",
    "user",
    "test",
    "guest",
    "login",
    "master",
    "secret",
    "changeme",
    "default",
    "monkey",
    "dragon",
    "football",
    "baseball",
    "superman",
    "batman",
    "sunshine",
    "princess",
    "shadow",
    "michael",
    "jordan",
    "hello",
    "qwerty",
    "qwertz",
    "azerty",
    "trustno",
    "whatever",
    "starwars",
    "computer",
    "internet",
    "samsung",
    "google",
    "facebook",
    "london",
    "summer",
    "winter",
    "spring",
    "autumn",
    "company",
    "billing",
    "money",
    "freedom",
    "ninja",
    "mustang",
    "access",
    "flower",
    "lovely",
    "usance",
    "please",
];
/// Rows of keys and series, which are typed forwards and backwards.
const ROWS: [&str; 10] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "!@#$%^&*()_+",
];
/// The shortest part of a row that counts.
const RUN_MIN: usize = 3;
/// So many characters of others make a password of its own.
const OWN_CHARACTERS: usize = 6;

/// Whether a password is made of common words, rows of keys and repetitions, with little else.
pub(super) fn is_common(password: &str) -> bool {
    let typed: Vec<char> = password.to_lowercase().chars().collect();
    let spelt: Vec<char> = typed.iter().map(|symbol| letter(*symbol)).collect();
    let (mut place, mut own) = (0, 0);
    while place < typed.len() {
        let covered = word(&spelt[place..]).max(row(&typed[place..])).max(repetition(&typed, place));
        own += usize::from(covered == 0);
        place += covered.max(1);
    }
    own < OWN_CHARACTERS
}

/// The letter that a digit or sign is written for.
const fn letter(symbol: char) -> char {
    match symbol {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

/// The length of the longest word that a text begins with.
fn word(text: &[char]) -> usize {
    let begins =
        |word: &&&str| word.len() <= text.len() && word.chars().eq(text[..word.len()].iter().copied());
    WORDS.iter().filter(begins).map(|word| word.len()).max().unwrap_or(0)
}

/// The length of the longest part of a row that a text begins with.
fn row(text: &[char]) -> usize {
    let rows = ROWS.iter().flat_map(|row| [row.chars().collect::<Vec<_>>(), row.chars().rev().collect()]);
    let parts =
        rows.flat_map(|row| (0..row.len()).map(|start| shared(&row[start..], text)).collect::<Vec<_>>());
    parts.filter(|length| *length >= RUN_MIN).max().unwrap_or(0)
}

fn shared(one: &[char], other: &[char]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// How much from a place on repeats the one to eight characters before it.
fn repetition(text: &[char], place: usize) -> usize {
    let units = 1..=place.min(8);
    units
        .map(|unit| shared(&text[place - unit..], &text[place..]))
        .filter(|length| *length >= 2)
        .max()
        .unwrap_or(0)
}
