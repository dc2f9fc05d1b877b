//! Fields that a request may leave alone, set, or clear with null.

use serde::{Deserialize, Deserializer};
use usance_app::Change;

/// Reads a field that is there, for `#[serde(default, deserialize_with)]`: null clears it, and absence keeps it.
pub(crate) fn change<'de, D, T>(deserializer: D) -> Result<Change<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.map_or(Change::Clear, Change::Set))
}
