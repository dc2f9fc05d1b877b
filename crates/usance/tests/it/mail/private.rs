//! The way to the mail server is private, or no mail goes it.

use usance_testkit::{Client, TempDir, TestDatabase};

use super::{sink::Sink, until};
use crate::program::Instance;

const FAILED: &str =
    "SELECT count(*) FROM mails WHERE attempts = 1 AND leased_until IS NULL AND status = 'pending'";

async fn start(dir: &TempDir, database: &TestDatabase, url: &str, authority: &str) -> Instance {
    let settings = [
        ("USANCE_SMTP_URL", url),
        ("USANCE_MAIL_FROM", "billing@example.com"),
        ("USANCE_WORK_INTERVAL_MS", "20"),
        ("SSL_CERT_FILE", authority),
    ];
    Instance::start(dir.path(), "server", database.url(), &settings).await
}

#[tokio::test]
async fn a_mail_goes_over_starttls_with_a_password_to_a_server_that_proves_its_name() {
    let Some(sink) = Sink::with(&["tls"]).await else { return };
    let (dir, database) = (TempDir::new("usance-mail").unwrap(), TestDatabase::new().await);
    let url = format!("smtp://ada%40example.com:hush%3Ahush@localhost:{}?tls=required", sink.port);
    let authority = sink.dir.path().join("ca.pem");
    let server = start(&dir, &database, &url, authority.to_str().unwrap()).await;
    let client = Client::new(&server.url);

    client.register("acme").await;
    let mail = sink.mail(&client, "acme@example.com", "Confirm").await;

    assert_eq!(mail["is_private"], true);
    assert!(!server.process.log().contains("hush"));
    assert!(server.process.end_by("TERM").await.success());
}

#[tokio::test]
async fn no_mail_goes_to_a_server_that_proves_nothing_or_knows_no_tls() {
    let (Some(private), Some(plain)) = (Sink::with(&["tls"]).await, Sink::start().await) else { return };
    for (sink, host) in [(&private, "localhost"), (&private, "127.0.0.1"), (&plain, "localhost")] {
        // given: nobody vouches for the first, the second has another name, the third offers no TLS
        let (dir, database) = (TempDir::new("usance-mail").unwrap(), TestDatabase::new().await);
        let other = Sink::with(&["tls"]).await.unwrap();
        let vouches = if host == "localhost" { other.dir.path() } else { sink.dir.path() };
        let authority = vouches.join("ca.pem");
        let url = format!("smtp://{host}:{}?tls=required", sink.port);
        let server = start(&dir, &database, &url, authority.to_str().unwrap()).await;
        let client = Client::new(&server.url);

        // when
        client.register("acme").await;
        until(&client, &database, FAILED, 1).await;

        // then
        assert_eq!(sink.mails().len(), 0);
        assert!(server.process.end_by("TERM").await.success());
    }
}
