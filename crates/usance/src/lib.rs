//! The product around the application: the private PostgreSQL, the server and the command line.

pub mod allocator;
pub mod cli;
pub mod postgres;
pub mod server;
pub mod system;
pub mod telemetry;
