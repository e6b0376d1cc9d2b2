//! Closed periods as they stand in the tables, word for word, and what one distributor's period is made of.

use std::pin::pin;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Row, types::ToSql};

use super::{Postgres, classify, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        close::{Basis, CloseKey},
        digest::Digest,
        id::{ComponentId, DistributorId, LineId},
        ledger::EventId,
        money::{Currency, Money},
        plan::{period::PeriodId, volume::LineVolumes},
        volume::Volume,
    },
    stream::ServiceError,
};

/// The row of a closed period, with its columns as text; `basis` is the text that was sealed.
#[derive(Debug, Clone)]
pub struct StoredClose {
    /// The text of the basis.
    pub basis: String,
    /// The figures, as JSON.
    pub summary: String,
    /// The number of the block.
    pub block: u64,
    /// The columns that say again what the basis says: name and text.
    pub columns: Vec<(&'static str, String)>,
    /// When it was closed.
    pub at: Timestamp,
}

/// A block of the chain with what its neighbours say.
#[derive(Debug, Clone, Copy)]
pub struct StoredBlock {
    /// The hash that it names as that of the block before.
    pub previous: Digest,
    /// The hash of the block before.
    pub before: Digest,
    /// The root over its leaves.
    pub root: Digest,
    /// Its hash.
    pub hash: Digest,
    /// What the block after it names as its hash; none for the last.
    pub after: Option<Digest>,
    /// When it was posted.
    pub posted_at: Timestamp,
}

/// A row of a member or of what is carried: PV, QV, CV, then GV and PGV of a member. Read as it stands:
/// whoever altered it need not have left it readable.
#[derive(Debug, Clone, Copy)]
pub struct StoredMember<'a> {
    /// The distributor.
    pub distributor: &'a str,
    /// Whether they were active.
    pub active: bool,
    /// The volumes.
    pub volumes: [Volume; 5],
    /// The rank that they were paid as.
    pub paid_as: Option<&'a str>,
    /// The highest rank ever.
    pub achieved: Option<&'a str>,
}

/// An entry of a close as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its number, from 1.
    pub number: u32,
    /// Its identity.
    pub event_id: String,
    /// The component.
    pub component: String,
    /// The account that gives.
    pub debit: String,
    /// The account that receives.
    pub credit: String,
    /// How much.
    pub amount: String,
    /// In which currency.
    pub currency: String,
    /// Why it is breakage, if it is.
    pub reason: Option<String>,
    /// The closed period that it corrects, if it does.
    pub corrects: Option<String>,
}

/// An entry of the volume journal in the period of whom it counts for.
#[derive(Debug, Clone, Serialize)]
pub struct OwnVolume {
    /// Its number in the journal.
    pub seq: u64,
    /// The key of the order.
    pub order: String,
    /// Its revision that posted the entry.
    pub revision: u64,
    /// The line.
    pub line: LineId,
    /// `retail` or `own_use`.
    pub source: String,
    /// When the order was placed.
    pub placed_at: Timestamp,
    /// What it adds.
    #[serde(flatten)]
    pub amount: LineVolumes,
    /// The number of the entry that it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrects: Option<u64>,
}

/// What an order earned a distributor in a component.
#[derive(Debug, Clone)]
pub struct OrderEarning {
    /// The component.
    pub component: ComponentId,
    /// The currency.
    pub currency: Currency,
    /// The key of the order.
    pub order: String,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// How much; below zero where more was taken back.
    pub amount: Money,
    /// What all orders earned in the component and currency.
    pub all: Money,
    /// How many they are.
    pub orders: u64,
}

impl Postgres {
    /// A closed period as it stands.
    pub async fn stored_close(&self, key: &CloseKey) -> Result<Option<StoredClose>, ServiceError> {
        const COLUMNS: [&str; 8] = [
            "plan_version",
            "plan_hash",
            "starts_at",
            "ends_at",
            "snapshot_at",
            "pays_on",
            "currency",
            "engine",
        ];
        let query = "SELECT basis::text, summary::text, block, closed_at, plan_version::text,
                            encode(plan_hash, 'hex'), starts_at, ends_at, snapshot_at,
                            pays_on::text, currency, engine
                     FROM upline.period_close WHERE plan_id = $1 AND period = $2";
        let client = self.client().await?;
        let period = key.period.as_str();
        let row = client.query_opt(query, &[&&*key.plan, &period]).await.map_err(classify)?;
        Ok(row.map(|row| {
            let time = |column: usize| row.get::<_, Timestamp>(column).to_string();
            let texts = [
                row.get(4),
                row.get(5),
                time(6),
                time(7),
                time(8),
                row.get(9),
                row.get(10),
                row.get(11),
            ];
            StoredClose {
                basis: row.get(0),
                summary: row.get(1),
                block: to_u64(row.get(2)),
                at: row.get(3),
                columns: COLUMNS.into_iter().zip(texts).collect(),
            }
        }))
    }

    /// The closed periods of a plan that begin before an instant, each with its start, the latest first, at
    /// most so many.
    pub async fn closed_before(
        &self,
        plan: &str,
        at: Timestamp,
        limit: u8,
    ) -> Result<Vec<(PeriodId, Timestamp)>, ServiceError> {
        let query = "SELECT period, starts_at FROM upline.period_close
                     WHERE plan_id = $1 AND starts_at < $2
                     ORDER BY starts_at DESC LIMIT $3";
        let client = self.client().await?;
        let limit = i64::from(limit);
        let rows = client.query(query, &[&plan, &at, &limit]).await.map_err(classify)?;
        let period = |row: &Row| Ok((PeriodId::parse(row.get(0)).map_err(unreadable)?, row.get(1)));
        rows.iter().map(period).collect()
    }

    /// The closed period of a plan that an instant lies in.
    pub async fn closed_at(
        &self,
        plan: &str,
        at: Timestamp,
    ) -> Result<Option<PeriodId>, ServiceError> {
        let query = "SELECT period FROM upline.period_close
                     WHERE plan_id = $1 AND starts_at <= $2 AND ends_at > $2";
        let client = self.client().await?;
        let row = client.query_opt(query, &[&plan, &at]).await.map_err(classify)?;
        row.map(|row| PeriodId::parse(row.get(0)).map_err(unreadable)).transpose()
    }

    /// How many entries the volume journal has of orders placed in a time.
    pub async fn volumes_placed(
        &self,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<u64, ServiceError> {
        let query =
            "SELECT count(*) FROM upline.volume_entry WHERE order_ts >= $1 AND order_ts < $2";
        let client = self.client().await?;
        Ok(to_u64(client.query_one(query, &[&from, &until]).await.map_err(classify)?.get(0)))
    }

    /// A block, with what its neighbours say; `None` if there is none of this number.
    pub async fn stored_block(&self, number: u64) -> Result<Option<StoredBlock>, ServiceError> {
        let query = "SELECT b.previous, a.hash, b.merkle_root, b.hash, c.previous, b.posted_at
                     FROM upline.ledger_block b
                     LEFT JOIN upline.ledger_block a ON a.number = b.number - 1
                     LEFT JOIN upline.ledger_block c ON c.number = b.number + 1
                     WHERE b.number = $1";
        let client = self.client().await?;
        let row = client.query_opt(query, &[&to_i64(number)]).await.map_err(classify)?;
        let Some(row) = row else { return Ok(None) };
        let digest = |column: usize| -> Result<Option<Digest>, ServiceError> {
            let bytes: Option<&[u8]> = row.get(column);
            bytes.map(Digest::try_from).transpose().map_err(unreadable)
        };
        let own = |column: usize| Ok::<_, ServiceError>(digest(column)?.unwrap_or(Digest::ZERO));
        Ok(Some(StoredBlock {
            previous: own(0)?,
            before: own(1)?,
            root: own(2)?,
            hash: own(3)?,
            after: digest(4)?,
            posted_at: row.get(5),
        }))
    }

    /// Reads the members of a closed period.
    pub async fn stored_members(
        &self,
        key: &CloseKey,
        take: impl FnMut(StoredMember<'_>),
    ) -> Result<(), ServiceError> {
        let query = "SELECT distributor_id, active, pv, qv, cv, gv, pgv, paid_as, achieved
                     FROM upline.period_member WHERE plan_id = $1 AND period = $2";
        self.stored(query, key, take).await
    }

    /// Reads what a closed period carries on.
    pub async fn stored_carries(
        &self,
        key: &CloseKey,
        take: impl FnMut(StoredMember<'_>),
    ) -> Result<(), ServiceError> {
        let query = "SELECT distributor_id, false, pv, qv, cv, 0::bigint, 0::bigint, NULL::text,
                            NULL::text
                     FROM upline.period_carry WHERE plan_id = $1 AND period = $2";
        self.stored(query, key, take).await
    }

    async fn stored(
        &self,
        query: &str,
        key: &CloseKey,
        mut take: impl FnMut(StoredMember<'_>),
    ) -> Result<(), ServiceError> {
        let client = self.client().await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 2] = [&plan, &period];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(StoredMember {
                distributor: row.get(0),
                active: row.get(1),
                volumes: [2, 3, 4, 5, 6].map(|column: usize| Volume::from_parts(row.get(column))),
                paid_as: row.get(7),
                achieved: row.get(8),
            });
        }
        Ok(())
    }

    /// Reads the entries of a closed period in the order of their numbers.
    pub async fn stored_entries(
        &self,
        key: &CloseKey,
        mut take: impl FnMut(StoredEntry),
    ) -> Result<(), ServiceError> {
        let query = "SELECT number, event_id::text, component, debit, credit, amount::text,
                            currency, reason, corrects
                     FROM upline.period_entry WHERE plan_id = $1 AND period = $2 ORDER BY number";
        let client = self.client().await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 2] = [&plan, &period];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(StoredEntry {
                number: u32::try_from(row.get::<_, i32>(0)).unwrap_or_default(),
                event_id: row.get(1),
                component: row.get(2),
                debit: row.get(3),
                credit: row.get(4),
                amount: row.get(5),
                currency: row.get(6),
                reason: row.get(7),
                corrects: row.get(8),
            });
        }
        Ok(())
    }

    /// The bonuses for ranks of a closed period: component, distributor, rank.
    pub async fn stored_bonuses(
        &self,
        key: &CloseKey,
    ) -> Result<Vec<(String, String, String)>, ServiceError> {
        let query = "SELECT component, distributor_id, rank FROM upline.period_rank_bonus
                     WHERE plan_id = $1 AND period = $2 ORDER BY 1, 2, 3";
        let client = self.client().await?;
        let period = key.period.as_str();
        let rows = client.query(query, &[&&*key.plan, &period]).await.map_err(classify)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    /// The ranks that a close recorded for the orders after it, by distributor.
    pub async fn stored_ranks(
        &self,
        key: &CloseKey,
    ) -> Result<Vec<(String, Option<String>)>, ServiceError> {
        let query = "SELECT distributor_id, rank FROM upline.rank_fact
                     WHERE source = 'period_close' AND plan_id = $1 AND period = $2";
        let client = self.client().await?;
        let period = key.period.as_str();
        let rows = client.query(query, &[&&*key.plan, &period]).await.map_err(classify)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Entries of the volume journal by their numbers, in that order.
    pub async fn own_volumes(&self, seqs: &[u64]) -> Result<Vec<OwnVolume>, ServiceError> {
        let query = "SELECT e.seq, e.order_key, e.revision, e.line_id, e.source, e.order_ts, e.pv,
                            e.qv, e.cv, c.seq
                     FROM upline.volume_entry e
                     LEFT JOIN upline.volume_entry c ON c.event_id = e.corrects
                     WHERE e.seq = ANY ($1) ORDER BY e.seq";
        let seqs: Vec<i64> = seqs.iter().map(|seq| to_i64(*seq)).collect();
        let client = self.client().await?;
        let rows = client.query(query, &[&seqs]).await.map_err(classify)?;
        let own = |row: &Row| {
            let volume = |column: usize| Volume::from_parts(row.get(column));
            Ok(OwnVolume {
                seq: to_u64(row.get(0)),
                order: row.get(1),
                revision: to_u64(row.get(2)),
                line: LineId::parse(row.get(3)).map_err(unreadable)?,
                source: row.get(4),
                placed_at: row.get(5),
                amount: LineVolumes { pv: volume(6), qv: volume(7), cv: volume(8) },
                corrects: row.get::<_, Option<i64>>(9).map(to_u64),
            })
        };
        rows.iter().map(own).collect()
    }

    /// What the orders of a period earned one distributor, by component and order, with what came late for
    /// closed periods: the entries that [`Postgres::order_earnings`] counts, of all components and in
    /// every currency. Orders that come to nothing are left out; of each component and currency the
    /// `largest` are given, or all.
    pub async fn own_earnings(
        &self,
        basis: &Basis,
        distributor: &DistributorId,
        largest: Option<usize>,
    ) -> Result<Vec<OrderEarning>, ServiceError> {
        let query = "SELECT component, currency, order_key, placed_at, amount, total, orders FROM (
             SELECT *, sum(amount) OVER w AS total, count(*) OVER w AS orders,
                    row_number() OVER (w ORDER BY abs(amount) DESC, placed_at, order_key) AS place
             FROM (SELECT e.component, e.currency, e.order_key, min(e.order_ts) AS placed_at,
                          sum(CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END) AS amount
             FROM upline.ledger_entry e JOIN upline.commission_run r USING (order_key, revision)
             WHERE (CASE e.kind WHEN 'earned' THEN e.credit ELSE e.debit END) = $1
               AND r.plan_id = $2 AND e.seq <= $3 AND e.order_ts < $5
               AND (e.order_ts >= $4 OR e.order_ts >= $6 AND e.seq > $7)
             GROUP BY 1, 2, 3
             HAVING sum(CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END) <> 0) o
             WINDOW w AS (PARTITION BY component, currency)) p
             WHERE place <= $8 ORDER BY component, currency, placed_at, order_key";
        let client = self.client().await?;
        let largest = largest.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX));
        let given: [&(dyn ToSql + Sync); 8] = [
            &format!("distributor:{distributor}"),
            &&*basis.plan.id,
            &to_i64(basis.ledger),
            &basis.period.start,
            &basis.period.end,
            &basis.counted.since,
            &to_i64(basis.ledger_before),
            &largest,
        ];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let earning = |row: &Row| {
            Ok(OrderEarning {
                component: ComponentId::parse(row.get(0)).map_err(unreadable)?,
                currency: Currency::parse(row.get(1)).map_err(unreadable)?,
                order: row.get(2),
                placed_at: row.get(3),
                amount: Money::from_decimal(row.get(4)).map_err(unreadable)?,
                all: Money::from_decimal(row.get(5)).map_err(unreadable)?,
                orders: to_u64(row.get(6)),
            })
        };
        rows.iter().map(earning).collect()
    }
}

impl StoredEntry {
    /// The identity, if it still is one.
    pub fn id(&self) -> Option<EventId> {
        EventId::try_from(self.event_id.clone()).ok()
    }
}
