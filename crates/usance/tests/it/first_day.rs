//! What the documents promise for the first day, with curl alone.

use std::{path::Path, process::Stdio};

use secrecy::SecretString;
use tokio::process::Command;
use usance_app::config::Settings;
use usance_testkit::{Receiver, StripePeer, TestServer};

use crate::program::{Finished, finish};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn may_call_loopback(settings: &mut Settings) {
    settings.guard.allowed_networks = vec!["127.0.0.0/8".parse().unwrap()];
}

async fn accept(server: &TestServer, receiver: &Receiver) -> Finished {
    server.client.register("acme").await;
    let mut script = Command::new(repository().join("scripts/acceptance-tenants"));
    script.args([server.client.base(), "acme@example.com", "correct horse battery", &receiver.url()]);
    script.stdin(Stdio::null());
    finish(script).await.expect(0)
}

#[tokio::test]
async fn the_seven_steps_of_a_tenant_pass_with_curl() {
    // given
    let (receiver, peer) = (Receiver::start().await, StripePeer::start().await);
    let server = TestServer::start_with(|settings| {
        may_call_loopback(settings);
        settings.public_url = Some("https://billing.example.com".to_owned());
        settings.stripe.secret_key = Some(SecretString::from(StripePeer::SECRET_KEY));
        settings.stripe.connect_client_id = Some(StripePeer::CLIENT_ID.to_owned());
        settings.stripe.api_base = peer.base();
        settings.stripe.connect_base = peer.base();
    })
    .await;

    // when
    let finished = accept(&server, &receiver).await;

    // then
    assert!(finished.stdout.ends_with("All 7 steps passed.\n"), "{}", finished.stdout);
    assert!(!finished.stdout.contains("SKIP"), "{}", finished.stdout);
    assert_eq!(receiver.next().await.json()["type"], "test.webhook");
    server.stop().await;
}

#[tokio::test]
async fn without_stripe_its_step_is_skipped_and_says_what_is_missing() {
    let receiver = Receiver::start().await;
    let server = TestServer::start_with(may_call_loopback).await;

    let finished = accept(&server, &receiver).await;

    assert!(finished.stdout.contains("SKIP: the server has no STRIPE_SECRET_KEY"), "{}", finished.stdout);
    server.stop().await;
}

#[tokio::test]
async fn the_readme_leads_from_registration_to_an_authenticated_call_in_three_lines() {
    // given
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, after) = readme.split_once("```bash\n").unwrap();
    let (block, _) = after.split_once("```").unwrap();
    let (address, lines) = block.split_once('\n').unwrap();
    assert_eq!((address, lines.lines().count()), ("URL=http://127.0.0.1:8080/api/v1", 3));
    let server = TestServer::start().await;

    // when
    let mut shell = Command::new("bash");
    shell.args(["-euc", lines]).env("URL", format!("{}/api/v1", server.client.base()));
    let finished = finish(shell).await.expect(0);

    // then
    assert!(finished.stdout.contains(r#""valid":true"#), "{}", finished.stdout);
    server.stop().await;
}
