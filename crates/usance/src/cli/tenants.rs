//! `usance tenants create`.

use std::{
    fs,
    io::{Write, stdout},
    path::PathBuf,
};

use anyhow::Context as _;
use comfy_table::{Table, presets};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use usance_core::{clock::Random, hexadecimal};

use super::{api::Api, settings::SettingsFlags, signals};
use crate::{
    server::{self, Outside},
    system::SystemRandom,
    telemetry,
};

const PASSWORD_BYTES: usize = 16;

/// Registers a tenant and shows its keys, once
///
/// With --url through a running server; without it directly in the database of the settings, for which no other process
/// may hold the data directory.
#[expect(clippy::doc_markdown, reason = "clap shows the text on a terminal, where backticks are noise")]
#[derive(Debug, clap::Args)]
pub(super) struct CreateTenantArgs {
    /// Name of the company
    #[arg(long, value_name = "NAME")]
    company_name: String,

    /// E-mail address of the company and of its owner, who signs in with it
    #[arg(long)]
    email: String,

    /// File that holds the owner's password, 12 characters or more [default: a password is generated and shown]
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// Prints the answer of the API as JSON, with the password as `password` if it was generated
    #[arg(long)]
    json: bool,

    /// Address of a running server, such as http://127.0.0.1:8080
    #[arg(long)]
    url: Option<String>,

    #[command(flatten)]
    flags: SettingsFlags,
}

/// The password of the owner.
struct Password {
    text: SecretString,
    is_generated: bool,
}

/// Registers a tenant through the API, of a running server or of one that runs for this request alone.
pub(super) async fn create(mut args: CreateTenantArgs) -> anyhow::Result<()> {
    let password = match &args.password_file {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Password { text: text.trim_end_matches(['\r', '\n']).into(), is_generated: false }
        }
        None => Password { text: generate_password(&SystemRandom).into(), is_generated: true },
    };
    let registered = match args.url.take() {
        Some(url) => register(&url, &args, &password).await?,
        None => register_alone(&args, &password).await?,
    };
    let text = if args.json { json_text(registered, &password)? } else { table(&registered, &password) };
    stdout().write_all(text.as_bytes())?;
    Ok(())
}

async fn register(url: &str, args: &CreateTenantArgs, password: &Password) -> anyhow::Result<Value> {
    let body = json!({
        "company_name": args.company_name,
        "email": args.email,
        "password": password.text.expose_secret(),
    });
    Api::new(url)?.post("auth/tenants/register/", &body).await
}

async fn register_alone(args: &CreateTenantArgs, password: &Password) -> anyhow::Result<Value> {
    let log = args.flags.log.clone().unwrap_or_else(|| "warn".to_owned());
    let alone = [("listen", "127.0.0.1:0"), ("role", "api"), ("log", &log)];
    let settings = args.flags.clone().load(alone.map(|(key, text)| (key, text.to_owned())).into())?;
    telemetry::start_log(&settings)?;
    let shutdown: CancellationToken = signals::watch()?;
    let server = server::start(&settings, Outside::system(None), shutdown)
        .await
        .context("if a server is running here, name its address with --url")?;
    let url = server.base_url().context("the server has no address")?;
    let registered = register(&url, args, password).await;
    server.stop().await?;
    registered
}

/// Letters and digits in groups that can be copied by hand.
fn generate_password(random: &dyn Random) -> String {
    let mut bytes = [0; PASSWORD_BYTES];
    random.fill(&mut bytes);
    bytes.chunks(2).map(hexadecimal).collect::<Vec<_>>().join("-")
}

fn json_text(mut registered: Value, password: &Password) -> anyhow::Result<String> {
    if let (Some(members), true) = (registered.as_object_mut(), password.is_generated) {
        members.insert("password".to_owned(), json!(password.text.expose_secret()));
    }
    Ok(serde_json::to_string_pretty(&registered)? + "\n")
}

fn table(registered: &Value, password: &Password) -> String {
    let text =
        |pointer: &str| registered.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut rows = vec![
        ("Tenant", text("/tenant/company_name")),
        ("Id", text("/tenant/id")),
        ("Owner", text("/tenant/email")),
    ];
    if password.is_generated {
        rows.push(("Password", password.text.expose_secret().to_owned()));
    }
    rows.extend([
        ("Test key, secret", text("/tenant/api_key_test_secret")),
        ("Test key, publishable", text("/tenant/api_key_test_public")),
        ("Live key, secret", text("/tenant/api_key_secret")),
        ("Live key, publishable", text("/tenant/api_key_public")),
        ("Webhook secret", text("/tenant/webhook_secret")),
    ]);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name, &value]);
    }
    format!("{}\nSecrets are shown this once: keep them now.\n", table.trim_fmt())
}

#[cfg(test)]
mod tests {
    use usance_core::clock::Random;

    use super::generate_password;

    struct Counting;

    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (index, byte) in (0_u8..).zip(buffer) {
                *byte = index;
            }
        }
    }

    #[test]
    fn a_generated_password_shows_all_its_random_bytes() {
        let password = generate_password(&Counting);

        assert_eq!(password, "0001-0203-0405-0607-0809-0a0b-0c0d-0e0f");
    }
}
