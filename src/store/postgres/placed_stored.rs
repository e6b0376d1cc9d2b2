//! What is kept of positions of closed periods, as it stands in the tables: whoever altered it need not have
//! left it readable. Rows come one by one, in the order of their keys.

use std::pin::pin;

use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use tokio_postgres::{Row, types::ToSql};

use super::{Postgres, classify, placed::patient, to_u64};
use crate::{
    domain::{close::CloseKey, id::ComponentId},
    stream::ServiceError,
};

/// A row of `period_position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPosition {
    /// The position.
    pub position: i32,
    /// What spoke for it.
    pub standing: i16,
    /// Of the left leg, then of the right: opening, arrived, paired, expired, flushed, carried.
    pub volumes: [i64; 12],
    /// Pool, paid, breakage, capped; none where it is no amount.
    pub money: [Option<Decimal>; 4],
    /// Why the owner gets nothing.
    pub reason: Option<String>,
}

/// A row of `period_level`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLevel {
    /// The level.
    pub level: i16,
    /// The position; -1 where nobody stands.
    pub position: i32,
    /// The volume below that pays.
    pub volume: i64,
    /// Paid, breakage; none where it is no amount.
    pub money: [Option<Decimal>; 2],
    /// Why it is breakage.
    pub reason: Option<String>,
}

/// A row of `period_correction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCorrection {
    /// The component.
    pub component: String,
    /// The closed period.
    pub corrects: String,
    /// The position.
    pub position: i32,
    /// Paid, breakage, capped, spared; none where it is no amount.
    pub money: [Option<Decimal>; 4],
    /// Why there is breakage.
    pub reason: Option<String>,
    /// The cap that had taken some of it.
    pub cap: Option<String>,
}

/// The amounts from a column on.
fn money<const N: usize>(row: &Row, first: usize) -> [Option<Decimal>; N] {
    std::array::from_fn(|nth| row.try_get(first.saturating_add(nth)).ok())
}

impl Postgres {
    /// Reads what is kept of the positions of a binary, by position.
    pub async fn stored_positions(
        &self,
        key: &CloseKey,
        component: &ComponentId,
        mut take: impl FnMut(StoredPosition),
    ) -> Result<(), ServiceError> {
        let query = "SELECT position, standing, left_opening, left_arrived, left_paired, left_expired,
                            left_flushed, left_carried, right_opening, right_arrived, right_paired,
                            right_expired, right_flushed, right_carried, pool, paid, breakage, capped,
                            reason
                     FROM upline.period_position
                     WHERE plan_id = $1 AND component = $2 AND period = $3 ORDER BY position";
        let given: [&(dyn ToSql + Sync); 3] =
            [&&*key.plan, &component.as_str(), &key.period.as_str()];
        self.rows(query, &given, |row| {
            take(StoredPosition {
                position: row.get(0),
                standing: row.get(1),
                volumes: std::array::from_fn(|nth| row.get(nth.saturating_add(2))),
                money: money(row, 14),
                reason: row.get(18),
            });
        })
        .await
    }

    /// Reads what is kept of the levels of a matrix, by level and position.
    pub async fn stored_levels(
        &self,
        key: &CloseKey,
        component: &ComponentId,
        mut take: impl FnMut(StoredLevel),
    ) -> Result<(), ServiceError> {
        let query = "SELECT level, position, volume, paid, breakage, reason FROM upline.period_level
                     WHERE plan_id = $1 AND component = $2 AND period = $3 ORDER BY level, position";
        let given: [&(dyn ToSql + Sync); 3] =
            [&&*key.plan, &component.as_str(), &key.period.as_str()];
        self.rows(query, &given, |row| {
            take(StoredLevel {
                level: row.get(0),
                position: row.get(1),
                volume: row.get(2),
                money: money(row, 3),
                reason: row.get(5),
            });
        })
        .await
    }

    /// Reads what a close corrected of closed periods.
    pub async fn stored_corrections(
        &self,
        key: &CloseKey,
        mut take: impl FnMut(StoredCorrection),
    ) -> Result<(), ServiceError> {
        let query =
            "SELECT component, corrects, position, paid, breakage, capped, spared, reason, cap
                     FROM upline.period_correction WHERE plan_id = $1 AND period = $2
                     ORDER BY component, corrects, position";
        let given: [&(dyn ToSql + Sync); 2] = [&&*key.plan, &key.period.as_str()];
        self.rows(query, &given, |row| {
            take(StoredCorrection {
                component: row.get(0),
                corrects: row.get(1),
                position: row.get(2),
                money: money(row, 3),
                reason: row.get(7),
                cap: row.get(8),
            });
        })
        .await
    }

    /// Components that have rows of positions or levels in a closed period and are none of these, each with
    /// how many.
    pub async fn stored_beside(
        &self,
        key: &CloseKey,
        known: &[&str],
    ) -> Result<Vec<(String, u64)>, ServiceError> {
        let query = "SELECT component, count(*) FROM (
                         SELECT component FROM upline.period_position
                         WHERE plan_id = $1 AND period = $2 AND component <> ALL ($3)
                         UNION ALL
                         SELECT component FROM upline.period_level
                         WHERE plan_id = $1 AND period = $2 AND component <> ALL ($3)) t
                     GROUP BY 1 ORDER BY 1";
        let given: [&(dyn ToSql + Sync); 3] = [&&*key.plan, &key.period.as_str(), &known];
        let mut found = Vec::new();
        self.rows(query, &given, |row| found.push((row.get(0), to_u64(row.get(1))))).await?;
        Ok(found)
    }

    async fn rows(
        &self,
        query: &str,
        given: &[&(dyn ToSql + Sync)],
        mut take: impl FnMut(&Row),
    ) -> Result<(), ServiceError> {
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let given = given.iter().copied();
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(&row);
        }
        Ok(())
    }
}
