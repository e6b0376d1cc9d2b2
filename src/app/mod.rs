//! Build, run, drain.
//!
//! `build` connects to what must be there (NATS, Postgres) and binds the listeners; ClickHouse may
//! be down, what feeds it waits. `run` goes until the stop signal: the edge closes first, then
//! each stage finishes the batch that it has begun, then the deadline. What is still in the streams
//! is durable and goes on at the next start.

mod admin;
mod behind;
mod books;
pub mod closing;
mod company;
mod intake;
mod pressure;
mod refunds;
mod stages;

use self::behind::{Behind, at};
pub use self::books::BooksError;
pub(crate) use self::company::{decided, event_message, recheck};

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    domain::id::{Platform, StoreId},
    ingest::{Drained, Edge, EdgeConfig, EdgeError, StoreEndpoint},
    metric,
    pipeline::Pipelines,
    sink::{CompanyCell, StoreTerms, WAREHOUSE},
    stage::{
        Stage,
        commission::Commission,
        ledger::{Catalogue, Customers, Ledger, Map},
        map::{Company, Terms},
        platform::Scope,
        refunds::Refunds,
        validate::{self, Validate},
    },
    store::postgres::{CompanyReader, Postgres, UrlError},
    stream::{
        ServiceError,
        jetstream::{JetStream, JetStreamInbox, StreamLimits, StreamName},
    },
    warehouse::{self, clickhouse::ClickHouse, recent::Recent},
};

/// The addresses of the three services, all known.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// NATS.
    pub nats: secrecy::SecretString,
    /// Postgres.
    pub database: secrecy::SecretString,
    /// ClickHouse.
    pub clickhouse: secrecy::SecretString,
}

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// NATS or Postgres cannot be reached or refuses.
    #[error("a service is not usable")]
    Service(#[from] ServiceError),
    /// The database is not what this release needs.
    #[error("the books are not usable")]
    Books(#[from] BooksError),
    /// The database URL cannot be read.
    #[error("UPLINE_DATABASE_URL is not usable")]
    Database(#[from] UrlError),
    /// The ClickHouse URL cannot be read.
    #[error("UPLINE_CLICKHOUSE_URL is not usable")]
    ClickHouse(#[from] warehouse::clickhouse::UrlError),
    /// The edge does not start.
    #[error("the edge does not start")]
    Edge(#[from] EdgeError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on the admin address {address}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The threads of the stages cannot be started.
    #[error("the threads of the stages do not start")]
    Threads(#[source] std::io::Error),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything in flight was finished.
    Drained,
    /// The deadline came first; what was cut off is durable and goes on at the next start.
    DrainTimedOut,
    /// A task ended that should not have: a defect.
    TaskFailed,
}

/// The stages with their streams and filters.
const CONSUMERS: [(StreamName, &str, &str); 6] = [
    (StreamName::Ingest, Validate::NAME, "ingest.>"),
    (StreamName::Orders, Map::NAME, "orders.valid.>"),
    (StreamName::Orders, Catalogue::NAME, "orders.articles.>"),
    (StreamName::Orders, Customers::NAME, "orders.customers.>"),
    (StreamName::Orders, Commission::<CompanyCell>::NAME, "orders.mapped.>"),
    (StreamName::Commissions, Ledger::NAME, "commissions.run.>"),
];

const DAY: Duration = Duration::from_hours(24);

/// How the streams of a deployment are kept.
pub fn stream_limits(replicas: usize, max_mib: u32) -> StreamLimits {
    StreamLimits {
        replicas,
        keep_raw: DAY.saturating_mul(30),
        keep_stages: DAY.saturating_mul(3),
        max_bytes: if max_mib == 0 { -1 } else { i64::from(max_mib) << 20 },
        dedupe_window: Duration::from_mins(5),
    }
}

/// The program, ready to run.
#[derive(Debug)]
pub struct App {
    inside: Arc<Inside>,
    behind: Behind,
    /// The edge's own connection to the log: its answers do not stand in line behind what stages read.
    log: Arc<JetStream>,
    edge: Edge<intake::LogIntake, intake::MetricObserver>,
    admin: admin::Admin,
}

/// What works behind the edge.
#[derive(Debug)]
struct Inside {
    config: Config,
    clock: Clock,
    log: Arc<JetStream>,
    store: Arc<Postgres>,
    warehouse: ClickHouse,
    /// What the ledger has posted and the warehouse does not have yet.
    recent: Recent,
    company: CompanyCell,
    arrivals: pressure::Arrivals,
}

impl App {
    /// Connects and binds the listeners.
    pub async fn build(
        config: Config,
        endpoints: &Endpoints,
        clock: Clock,
        metrics: PrometheusHandle,
    ) -> Result<Self, BuildError> {
        let behind = Behind::start().map_err(BuildError::Threads)?;
        let connect = || {
            let (endpoints, prefix) = (endpoints.clone(), config.stream_prefix.clone());
            async move { JetStream::connect(endpoints.nats.expose_secret(), &prefix).await }
        };
        let log = Arc::new(connect().await?);
        let theirs = at(&behind.handle(), connect()).await.map_err(BuildError::Threads)?;
        log.ensure_streams(&stream_limits(config.replicas, config.stream_max_mib)).await?;
        let store = Arc::new(Postgres::for_stages(endpoints.database.expose_secret(), 10)?);
        books::check(&store).await?;
        let warehouse = ClickHouse::new(endpoints.clickhouse.expose_secret())?;
        for source in Pipelines::in_order(&config.pipelines.plans) {
            store.register_plan(&source.plan, &source.text).await?;
        }
        let company = CompanyCell::default();
        let stores = config.pipelines.stores.iter().map(|s| (s.platform.as_str(), s.name.as_str()));
        let mut stages = CONSUMERS.map(|(_, stage, _)| stage).to_vec();
        stages.push(WAREHOUSE);
        if !refunds::consumers(&config).is_empty() {
            stages.push(Refunds::NAME);
        }
        metric::start(&stages, stores, clock.now());
        let edge_config = EdgeConfig {
            drain_timeout: config.drain,
            admission: config.pipelines.limits.admission(),
            ..EdgeConfig::new(config.http)
        };
        let arrivals = pressure::Arrivals::default();
        let intake = Arc::new(intake::LogIntake::new(log.clone(), arrivals.clone()));
        let observer = Arc::new(intake::MetricObserver);
        let edge =
            Edge::bind(edge_config, endpoints_of(&config), intake, observer, clock.clone()).await?;
        let admin =
            admin::Admin::bind(config.admin, metrics, log.clone(), store.clone(), company.clone())
                .await
                .map_err(|source| BuildError::Admin { address: config.admin, source })?;
        let (log_inside, recent) = (Arc::new(theirs?), Recent::default());
        let inside =
            Inside { config, clock, log: log_inside, store, warehouse, recent, company, arrivals };
        Ok(Self { inside: Arc::new(inside), behind, log, edge, admin })
    }

    /// Where webhooks are taken.
    pub fn http_address(&self) -> SocketAddr {
        self.edge.local_addr()
    }

    /// Where metrics and probes are.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Runs until `stop`, then drains. The edge knows signatures, not people: it takes orders at
    /// once, while the company is still being loaded for the stages.
    pub async fn run(self, stop: CancellationToken) -> Result<Exit, BuildError> {
        let Self { inside, behind, log, edge: listener, admin } = self;
        let there = behind.handle();
        let drain = inside.config.drain;
        let stages = CancellationToken::new();
        let always = CancellationToken::new();
        let _last = always.clone().drop_guard();
        let found = inside.clone();
        let inboxes = at(&there, async move { found.inboxes().await });
        let inboxes = inboxes.await.map_err(BuildError::Threads)??;
        let mut helpers = JoinSet::new();
        let admission = listener.admission();
        helpers.spawn(admin.run(always.clone()));
        helpers.spawn(recall(log.clone(), always.clone()));
        let edge_stop = CancellationToken::new();
        let mut edge = JoinSet::new();
        edge.spawn(listener.run(edge_stop.clone()));
        let (beginning, token) = (inside.clone(), stages.clone());
        let beginning = at(&there, async move { beginning.start(inboxes, &token).await });
        let started = tokio::select! {
            () = stop.cancelled() => Ok(JoinSet::new()),
            started = beginning => started.map_err(BuildError::Threads).flatten(),
        };
        let (mut work, refused) = match started {
            Ok(work) => (work, None),
            Err(error) => (JoinSet::new(), Some(error)),
        };
        if refused.is_none() && !stop.is_cancelled() {
            let shops = refunds::consumers(&inside.config);
            helpers.spawn_on(inside.keeper().run(always.clone()), &there);
            let books = inside.store.clone();
            helpers.spawn_on(watch_lag(inside.log.clone(), books, shops, always.clone()), &there);
            let arrivals = inside.arrivals.clone();
            helpers.spawn(pressure::watch(log, arrivals, admission, always.clone()));
        }

        let failed = refused.is_none()
            && tokio::select! {
                biased;
                () = stop.cancelled() => false,
                Some(_) = work.join_next() => true,
                Some(_) = helpers.join_next() => true,
                Some(_) = edge.join_next() => true,
            };
        if failed {
            tracing::error!("a task ended that should run for ever; the rest is stopped");
        }
        edge_stop.cancel();
        let mut exit = if failed { Exit::TaskFailed } else { Exit::Drained };
        while let Some(drained) = edge.join_next().await {
            if matches!(drained, Ok(Drained::TimedOut)) && exit == Exit::Drained {
                exit = Exit::DrainTimedOut;
            }
        }
        stages.cancel();
        let finished = async { while work.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, finished).await.is_err() && exit == Exit::Drained {
            exit = Exit::DrainTimedOut;
        }
        refused.map_or(Ok(exit), Err)
    }
}

impl Inside {
    /// Loads the company, then starts the stages.
    async fn start(
        &self,
        inboxes: Vec<JetStreamInbox>,
        stop: &CancellationToken,
    ) -> Result<JoinSet<()>, BuildError> {
        self.load().await?;
        let mut work = Box::pin(self.spawn_stages(inboxes, stop)).await?;
        refunds::spawn(self, &mut work, stop).await?;
        Ok(work)
    }

    /// Loads the company, however long the books cannot be reached; an altered genealogy is refused.
    async fn load(&self) -> Result<(), BuildError> {
        let reader = CompanyReader::new((*self.store).clone());
        let mut loaded = Company::default();
        while let Err(error) = reader.catch_up(&mut loaded).await {
            if !error.is_transient() {
                return Err(error.into());
            }
            tracing::warn!(error = error.chain(), "the company cannot be loaded yet");
            tokio::time::sleep(company::LOOK).await;
        }
        company::report(&loaded);
        self.company.replace(loaded);
        Ok(())
    }

    fn keeper(&self) -> company::Keeper<JetStream> {
        company::Keeper {
            reader: CompanyReader::new((*self.store).clone()),
            cell: self.company.clone(),
            log: self.log.clone(),
            clock: self.clock.clone(),
        }
    }
}

/// How many messages no stage has settled yet, over all stages.
pub async fn open_messages(log: &JetStream) -> Result<u64, ServiceError> {
    let mut open = 0u64;
    for (stream, stage, _) in CONSUMERS {
        open = open.saturating_add(log.lag(stream, stage).await?);
    }
    Ok(open)
}

/// Remembers the deliveries of before the start, beside those that come in; then waits for the end.
async fn recall(log: Arc<JetStream>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => return,
        found = log.recall(StreamName::Ingest) => match found {
            Ok(found) => tracing::debug!(found, "deliveries of before the start are known"),
            // The log knows them all the same; repeats cost more for two minutes.
            Err(error) => tracing::debug!(error = error.chain(), "deliveries are not known"),
        },
    }
    stop.cancelled().await;
}

/// How long the books may take to say how far the warehouse is behind.
const LOOK_AT_BOOKS: Duration = Duration::from_secs(1);

/// Reports how far each stage is behind: messages; of the warehouse blocks.
async fn watch_lag(
    log: Arc<JetStream>,
    books: Arc<Postgres>,
    shops: Vec<String>,
    stop: CancellationToken,
) {
    loop {
        for (stream, stage, _) in CONSUMERS {
            match log.lag(stream, stage).await {
                Ok(lag) => metric::consumer_lag(stage, lag),
                Err(error) => tracing::debug!(stage, error = error.chain(), "the lag is unknown"),
            }
        }
        refunds::watch_lag(&log, &shops).await;
        for stream in StreamName::ALL {
            if let Ok(bytes) = log.bytes(stream).await {
                metric::stream_bytes(stream.upper(), bytes);
            }
        }
        // Books that do not answer must not make the figures of the log stand still.
        let mark = tokio::time::timeout(LOOK_AT_BOOKS, books.warehouse_mark());
        if let Ok(Ok((mark, head))) = mark.await {
            metric::consumer_lag(WAREHOUSE, head.saturating_sub(mark));
        } else {
            tracing::debug!("how far the warehouse is behind is unknown");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}

fn endpoints_of(config: &Config) -> Vec<StoreEndpoint> {
    let stores = config.pipelines.stores.iter();
    stores
        .map(|store| StoreEndpoint {
            store: store.name.clone(),
            platform: store.platform,
            secrets: store.secrets.clone(),
            adobe: store.adobe.clone(),
            scope: Scope::new(store.name.clone(), &store.policy),
        })
        .collect()
}

/// The first stage as the configuration has it: a pure function, for a trial without effects.
pub(crate) fn validate_stage(config: &Config) -> Validate {
    Validate::new(stores_of(config))
}

fn stores_of(config: &Config) -> HashMap<(Platform, StoreId), validate::Store> {
    let stores = config.pipelines.stores.iter();
    stores
        .map(|store| {
            let policy = store.policy.clone();
            let known = validate::Store { policy, on_unfooted: store.on_unfooted };
            ((store.platform, store.name.clone()), known)
        })
        .collect()
}

/// What the stores of the configuration pay by: the terms of each.
pub(crate) fn terms_of(config: &Config) -> StoreTerms {
    let stores = &config.pipelines.stores;
    let terms = |store: &crate::pipeline::Store| Terms {
        plan: store.plan.clone(),
        payout: store.payout,
        attribution: store.attribution.clone(),
    };
    StoreTerms {
        by_store: stores
            .iter()
            .map(|store| ((store.platform, store.name.clone()), terms(store)))
            .collect(),
        default: stores.first().map(terms).unwrap_or_default(),
    }
}
