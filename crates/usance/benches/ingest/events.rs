//! The usage events that both sides store: 150 bytes of JSON each, spread over 1,000 customers and 24 hours.

use jiff::{SignedDuration, Timestamp};
use std::fmt::Write;
use uuid::Uuid;

/// How many customers the events are spread over.
pub(crate) const CUSTOMERS: u32 = 1_000;

/// What every event is.
pub(crate) const EVENT_TYPE: &str = "llm_call";

/// 2023-11-16T00:00:00Z, the begin of the day of all events.
const DAY_START: Timestamp = Timestamp::constant(1_700_092_800, 0);
const DAY_MICROSECONDS: u64 = 86_400_000_000;

const TOKENS_MAX: u64 = 9_999;
const MODELS: u64 = 10;

/// Crockford's alphabet for base 32: <https://www.crockford.com/base32.html>.
const ID_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_CHARACTERS: u32 = 26;

/// One usage event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What identifies it, in 16 bytes.
    pub(crate) key: Uuid,
    /// Less than [`CUSTOMERS`].
    pub(crate) customer: u32,
    /// When it happened, to the microsecond.
    pub(crate) time: Timestamp,
    /// The value that the one meter sums.
    pub(crate) tokens: u32,
    model: u64,
}

impl Event {
    /// Returns the id as a client would send it: 26 characters.
    pub(crate) fn id(&self) -> String {
        let bits = self.key.as_u128();
        let digit = |position: u32| {
            let index = usize::try_from(bits >> (5 * position) & 31).expect("five bits fit");
            char::from(ID_ALPHABET[index])
        };
        (0..ID_CHARACTERS).rev().map(digit).collect()
    }

    /// Returns the properties as JSON.
    pub(crate) fn properties(&self) -> String {
        format!("{{\"tokens\":{},\"model\":\"m-{}\"}}", self.tokens, self.model)
    }

    /// Appends the event as the JSON of the public API.
    pub(crate) fn write_json(&self, json: &mut String) {
        let (id, customer, time, properties) = (self.id(), self.customer, self.time, self.properties());
        write!(
            json,
            r#"{{"id":"{id}","type":"{EVENT_TYPE}","customer":"c{customer}","time":"{time:.6}","properties":{properties}}}"#,
        )
        .expect("a String takes every write");
    }
}

/// How much was stored, for comparison with what the database says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events.
    pub(crate) events: u64,
    /// The sum of their values.
    pub(crate) tokens: u64,
}

impl Tally {
    /// Adds events that are to be stored.
    pub(crate) fn add(&mut self, events: &[Event]) {
        for event in events {
            self.events += 1;
            self.tokens += u64::from(event.tokens);
        }
    }
}

/// An endless sequence of new events, the same in every process.
#[derive(Debug)]
pub(crate) struct Events {
    random: SplitMix,
}

impl Events {
    /// Begins the sequence of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { random: SplitMix { state: seed } }
    }

    /// Returns the next so many events.
    pub(crate) fn take(&mut self, count: u64) -> Vec<Event> {
        (0..count).map(|_| self.next()).collect()
    }

    /// Returns the next so many events, all of one customer.
    pub(crate) fn take_of(&mut self, customer: u32, count: u64) -> Vec<Event> {
        (0..count).map(|_| Event { customer, ..self.next() }).collect()
    }

    fn next(&mut self) -> Event {
        let random = &mut self.random;
        // The state walks through all numbers before one comes again: so no two keys are equal.
        let key = Uuid::from_u64_pair(random.next(), random.next());
        let microseconds = i64::try_from(random.below(DAY_MICROSECONDS)).expect("a day is short");
        Event {
            key,
            customer: u32::try_from(random.below(u64::from(CUSTOMERS))).expect("the bound fits"),
            time: DAY_START + SignedDuration::from_micros(microseconds),
            tokens: u32::try_from(1 + random.below(TOKENS_MAX)).expect("the bound fits"),
            model: random.below(MODELS),
        }
    }
}

/// The generator `SplitMix64`: <https://prng.di.unimi.it/splitmix64.c>.
#[derive(Debug)]
struct SplitMix {
    state: u64,
}

impl SplitMix {
    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below the bound; the bias of the remainder is far below what a benchmark notices.
    const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
