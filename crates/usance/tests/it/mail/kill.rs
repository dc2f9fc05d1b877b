//! kill -9 of the server that writes and sends mails, at any of its steps: what was acknowledged is mailed.

use std::collections::HashSet;

use reqwest::Method;
use serde_json::json;
use tokio::time::timeout;
use usance_testkit::{Client, TempDir, TestDatabase};

use super::{
    all_ended,
    sink::{Sink, header},
    text,
};
use crate::{
    failpoints::{Gate, Point},
    program::{DEADLINE, Instance},
};

/// What a server does between the cause of a mail and the note that it was sent.
const STATEMENTS: [&str; 5] = [
    "mails::insert",
    "COMMIT after audit::insert",
    "COMMIT after mails::claim",
    "mails::settle",
    "COMMIT after mails::settle",
];

#[tokio::test]
async fn what_was_acknowledged_is_mailed_wherever_the_server_dies() {
    let Some(sink) = Sink::start().await else { return };
    // given
    let (dir, database) = (TempDir::new("usance-mail").unwrap(), TestDatabase::new().await);
    let url = sink.url();
    let settings = [
        ("USANCE_SMTP_URL", url.as_str()),
        ("USANCE_MAIL_FROM", "billing@example.com"),
        ("USANCE_WORK_INTERVAL_MS", "20"),
    ];
    let soon_taken_up = [&settings[..], &[("USANCE_WORK_LEASE_MS", "3000")]].concat();
    let gate = Gate::open(&database);
    let mut acknowledged = 0;

    for (index, statement) in STATEMENTS.into_iter().enumerate() {
        for is_executed in [false, true] {
            // when the server dies that registers somebody and sends the mail
            let victim = Instance::start(dir.path(), "victim", &gate.url, &soon_taken_up).await;
            timeout(DEADLINE, gate.listens()).await.expect("a server listens for news");
            let point = Point { statement: statement.to_owned(), is_executed };
            gate.arm(Some((point.clone(), victim.process.pid())));
            let name = format!("c{index}{is_executed}");
            let body = json!({ "company_name": name, "email": format!("{name}@example.com"), "password": "seven brown bears" });
            let asked = Client::new(&victim.url);
            let reply =
                asked.try_send(asked.request(Method::POST, "/auth/tenants/register").json(&body)).await;
            assert!(!victim.process.ended().await.success());
            assert!(gate.has_struck(), "never at {point:?}: {:?}", gate.statements());
            acknowledged += i64::from(reply.is_some_and(|reply| reply.status == 201));

            // then another one sends what there is to send
            let rescuer = Instance::start(dir.path(), "rescuer", database.url(), &settings).await;
            all_ended(&Client::new(&rescuer.url), &database).await;
            assert!(rescuer.process.end_by("TERM").await.success());
        }
    }

    let members = database.number_as_superuser("SELECT count(*) FROM members").await;
    assert!(members >= acknowledged && acknowledged >= 5, "{acknowledged} of {members}");
    let mails = sink.mails();
    let told: HashSet<_> = mails.iter().map(|mail| text(mail, "/envelope_to/0")).collect();
    let ids: HashSet<_> = mails.iter().map(|mail| header(mail, "Message-ID")).collect();
    assert_eq!((told.len(), ids.len()), (usize::try_from(members).unwrap(), told.len()));
    assert!(mails.len() > told.len(), "a server died between sending and its note, and the mail came again");
    database.check_invariants().await;
}
