//! Why the settings cannot be used.

use std::{io, path::PathBuf};

/// A setting that cannot be used. `place` is a flag, an environment variable, or a key and its file.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The value is not one of those that are accepted.
    #[error("{place} must be {accepted}")]
    Invalid {
        /// Where the value was given.
        place: String,
        /// What can be given instead.
        accepted: &'static str,
    },
    /// An environment variable is not UTF-8.
    #[error("{place} is not UTF-8 text")]
    NotText {
        /// The variable.
        place: String,
    },
    /// The file holds a key that nobody reads, which may be a misspelt one.
    #[error("{place} is no setting; the settings are {known}")]
    Unknown {
        /// The key and its file.
        place: String,
        /// Every key.
        known: String,
    },
    /// A secret is given both as a text and as a file.
    #[error("{text} and {file} are both set: remove one of them")]
    SecretTwice {
        /// Where the text was given.
        text: String,
        /// Where the file was named.
        file: String,
    },
    /// The file of a secret cannot be read.
    #[error("{place} names {}, which cannot be read", path.display())]
    SecretUnreadable {
        /// Where the file was named.
        place: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings file cannot be read.
    #[error("the settings file {} cannot be read", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not TOML: {reason}", path.display())]
    FileMalformed {
        /// The file.
        path: PathBuf,
        /// Line and column. The line itself may hold a secret and is not repeated.
        reason: String,
    },
    /// A setting is of no use without another one.
    #[error("{set} needs {missing} beside it")]
    Needs {
        /// Where the setting was given.
        set: String,
        /// The variable of the other one.
        missing: &'static str,
    },
    /// A key without a default was given by nobody.
    #[error("{key} is not set")]
    Missing {
        /// The key.
        key: &'static str,
    },
}
