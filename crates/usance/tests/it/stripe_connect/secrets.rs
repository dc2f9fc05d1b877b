//! What is secret stays so: the operator's key, the state, and the tokens of an account.

use std::fs;

use serde_json::json;
use usance_testkit::{Client, StripePeer, StripeVice, TempDir, TestDatabase};

use super::{CALLBACK, CONNECT, DISCONNECT, STATUS, text};
use crate::program::Instance;

#[tokio::test]
async fn no_answer_no_log_and_no_row_holds_a_secret() {
    // given a server that logs everything, with its key in a file
    let (dir, database) = (TempDir::new("usance-stripe").unwrap(), TestDatabase::new().await);
    let peer = StripePeer::start().await;
    fs::write(dir.path().join("stripe.key"), StripePeer::SECRET_KEY).unwrap();
    let base = peer.base();
    let settings = [
        ("STRIPE_SECRET_KEY_FILE", "stripe.key"),
        ("STRIPE_CONNECT_CLIENT_ID", StripePeer::CLIENT_ID),
        ("USANCE_PUBLIC_URL", "https://billing.example.com"),
        ("USANCE_STRIPE_API_BASE", &base),
        ("USANCE_STRIPE_CONNECT_BASE", &base),
        ("USANCE_LOG", "trace"),
    ];
    let server = Instance::start(dir.path(), "server", database.url(), &settings).await;
    let client = Client::new(&server.url);
    let owner = client.with_key(text(&client.register("acme").await, "/tokens/access"));
    let (mut answers, mut states) = (Vec::new(), Vec::new());

    // when everything is done once with and once without Stripe's help
    for vice in [Some(StripeVice::Gossip), None] {
        peer.misbehave(vice);
        let begun = owner.post(CONNECT, json!({})).await.expect(200);
        let back = peer.visit(text(&begun, "/url")).await;
        let back = back.split_once(CALLBACK).unwrap().1;
        answers.push(client.get(&format!("{CALLBACK}{back}")).await.text);
        states.push(text(&begun, "/state").to_owned());
    }
    for vice in [Some(StripeVice::Gossip), None] {
        peer.misbehave(vice);
        answers.push(owner.get(STATUS).await.text);
    }
    peer.misbehave(Some(StripeVice::Gossip));
    answers.push(owner.delete(DISCONNECT).await.text);
    answers.push(owner.get("/audit-log?limit=100").await.text);

    // then
    let log = server.process.log();
    let stored = database.dump().await;
    assert!(answers.concat().contains("acct_1") && stored.contains("stripe.disconnected"));
    assert!(log.contains("Stripe did not do what was asked"), "the log says what went wrong");
    let secrets = ["peer0hush", "token0of0the0account"].map(str::to_owned).into_iter();
    for secret in secrets.chain(states) {
        for (place, text) in [("answers", &answers.concat()), ("log", &log), ("rows", &stored)] {
            assert!(!text.contains(&secret), "{secret} is in the {place}");
        }
    }
    assert!(server.process.end_by("TERM").await.success());
}
