//! The texts of the settings, merged key by key, each with the place that it came from.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use config::{File, FileFormat, Map, Source, Value};
use secrecy::SecretString;

use super::{Sources, error::SettingsError};

/// Every setting with its default and a description, as TOML.
pub const DEFAULTS: &str = include_str!("default.toml");

/// Every key of a settings file.
pub(super) const KEYS: [&str; 45] = [
    "listen",
    "data_dir",
    "database_url",
    "database_url_file",
    "pg_bin",
    "secret_key",
    "secret_key_file",
    "public_url",
    "allowed_networks",
    "nameserver",
    "role",
    "log",
    "log_format",
    "database_connections",
    "request_timeout_seconds",
    "ingest_writers",
    "ingest_batch_events",
    "ingest_queue_bytes",
    "work_interval_ms",
    "work_lease_ms",
    "workers",
    "redis_url",
    "redis_url_file",
    "redis_timeout_ms",
    "access_token_minutes",
    "session_days",
    "rate_limit_anonymous_per_hour",
    "rate_limit_member_per_hour",
    "rate_limit_payment_per_minute",
    "rate_limit_auth_per_minute",
    "rate_limit_key_per_minute",
    "rate_limit_loopback",
    "trusted_proxies",
    "mail_from",
    "smtp_url",
    "smtp_url_file",
    "mail_dir",
    "stripe_secret_key",
    "stripe_secret_key_file",
    "stripe_connect_client_id",
    "stripe_connect_style",
    "stripe_connect_webhook_secret",
    "stripe_connect_webhook_secret_file",
    "stripe_api_base",
    "stripe_connect_base",
];

/// The merged settings. The origin of a value is the place to name in an error; a default has none.
pub(super) struct Layers(Map<String, Value>);

impl Layers {
    /// Reads all sources, the weakest first.
    pub(super) fn read(sources: Sources<'_>) -> Result<Self, SettingsError> {
        let mut values = parse_toml(DEFAULTS, Path::new("default.toml"))?;
        let file = match sources.file {
            Some(path) => Some(path),
            None => look_up(sources.environment, "USANCE_CONFIG")?.map(PathBuf::from),
        };
        if let Some(path) = file {
            values.extend(read_file(&path)?);
        }
        for key in KEYS {
            let variable = variable(key);
            if let Some(text) = look_up(sources.environment, &variable)? {
                values.insert(key.to_owned(), Value::new(Some(&variable), text));
            }
        }
        for (key, text) in sources.flags {
            let flag = format!("--{}", key.replace('_', "-"));
            values.insert(key.to_owned(), Value::new(Some(&flag), text));
        }
        Ok(Self(values))
    }

    /// Reads a key that may be absent.
    pub(super) fn find<T>(
        &self,
        key: &'static str,
        accepted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.0.get(key) else { return Ok(None) };
        let text = value.clone().into_string().ok();
        match text.as_deref().map(str::trim).filter(|text| !text.is_empty()).and_then(parse) {
            Some(parsed) => Ok(Some(parsed)),
            None => Err(SettingsError::Invalid { place: place(key, value), accepted }),
        }
    }

    /// Reads a key that has a default.
    pub(super) fn parse<T>(
        &self,
        key: &'static str,
        accepted: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        self.find(key, accepted, parse)?.ok_or(SettingsError::Missing { key })
    }

    /// Where a secret was given, as text or as a file.
    pub(super) fn place_of_secret(&self, key: &'static str) -> String {
        let file_key = format!("{key}_file");
        let given = [key, &file_key].into_iter().find_map(|key| Some(place(key, self.0.get(key)?)));
        given.unwrap_or_else(|| key.to_owned())
    }

    /// Reads a secret, or the file that its twin `<key>_file` names.
    pub(super) fn secret(
        &self,
        key: &'static str,
        accepted: &'static str,
        is_valid: impl Fn(&SecretString) -> bool,
    ) -> Result<Option<SecretString>, SettingsError> {
        let file_key = format!("{key}_file");
        let (place, text) =
            match (self.0.get(key), self.0.get(&file_key)) {
                (None, None) => return Ok(None),
                (Some(text), Some(file)) => {
                    return Err(SettingsError::SecretTwice {
                        text: place(key, text),
                        file: place(&file_key, file),
                    });
                }
                (Some(value), None) => (place(key, value), value.clone().into_string().unwrap_or_default()),
                (None, Some(value)) => {
                    let place = place(&file_key, value);
                    let path = PathBuf::from(value.clone().into_string().unwrap_or_default());
                    let text = fs::read_to_string(&path).map_err(|source| {
                        SettingsError::SecretUnreadable { place: place.clone(), path, source }
                    })?;
                    (place, text)
                }
            };
        let secret = SecretString::from(text.trim());
        if is_valid(&secret) { Ok(Some(secret)) } else { Err(SettingsError::Invalid { place, accepted }) }
    }
}

/// Keys whose variables have the names by which other programs know them, and the twins of those that are secret.
const OF_OTHER_PROGRAMS: [&str; 5] = [
    "database_url",
    "redis_url",
    "stripe_secret_key",
    "stripe_connect_client_id",
    "stripe_connect_webhook_secret",
];

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    let name = key.to_uppercase();
    if OF_OTHER_PROGRAMS.contains(&key.strip_suffix("_file").unwrap_or(key)) {
        name
    } else {
        format!("USANCE_{name}")
    }
}

fn place(key: &str, value: &Value) -> String {
    value.origin().unwrap_or(key).to_owned()
}

fn look_up(
    environment: &dyn Fn(&str) -> Option<OsString>,
    variable: &str,
) -> Result<Option<String>, SettingsError> {
    let Some(value) = environment(variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.into_string().map_err(|_| SettingsError::NotText { place: variable.to_owned() })?;
    Ok(Some(text))
}

fn read_file(path: &Path) -> Result<Map<String, Value>, SettingsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| SettingsError::FileUnreadable { path: path.to_owned(), source })?;
    let named = |(key, value): (String, Value)| {
        let place = format!("{key} in {}", path.display());
        if KEYS.contains(&key.as_str()) {
            Ok((key, Value::new(Some(&place), value.kind)))
        } else {
            Err(SettingsError::Unknown { place, known: KEYS.join(", ") })
        }
    };
    parse_toml(&text, path)?.into_iter().map(named).collect()
}

fn parse_toml(text: &str, path: &Path) -> Result<Map<String, Value>, SettingsError> {
    File::from_str(text, FileFormat::Toml).collect().map_err(|error| {
        // The further lines repeat the text of the file, which may be a secret.
        let reason = error.to_string().lines().next().unwrap_or_default().to_owned();
        SettingsError::FileMalformed { path: path.to_owned(), reason }
    })
}
