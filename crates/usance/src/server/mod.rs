//! The server: everything that runs in one process, started in order and stopped in order.

mod database;
mod pdf;
mod secret_key;
mod worker;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::serve::ListenerExt as _;
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use usance_app::{
    App, Ids, Parts,
    auth::{KeyCache, access_token::AccessTokens, keyring::Keyring, password::PasswordHashing},
    config::{Role, Settings},
    entitlements::{self, Entitlements},
    gateway::{Gateways, sandbox::SandboxGateway},
    guard::GuardedClient,
    ingest::{self, Ingest},
    invoice_pdf::PdfRendering,
    mail::{self, FileMailer, Mailer, Mailing, SmtpMailer},
    oidc::Discoveries,
    rate_limits::{RateLimits, RedisLimiter},
    stripe::Stripe,
    wallets::WalletWriter,
    webhooks,
};
use usance_core::clock::{Clock, Random};
use usance_http::HttpSettings;

use crate::system::{SystemClock, SystemRandom};

pub(crate) use database::Database;

/// How long requests that are being answered may take to end.
const REQUESTS_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the events that were taken may take to be stored, and the round of due work to end.
const TASKS_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the connections to the database may take to be given back.
const CONNECTIONS_TIMEOUT: Duration = Duration::from_secs(5);
/// Tasks that read again what customers used.
const REFRESHERS: usize = 2;
/// How often the recorder folds what histograms were given.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// What a server takes from outside the process.
pub struct Outside {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Renders `/metrics`; without it the page is empty.
    pub metrics: Option<PrometheusHandle>,
}

impl Outside {
    /// The clock and the randomness of the operating system.
    pub fn system(metrics: Option<PrometheusHandle>) -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom), metrics }
    }
}

/// A server that runs. Call [`RunningServer::stop`]; dropping it leaves its tasks to the runtime.
pub struct RunningServer {
    running: Running,
    database: Database,
}

/// Everything of a server but the database that it runs on.
struct Running {
    address: Option<SocketAddr>,
    app: App,
    api: Option<JoinHandle<io::Result<()>>>,
    writers: TaskTracker,
    workers: TaskTracker,
    accepting: CancellationToken,
    working: CancellationToken,
}

/// What the tasks of a server take from its application.
struct Queues {
    events: ingest::Queue,
    refreshes: entitlements::Due,
}

/// Starts a server and returns when it takes requests.
///
/// `shutdown` interrupts the start of the private PostgreSQL. It stops nothing later on, but is cancelled when that
/// PostgreSQL keeps ending and is given up: whoever waits for it calls [`RunningServer::stop`], which tells why.
pub async fn start(
    settings: &Settings,
    outside: Outside,
    shutdown: CancellationToken,
) -> anyhow::Result<RunningServer> {
    // First, so that a port in use costs no start of PostgreSQL.
    let listener = bind(settings).await?;
    let database = Database::start(settings, shutdown).await?;
    match start_on(&database, settings, outside, listener).await {
        Ok(running) => Ok(RunningServer { running, database }),
        Err(error) => {
            // The cause of the failed start matters more than a database that also does not stop.
            drop(database.stop().await);
            Err(error)
        }
    }
}

async fn bind(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    if settings.role == Role::Worker {
        return Ok(None);
    }
    let address = settings.listen;
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: choose another address with --listen; port 0 takes a free one")
    })?;
    Ok(Some(listener))
}

async fn start_on(
    database: &Database,
    settings: &Settings,
    outside: Outside,
    listener: Option<TcpListener>,
) -> anyhow::Result<Running> {
    let metrics = outside.metrics.clone();
    let (writers, workers) = (TaskTracker::new(), TaskTracker::new());
    let (app, Queues { events, refreshes }) = build_app(database, settings, outside, &writers).await?;
    let (accepting, working) = (CancellationToken::new(), CancellationToken::new());
    ingest::spawn_writers(&app, events, &writers);
    if settings.role != Role::Api {
        for _ in 0..settings.workers {
            workers.spawn(worker::run(app.clone(), settings.work_interval, working.clone()));
        }
        workers.spawn(webhooks::run_deliverer(app.clone(), settings.work_interval, working.clone()));
        workers.spawn(mail::run_mailer(app.clone(), settings.work_interval, working.clone()));
    }
    let refreshes = Arc::new(refreshes);
    for _ in 0..REFRESHERS {
        workers.spawn(entitlements::run_refresher(app.clone(), Arc::clone(&refreshes), working.clone()));
    }
    workers.spawn(entitlements::listen(app.clone(), working.clone()));
    if let Some(metrics) = metrics.clone() {
        workers.spawn(keep_up(metrics, working.clone()));
    }
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let api = listener.map(|listener| {
        let http = HttpSettings { request_timeout: settings.request_timeout, metrics };
        workers.spawn(serve(listener, usance_http::router(app.clone(), http), accepting.clone()))
    });
    Ok(Running { address, app, api, writers, workers, accepting, working })
}

async fn build_app(
    database: &Database,
    settings: &Settings,
    outside: Outside,
    writers: &TaskTracker,
) -> anyhow::Result<(App, Queues)> {
    database.migrate().await?;
    let db = database.connect(settings)?;
    let Outside { clock, random, metrics: _ } = outside;
    let secret = secret_key::find_or_generate(settings, &db, random.as_ref()).await?;
    let keyring = Keyring::parse(&secret).context("the secret key cannot be used")?;
    let (ingest, events) = Ingest::new(settings.ingest());
    let (entitlements, refreshes) = Entitlements::new();
    let redis = settings.redis_url.as_ref();
    let redis = redis.map(|url| RedisLimiter::new(url.expose_secret(), settings.redis_timeout)).transpose();
    let redis = redis.context("the address of Redis cannot be used")?;
    let parts = Parts {
        db,
        ids: Ids::new(Arc::clone(&clock), Arc::clone(&random)),
        access_tokens: AccessTokens::new(&keyring, settings.access_token_lifetime)?,
        session_lifetime: settings.session_lifetime,
        keyring,
        key_cache: KeyCache::default(),
        password_hashing: PasswordHashing::default(),
        pdf: PdfRendering::new(pdf::RENDERER),
        public_url: settings.public_url.clone(),
        gateways: Gateways::new(Arc::new(SandboxGateway::default())),
        ingest,
        entitlements,
        rate_limits: RateLimits::new(settings.rate_limits, redis),
        guarded_client: GuardedClient::new(settings.guard.clone()),
        discoveries: Discoveries::default(),
        webhook_tests: Semaphore::new(webhooks::TESTS_UNDER_WAY_MAX),
        mailing: mailing(settings),
        stripe: Stripe::new(settings.stripe.clone())?,
        wallet_writer: WalletWriter::new(writers.clone()),
        // The settings allow far less than a duration can hold.
        work_lease: settings.work_lease.try_into().unwrap_or(SignedDuration::MAX),
        work_added: Notify::new(),
        clock,
        random,
    };
    Ok((App::new(parts), Queues { events, refreshes }))
}

/// Mails go to the server of the settings, or into files.
fn mailing(settings: &Settings) -> Mailing {
    let mailer: Arc<dyn Mailer> = if let Some(server) = &settings.mail.smtp {
        Arc::new(SmtpMailer::new(server.clone()))
    } else {
        let dir = settings.mail.dir.clone().unwrap_or_else(|| settings.data_dir.join("mail"));
        tracing::info!("Mails are written to {}: USANCE_SMTP_URL sends them", dir.display());
        Arc::new(FileMailer::new(dir))
    };
    Mailing::new(settings.mail.from.clone(), mailer)
}

async fn serve(listener: TcpListener, router: axum::Router, accepting: CancellationToken) -> io::Result<()> {
    // An answer is small and complete: waiting for more to send with it only delays it.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(accepting.cancelled_owned()).await
}

async fn keep_up(metrics: PrometheusHandle, working: CancellationToken) {
    while timeout(UPKEEP_PERIOD, working.cancelled()).await.is_err() {
        metrics.run_upkeep();
    }
}

impl RunningServer {
    /// Where the API is, with the port that was taken; a worker listens nowhere.
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.address
    }

    /// The address of the API for a client on this machine, without a slash at its end.
    pub fn base_url(&self) -> Option<String> {
        let mut address = self.running.address?;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("http://{address}"))
    }

    /// The application, for what is not in the API.
    pub fn app(&self) -> &App {
        &self.running.app
    }

    /// Stops in order: no new requests, the last answers, the events that were taken, due work, the database. Every step
    /// is bounded, a minute and a half in all; what does not end in time is rolled back by the database.
    pub async fn stop(self) -> anyhow::Result<()> {
        let Running { app, api, writers, workers, accepting, working, address: _ } = self.running;
        accepting.cancel();
        if let Some(mut api) = api
            && timeout(REQUESTS_TIMEOUT, &mut api).await.is_err()
        {
            tracing::warn!(
                "Requests were still being answered after {} s and are cut off",
                REQUESTS_TIMEOUT.as_secs()
            );
            api.abort();
        }
        app.ingest.close();
        finish(&writers, "Usage events were still being stored").await;
        working.cancel();
        finish(&workers, "Due work was still being done").await;
        if timeout(CONNECTIONS_TIMEOUT, app.db.close()).await.is_err() {
            tracing::warn!("Connections to the database were still in use and are cut off");
        }
        self.database.stop().await
    }
}

async fn finish(tasks: &TaskTracker, message: &str) {
    tasks.close();
    if timeout(TASKS_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::warn!("{message} after {} s", TASKS_TIMEOUT.as_secs());
    }
}
