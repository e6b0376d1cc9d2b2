//! Build, run, drain.
//!
//! `build` connects to what must be there (NATS, Postgres) and binds the listeners; ClickHouse may
//! be down, its stage waits for it. `run` goes until the stop signal: the edge closes first, then
//! each stage finishes the batch that it has begun, then the deadline. What is still in the streams
//! is durable and goes on at the next start.

mod admin;
mod company;
mod intake;

pub(crate) use self::company::recheck;

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
    sink::{
        CatalogueSink, CompanyCell, CustomersSink, LedgerSink, OrderBookSink, PublishEvents,
        PublishRuns, StoreTerms, WarehouseSink,
    },
    stage::{
        Stage,
        commission::Commission,
        ledger::{Catalogue, Customers, Ledger, Map, Warehouse},
        map::{Company, Terms},
        validate::{self, Validate},
    },
    store::postgres::{CompanyReader, Postgres, UrlError},
    stream::{
        ServiceError, Sink,
        jetstream::{JetStream, JetStreamInbox, StreamLimits, StreamName},
        runner::{Limits, Runner},
    },
    warehouse::{self, clickhouse::ClickHouse},
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
const CONSUMERS: [(StreamName, &str, &str); 7] = [
    (StreamName::Ingest, Validate::NAME, "ingest.>"),
    (StreamName::Orders, Map::NAME, "orders.valid.>"),
    (StreamName::Orders, Catalogue::NAME, "orders.articles.>"),
    (StreamName::Orders, Customers::NAME, "orders.customers.>"),
    (StreamName::Orders, Commission::<CompanyCell>::NAME, "orders.mapped.>"),
    (StreamName::Commissions, Ledger::NAME, "commissions.run.>"),
    (StreamName::Commissions, Warehouse::NAME, "commissions.posted.>"),
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
    inside: Inside,
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
    company: CompanyCell,
}

impl App {
    /// Connects and binds the listeners.
    pub async fn build(
        config: Config,
        endpoints: &Endpoints,
        clock: Clock,
        metrics: PrometheusHandle,
    ) -> Result<Self, BuildError> {
        let log = Arc::new(
            JetStream::connect(endpoints.nats.expose_secret(), &config.stream_prefix).await?,
        );
        log.ensure_streams(&stream_limits(config.replicas, config.stream_max_mib)).await?;
        let store = Arc::new(Postgres::new(endpoints.database.expose_secret(), 8)?);
        let warehouse = ClickHouse::new(endpoints.clickhouse.expose_secret())?;
        for source in config.pipelines.plans.values() {
            store.register_plan(&source.plan, &source.text).await?;
        }
        let company = CompanyCell::default();
        let stores = config.pipelines.stores.iter().map(|s| (s.platform.as_str(), s.name.as_str()));
        metric::start(&CONSUMERS.map(|(_, stage, _)| stage), stores, clock.now());
        let edge_config =
            EdgeConfig { drain_timeout: config.drain, ..EdgeConfig::new(config.http) };
        let intake = Arc::new(intake::LogIntake::new(log.clone()));
        let observer = Arc::new(intake::MetricObserver);
        let edge =
            Edge::bind(edge_config, endpoints_of(&config), intake, observer, clock.clone()).await?;
        let admin =
            admin::Admin::bind(config.admin, metrics, log.clone(), store.clone(), company.clone())
                .await
                .map_err(|source| BuildError::Admin { address: config.admin, source })?;
        let inside = Inside { config, clock, log, store, warehouse, company };
        Ok(Self { inside, edge, admin })
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
        let Self { inside, edge: listener, admin } = self;
        let drain = inside.config.drain;
        let stages = CancellationToken::new();
        let always = CancellationToken::new();
        let _last = always.clone().drop_guard();
        let inboxes = inside.inboxes().await?;
        let mut helpers = JoinSet::new();
        helpers.spawn(admin.run(always.clone()));
        let edge_stop = CancellationToken::new();
        let mut edge = JoinSet::new();
        edge.spawn(listener.run(edge_stop.clone()));
        let loaded = tokio::select! {
            () = stop.cancelled() => Ok(()),
            loaded = inside.load() => loaded,
        };
        let mut work = JoinSet::new();
        if loaded.is_ok() && !stop.is_cancelled() {
            work = inside.spawn_stages(inboxes, &stages);
            helpers.spawn(inside.keeper().run(always.clone()));
            helpers.spawn(watch_lag(inside.log.clone(), always.clone()));
        }

        let failed = loaded.is_ok()
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
        loaded.map(|()| exit)
    }
}

impl Inside {
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

    /// What the stages read from, each a durable consumer.
    async fn inboxes(&self) -> Result<Vec<JetStreamInbox>, BuildError> {
        let limits = self.config.pipelines.limits;
        let mut inboxes = Vec::with_capacity(CONSUMERS.len());
        for (stream, name, filter) in CONSUMERS {
            let in_flight = if name == Warehouse::NAME {
                limits.warehouse_batch.max(limits.in_flight)
            } else {
                limits.in_flight
            };
            let wait = Duration::from_secs(limits.ack_wait_seconds);
            inboxes.push(self.log.consumer(stream, name, filter, wait, in_flight).await?);
        }
        Ok(inboxes)
    }

    /// Starts the stages.
    fn spawn_stages(&self, inboxes: Vec<JetStreamInbox>, stop: &CancellationToken) -> JoinSet<()> {
        let limits = self.config.pipelines.limits;
        let stage = limits.stage();
        let mut work = JoinSet::new();
        let Ok([raw, valid, articles, customers, mapped, run, posted]) =
            <[JetStreamInbox; 7]>::try_from(inboxes)
        else {
            return work;
        };
        let clock = || self.clock.clone();
        let log = || self.log.clone();
        let validate = Validate::new(stores_of(&self.config));
        let events = PublishEvents::new(log(), clock());
        work.spawn(self.runner(validate, events, raw, stage).run(stop.clone()));
        let book = OrderBookSink {
            store: self.store.clone(),
            log: log(),
            company: self.company.clone(),
            terms: terms_of(&self.config),
            clock: clock(),
        };
        work.spawn(self.runner(Map, book, valid, stage).run(stop.clone()));
        let catalogue = CatalogueSink::new(self.store.clone());
        work.spawn(self.runner(Catalogue, catalogue, articles, stage).run(stop.clone()));
        let links = CustomersSink::new(self.store.clone());
        work.spawn(self.runner(Customers, links, customers, stage).run(stop.clone()));
        let runs = PublishRuns::new(log(), clock());
        let commission = Commission::new(self.company.clone());
        work.spawn(self.runner(commission, runs, mapped, stage).run(stop.clone()));
        let ledger = LedgerSink::new(self.store.clone(), log(), clock());
        work.spawn(self.runner(Ledger, ledger, run, stage).run(stop.clone()));
        let rows = WarehouseSink::new(self.warehouse.clone(), clock());
        let runner = self.runner(Warehouse, rows, posted, limits.warehouse());
        work.spawn(warehouse_stage(self.warehouse.clone(), runner, stop.clone()));
        work
    }

    fn runner<S: Stage, K: Sink<S::Effect>>(
        &self,
        stage: S,
        sink: K,
        inbox: JetStreamInbox,
        limits: Limits,
    ) -> Runner<S, K, JetStreamInbox, JetStream> {
        let (dead, clock) = (self.log.clone(), self.clock.clone());
        Runner { stage, sink, inbox, dead, clock, limits }
    }
}

/// Waits for ClickHouse, makes its tables, then runs the stage.
async fn warehouse_stage(
    warehouse: ClickHouse,
    runner: Runner<Warehouse, WarehouseSink, JetStreamInbox, JetStream>,
    stop: CancellationToken,
) {
    let mut failures = 0u32;
    while let Err(error) = warehouse.migrate().await {
        failures = failures.saturating_add(1);
        let pause = runner.limits.back_off(failures);
        tracing::warn!(error = error.chain(), "the warehouse is not ready");
        metric::stage_failure(Warehouse::NAME);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
    runner.run(stop).await;
}

/// How many messages no stage has settled yet, over all stages.
pub async fn open_messages(log: &JetStream) -> Result<u64, ServiceError> {
    let mut open = 0u64;
    for (stream, stage, _) in CONSUMERS {
        open = open.saturating_add(log.lag(stream, stage).await?);
    }
    Ok(open)
}

/// Reports how far each stage is behind.
async fn watch_lag(log: Arc<JetStream>, stop: CancellationToken) {
    loop {
        for (stream, stage, _) in CONSUMERS {
            match log.lag(stream, stage).await {
                Ok(lag) => metric::consumer_lag(stage, lag),
                Err(error) => tracing::debug!(stage, error = error.chain(), "the lag is unknown"),
            }
        }
        for stream in StreamName::ALL {
            if let Ok(bytes) = log.bytes(stream).await {
                metric::stream_bytes(stream.upper(), bytes);
            }
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

fn terms_of(config: &Config) -> StoreTerms {
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
