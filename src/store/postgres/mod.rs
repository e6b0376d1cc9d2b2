//! The books in Postgres.

mod above;
mod articles;
mod brought;
mod closes;
mod company;
mod copy;
mod copy_rows;
mod corrections;
pub mod customers;
mod feed;
pub mod import;
mod journal;
mod ledger;
mod migrate;
mod orders;
mod periods;
mod placed;
mod placed_stored;
mod placements;
mod plans;
mod ranks;
mod seal;
mod skus;
mod story;
mod unnest;

use std::{ops::RangeInclusive, time::Duration};

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use jiff::Timestamp;
use tokio_postgres::{NoTls, error::SqlState};

pub use self::{
    above::{OrdersPaid, PaidAbove},
    brought::{Bringer, BroughtCarry, BroughtRank, CarryTold, OfBinary},
    closes::{CloseOutcome, Closed, Closing},
    company::{CompanyReader, Versions},
    corrections::ReversedEntry,
    feed::{Block, ClosedPeriod, PeriodLine, ReadBack, Turn},
    journal::NumberedVolume,
    migrate::{MigrateError, last_migration, migrate},
    periods::{OrderEarning, OwnVolume, StoredBlock, StoredClose, StoredEntry, StoredMember},
    placed::{Pasts, ReturnedEntry},
    placed_stored::{StoredCorrection, StoredLevel, StoredPosition},
    placements::{PlacementRow, ShapeConflict},
    plans::{CalendarConflict, CurrencyConflict, PlanConflict, PlanOrder, Registered},
    ranks::{Cleared, RankDecision},
    skus::{Unmapped, Waiting},
    story::{PostedEntry, PostedRun, Story, Told, Wait},
};
use super::{Booked, Change, Links, PostOutcome, Posting, Store};
use crate::{
    domain::{customer::CustomerKey, id::OrderKey, story::Chapter},
    stage::message::Computed,
    stream::ServiceError,
};

const SERVICE: &str = "postgres";

/// A pool of connections to the books. Each works as the role `upline_service`, which cannot change
/// the ledger, if the database has that role.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: Pool,
}

/// Why a database URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It cannot be parsed; the text is left out because it may hold a password.
    #[error("the database URL cannot be read, write postgres://user@host:5432/database")]
    Syntax(#[source] tokio_postgres::Error),
    /// The pool cannot be built.
    #[error("the connection pool cannot be built")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// Classifies an error by its SQLSTATE: what the data is to blame for is refused, everything else
/// may work later.
fn classify(error: tokio_postgres::Error) -> ServiceError {
    let refused = error.code().is_some_and(|code| {
        let class = code.code().get(..2).unwrap_or_default();
        // 22: the data, 23: a constraint (but a lost race on a unique key is worth a second try), P0:
        // raised by a trigger. Missing rights or tables (42) are no fault of the data: it waits
        // until somebody has mended the database.
        matches!(class, "22" | "23" | "P0") && *code != SqlState::UNIQUE_VIOLATION
    });
    if refused {
        ServiceError::Refused { service: SERVICE, source: error.into() }
    } else {
        ServiceError::Unavailable { service: SERVICE, source: error.into() }
    }
}

/// A stored value that the program cannot read: the books were written by something else.
fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Refused { service: SERVICE, source: source.into() }
}

/// Counters are 64-bit signed in Postgres.
fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Few statements, run for ever: they are planned once, and never as a scan of a whole table. A plan that
/// was made while a table was small would read all of it until somebody analyzes it.
const FOR_STAGES: &str = "SET plan_cache_mode = 'force_generic_plan'; SET enable_seqscan = off; \
                          SET jit = off;";

impl Postgres {
    /// A pool of at most `connections`; connects when first used.
    pub fn new(url: &str, connections: usize) -> Result<Self, UrlError> {
        Self::with(url, connections, "")
    }

    /// The same for the stages, which run few statements very often.
    pub fn for_stages(url: &str, connections: usize) -> Result<Self, UrlError> {
        Self::with(url, connections, FOR_STAGES)
    }

    fn with(url: &str, connections: usize, settings: &'static str) -> Result<Self, UrlError> {
        let mut config: tokio_postgres::Config = url.parse().map_err(UrlError::Syntax)?;
        config.connect_timeout(Duration::from_secs(5));
        // A connection whose other end has vanished without a word must not hold a stage; and, by the
        // settings of the session below, no locks at the server.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(25));
        if config.get_application_name().is_none() {
            config.application_name("upline");
        }
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let session = format!(
            "{settings} SET statement_timeout = '60s'; \
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
             SET tcp_keepalives_count = 3; SET tcp_user_timeout = '25s'; \
             SELECT set_config('role', 'upline_service', false) FROM pg_roles \
             WHERE rolname = 'upline_service' AND pg_has_role(oid, 'MEMBER')"
        );
        let hook = Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(
                async move { client.batch_execute(&session).await.map_err(HookError::Backend) },
            )
        });
        let pool = Pool::builder(manager)
            .max_size(connections)
            .post_create(hook)
            .build()
            .map_err(UrlError::Pool)?;
        Ok(Self { pool })
    }

    /// A connection from the pool.
    pub async fn client(&self) -> Result<Object, ServiceError> {
        self.pool
            .get()
            .await
            .map_err(|error| ServiceError::Unavailable { service: SERVICE, source: error.into() })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), ServiceError> {
        let client = self.client().await?;
        client.simple_query("SELECT 1").await.map(drop).map_err(classify)
    }
}

impl Store for Postgres {
    async fn load(
        &self,
        keys: &[OrderKey],
    ) -> Result<std::collections::BTreeMap<OrderKey, Booked>, ServiceError> {
        orders::load(&*self.client().await?, keys).await
    }

    async fn links(&self, customers: &[CustomerKey]) -> Result<Links, ServiceError> {
        customers::links(&*self.client().await?, customers).await
    }

    async fn save(
        &self,
        changes: &[Change],
        idle: &[Chapter],
    ) -> Result<std::collections::BTreeSet<OrderKey>, ServiceError> {
        orders::save(&mut *self.client().await?, changes, idle).await
    }

    async fn post(
        &self,
        runs: &[&Computed],
        now: Timestamp,
    ) -> Result<Vec<PostOutcome>, ServiceError> {
        ledger::post(&*self.client().await?, runs, now).await
    }

    async fn posted(&self, blocks: RangeInclusive<u64>) -> Result<Vec<Posting>, ServiceError> {
        let (first, last) = (to_i64(*blocks.start()), to_i64(*blocks.end()));
        feed::posted(&*self.client().await?, first, last, true).await
    }
}
