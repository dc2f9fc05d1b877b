//! Metering: which events are counted, what makes them the same event, and how they fold into quantities.

mod aggregate;
mod bucket;
mod event;
mod filter;
mod properties;
mod value;
mod walk;
mod window;

pub use aggregate::{Aggregated, Aggregator, Carried, Point, aggregate, aggregate_buckets};
pub use bucket::{BUCKET, BucketFold, MeterValue, bucket_start};
pub use event::{
    EVENT_BYTES_MAX, EventIdentity, EventName, FUTURE_TOLERANCE, ID_BYTES_MAX, NAME_BYTES_MAX, RejectReason,
    UnbilledReason, event_key, identify, is_future, short_hash,
};
pub use filter::{Filter, matches_all, overlaps};
pub use properties::{DEPTH_MAX, Properties, PropertiesError, Scalar};
pub use value::{amount_value, meter_value};
pub use walk::{Walk, WalkPlan};
pub use window::{Window, WindowGrid};

#[cfg(test)]
mod tests;
