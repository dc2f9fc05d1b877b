//! The way of a mail to a server that may be slow, down, or of another opinion.

use jiff::SignedDuration;
use serde_json::json;
use usance_testkit::{MovableClock, TestDatabase, TestServer};

use super::{
    all_ended, server_by,
    sink::{Sink, header},
    text, until,
};

const VERIFY: &str = "Confirm your e-mail address";
const ATTEMPTS: &str = "SELECT coalesce(max(attempts), 0) FROM mails WHERE leased_until IS NULL";

#[tokio::test]
async fn a_mail_arrives_as_it_was_meant_in_every_alphabet() {
    let Some(sink) = Sink::start().await else { return };
    // given
    let server = TestServer::start_with(sink.settings()).await;
    let company = "Žižek & Söhne <b>株式会社</b>";
    let body =
        json!({ "company_name": company, "email": "ada@example.com", "password": "seven brown bears" });
    let registered = server.client.post("/auth/tenants/register", body).await.expect(201);
    let owner = server.client.with_key(text(&registered, "/tokens/access"));

    // when
    let invitation = json!({ "email": "grace@example.com", "role": "developer" });
    owner.post("/members/invitations", invitation).await.expect(201);
    let verification = sink.mail(&server.client, "ada@example.com", VERIFY).await;
    let invitation = sink.mail(&server.client, "grace@example.com", "You are invited to join").await;

    // then
    assert_eq!(header(&verification, "From"), "Usance <billing@example.com>");
    assert_eq!(header(&verification, "To"), "ada@example.com");
    assert_eq!(verification["envelope_from"], "billing@example.com");
    assert_eq!(header(&invitation, "From"), format!("\"{company}\" <billing@example.com>"));
    assert_eq!(header(&invitation, "Subject"), format!("You are invited to join {company}"));
    for mail in [&verification, &invitation] {
        assert!(header(mail, "Message-ID").ends_with("@example.com>"));
        assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
        assert!(text(mail, "/text").contains(company), "{mail}");
        assert!(text(mail, "/html").contains("株式会社") && !text(mail, "/html").contains("<b>"), "{mail}");
        assert!(text(mail, "/text").contains("https://billing.example.com/"), "{mail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_server_does_not_take_now_comes_later_and_once() {
    let Some(sink) = Sink::start().await else { return };
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, sink.settings()).await;
    sink.feel("451 come again");

    // when
    server.client.register("acme").await;
    for attempt in 1..4 {
        until(&server.client, &server.database, ATTEMPTS, attempt).await;
        clock.advance(SignedDuration::from_mins(7));
    }
    until(&server.client, &server.database, ATTEMPTS, 4).await;
    assert_eq!(sink.mails().len(), 0);
    let error = server.database.text_as_superuser("SELECT last_error FROM mails").await;
    assert_eq!(error, "the mail server answered 451");
    sink.feel("");
    clock.advance(SignedDuration::from_mins(20));
    all_ended(&server.client, &server.database).await;

    // then
    assert_eq!(sink.mails().len(), 1);
    clock.advance(SignedDuration::from_hours(48));
    server.client.register("other").await;
    sink.mail(&server.client, "other@example.com", VERIFY).await;
    assert_eq!(sink.mails().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn mails_wait_for_a_server_that_is_down_for_an_hour() {
    let Some(mut sink) = Sink::start().await else { return };
    // given
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, sink.settings()).await;
    sink.kill().await;

    // when
    for name in ["a", "b", "c"] {
        server.client.register(name).await;
    }
    let attempts = "SELECT min(attempts) FROM mails WHERE leased_until IS NULL HAVING count(*) = 3";
    let attempts = format!("SELECT coalesce(({attempts}), 0)");
    for attempt in 1..=4 {
        until(&server.client, &server.database, &attempts, attempt).await;
        clock.advance(SignedDuration::from_mins(20));
    }
    until(&server.client, &server.database, &attempts, 5).await;
    sink.restart().await;
    clock.advance(SignedDuration::from_hours(1));

    // then
    all_ended(&server.client, &server.database).await;
    let mut told: Vec<_> = sink.mails().iter().map(|mail| text(mail, "/envelope_to/0").to_owned()).collect();
    told.sort();
    assert_eq!(told, ["a@example.com", "b@example.com", "c@example.com"]);
    assert_eq!(
        server.database.number_as_superuser("SELECT count(*) FROM mails WHERE status = 'sent'").await,
        3
    );
    server.stop().await;
}

#[tokio::test]
async fn a_recipient_whom_the_server_refuses_is_tried_once() {
    let Some(sink) = Sink::start().await else { return };
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, sink.settings()).await;
    sink.feel("550 nobody <acme@example.com> here");

    server.client.register("acme").await;
    all_ended(&server.client, &server.database).await;

    let row = "SELECT concat_ws(' ', status, attempts, sealed IS NULL, last_error) FROM mails";
    let row = server.database.text_as_superuser(row).await;
    assert_eq!(row, "dead 1 t refused: the mail server answered 550");
    server.stop().await;
}

#[tokio::test]
async fn a_sender_whom_the_server_refuses_ends_no_mail() {
    let Some(sink) = Sink::start().await else { return };
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, sink.settings()).await;
    sink.feel("sender 550 billing@example.com may not send here");

    server.client.register("acme").await;
    until(&server.client, &server.database, ATTEMPTS, 1).await;
    let row = "SELECT concat_ws(' ', status, attempts, last_error) FROM mails";
    let row = server.database.text_as_superuser(row).await;
    assert_eq!(row, "pending 1 the mail server answered 550");
    sink.feel("");
    clock.advance(SignedDuration::from_mins(1));

    sink.mail(&server.client, "acme@example.com", VERIFY).await;
    assert_eq!(sink.mails().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_stalls_holds_no_transaction_and_is_left_in_time() {
    let Some(mut sink) = Sink::start().await else { return };
    // given
    let clock = MovableClock::default();
    let settings = sink.settings();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |all| {
        settings(all);
        all.work_lease = std::time::Duration::from_secs(10);
    })
    .await;
    sink.feel("stall");

    // when
    server.client.register("acme").await;
    sink.running.as_mut().unwrap().line_with("stalled").await;

    // then: nothing is locked, nobody waits inside a transaction, and the rest goes on
    let free = "SELECT count(*) FROM (SELECT id FROM mails FOR UPDATE NOWAIT) free";
    assert_eq!(server.database.number_as_superuser(free).await, 1);
    // The worker that looks for the next mail is in one for a moment.
    let closed = "SELECT (count(*) = 0)::int FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle in transaction' AND query LIKE '%mails%'";
    until(&server.client, &server.database, closed, 1).await;
    let under_way = "SELECT count(*) FROM mails WHERE leased_until IS NOT NULL AND last_error IS NULL";
    assert_eq!(server.database.number_as_superuser(under_way).await, 1);
    until(
        &server.client,
        &server.database,
        "SELECT count(*) FROM mails WHERE last_error LIKE 'its lease%'",
        1,
    )
    .await;
    sink.feel("");
    clock.advance(SignedDuration::from_mins(1));
    sink.mail(&server.client, "acme@example.com", VERIFY).await;
    server.stop().await;
}

#[tokio::test]
async fn a_mail_that_would_come_too_late_does_not_come() {
    let clock = MovableClock::default();
    let server = TestServer::start_by(&clock, TestDatabase::new().await, |settings| {
        super::without_delay(settings);
        settings.role = usance_app::config::Role::Api;
    })
    .await;
    server.client.register("acme").await;
    clock.advance(SignedDuration::from_hours(24));

    let worker = TestServer::start_by(&clock, server.database.clone(), super::without_delay).await;
    all_ended(&worker.client, &server.database).await;

    let error = server.database.text_as_superuser("SELECT last_error FROM mails").await;
    assert_eq!(error, "refused: it is of no use any more");
    worker.stop_unchecked().await;
    server.stop().await;
}

#[tokio::test]
async fn without_a_mail_server_each_mail_is_a_file_that_only_its_owner_reads() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let clock = MovableClock::default();
    let server = server_by(&clock).await;

    server.client.register("acme").await;
    all_ended(&server.client, &server.database).await;

    let entries: Vec<_> = fs::read_dir(server.mail_dir()).unwrap().map(Result::unwrap).collect();
    let [file] = entries.as_slice() else { panic!("{entries:?}") };
    let name = file.file_name().into_string().unwrap();
    assert!(name.starts_with("20260101T000000Z-mail_"), "{name}");
    assert_eq!(file.path().extension().unwrap(), "eml");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    server.stop().await;
}
