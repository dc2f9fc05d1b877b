//! Many who reserve of one wallet, and several who resolve one hold.

use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use usance_testkit::{Client, TestServer};

use super::{Ada, START, id, settlement};
use crate::program::asked_for;

const LIMIT: i64 = 500;
const TASKS: usize = 50;
const RESERVES: usize = 40;
/// The 4 racers are two settlements, a release, and the clock that reaches the end of the hold.
const HOLD_SECONDS: i64 = 600;

/// Asks for 1 again and again and returns the statuses.
async fn reserve(client: Client, body: Value) -> Vec<u16> {
    let mut statuses = Vec::with_capacity(RESERVES);
    for _ in 0..RESERVES {
        statuses.push(client.post("/holds", body.clone()).await.status);
    }
    statuses
}

#[tokio::test]
async fn a_limit_of_500_is_500_holds_however_many_ask_three_instances_at_once() {
    let server = TestServer::start().await;
    let others = [TestServer::start_on(&server.database).await, TestServer::start_on(&server.database).await];

    for repeat in 0..asked_for("USANCE_REPEATS", 1) {
        let ada = Ada::new(&server, &format!("tenant-{repeat}")).await;
        ada.set_debt_limit(LIMIT).await;
        let key = ada.client.key();
        let clients = [ada.client.clone(), others[0].client.with_key(key), others[1].client.with_key(key)];

        let asked = (0..TASKS).map(|task| reserve(clients[task % 3].clone(), ada.money(1, HOLD_SECONDS)));
        let statuses = join_all(asked).await.concat();

        // Whatever else is answered, a deadlock among others, is neither.
        let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((count(201), count(402)), (500, TASKS * RESERVES - 500), "repeat {repeat}");
        assert_eq!(ada.money_now().await, [0, LIMIT, 0]);
    }
    for other in others {
        other.stop_unchecked().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn of_those_who_settle_release_and_expire_one_hold_one_wins() {
    let server = TestServer::start().await;
    let ada = Ada::new(&server, "racing").await;
    ada.set_debt_limit(1_000_000).await;
    ada.set_unit_limit(1_000_000).await;
    let start: jiff::Timestamp = START.parse().unwrap();
    let (mut taken, mut wins) = ([0, 0], [0; 4]);

    for round in 0..i64::try_from(asked_for("USANCE_ROUNDS", 50)).unwrap() {
        let kind = usize::try_from(round % 2).unwrap();
        let body = if kind == 0 { ada.money(100, HOLD_SECONDS) } else { Ada::units(10, HOLD_SECONDS) };
        let held = ada.client.post("/holds", body).await.expect(201);
        let path = format!("/holds/{}", id(&held));
        let end = start + jiff::SignedDuration::from_secs((round + 1) * HOLD_SECONDS);

        let racers =
            [("settle", settlement(&held, 7)), ("settle", settlement(&held, 0)), ("release", json!({}))];
        let resolving = racers.map(|(what, body)| {
            let (client, path) = (ada.client.clone(), format!("{path}/{what}"));
            async move { client.post(&path, body).await }
        });
        let expiring = async {
            // In some rounds late, so that everybody wins at times.
            if round % 4 >= 2 {
                ada.client.get(&path).await.expect(200);
            }
            ada.client.advance(&end.to_string()).await;
        };
        let (replies, ()) = join(join_all(resolving), expiring).await;

        let status = ada.client.get(&path).await.expect(200)["status"].clone();
        let winners: Vec<usize> = (0..3).filter(|racer| replies[*racer].status == 200).collect();
        let expired = usize::from(status == "expired");
        assert_eq!(winners.len() + expired, 1, "round {round}: {status} {replies:?}");
        let winner = winners.first().copied().unwrap_or(3);
        let left_as = ["settled", "settled", "released", "expired"][winner];
        assert_eq!(status, left_as, "round {round}");
        wins[winner] += 1;
        taken[kind] += if winner == 0 { 7 } else { 0 };
        for (racer, reply) in replies.into_iter().enumerate() {
            if racer != winner {
                assert_eq!(reply.expect_code(409, "hold_not_open")["hold_status"], left_as);
            }
        }
    }

    assert_eq!(ada.money_now().await, [-taken[0], 0, 1_000_000 - taken[0]], "wins {wins:?}");
    let used = "SELECT coalesce(sum((properties::jsonb->>'quantity')::numeric), 0)::text FROM events";
    assert_eq!(server.database.text_as_superuser(used).await, taken[1].to_string(), "wins {wins:?}");
    server.stop().await;
}
