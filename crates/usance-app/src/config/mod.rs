//! Settings: one flat list of keys, each from a flag, the environment, a TOML file or the documented defaults.
//!
//! `default.toml` beside this file describes every key. No other module looks into the environment.

mod error;
mod guard;
mod layers;
mod mail;
mod rate_limits;
mod stripe;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use usance_core::invoice::document::WebAddress;

pub use error::SettingsError;
pub use layers::DEFAULTS;

use crate::{
    auth::keyring::Keyring,
    guard::GuardSettings,
    ingest::{IngestSettings, REQUEST_BYTES_MAX},
    mail::MailSettings,
    rate_limits::RateLimitSettings,
    stripe::StripeSettings,
};
use layers::Layers;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers requests.
    Api,
    /// Carries out due work and listens nowhere.
    Worker,
    /// Both.
    All,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// Where settings come from besides the defaults.
pub struct Sources<'a> {
    /// Key and text of each flag that was given; the key `listen` belongs to the flag `--listen`.
    pub flags: Vec<(&'static str, String)>,
    /// The file of `--config`; without it the one that `USANCE_CONFIG` names.
    pub file: Option<PathBuf>,
    /// Looks up an environment variable. An empty one counts as absent.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
}

/// The settings of a process, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address and port of the HTTP API, `127.0.0.1:8080` by default; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Directory of everything that is written, `usance-data` by default.
    pub data_dir: PathBuf,
    /// Address of a PostgreSQL; absent for a private one in the data directory.
    pub database_url: Option<SecretString>,
    /// Directory of the programs of the private PostgreSQL; absent for the newest installed version.
    pub pg_bin: Option<PathBuf>,
    /// 32 bytes in base64, from which every other key is derived; absent if it is to be generated.
    pub secret_key: Option<SecretString>,
    /// What the process does, everything by default.
    pub role: Role,
    /// Directives for the log, such as `info,usance_app=debug`; `info,sqlx=warn` by default. Not checked yet.
    pub log: String,
    /// How log lines are written, for people by default.
    pub log_format: LogFormat,
    /// Connections to PostgreSQL, 20 by default.
    pub database_connections: u32,
    /// How long a request may take, 30 seconds by default.
    pub request_timeout: Duration,
    /// Writers of usage events, 3 by default.
    pub ingest_writers: usize,
    /// Events in one transaction of a writer, 5,000 by default.
    pub ingest_batch_events: usize,
    /// Bytes of usage events that may wait, 64 MiB by default.
    pub ingest_queue_bytes: usize,
    /// Where customers reach the server, without a slash at its end; absent if links are paths.
    pub public_url: Option<String>,
    /// How often the worker looks for due work unasked, every second by default.
    pub work_interval: Duration,
    /// How long a worker keeps work that calls the outside world, a minute by default.
    pub work_lease: Duration,
    /// Workers of the process, 2 by default.
    pub workers: usize,
    /// How long an access token is valid, an hour by default.
    pub access_token_lifetime: SignedDuration,
    /// How long a session lasts that is not renewed, a week by default.
    pub session_lifetime: SignedDuration,
    /// Address of the Redis that counts for several instances; absent if each counts for itself.
    pub redis_url: Option<SecretString>,
    /// How long a request waits for Redis, a quarter of a second by default.
    pub redis_timeout: Duration,
    /// How many requests are let in.
    pub rate_limits: RateLimitSettings,
    /// Where webhooks may lead.
    pub guard: GuardSettings,
    /// How mails are sent, and as whom.
    pub mail: MailSettings,
    /// How Stripe is spoken with.
    pub stripe: StripeSettings,
}

const LISTEN: &str = "an IP address and a port, such as 127.0.0.1:8080";

impl Settings {
    /// Puts the sources together: a flag wins over the environment, the environment over the file, the file over the
    /// defaults. The error names the flag, variable or file key that is at fault, and never a secret.
    pub fn load(sources: Sources<'_>) -> Result<Self, SettingsError> {
        let layers = Layers::read(sources)?;
        Ok(Self {
            listen: layers.parse("listen", LISTEN, |text| text.parse().ok())?,
            data_dir: layers.parse("data_dir", "a directory", |text| text.parse().ok())?,
            database_url: layers.secret(
                "database_url",
                "an address that begins with postgres://",
                is_postgres_url,
            )?,
            pg_bin: layers.find("pg_bin", "a directory", |text| text.parse().ok())?,
            secret_key: layers.secret(
                "secret_key",
                "32 bytes in base64, such as the output of: openssl rand -base64 32",
                |secret| Keyring::parse(secret).is_ok(),
            )?,
            role: layers.parse("role", "api, worker or all", parse_role)?,
            log: layers.parse("log", "a level such as info", |text| Some(text.to_owned()))?,
            log_format: layers.parse("log_format", "text or json", parse_log_format)?,
            database_connections: layers.parse(
                "database_connections",
                "a whole number from 5 to 1000",
                within(5, 1000),
            )?,
            request_timeout: layers
                .parse("request_timeout_seconds", "a whole number of seconds from 1 to 3600", within(1, 3600))
                .map(Duration::from_secs)?,
            ingest_writers: layers.parse("ingest_writers", "a whole number from 1 to 64", within(1, 64))?,
            ingest_batch_events: layers.parse(
                "ingest_batch_events",
                "a whole number from 1 to 100000",
                within(1, 100_000),
            )?,
            ingest_queue_bytes: layers.parse(
                "ingest_queue_bytes",
                "a whole number of bytes, at least 16777216",
                within(REQUEST_BYTES_MAX, usize::MAX),
            )?,
            public_url: layers.find(
                "public_url",
                "an address that begins with https:// or http://, such as https://billing.example.com",
                parse_public_url,
            )?,
            work_interval: layers
                .parse(
                    "work_interval_ms",
                    "a whole number of milliseconds from 10 to 60000",
                    within(10, 60_000),
                )
                .map(Duration::from_millis)?,
            work_lease: layers
                .parse(
                    "work_lease_ms",
                    "a whole number of milliseconds from 100 to 3600000",
                    within(100, 3_600_000),
                )
                .map(Duration::from_millis)?,
            workers: layers.parse("workers", "a whole number from 1 to 16", within(1, 16))?,
            access_token_lifetime: layers
                .parse("access_token_minutes", "a whole number of minutes from 1 to 1440", within(1, 1_440))
                .map(SignedDuration::from_mins)?,
            session_lifetime: layers
                .parse("session_days", "a whole number of days from 1 to 365", within(1, 365))
                .map(|days: i64| SignedDuration::from_hours(24 * days))?,
            redis_url: rate_limits::read_redis_url(&layers)?,
            redis_timeout: rate_limits::read_redis_timeout(&layers)?,
            rate_limits: rate_limits::read(&layers)?,
            guard: guard::read(&layers)?,
            mail: mail::read(&layers)?,
            stripe: stripe::read(&layers)?,
        })
    }

    /// The part that the queue of usage events needs.
    pub fn ingest(&self) -> IngestSettings {
        IngestSettings {
            writers: self.ingest_writers,
            batch_events: self.ingest_batch_events,
            queue_bytes: self.ingest_queue_bytes,
        }
    }
}

fn within<T: FromStr + PartialOrd + Copy>(min: T, max: T) -> impl Fn(&str) -> Option<T> {
    move |text| text.parse().ok().filter(|number| (min..=max).contains(number))
}

fn parse_public_url(text: &str) -> Option<String> {
    let address = WebAddress::parse(text).filter(|it| !it.as_str().contains(['?', '#']))?;
    Some(address.as_str().trim_end_matches('/').to_owned())
}

fn parse_role(text: &str) -> Option<Role> {
    match text {
        "api" => Some(Role::Api),
        "worker" => Some(Role::Worker),
        "all" => Some(Role::All),
        _ => None,
    }
}

fn parse_log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}

fn is_postgres_url(url: &SecretString) -> bool {
    let url = url.expose_secret();
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

#[cfg(test)]
mod tests;
