//! Closed periods in Postgres.

use std::{collections::HashMap, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{
    Row,
    binary_copy::BinaryCopyInWriter,
    types::{ToSql, Type},
};

use super::{
    Postgres, brought, classify,
    orders::from_json,
    placed::copy_placed,
    ranks,
    seal::{HEAD, LOCK, Uuid},
    to_i64, to_u64, unreadable,
};
use crate::{
    domain::{
        close::{
            Basis, CarryRecord, CloseEntry, CloseKey, MemberRecord, RankBonusRecord, RankChange,
            placed::PlacedRecords,
        },
        digest::Digest,
        id::{ComponentId, DistributorId, Operator, RankId, Reason},
        ledger::{block_hash, merkle_root},
        money::Money,
        plan::period::PeriodId,
        volume::Volume,
    },
    stream::ServiceError,
};

/// A close on its way into the books.
#[derive(Debug)]
pub struct Closing<'a> {
    /// What it came from.
    pub basis: &'a Basis,
    /// Its figures, as JSON.
    pub summary: String,
    /// What is kept of the members.
    pub members: &'a [MemberRecord],
    /// The volume below zero that goes into the next period.
    pub carries: &'a [CarryRecord],
    /// What is paid, and what is not and why.
    pub entries: &'a [CloseEntry],
    /// What is kept of the positions of binaries and matrices.
    pub placed: &'a PlacedRecords,
    /// The bonuses for ranks that it pays.
    pub rank_bonuses: &'a [RankBonusRecord],
    /// The ranks that orders are paid by after the period.
    pub ranks: &'a [RankChange],
    /// Who closes it.
    pub by: &'a Operator,
    /// Why, if there is something to say.
    pub reason: Option<&'a Reason>,
    /// When.
    pub now: Timestamp,
}

/// What became of a close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseOutcome {
    /// It is closed now, sealed by the block of this number.
    Sealed(u64),
    /// It was closed before.
    Already,
    /// Another period of the plan was closed, or a rank forced or cleared, or something brought along, since
    /// the basis was made.
    Outdated,
}

/// A closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// What it came from.
    pub basis: Basis,
    /// Its figures, as JSON.
    pub summary: String,
    /// Who closed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The number of its block.
    pub block: u64,
}

const CLOSED: &str = "SELECT basis::text, summary::text, closed_by, closed_at, block
     FROM upline.period_close";

fn closed(row: &Row) -> Result<Closed, ServiceError> {
    Ok(Closed {
        basis: from_json(row.get(0))?,
        summary: row.get(1),
        by: row.get(2),
        at: row.get(3),
        block: to_u64(row.get(4)),
    })
}

impl Postgres {
    /// The last period of a plan that was closed.
    pub async fn last_close(&self, plan: &str) -> Result<Option<Closed>, ServiceError> {
        let query = format!("{CLOSED} WHERE plan_id = $1 ORDER BY starts_at DESC LIMIT 1");
        let client = self.client().await?;
        let row = client.query_opt(&query, &[&plan]).await.map_err(classify)?;
        row.as_ref().map(closed).transpose()
    }

    /// A period, if it is closed.
    pub async fn close_of(&self, key: &CloseKey) -> Result<Option<Closed>, ServiceError> {
        let query = format!("{CLOSED} WHERE plan_id = $1 AND period = $2");
        let client = self.client().await?;
        let period = key.period.as_str();
        let row = client.query_opt(&query, &[&&*key.plan, &period]).await.map_err(classify)?;
        row.as_ref().map(closed).transpose()
    }

    /// The number of the last ledger entry.
    pub async fn last_entry(&self) -> Result<u64, ServiceError> {
        let client = self.client().await?;
        let last = "SELECT coalesce(max(seq), 0) FROM upline.ledger_entry";
        Ok(to_u64(client.query_one(last, &[]).await.map_err(classify)?.get(0)))
    }

    /// Reads the PV and the highest rank of each member of a closed period.
    pub async fn period_members(
        &self,
        key: &CloseKey,
        mut take: impl FnMut(&str, Volume, Option<RankId>),
    ) -> Result<(), ServiceError> {
        let query = "SELECT distributor_id, pv, achieved FROM upline.period_member
                     WHERE plan_id = $1 AND period = $2";
        let client = self.client().await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 2] = [&plan, &period];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let achieved: Option<&str> = row.get(2);
            let achieved = achieved.map(RankId::parse).transpose().map_err(unreadable)?;
            take(row.get(0), Volume::from_parts(row.get(1)), achieved);
        }
        Ok(())
    }

    /// What a closed period paid to each distributor, without what it corrected of earlier ones, and what its
    /// components carried on.
    pub async fn period_money(
        &self,
        key: &CloseKey,
    ) -> Result<(HashMap<String, Money>, Vec<(ComponentId, Money)>), ServiceError> {
        let query = "SELECT account, CASE account WHEN 'carried' THEN component END, sum(amount)
             FROM (SELECT component,
                          CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                          CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
                   FROM upline.period_entry
                   WHERE plan_id = $1 AND period = $2 AND corrects IS NULL) t
             GROUP BY 1, 2";
        let client = self.client().await?;
        let period = key.period.as_str();
        let (mut paid, mut carried) = (HashMap::new(), Vec::new());
        for row in client.query(query, &[&&*key.plan, &period]).await.map_err(classify)? {
            let amount: Decimal = row.get(2);
            let amount = Money::from_decimal(amount).map_err(unreadable)?;
            let account: &str = row.get(0);
            if let Some(component) = row.get::<_, Option<&str>>(1) {
                carried.push((ComponentId::parse(component).map_err(unreadable)?, amount));
            } else if let Some(distributor) = account.strip_prefix("distributor:") {
                paid.insert(distributor.to_owned(), amount);
            }
        }
        Ok((paid, carried))
    }

    /// The volume below zero that a closed period hands on.
    pub async fn period_carries(&self, key: &CloseKey) -> Result<Vec<CarryRecord>, ServiceError> {
        let query = "SELECT distributor_id, pv, qv, cv FROM upline.period_carry
                     WHERE plan_id = $1 AND period = $2";
        let client = self.client().await?;
        let period = key.period.as_str();
        let rows = client.query(query, &[&&*key.plan, &period]).await.map_err(classify)?;
        let carry = |row: &Row| {
            Ok(CarryRecord {
                distributor: DistributorId::parse(row.get(0)).map_err(unreadable)?,
                pv: Volume::from_parts(row.get(1)),
                qv: Volume::from_parts(row.get(2)),
                cv: Volume::from_parts(row.get(3)),
            })
        };
        rows.iter().map(carry).collect()
    }

    /// The bonuses for ranks that a plan has paid for periods that began before an instant.
    pub async fn rank_bonuses(
        &self,
        plan: &str,
        before: Timestamp,
    ) -> Result<Vec<RankBonusRecord>, ServiceError> {
        let query = "SELECT DISTINCT component, distributor_id, rank
                     FROM upline.period_rank_bonus JOIN upline.period_close USING (plan_id, period)
                     WHERE plan_id = $1 AND starts_at < $2";
        let client = self.client().await?;
        let rows = client.query(query, &[&plan, &before]).await.map_err(classify)?;
        let bonus = |row: &Row| {
            Ok(RankBonusRecord {
                component: ComponentId::parse(row.get(0)).map_err(unreadable)?,
                distributor: DistributorId::parse(row.get(1)).map_err(unreadable)?,
                rank: RankId::parse(row.get(2)).map_err(unreadable)?,
            })
        };
        rows.iter().map(bonus).collect()
    }

    /// What the orders of a period earned each distributor in a component, with what came late for
    /// periods that are closed; by the entries up to `basis.ledger`.
    pub async fn order_earnings(
        &self,
        basis: &Basis,
        component: &ComponentId,
    ) -> Result<Vec<(String, Money)>, ServiceError> {
        let query = "SELECT substr(account, 13), sum(amount)
             FROM (SELECT CASE e.kind WHEN 'earned' THEN e.credit ELSE e.debit END AS account,
                          CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END AS amount
                   FROM upline.ledger_entry e JOIN upline.commission_run r USING (order_key, revision)
                   WHERE e.component = $1 AND e.currency = $2 AND r.plan_id = $3 AND e.seq <= $4
                     AND (e.order_ts >= $5 AND e.order_ts < $6
                          OR e.order_ts >= $7 AND e.order_ts < $5 AND e.seq > $8)) t
             WHERE account LIKE 'distributor:%' GROUP BY 1";
        let since = basis.counted.since;
        let client = self.client().await?;
        let rows = client
            .query(
                query,
                &[
                    &component.as_str(),
                    &basis.currency.as_str(),
                    &&*basis.plan.id,
                    &to_i64(basis.ledger),
                    &basis.period.start,
                    &basis.period.end,
                    &since,
                    &to_i64(basis.ledger_before),
                ],
            )
            .await
            .map_err(classify)?;
        let earned = |row: &Row| {
            let amount = Money::from_decimal(row.get(1)).map_err(unreadable)?;
            Ok((row.get(0), amount))
        };
        rows.iter().map(earned).collect()
    }

    /// Writes a close: members, entries, the block that seals them, all or nothing. What is closed
    /// stays as it is.
    pub async fn commit_close(&self, closing: &Closing<'_>) -> Result<CloseOutcome, ServiceError> {
        let basis = serde_json::to_string(closing.basis).map_err(unreadable)?;
        let key = closing.basis.key();
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        // Millions of rows take longer than a statement of a stage may.
        tx.batch_execute("SET LOCAL statement_timeout = '30min'").await.map_err(classify)?;
        ranks::lock(&tx).await?;
        if let Some(known) = standing(&tx, closing.basis).await? {
            return Ok(known);
        }
        let outdated = brought::is_outdated(&tx, closing.basis).await?;
        if outdated || !ranks::of_close(&tx, closing).await? {
            return Ok(CloseOutcome::Outdated);
        }
        copy_members(&tx, &key, closing.members).await?;
        copy_carries(&tx, &key, closing.carries).await?;
        copy_entries(&tx, closing).await?;
        copy_rank_bonuses(&tx, &key, closing.rank_bonuses).await?;
        copy_placed(&tx, &key, closing.placed).await?;
        let Closing { members, carries, entries, placed, .. } = closing;
        let root = merkle_root(&closing.basis.leaves(&basis, members, carries, entries, placed));
        // From here on the ledger waits: two rows.
        tx.execute(LOCK, &[]).await.map_err(classify)?;
        if let Some(known) = standing(&tx, closing.basis).await? {
            return Ok(known);
        }
        let number = seal(&tx, &root, closing.now).await?;
        insert(&tx, closing, &basis, number).await?;
        tx.commit().await.map_err(classify)?;
        Ok(CloseOutcome::Sealed(to_u64(number)))
    }
}

/// Whether the period is closed already, or another one was since the basis was made.
async fn standing(
    tx: &Transaction<'_>,
    basis: &Basis,
) -> Result<Option<CloseOutcome>, ServiceError> {
    let query = "SELECT period, period = $2 OR EXISTS (
                     SELECT 1 FROM upline.period_close WHERE plan_id = $1 AND period = $2)
                 FROM upline.period_close WHERE plan_id = $1 ORDER BY starts_at DESC LIMIT 1";
    let period = basis.period.id.as_str();
    let row = tx.query_opt(query, &[&&*basis.plan.id, &period]).await.map_err(classify)?;
    // Plans are stored under the same lock. A version that came meanwhile may be the one of the period.
    let newer = "SELECT EXISTS (SELECT FROM upline.plan_version
                                WHERE plan_id = $1 AND version > $2 AND effective_from <= $3)";
    let version = i32::try_from(basis.plan.version).map_err(unreadable)?;
    let given: [&(dyn ToSql + Sync); 3] = [&&*basis.plan.id, &version, &basis.period.start];
    let replaced: bool = tx.query_one(newer, &given).await.map_err(classify)?.get(0);
    let previous = basis.previous.as_ref().map(PeriodId::as_str);
    Ok(match row {
        Some(row) if row.get(1) => Some(CloseOutcome::Already),
        Some(row) if Some(row.get(0)) != previous => Some(CloseOutcome::Outdated),
        _ if replaced => Some(CloseOutcome::Outdated),
        None if previous.is_some() => Some(CloseOutcome::Outdated),
        Some(_) | None => None,
    })
}

/// The next block of the chain, over this root. It seals no entries of orders.
async fn seal(tx: &Transaction<'_>, root: &Digest, now: Timestamp) -> Result<i64, ServiceError> {
    let head = tx.query_opt(HEAD, &[]).await.map_err(classify)?;
    let (last, previous, last_seq) = match head {
        Some(row) => {
            let hash = Digest::try_from(row.get::<_, &[u8]>(1)).map_err(unreadable)?;
            (row.get::<_, i64>(0), hash, row.get::<_, i64>(2))
        }
        None => (0, Digest::ZERO, 0),
    };
    let number = last.saturating_add(1);
    let hash = block_hash(to_u64(number), &previous, root, 0, 0);
    tx.execute(
        "INSERT INTO upline.ledger_block
             (number, previous, merkle_root, hash, first_seq, last_seq, posted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            &number,
            &previous.as_bytes().as_slice(),
            &root.as_bytes().as_slice(),
            &hash.as_bytes().as_slice(),
            &last_seq.saturating_add(1),
            &last_seq,
            &now,
        ],
    )
    .await
    .map_err(classify)?;
    Ok(number)
}

async fn insert(
    tx: &Transaction<'_>,
    closing: &Closing<'_>,
    basis: &str,
    block: i64,
) -> Result<(), ServiceError> {
    let Basis { plan, period, currency, engine, .. } = closing.basis;
    tx.execute(
        "INSERT INTO upline.period_close
             (plan_id, period, plan_version, plan_hash, starts_at, ends_at, snapshot_at, pays_on,
              currency, engine, basis, summary, block, closed_by, reason, closed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::date, $9, $10, $11::text::json,
                 $12::text::json, $13, $14, $15, $16)",
        &[
            &&*plan.id,
            &period.id.as_str(),
            &i32::try_from(plan.version).map_err(unreadable)?,
            &plan.hash.as_bytes().as_slice(),
            &period.start,
            &period.end,
            &period.snapshot,
            &period.distribution.to_string(),
            &currency.as_str(),
            &&**engine,
            &basis,
            &closing.summary,
            &block,
            &closing.by.as_str(),
            &closing.reason.map(Reason::as_str),
            &closing.now,
        ],
    )
    .await
    .map(drop)
    .map_err(classify)
}

async fn copy_members(
    tx: &Transaction<'_>,
    key: &CloseKey,
    members: &[MemberRecord],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 11] = [
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::BOOL,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
    ];
    let into = "COPY upline.period_member (plan_id, period, distributor_id, active, pv, qv, cv, gv,
                pgv, paid_as, achieved) FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for member in members {
        let row: [&(dyn ToSql + Sync); 11] = [
            &&*key.plan,
            &key.period.as_str(),
            &member.distributor.as_str(),
            &member.active,
            &member.pv.parts(),
            &member.qv.parts(),
            &member.cv.parts(),
            &member.gv.parts(),
            &member.pgv.parts(),
            &member.paid_as.as_ref().map(RankId::as_str),
            &member.achieved.as_ref().map(RankId::as_str),
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}

async fn copy_carries(
    tx: &Transaction<'_>,
    key: &CloseKey,
    carries: &[CarryRecord],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 6] =
        [Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::INT8];
    let into = "COPY upline.period_carry (plan_id, period, distributor_id, pv, qv, cv)
                FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for CarryRecord { distributor, pv, qv, cv } in carries {
        let row: [&(dyn ToSql + Sync); 6] = [
            &&*key.plan,
            &key.period.as_str(),
            &distributor.as_str(),
            &pv.parts(),
            &qv.parts(),
            &cv.parts(),
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}

async fn copy_entries(tx: &Transaction<'_>, closing: &Closing<'_>) -> Result<(), ServiceError> {
    const TYPES: [Type; 11] = [
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::NUMERIC,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
    ];
    let into =
        "COPY upline.period_entry (event_id, plan_id, period, number, component, debit, credit,
                amount, currency, reason, corrects) FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    let Basis { plan, period, currency, .. } = closing.basis;
    for (number, entry) in (1i32..).zip(closing.entries) {
        let (debit, credit, amount) = entry.posted();
        let row: [&(dyn ToSql + Sync); 11] = [
            &Uuid(entry.event_id),
            &&*plan.id,
            &period.id.as_str(),
            &number,
            &entry.component.as_str(),
            &debit,
            &credit,
            &amount.written(),
            &currency.as_str(),
            &entry.to.reason(),
            &entry.corrects.as_ref().map(PeriodId::as_str),
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}

async fn copy_rank_bonuses(
    tx: &Transaction<'_>,
    key: &CloseKey,
    bonuses: &[RankBonusRecord],
) -> Result<(), ServiceError> {
    const TYPES: [Type; 5] = [Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT, Type::TEXT];
    let into = "COPY upline.period_rank_bonus (plan_id, component, distributor_id, rank, period)
                FROM STDIN BINARY";
    let sink = tx.copy_in(into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for RankBonusRecord { component, distributor, rank } in bonuses {
        let row: [&(dyn ToSql + Sync); 5] = [
            &&*key.plan,
            &component.as_str(),
            &distributor.as_str(),
            &rank.as_str(),
            &key.period.as_str(),
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map(drop).map_err(classify)
}
