//! The product around the application: the private PostgreSQL, the server and the command line.

pub mod cli;
pub mod postgres;
pub mod server;
pub mod system;
pub mod telemetry;

/// Of every program with the product in it, so that a benchmark of its server has the server's allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
