//! The settings of mails.

use super::{error::SettingsError, layers::Layers};
use crate::mail::{MailSettings, SmtpServer};

/// Whom mails come from while they only lie in files.
const FROM_NOWHERE: &str = "Usance <usance@localhost>";
const SMTP_URL: &str = "an address such as smtp://user:password@mail.example.com:587 or smtps://…, with a password only where TLS \
                        or this machine keeps it";

/// Reads how mails are sent, and as whom. A server needs a sender beside it: it would refuse mails from nowhere.
pub(super) fn read(layers: &Layers) -> Result<MailSettings, SettingsError> {
    let accepted = "an e-mail address, such as Acme Billing <billing@acme.example>";
    let from = layers.find("mail_from", accepted, |text| text.parse().ok())?;
    let secret = layers.secret("smtp_url", SMTP_URL, |address| SmtpServer::parse(address).is_some())?;
    let smtp = secret.as_ref().and_then(SmtpServer::parse);
    if smtp.is_some() && from.is_none() {
        return Err(SettingsError::Needs {
            set: layers.place_of_secret("smtp_url"),
            missing: "USANCE_MAIL_FROM",
        });
    }
    let nowhere = FROM_NOWHERE.parse().map_err(|_| SettingsError::Missing { key: "mail_from" });
    Ok(MailSettings {
        from: from.map_or(nowhere, Ok)?,
        smtp,
        dir: layers.find("mail_dir", "a directory", |text| text.parse().ok())?,
    })
}
