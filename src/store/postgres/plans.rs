//! Registering plan versions: a version is immutable from the moment that it is stored.

use jiff::{SignedDuration, Timestamp};

use super::{CompanyReader, Postgres, classify, unreadable};
use crate::{
    domain::{
        close::CloseKey,
        digest::Digest,
        plan::{
            Plan,
            period::{Every, PeriodError},
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
        let last = self.last_close(&plan.reference.id).await?.map(|last| last.basis.period);
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

    /// Stores a plan version with its source, or checks that it is the one that is stored. A calendar that
    /// would leave out days after the periods before it, or count some twice, is refused.
    pub async fn register_plan(&self, plan: &Plan, source: &str) -> Result<(), ServiceError> {
        self.check_calendar(plan).await?;
        let client = self.client().await?;
        let version = i32::try_from(plan.reference.version).map_err(unreadable)?;
        let hash = plan.reference.hash;
        client
            .execute(
                "INSERT INTO upline.plan_version (plan_id, version, hash, effective_from, source)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (plan_id, version) DO NOTHING",
                &[
                    &&*plan.reference.id,
                    &version,
                    &hash.as_bytes().as_slice(),
                    &plan.effective_from,
                    &source,
                ],
            )
            .await
            .map_err(classify)?;
        let row = client
            .query_one(
                "SELECT hash FROM upline.plan_version WHERE plan_id = $1 AND version = $2",
                &[&&*plan.reference.id, &version],
            )
            .await
            .map_err(classify)?;
        let stored = Digest::try_from(row.get::<_, &[u8]>(0)).map_err(unreadable)?;
        if stored == hash {
            return Ok(());
        }
        let plan = &plan.reference;
        let conflict =
            PlanConflict { id: plan.id.clone(), version: plan.version, stored, file: hash };
        Err(ServiceError::Refused { service: "postgres", source: conflict.into() })
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at)
}
