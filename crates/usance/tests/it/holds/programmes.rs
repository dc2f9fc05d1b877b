//! Random programmes of everything that happens to a wallet and to a limit, against references that are kept in memory:
//! after every step both say the same, and so do the answers.

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::{Value, json};
use usance_app::config::Role;
use usance_testkit::{Reply, TestServer};

use super::{
    Ada, START, id,
    money::{Answer, Hold, Wallet},
    settlement,
    units::Use,
    usd,
};
use crate::{program::asked_for, random::SplitMix64};

const STEPS: u64 = 500;
/// Programmes at once: each of them waits for its answers.
const PROGRAMMES_AT_ONCE: usize = 8;

struct Programme {
    seed: u64,
    random: SplitMix64,
    ada: Ada,
    now: i64,
    step: u64,
    wallet: Wallet,
    units: Use,
    debits: Vec<i64>,
}

/// What a hold reserves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Money,
    Units,
}

impl Programme {
    async fn new(server: &TestServer, seed: u64) -> Self {
        let ada = Ada::new(server, &format!("programme-{seed}")).await;
        let now = START.parse::<Timestamp>().unwrap().as_second();
        let mut wallet = Wallet::default();
        wallet.advance(now);
        let (random, units) = (SplitMix64(seed), Use::new(now, 100));
        Self { seed, random, ada, now, step: 0, wallet, units, debits: Vec::new() }
    }

    async fn run(mut self) {
        for step in 0..STEPS {
            self.step = step;
            let of = self.take_step().await;
            if of != Some(Of::Units) {
                assert_eq!(self.ada.money_now().await, self.wallet.state(), "{}", self.place());
            }
            if of != Some(Of::Money) {
                assert_eq!(self.ada.units_now().await, self.units.state(), "{}", self.place());
            }
        }
    }

    fn place(&self) -> String {
        format!("seed {}, step {}", self.seed, self.step)
    }

    fn below(&mut self, bound: i64) -> i64 {
        i64::try_from(self.random.below(u64::try_from(bound).unwrap())).unwrap()
    }

    /// Returns what it can have changed; the clock changes both.
    async fn take_step(&mut self) -> Option<Of> {
        match self.below(36) {
            0..=2 => self.give().await,
            3 => self.top_up().await,
            4..=6 => self.debit(false).await,
            7 => self.debit(true).await,
            8 => self.reverse().await,
            9 | 10 => self.limit_money().await,
            11..=15 => self.hold_money().await,
            16..=20 => self.end(Of::Money).await,
            21..=25 => self.hold_units().await,
            26..=28 => self.consume().await,
            29..=32 => self.end(Of::Units).await,
            33 => self.limit_units().await,
            _ => {
                self.advance().await;
                None
            }
        }
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.ada.client.post(path, body).await
    }

    async fn post_to_wallet(&self, what: &str, body: Value) -> Reply {
        self.post(&format!("/wallets/{}/{what}", self.ada.wallet), body).await
    }

    fn compare(&self, reply: &Reply, answer: Answer) {
        let expected = match reply.status {
            200 | 201 => Answer::Done,
            402 | 429 => Answer::NoRoom,
            409 => Answer::NotOpen,
            422 => Answer::Wrong,
            other => panic!("{}: {other} {}", self.place(), reply.text),
        };
        assert_eq!(expected, answer, "{}: {}", self.place(), reply.text);
    }

    async fn give(&mut self) -> Option<Of> {
        let amount = 1 + self.below(400);
        let expires_at = (self.below(2) == 0).then_some(self.now + 1 + self.below(90_000));
        let body = json!({ "amount": usd(amount), "expires_at": expires_at.map(time) });
        self.post_to_wallet("grants", body).await.expect(201);
        self.wallet.put_in(amount, false, expires_at);
        Some(Of::Money)
    }

    async fn top_up(&mut self) -> Option<Of> {
        let amount = 1 + self.below(400);
        self.post_to_wallet("topups", json!({ "amount": usd(amount) })).await.expect(201);
        self.wallet.put_in(amount, true, None);
        Some(Of::Money)
    }

    async fn debit(&mut self, already_used: bool) -> Option<Of> {
        let amount = 1 + self.below(300);
        let body = json!({ "id": format!("debit-{}", self.step), "amount": usd(amount), "already_used": already_used });
        let reply = self.post_to_wallet("debits", body).await;
        let answer = self.wallet.take_out(amount, already_used);
        self.compare(&reply, answer);
        if answer == Answer::Done {
            self.debits.push(amount);
        }
        Some(Of::Money)
    }

    /// A debit is taken back by credits of the same amount.
    async fn reverse(&mut self) -> Option<Of> {
        if let Some(amount) = self.debits.pop() {
            let body = json!({ "amount": usd(amount), "description": "reversal" });
            self.post_to_wallet("grants", body).await.expect(201);
            self.wallet.put_in(amount, false, None);
        }
        Some(Of::Money)
    }

    async fn limit_money(&mut self) -> Option<Of> {
        let limit = self.below(800);
        let path = format!("/wallets/{}", self.ada.wallet);
        let reply = self.ada.client.patch(&path, json!({ "debt_limit": usd(limit) })).await;
        let answer = self.wallet.set_debt_limit(limit);
        self.compare(&reply, answer);
        Some(Of::Money)
    }

    async fn hold_money(&mut self) -> Option<Of> {
        let (amount, seconds) = (1 + self.below(200), 1 + self.below(20_000));
        let reply = self.post("/holds", self.ada.money(amount, seconds)).await;
        self.compare(&reply, self.wallet.hold(amount));
        self.wallet.holds.extend(self.made(&reply, amount, seconds));
        Some(Of::Money)
    }

    async fn hold_units(&mut self) -> Option<Of> {
        let (quantity, seconds) = (1 + self.below(40), 1 + self.below(20_000));
        let reply = self.post("/holds", Ada::units(quantity, seconds)).await;
        self.compare(&reply, self.units.hold(quantity));
        self.units.holds.extend(self.made(&reply, quantity, seconds));
        Some(Of::Units)
    }

    fn made(&self, reply: &Reply, amount: i64, seconds: i64) -> Option<Hold> {
        let (created_at, expires_at) = (self.now, self.now + seconds);
        let hold = || Hold { id: id(&reply.body).to_owned(), amount, created_at, expires_at, is_open: true };
        (reply.status == 201).then(hold)
    }

    async fn consume(&mut self) -> Option<Of> {
        let quantity = 1 + self.below(20);
        let body = json!({ "id": format!("event-{}", self.step), "customer": "ada", "feature": "exports",
            "quantity": quantity.to_string() });
        let reply = self.post("/entitlements/consume", body).await;
        let answer = self.units.consume(quantity);
        self.compare(&reply, answer);
        Some(Of::Units)
    }

    /// Settles, releases or extends one of the last holds, which may have ended.
    async fn end(&mut self, of: Of) -> Option<Of> {
        let holds = if of == Of::Money { &self.wallet.holds } else { &self.units.holds };
        let count = i64::try_from(holds.len()).unwrap();
        if count == 0 {
            return Some(of);
        }
        let index = usize::try_from(count - 1 - self.below(count.min(6))).unwrap();
        let hold =
            if of == Of::Money { self.wallet.holds[index].clone() } else { self.units.holds[index].clone() };
        let path = format!("/holds/{}", hold.id);
        let (reply, answer) = match self.below(5) {
            0..=2 => {
                let amount = self.below(hold.amount + 2);
                let kind = if of == Of::Money { json!({ "amount": 0 }) } else { json!({}) };
                let reply = self.post(&format!("{path}/settle"), settlement(&kind, amount)).await;
                (reply, self.settle(of, index, amount))
            }
            3 => (self.post(&format!("{path}/release"), json!({})).await, self.settle(of, index, 0)),
            _ => {
                let seconds = 1 + self.below(40_000);
                let reply = self.post(&format!("{path}/extend"), json!({ "expires_in": seconds })).await;
                let until = self.now + seconds;
                let holds = if of == Of::Money { &mut self.wallet.holds } else { &mut self.units.holds };
                (reply, holds[index].extend(until))
            }
        };
        self.compare(&reply, answer);
        Some(of)
    }

    fn settle(&mut self, of: Of, index: usize, amount: i64) -> Answer {
        match of {
            Of::Money => self.wallet.settle(index, amount),
            Of::Units => self.units.settle(index, amount),
        }
    }

    async fn limit_units(&mut self) -> Option<Of> {
        let limit = 20 + self.below(200);
        self.ada.set_unit_limit(limit).await;
        self.units.limit = limit;
        Some(Of::Units)
    }

    async fn advance(&mut self) {
        let most = if self.below(4) == 0 { 100_000 } else { 5_000 };
        self.now += 1 + self.below(most);
        self.ada.client.advance(&time(self.now)).await;
        self.wallet.advance(self.now);
        self.units.advance(self.now);
    }
}

fn time(second: i64) -> String {
    Timestamp::from_second(second).unwrap().to_string()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "a failed programme is repeated by its seed")]
async fn wallets_and_limits_are_what_a_reference_says_after_every_step_of_every_programme() {
    // The test clock runs what is due.
    let server = TestServer::start_with(|settings| settings.role = Role::Api).await;

    let programmes = stream::iter(1..=asked_for("USANCE_PROGRAMMES", 20)).map(async |seed| {
        eprintln!("seed {seed}");
        Programme::new(&server, seed).await.run().await;
    });
    programmes.buffer_unordered(PROGRAMMES_AT_ONCE).collect::<Vec<()>>().await;

    // Stopping checks every invariant.
    server.stop().await;
}
