use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf, time::Duration};

use jiff::SignedDuration;
use secrecy::ExposeSecret;

use super::{
    LogFormat, Role, Settings, SettingsError, Sources,
    layers::{DEFAULTS, KEYS, variable},
};
use crate::stripe::ConnectStyle;

const SECRET_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Loads settings from flags, a file's text and variables.
fn load(
    flags: &[(&'static str, &str)],
    file: Option<PathBuf>,
    variables: &[(&str, &str)],
) -> Result<Settings, SettingsError> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let environment = |name: &str| variables.get(name).map(OsString::from);
    let flags = flags.iter().map(|(key, text)| (*key, (*text).to_owned())).collect();
    Settings::load(Sources { flags, file, environment: &environment })
}

fn refusal(flags: &[(&'static str, &str)], file: Option<PathBuf>, variables: &[(&str, &str)]) -> String {
    load(flags, file, variables).unwrap_err().to_string()
}

/// A file of one test, removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("usance-config-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn text(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

#[test]
fn without_any_source_the_defaults_apply() {
    // when
    let settings = load(&[], None, &[]).unwrap();

    // then
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.data_dir, PathBuf::from("usance-data"));
    assert!(settings.database_url.is_none());
    assert!(settings.pg_bin.is_none());
    assert!(settings.secret_key.is_none());
    assert!(settings.public_url.is_none());
    assert_eq!(settings.role, Role::All);
    assert_eq!(settings.log, "info,sqlx=warn");
    assert_eq!(settings.log_format, LogFormat::Text);
    assert_eq!(settings.database_connections, 20);
    assert_eq!(settings.request_timeout, Duration::from_secs(30));
    assert_eq!(settings.ingest_writers, 2);
    assert_eq!(settings.ingest_batch_events, 4000);
    assert_eq!(settings.ingest_queue_bytes, 64 * 1024 * 1024);
    assert_eq!(settings.work_interval, Duration::from_secs(1));
    assert_eq!(settings.work_lease, Duration::from_mins(1));
    assert_eq!(settings.workers, 2);
    assert_eq!(settings.redis_timeout, Duration::from_millis(250));
    assert_eq!(settings.access_token_lifetime, SignedDuration::from_mins(60));
    assert_eq!(settings.session_lifetime, SignedDuration::from_hours(7 * 24));
    assert_eq!(settings.mail.from.to_string(), "Usance <usance@localhost>");
    assert!(settings.mail.smtp.is_none() && settings.mail.dir.is_none());
    assert!(settings.stripe.connect_webhook_secret.is_none());
    assert!(settings.stripe.secret_key.is_none() && settings.stripe.connect_client_id.is_none());
    assert_eq!(settings.stripe.connect_style, ConnectStyle::Express);
    assert_eq!(settings.stripe.api_base, "https://api.stripe.com");
    assert_eq!(settings.stripe.connect_base, "https://connect.stripe.com");
}

#[test]
fn the_defaults_describe_every_key_and_its_variable() {
    for key in KEYS {
        let is_listed =
            DEFAULTS.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")));
        assert!(is_listed, "{key}");
        assert!(DEFAULTS.contains(&variable(key)), "{}", variable(key));
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    // given
    let file = Scratch::new(
        "order.toml",
        "listen = \"127.0.0.1:1\"\nrole = \"worker\"\nlog = \"warn\"\ningest_writers = 7",
    );
    let variables = [("USANCE_LISTEN", "127.0.0.1:2"), ("USANCE_ROLE", "api")];

    // when
    let settings = load(&[("listen", "127.0.0.1:3")], Some(file.path()), &variables).unwrap();

    // then
    assert_eq!(settings.listen.port(), 3);
    assert_eq!(settings.role, Role::Api);
    assert_eq!(settings.log, "warn");
    assert_eq!(settings.ingest_writers, 7);
}

#[test]
fn the_file_of_the_flag_is_read_instead_of_the_file_of_the_environment() {
    // given
    let (flag, variable) =
        (Scratch::new("flag.toml", "log = \"debug\""), Scratch::new("variable.toml", "log = \"trace\""));
    let variables = [("USANCE_CONFIG", variable.text())];

    // when
    let from_variable = load(&[], None, &variables).unwrap();
    let from_flag = load(&[], Some(flag.path()), &variables).unwrap();

    // then
    assert_eq!(from_variable.log, "trace");
    assert_eq!(from_flag.log, "debug");
}

#[test]
fn an_empty_variable_counts_as_absent() {
    let settings = load(&[], None, &[("USANCE_LISTEN", ""), ("DATABASE_URL", "")]).unwrap();

    assert_eq!(settings.listen.port(), 8080);
    assert!(settings.database_url.is_none());
}

#[test]
fn a_secret_is_read_from_its_variable_or_from_the_file_that_the_twin_names() {
    // given
    let file = Scratch::new("secret", &format!("{SECRET_KEY}\n"));
    let from_text = [("USANCE_SECRET_KEY", SECRET_KEY)];
    let from_file = [("USANCE_SECRET_KEY_FILE", file.text())];

    for variables in [from_text, from_file] {
        // when
        let settings = load(&[], None, &variables).unwrap();

        // then
        assert_eq!(settings.secret_key.unwrap().expose_secret(), SECRET_KEY);
    }
}

#[test]
fn a_secret_and_its_twin_are_not_accepted_together() {
    // given
    let file = Scratch::new("twins.toml", "database_url_file = \"/run/secrets/url\"");
    let variables = [("DATABASE_URL", "postgres://usance:hunter2@db/usance")];

    // when
    let message = refusal(&[], Some(file.path()), &variables);

    // then
    assert_eq!(
        message,
        format!("DATABASE_URL and database_url_file in {} are both set: remove one of them", file.text())
    );
}

#[test]
fn a_secret_file_that_cannot_be_read_is_named_with_its_variable() {
    let message = refusal(&[], None, &[("DATABASE_URL_FILE", "/nowhere/url")]);

    assert_eq!(message, "DATABASE_URL_FILE names /nowhere/url, which cannot be read");
}

#[test]
fn no_secret_shows_in_settings_or_errors() {
    // given
    let url = "postgres://usance:hunter2@db/usance";
    let broken = Scratch::new("broken.toml", "database_url = \"postgres://usance:hunter2@db/usance");

    // when
    let settings = load(&[], None, &[("DATABASE_URL", url), ("USANCE_SECRET_KEY", SECRET_KEY)]).unwrap();
    let shown = [
        format!("{settings:?}"),
        refusal(&[], None, &[("DATABASE_URL", "mysql://usance:hunter2@db/usance")]),
        refusal(&[], None, &[("USANCE_SECRET_KEY", "hunter2")]),
        refusal(&[], Some(broken.path()), &[]),
    ];

    // then
    for text in shown {
        assert!(!text.contains("hunter2") && !text.contains(SECRET_KEY), "{text}");
    }
}

#[test]
fn an_error_names_the_place_and_what_is_accepted() {
    let file = Scratch::new("values.toml", "work_interval_ms = 2.5");
    let cases = [
        (
            refusal(&[("listen", "8080")], None, &[]),
            "--listen must be an IP address and a port, such as 127.0.0.1:8080",
        ),
        (refusal(&[("log_format", "xml")], None, &[]), "--log-format must be text or json"),
        (refusal(&[], None, &[("USANCE_ROLE", "boss")]), "USANCE_ROLE must be api, worker or all"),
        (
            refusal(&[], None, &[("USANCE_DATABASE_CONNECTIONS", "4")]),
            "USANCE_DATABASE_CONNECTIONS must be a whole number from 5 to 1000",
        ),
        (
            refusal(&[], None, &[("USANCE_INGEST_QUEUE_BYTES", "-1")]),
            "USANCE_INGEST_QUEUE_BYTES must be a whole number of bytes, at least 16777216",
        ),
        (
            refusal(&[], None, &[("USANCE_WORK_LEASE_MS", "99")]),
            "USANCE_WORK_LEASE_MS must be a whole number of milliseconds from 100 to 3600000",
        ),
        (
            refusal(&[], None, &[("USANCE_WORKERS", "0")]),
            "USANCE_WORKERS must be a whole number from 1 to 16",
        ),
        (
            refusal(&[], Some(file.path()), &[]),
            &format!(
                "work_interval_ms in {} must be a whole number of milliseconds from 10 to 60000",
                file.text()
            ),
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(message, expected);
    }
}

#[test]
fn an_unknown_key_of_the_file_is_refused_by_its_name() {
    // given
    let file = Scratch::new("unknown.toml", "lissten = \"127.0.0.1:1\"");

    // when
    let message = refusal(&[], Some(file.path()), &[]);

    // then
    assert!(
        message.starts_with(&format!("lissten in {} is no setting; the settings are listen, ", file.text())),
        "{message}"
    );
}

#[test]
fn a_file_that_is_absent_or_no_toml_is_refused_with_the_line() {
    let file = Scratch::new("malformed.toml", "log = \"info\"\nrole = ");
    let absent = refusal(&[], Some(PathBuf::from("/nowhere/usance.toml")), &[]);
    let malformed = refusal(&[], Some(file.path()), &[]);

    assert_eq!(absent, "the settings file /nowhere/usance.toml cannot be read");
    assert!(malformed.contains(file.text()) && malformed.contains("line 2"), "{malformed}");
}

#[test]
fn the_public_address_is_one_of_the_web_and_loses_its_slash() {
    let settings = load(&[], None, &[("USANCE_PUBLIC_URL", "https://billing.example.com/")]).unwrap();

    assert_eq!(settings.public_url.as_deref(), Some("https://billing.example.com"));
    for refused in ["billing.example.com", "javascript:alert(1)", "https://x.example/?a=b"] {
        assert!(
            refusal(&[], None, &[("USANCE_PUBLIC_URL", refused)]).starts_with("USANCE_PUBLIC_URL"),
            "{refused}"
        );
    }
}

#[test]
fn stripe_is_configured_by_the_variables_that_other_programs_know() {
    // given
    let file = Scratch::new("stripe", "sk_test_hunter2\n");
    let signing = Scratch::new("stripe-signing", "whsec_hunter2\n");
    let variables = [
        ("STRIPE_SECRET_KEY_FILE", file.text()),
        ("STRIPE_CONNECT_CLIENT_ID", "ca_1"),
        ("STRIPE_CONNECT_WEBHOOK_SECRET_FILE", signing.text()),
        ("USANCE_STRIPE_CONNECT_STYLE", "account_links"),
        ("USANCE_STRIPE_API_BASE", "http://127.0.0.1:12111/"),
        ("USANCE_STRIPE_CONNECT_BASE", "http://localhost:12111"),
    ];

    // when
    let settings = load(&[], None, &variables).unwrap();

    // then
    assert_eq!(settings.stripe.secret_key.as_ref().unwrap().expose_secret(), "sk_test_hunter2");
    assert_eq!(settings.stripe.connect_client_id.as_deref(), Some("ca_1"));
    let signing = settings.stripe.connect_webhook_secret.as_ref();
    assert_eq!(signing.unwrap().expose_secret(), "whsec_hunter2");
    for refused in ["hunter2", "whsec_"] {
        let refusal = refusal(&[], None, &[("STRIPE_CONNECT_WEBHOOK_SECRET", refused)]);
        assert!(
            refusal.starts_with("STRIPE_CONNECT_WEBHOOK_SECRET") && !refusal.contains("hunter2"),
            "{refusal}"
        );
    }
    assert_eq!(settings.stripe.connect_style, ConnectStyle::AccountLinks);
    assert_eq!(settings.stripe.api_base, "http://127.0.0.1:12111");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn the_key_of_stripe_goes_to_nobody_else_in_the_clear() {
    for refused in [
        "http://api.stripe.com",
        "http://10.0.0.1",
        "http://localhost.example.com",
        "ftp://localhost",
        "https://x@api.stripe.com",
        "https://api.stripe.com?x",
        "api.stripe.com",
    ] {
        let message = refusal(&[], None, &[("USANCE_STRIPE_API_BASE", refused)]);
        assert!(message.starts_with("USANCE_STRIPE_API_BASE must be"), "{refused}: {message}");
    }
    let message = refusal(&[], None, &[("STRIPE_SECRET_KEY", "pk_test_hunter2")]);
    assert_eq!(message, "STRIPE_SECRET_KEY must be a key that begins with sk_ or rk_");
    let message = refusal(&[], None, &[("STRIPE_CONNECT_CLIENT_ID", "acct_1")]);
    assert_eq!(message, "STRIPE_CONNECT_CLIENT_ID must be an id that begins with ca_");
}

#[test]
fn a_mail_server_needs_a_sender_and_keeps_its_password_to_itself() {
    // given
    let from = ("USANCE_MAIL_FROM", "Acme <billing@acme.example>");
    let server = ("USANCE_SMTP_URL", "smtps://ada:hunter2@mail.acme.example");
    let file = Scratch::new("smtp", server.1);
    let in_file = ("USANCE_SMTP_URL_FILE", file.text());

    // when
    let settings = load(&[], None, &[from, in_file]).unwrap();

    // then
    assert_eq!(settings.mail.from.to_string(), "Acme <billing@acme.example>");
    assert!(settings.mail.smtp.is_some());
    assert!(!format!("{settings:?}").contains("hunter2"));
    for (variables, expected) in [
        ([server, ("", "")], "USANCE_SMTP_URL needs USANCE_MAIL_FROM beside it"),
        ([in_file, ("", "")], "USANCE_SMTP_URL_FILE needs USANCE_MAIL_FROM beside it"),
        ([server, ("USANCE_MAIL_FROM", "nobody")], "USANCE_MAIL_FROM must be an e-mail address"),
        (
            [from, ("USANCE_SMTP_URL", "smtp://ada:hunter2@mail.acme.example?tls=none")],
            "USANCE_SMTP_URL must be an address",
        ),
        (
            [from, ("USANCE_SMTP_URL", "https://ada:hunter2@mail.acme.example")],
            "USANCE_SMTP_URL must be an address",
        ),
    ] {
        let message = refusal(&[], None, &variables);
        assert!(message.starts_with(expected) && !message.contains("hunter2"), "{message}");
    }
}
