//! Metering: which events are counted, what makes them the same event, and how they fold into quantities.

mod bucket;
mod event;
mod properties;
mod value;

pub use bucket::{BucketFold, MeterValue, bucket_start};
pub use event::{
    EVENT_BYTES_MAX, EventIdentity, EventName, FUTURE_TOLERANCE, ID_BYTES_MAX, NAME_BYTES_MAX, RejectReason,
    UnbilledReason, identify, is_future, short_hash,
};
pub use properties::{DEPTH_MAX, Properties, PropertiesError, Scalar};
pub use value::meter_value;

#[cfg(test)]
mod tests;
