//! Facts about ranks in Postgres: appended by closes and by hand, read as a chain.

use std::{error::Error, pin::pin};

use deadpool_postgres::{ClientWrapper, Transaction};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::{
    Row,
    binary_copy::{BinaryCopyInWriter, BinaryCopyOutRow, BinaryCopyOutStream},
    types::{ToSql, Type},
};

use super::{
    Closing, Postgres, classify,
    company::{EVENTS, YIELD},
    to_i64, to_u64, unreadable,
};
use crate::{
    domain::{
        commission::{RankBooks, RankLine, RankRecord, RankSource, RankVersion, Span, held_from},
        digest::Digest,
        genealogy::Genealogy,
        id::RankId,
    },
    stream::ServiceError,
};

/// Held until commit: whoever numbers facts does it after those before are visible.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('upline.rank_fact', 0))";

/// The columns of a fact, in their order.
const COLUMNS: &str =
    "seq, plan_id, distributor_id, rank, source, hold, raises_title, effective_at,
    ends_at, period, decided_by, reason, recorded_at, hash, highest, bonuses";

const TYPES: [Type; 16] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::BOOL,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::BYTEA,
    Type::TEXT,
    Type::TEXT,
];

/// The number of the last fact.
pub(super) async fn last(client: &ClientWrapper) -> Result<u64, ServiceError> {
    let last = "SELECT coalesce(max(seq), 0) FROM upline.rank_fact";
    Ok(to_u64(client.query_one(last, &[]).await.map_err(classify)?.get(0)))
}

/// Applies the facts after the last one in memory up to a number, a page at a time, as the events of
/// the genealogy are read. The tree knows everybody of whom they are.
pub(super) async fn catch_up(
    client: &ClientWrapper,
    books: &mut RankBooks,
    tree: &Genealogy,
    upto: u64,
) -> Result<(), ServiceError> {
    while books.version().seq < upto {
        let first = books.version().seq;
        let end = first.saturating_add(EVENTS).min(upto);
        // The numbers are ours: a copy takes no parameters.
        let copy = format!(
            "COPY (SELECT {COLUMNS} FROM upline.rank_fact WHERE seq > {first} AND seq <= {end}
                   ORDER BY seq) TO STDOUT (FORMAT binary)"
        );
        let stream = client.copy_out(&copy).await.map_err(classify)?;
        let mut rows = pin!(BinaryCopyOutStream::new(stream, &TYPES));
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let line = line(&row).map_err(unreadable)?;
            books.apply(&line, tree).map_err(unreadable)?;
            if line.seq.is_multiple_of(YIELD) {
                tokio::task::yield_now().await;
            }
        }
        if books.version().seq < end {
            return Err(unreadable(format!("rank facts up to {end} are not there: {first}")));
        }
    }
    Ok(())
}

fn line(row: &BinaryCopyOutRow) -> Result<RankLine<'_>, Box<dyn Error + Send + Sync>> {
    Ok(RankLine {
        seq: to_u64(row.try_get(0)?),
        plan: row.try_get(1)?,
        distributor: row.try_get(2)?,
        rank: row.try_get(3)?,
        source: RankSource::parse(row.try_get(4)?, row.try_get(5)?, row.try_get(8)?)?,
        raises_title: row.try_get(6)?,
        effective_at: row.try_get(7)?,
        period: row.try_get(9)?,
        by: row.try_get(10)?,
        why: row.try_get(11)?,
        recorded_at: row.try_get(12)?,
        hash: Digest::try_from(row.try_get::<&[u8]>(13)?)?,
        highest: row.try_get(14)?,
        bonuses: row.try_get(15)?,
    })
}

fn record(row: &Row) -> Result<RankRecord, ServiceError> {
    let source = RankSource::parse(row.get(4), row.get(5), row.get(8)).map_err(unreadable)?;
    let line = RankLine {
        seq: to_u64(row.get(0)),
        plan: row.get(1),
        distributor: row.get(2),
        rank: row.get(3),
        source,
        raises_title: row.get(6),
        effective_at: row.get(7),
        period: row.get(9),
        by: row.get(10),
        why: row.get(11),
        recorded_at: row.get(12),
        hash: Digest::try_from(row.get::<_, &[u8]>(13)).map_err(unreadable)?,
        highest: row.get(14),
        bonuses: row.get(15),
    };
    line.record().map_err(unreadable)
}

/// Lets nobody else append facts until the transaction ends.
pub(super) async fn lock(tx: &Transaction<'_>) -> Result<(), ServiceError> {
    tx.execute(LOCK, &[]).await.map(drop).map_err(classify)
}

/// Appends what a close found, under the lock. `false` if there are facts about ranks of its plan that
/// it was not computed from.
pub(super) async fn of_close(
    tx: &Transaction<'_>,
    closing: &Closing<'_>,
) -> Result<bool, ServiceError> {
    let (plan, period) = (&*closing.basis.plan.id, &closing.basis.period);
    let known = closing.basis.ranks.map_or(0, |ranks| ranks.seq);
    let newer = "SELECT EXISTS (SELECT FROM upline.rank_fact WHERE seq > $1 AND plan_id = $2)";
    let row = tx.query_one(newer, &[&to_i64(known), &plan]).await.map_err(classify)?;
    if row.get(0) {
        return Ok(false);
    }
    let lines = closing.ranks.iter().map(|change| RankLine {
        rank: change.rank.as_ref().map(RankId::as_str),
        period: Some(period.id.as_str()),
        ..blank(plan, change.distributor.as_str(), RankSource::PeriodClose, period.end)
    });
    append(tx, lines).await?;
    Ok(true)
}

/// A fact to be filled in; number, time of recording and hash are given when it is appended.
pub(super) fn blank<'a>(
    plan: &'a str,
    distributor: &'a str,
    source: RankSource,
    effective_at: Timestamp,
) -> RankLine<'a> {
    RankLine {
        seq: 0,
        plan,
        distributor,
        rank: None,
        source,
        raises_title: false,
        effective_at,
        period: None,
        by: None,
        why: None,
        highest: None,
        bonuses: None,
        recorded_at: Timestamp::UNIX_EPOCH,
        hash: Digest::ZERO,
    }
}

/// Numbers, chains and writes facts, under the lock; the last version.
pub(super) async fn append<'a>(
    tx: &Transaction<'_>,
    lines: impl Iterator<Item = RankLine<'a>>,
) -> Result<RankVersion, ServiceError> {
    let head = "SELECT clock_timestamp(), seq, hash FROM (SELECT 1) one
                LEFT JOIN (SELECT seq, hash FROM upline.rank_fact ORDER BY seq DESC LIMIT 1) last
                ON true";
    let row = tx.query_one(head, &[]).await.map_err(classify)?;
    let recorded_at = row.get(0);
    let mut version = match row.get::<_, Option<i64>>(1) {
        Some(seq) => RankVersion {
            seq: to_u64(seq),
            hash: Digest::try_from(row.get::<_, &[u8]>(2)).map_err(unreadable)?,
        },
        None => RankVersion::default(),
    };
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(version);
    }
    let into = format!("COPY upline.rank_fact ({COLUMNS}) FROM STDIN BINARY");
    let sink = tx.copy_in(&into).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for mut line in lines {
        line.seq = version.seq.saturating_add(1);
        line.recorded_at = recorded_at;
        line.hash = line.chained(&version.hash);
        version = RankVersion { seq: line.seq, hash: line.hash };
        let row: [&(dyn ToSql + Sync); 16] = [
            &to_i64(line.seq),
            &line.plan,
            &line.distributor,
            &line.rank,
            &line.source.as_str(),
            &line.source.hold(),
            &line.raises_title,
            &line.effective_at,
            &line.source.until(),
            &line.period,
            &line.by,
            &line.why,
            &line.recorded_at,
            &line.hash.as_bytes().as_slice(),
            &line.highest,
            &line.bonuses,
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map_err(classify)?;
    Ok(version)
}

/// What somebody decides about the rank of a distributor.
#[derive(Debug, Clone, Copy)]
pub struct RankDecision<'a> {
    /// The id of the plan whose rank it is.
    pub plan: &'a str,
    /// Who.
    pub distributor: &'a str,
    /// The rank; `None` below the first, and where the decision clears a forced one.
    pub rank: Option<&'a str>,
    /// How it is forced, or that it is cleared, and until when.
    pub source: RankSource,
    /// Whether it counts as reached for good.
    pub raises_title: bool,
    /// From when on.
    pub from: Timestamp,
    /// Who decides it.
    pub by: &'a str,
    /// Why.
    pub why: &'a str,
}

/// What became of forced ranks that were ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleared {
    /// The times in which they would have held; none where none was in force.
    pub spans: Vec<Span>,
    /// The forced ranks that begin later, and remain.
    pub later: Vec<RankRecord>,
}

impl Postgres {
    /// Records what somebody decided; the number of the fact. One that begins in a closed period is
    /// refused.
    pub async fn decide_rank(&self, decision: &RankDecision<'_>) -> Result<u64, ServiceError> {
        let RankDecision { plan, distributor, rank, source, raises_title, from, by, why } =
            *decision;
        let (by, why) = (Some(by), Some(why));
        let line =
            RankLine { rank, raises_title, by, why, ..blank(plan, distributor, source, from) };
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        lock(&tx).await?;
        let version = append(&tx, std::iter::once(line)).await?;
        tx.commit().await.map_err(classify)?;
        Ok(version.seq)
    }

    /// Ends the forced ranks that are in force at an instant, from then on, and leaves those that begin
    /// later; `decision` says of whom and when. The numbers of the facts.
    pub async fn end_ranks(&self, decision: &RankDecision<'_>) -> Result<Cleared, ServiceError> {
        let RankDecision { plan, distributor, from, by, why, .. } = *decision;
        let query = format!(
            "SELECT {COLUMNS} FROM upline.rank_fact
             WHERE source IN ('forced', 'cleared') AND plan_id = $1 AND distributor_id = $2 ORDER BY seq"
        );
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        lock(&tx).await?;
        let rows = tx.query(&query, &[&plan, &distributor]).await.map_err(classify)?;
        let decided: Result<Vec<RankRecord>, _> = rows.iter().map(record).collect();
        let decided = decided?;
        let (spans, later) = held_from(&decided, from);
        let later = later.into_iter().cloned().collect();
        if !spans.is_empty() {
            let lines = spans.iter().map(|(begin, until)| {
                let source = RankSource::Cleared { until: *until };
                let (by, why) = (Some(by), Some(why));
                RankLine { by, why, ..blank(plan, distributor, source, *begin) }
            });
            append(&tx, lines).await?;
            tx.commit().await.map_err(classify)?;
        }
        Ok(Cleared { spans, later })
    }

    /// What people decided about the ranks of a plan, up to a number.
    pub async fn decided_ranks(
        &self,
        plan: &str,
        upto: u64,
    ) -> Result<Vec<RankRecord>, ServiceError> {
        let query = format!(
            "SELECT {COLUMNS} FROM upline.rank_fact
             WHERE source IN ('forced', 'cleared') AND plan_id = $1 AND seq <= $2 ORDER BY seq"
        );
        let client = self.client().await?;
        let rows = client.query(&query, &[&plan, &to_i64(upto)]).await.map_err(classify)?;
        rows.iter().map(record).collect()
    }

    /// All facts about these distributors, up to a number.
    pub async fn ranks_of(
        &self,
        distributors: &[&str],
        upto: u64,
    ) -> Result<Vec<RankRecord>, ServiceError> {
        let query = format!(
            "SELECT {COLUMNS} FROM upline.rank_fact
             WHERE distributor_id = ANY($1) AND seq <= $2 ORDER BY seq"
        );
        let client = self.client().await?;
        let rows = client.query(&query, &[&distributors, &to_i64(upto)]).await.map_err(classify)?;
        rows.iter().map(record).collect()
    }
}
