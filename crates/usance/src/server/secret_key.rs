//! The secret of the installation: given, or generated once and kept in the data directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret, SecretString};
use usance_app::{auth::keyring::Keyring, config::Settings};
use usance_core::clock::Random;
use usance_db::{Db, tenants};

const FILE_NAME: &str = "secret.key";

/// Finds the secret of the settings or of the data directory. A new installation gets one; an installation that has
/// tenants does not, because their keys and secrets hang on the one that was lost.
pub(super) async fn find_or_generate(
    settings: &Settings,
    db: &Db,
    random: &dyn Random,
) -> anyhow::Result<SecretString> {
    if let Some(secret) = &settings.secret_key {
        return Ok(secret.clone());
    }
    if settings.database_url.is_some() {
        bail!(
            "database_url needs secret_key beside it: set USANCE_SECRET_KEY or USANCE_SECRET_KEY_FILE to the output of \
             `openssl rand -base64 32`, and keep it"
        );
    }
    let path = settings.data_dir.join(FILE_NAME);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut tx = db.system().await?;
            if tenants::any_exists(&mut tx).await? {
                bail!(
                    "{} is missing, and the tenants' keys hang on it: restore it from a backup",
                    path.display()
                );
            }
            let secret = Keyring::generate(random);
            write(&path, &secret).with_context(|| format!("cannot write {}", path.display()))?;
            tracing::info!("Generated the secret key {}: keep a copy of it", path.display());
            Ok(secret)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a draft first, so that a crash leaves no half of a key.
fn write(path: &Path, secret: &SecretString) -> std::io::Result<()> {
    let draft = path.with_extension("key.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}
