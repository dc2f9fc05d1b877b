//! Where time, randomness and ids come from: always from outside.

use jiff::Timestamp;

/// Tells the wall time in UTC.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Fills buffers with bytes that nobody can guess.
pub trait Random: Send + Sync {
    /// Overwrites the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}
