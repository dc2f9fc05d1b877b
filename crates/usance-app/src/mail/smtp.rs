//! Mails by SMTP.

use std::{net::IpAddr, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use lettre::{
    address::Envelope,
    message::Mailbox,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Mail as Sender, Rset},
        extension::ClientId,
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;
use url::{Host, Url};

use super::{
    MailFault, Mailer,
    compose::{Mail, Way, compose},
};
use crate::error::chain;

/// From the search for the address to the server's word that it has the mail.
const TIMEOUT: Duration = Duration::from_secs(30);
const SUBMISSION_PORT: u16 = 587;
const TLS_PORT: u16 = 465;
/// The server wants to know first who sends: that is no word about the mail.
const AUTHENTICATION_REQUIRED: u16 = 530;
/// The strongest that a server offers is not what counts: with TLS below they are alike.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// How the way to the server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privacy {
    /// TLS from the first byte.
    Tls,
    /// TLS before the first mail, or none is sent.
    StartTls,
    /// Nothing.
    Plain,
}

/// A server that takes mails.
#[derive(Debug, Clone)]
pub struct SmtpServer {
    host: String,
    port: u16,
    privacy: Privacy,
    credentials: Option<(String, SecretString)>,
}

impl SmtpServer {
    /// Reads `smtp://user:password@host:port` or `smtps://…`. Mails go over TLS only, but for a server on this machine and for
    /// one whose address ends in `?tls=none`; a password goes over TLS or stays on this machine.
    pub fn parse(address: &SecretString) -> Option<Self> {
        let url = Url::parse(address.expose_secret()).ok()?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return None;
        }
        let (host, is_local) = read_host(&url)?;
        let privacy = match (url.scheme(), url.query()) {
            ("smtps", None) => Privacy::Tls,
            ("smtp", Some("tls=none")) => Privacy::Plain,
            ("smtp", None) if is_local => Privacy::Plain,
            ("smtp", None | Some("tls=required")) => Privacy::StartTls,
            _ => return None,
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return None,
            (user, Some(password)) => Some((decode(user)?, decode(password)?.into())),
        };
        if credentials.is_some() && privacy == Privacy::Plain && !is_local {
            return None;
        }
        let port = url.port().unwrap_or(if privacy == Privacy::Tls { TLS_PORT } else { SUBMISSION_PORT });
        Some(Self { host, port, privacy, credentials })
    }

    async fn connect(&self, hello: &ClientId) -> Result<AsyncSmtpConnection, SmtpError> {
        let parameters = || TlsParameters::new(self.host.clone());
        let implicit = if self.privacy == Privacy::Tls { Some(parameters()?) } else { None };
        let server = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(TIMEOUT), hello, implicit, None).await?;
        if self.privacy == Privacy::StartTls {
            connection.starttls(parameters()?, hello).await?;
        }
        if let Some((user, password)) = &self.credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(&MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

fn read_host(url: &Url) -> Option<(String, bool)> {
    // The scheme is none that the parser knows: it leaves hosts as they are written.
    match url.host()? {
        Host::Domain(name) => match name.parse::<IpAddr>() {
            Ok(address) => Some((name.to_owned(), address.is_loopback())),
            Err(_) => Some((name.to_lowercase(), name.eq_ignore_ascii_case("localhost"))),
        },
        Host::Ipv4(address) => Some((address.to_string(), address.is_loopback())),
        Host::Ipv6(address) => Some((address.to_string(), address.is_loopback())),
    }
}

/// Undoes percent-encoding; control characters are none of a name or a password.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

/// Sends each mail over a connection of its own.
#[derive(Debug)]
pub struct SmtpMailer {
    server: SmtpServer,
}

impl SmtpMailer {
    /// Sends through a server. It is not called before there is a mail.
    pub fn new(server: SmtpServer) -> Self {
        Self { server }
    }

    async fn exchange(&self, hello: &ClientId, envelope: &Envelope, bytes: &[u8]) -> Result<(), MailFault> {
        let connected = self.server.connect(hello).await;
        let later = |error| MailFault::Later(describe(&error));
        let mut connection = connected.map_err(later)?;
        // A server that refuses the sender says nothing about the mail: it is for the operator to mend.
        let sender = Sender::new(envelope.from().cloned(), Vec::new());
        connection.command(sender).await.map_err(later)?;
        connection.command(Rset).await.map_err(later)?;
        connection.send(envelope, bytes).await.map_err(|error| fault(&error))?;
        // It has the mail, whatever it says to a farewell.
        drop(connection.quit().await);
        Ok(())
    }
}

impl Mailer for SmtpMailer {
    fn send<'a>(&'a self, from: &'a Mailbox, mail: &'a Mail) -> BoxFuture<'a, Result<(), MailFault>> {
        async move {
            let (envelope, bytes) =
                compose(from, mail, Way::SevenBit).map_err(|error| MailFault::Refused(error.to_string()))?;
            let hello = ClientId::Domain(from.email.domain().to_owned());
            let late = |_| {
                let detail = format!("the mail server did not take it within {} s", TIMEOUT.as_secs());
                Err(MailFault::Later(detail))
            };
            timeout(TIMEOUT, self.exchange(&hello, &envelope, &bytes)).await.unwrap_or_else(late)
        }
        .boxed()
    }
}

/// What the server says of a mail, once it has let the sender in.
fn fault(error: &SmtpError) -> MailFault {
    let is_about_the_mail =
        error.status().is_some_and(|code| u16::from(code) != AUTHENTICATION_REQUIRED) && error.is_permanent();
    // The client itself refuses an address that the server cannot take.
    if is_about_the_mail || error.is_client() {
        MailFault::Refused(describe(error))
    } else {
        MailFault::Later(describe(error))
    }
}

/// The words of the server may repeat the address: only its code is told.
fn describe(error: &SmtpError) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_response() => "the answer of the mail server cannot be read".to_owned(),
        None => chain(error),
    }
}

#[cfg(test)]
mod tests;
