//! Registering plan versions: a version is immutable from the moment that it is stored.

use super::{Postgres, classify, unreadable};
use crate::{
    domain::{digest::Digest, plan::Plan},
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

impl Postgres {
    /// Stores a plan version with its source, or checks that it is the one that is stored.
    pub async fn register_plan(&self, plan: &Plan, source: &str) -> Result<(), ServiceError> {
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
