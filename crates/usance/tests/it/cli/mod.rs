//! The command line as a newcomer meets it.

mod demo;
mod help;
mod import;
mod settings;
mod tenants;
