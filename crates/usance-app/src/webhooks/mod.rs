//! Webhooks out: a tenant names endpoints, and each is told what happens, until it has answered.

mod default_endpoint;
mod delivering;
mod endpoints;
mod message;
mod replaying;
mod sending;
mod settling;
mod testing;

pub use default_endpoint::{Configured, configure, find_default, remove_default};
pub use delivering::run_deliverer;
pub use endpoints::{ChangeEndpoint, GRACE, NewEndpoint, create, delete, get, rotate, update};
pub(crate) use endpoints::{create_default, read_url};
pub use message::envelope;
pub use replaying::{get_delivery, replay, replay_since};
pub use testing::{TestEvent, Tested, UNDER_WAY_MAX as TESTS_UNDER_WAY_MAX, send_test};
