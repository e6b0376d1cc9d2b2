//! Registering plan versions: a version is immutable from the moment that it is stored.

use std::error::Error;

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{Row, types::ToSql};

use super::{CompanyReader, Postgres, classify, seal::LOCK, unreadable};
use crate::{
    domain::{
        close::CloseKey,
        digest::Digest,
        money::Currency,
        plan::{
            Plan, PlanRef,
            period::{Every, Period, PeriodError, PeriodId},
            versions::{Edition, VersionError, in_order},
        },
    },
    stream::ServiceError,
};

/// A plan version is stored with another content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "plan {id} version {version} was changed after it was loaded (stored hash {stored}, file \
     {file}): give the changed plan a new version and a later effective_from"
)]
pub struct PlanConflict {
    /// The plan.
    pub id: Box<str>,
    /// Its version.
    pub version: u32,
    /// The hash that is stored.
    pub stored: Digest,
    /// The hash of the file.
    pub file: Digest,
}

/// The calendar of a new plan version cannot follow the one that it replaces.
#[derive(Debug, thiserror::Error)]
#[error("plan {id} version {version} cannot take the place of the version before it: {source}")]
pub struct CalendarConflict {
    /// The plan.
    pub id: Box<str>,
    /// Its version.
    pub version: u32,
    /// Why.
    pub source: PeriodError,
}

/// A plan that has closed periods keeps its currency: what comes back of them, and what they carried, is in it.
#[derive(Debug, thiserror::Error)]
#[error(
    "plan {id} closed period {period} in {closed_in}, so no version of it can pay in {currency}: give the \
     plan in {currency} another `id`"
)]
pub struct CurrencyConflict {
    /// The plan.
    pub id: Box<str>,
    /// The currency of the version.
    pub currency: Currency,
    /// The currency of the last closed period.
    pub closed_in: Currency,
    /// That period.
    pub period: PeriodId,
}

/// A version of a plan that does not go with those in the books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`effective_from` of plan {id} does not go with the books")]
pub struct PlanOrder {
    /// The plan.
    pub id: Box<str>,
    /// What is wrong, with both versions.
    pub source: VersionError,
}

/// What became of a plan version that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// It is in the books now.
    Stored,
    /// It was there before, to the byte.
    Known,
}

impl Postgres {
    /// Checks that the calendar of a version that is not stored yet goes on where periods of the stored ones
    /// end: that no day is left out and none counts twice.
    async fn check_calendar(&self, plan: &Plan) -> Result<(), ServiceError> {
        let book = CompanyReader::new(self.clone()).plans().await?;
        let stored = book.iter().any(|known| {
            (&known.reference.id, known.reference.version)
                == (&plan.reference.id, plan.reference.version)
        });
        let Some(calendar) = plan.period.as_ref().filter(|_| !stored) else { return Ok(()) };
        let at = plan.effective_from;
        let Some(old) = book.in_force(&plan.reference.id, at) else { return Ok(()) };
        let Some(before) = old.period.as_ref().filter(|_| old.effective_from < at) else {
            return Ok(());
        };
        let refused = |source| {
            let (id, version) = (plan.reference.id.clone(), plan.reference.version);
            let source = CalendarConflict { id, version, source }.into();
            ServiceError::Refused { service: "postgres", source }
        };
        let last = self.last_close(&plan.reference.id).await?.map(|last| last.basis);
        if let (Some(last), Some(currency)) = (&last, plan.currency)
            && last.currency != currency
        {
            let id = plan.reference.id.clone();
            let (closed_in, period) = (last.currency, last.period.id.clone());
            let conflict = CurrencyConflict { id, currency, closed_in, period };
            return Err(ServiceError::Refused { service: "postgres", source: conflict.into() });
        }
        let last = last.map(|last| last.period);
        if let Every::Custom { periods } = &calendar.every {
            for named in periods {
                let key = CloseKey { plan: plan.reference.id.clone(), period: named.id.clone() };
                let closed = self.close_of(&key).await?.map(|closed| closed.basis.period.start);
                let own = calendar.period(&named.id).map_err(refused)?;
                if closed.is_some_and(|start| start != own.start) {
                    return Err(refused(PeriodError::Repeated(named.id.clone())));
                }
            }
        }
        let first = match last {
            Some(last) => last,
            None => match before.at(just_before(at)) {
                Ok(first) => first,
                // The old calendar does not reach that far: it has nothing to be followed.
                Err(_outside) => return Ok(()),
            },
        };
        calendar.follows(before, &first, at).map_err(refused)
    }

    /// Stores a plan version with its source, or checks that it is the one that is stored. A new one must
    /// follow those that are stored, and not reach into a closed period: closes and other versions wait
    /// until it is decided. A calendar that would leave out days after the periods before it, or count some
    /// twice, is refused.
    pub async fn register_plan(
        &self,
        plan: &Plan,
        source: &str,
    ) -> Result<Registered, ServiceError> {
        self.check_calendar(plan).await?;
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        tx.execute(LOCK, &[]).await.map_err(classify)?;
        if known(&tx, plan).await? {
            return Ok(Registered::Known);
        }
        follows(&tx, plan).await?;
        let version = i32::try_from(plan.reference.version).map_err(unreadable)?;
        let hash = plan.reference.hash;
        let query =
            "INSERT INTO upline.plan_version (plan_id, version, hash, effective_from, source)
                     VALUES ($1, $2, $3, $4, $5)";
        let hash = hash.as_bytes().as_slice();
        let given: [&(dyn ToSql + Sync); 5] =
            [&&*plan.reference.id, &version, &hash, &plan.effective_from, &source];
        tx.execute(query, &given).await.map_err(classify)?;
        tx.commit().await.map_err(classify)?;
        Ok(Registered::Stored)
    }

    /// The versions of a plan that begin within a period, after its start and before its end.
    pub async fn versions_within(
        &self,
        plan: &str,
        period: &Period,
    ) -> Result<Vec<Edition>, ServiceError> {
        let query = "SELECT version, effective_from FROM upline.plan_version
                     WHERE plan_id = $1 AND effective_from > $2 AND effective_from < $3
                     ORDER BY version";
        let client = self.client().await?;
        let rows = client.query(query, &[&plan, &period.start, &period.end]).await;
        rows.map_err(classify)?.iter().map(edition).collect()
    }
}

fn edition(row: &Row) -> Result<Edition, ServiceError> {
    let version = u32::try_from(row.get::<_, i32>(0)).map_err(unreadable)?;
    Ok(Edition { version, from: row.get(1) })
}

fn refused(error: impl Error + Send + Sync + 'static) -> ServiceError {
    ServiceError::Refused { service: "postgres", source: error.into() }
}

/// Whether a version is stored; if it is, it must be this one.
async fn known(tx: &Transaction<'_>, plan: &Plan) -> Result<bool, ServiceError> {
    let version = i32::try_from(plan.reference.version).map_err(unreadable)?;
    let query = "SELECT hash FROM upline.plan_version WHERE plan_id = $1 AND version = $2";
    let row = tx.query_opt(query, &[&&*plan.reference.id, &version]).await.map_err(classify)?;
    let Some(row) = row else { return Ok(false) };
    let stored = Digest::try_from(row.get::<_, &[u8]>(0)).map_err(unreadable)?;
    let PlanRef { id, version, hash } = &plan.reference;
    if stored == *hash {
        return Ok(true);
    }
    Err(refused(PlanConflict { id: id.clone(), version: *version, stored, file: *hash }))
}

/// Checks a new version against those that are stored, and against the last period that is closed.
async fn follows(tx: &Transaction<'_>, plan: &Plan) -> Result<(), ServiceError> {
    let (id, own) = (&plan.reference.id, plan.edition());
    let wrong = |source| refused(PlanOrder { id: id.clone(), source });
    let query = "SELECT version, effective_from FROM upline.plan_version WHERE plan_id = $1";
    for row in tx.query(query, &[&&**id]).await.map_err(classify)? {
        in_order([edition(&row)?, own]).map_err(wrong)?;
    }
    let query = "SELECT plan_version, period, ends_at FROM upline.period_close
                 WHERE plan_id = $1 AND ends_at > $2 ORDER BY ends_at DESC LIMIT 1";
    match tx.query_opt(query, &[&&**id, &own.from]).await.map_err(classify)? {
        None => Ok(()),
        Some(row) => Err(wrong(VersionError::Closed {
            edition: own,
            period: row.get::<_, &str>(1).into(),
            by: u32::try_from(row.get::<_, i32>(0)).map_err(unreadable)?,
            end: row.get(2),
        })),
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}
