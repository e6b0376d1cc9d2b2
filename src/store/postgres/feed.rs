//! What the warehouse follows: the blocks of the ledger, and up to which of them it has everything.
//!
//! One process at a time feeds it, whichever is first to lock the mark; the lock ends with its connection.

use std::{collections::HashMap, ops::RangeInclusive};

use deadpool_postgres::{ClientWrapper, Object};
use futures_util::{FutureExt, future::try_join};
use jiff::{Timestamp, civil::Date};
use tokio_postgres::{Row, types::ToSql};

use super::{
    Postgres, classify,
    journal::{self, OfRuns},
    ledger::position,
    orders::from_json,
    to_i64, to_u64, unreadable,
};
use crate::{
    domain::{
        commission::Run,
        ledger::{Entry, EventId, Kind},
        money::Money,
    },
    stage::message::Trace,
    store::Posting,
    stream::ServiceError,
};

/// A block of the ledger that the warehouse does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its number.
    pub number: u64,
    /// How many entries it has.
    pub entries: u64,
    /// When it was sealed.
    pub posted_at: Timestamp,
}

/// A period that was closed in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedPeriod {
    /// The plan.
    pub plan: String,
    /// The period.
    pub period: String,
    /// Its beginning.
    pub starts_at: Timestamp,
    /// Its end.
    pub ends_at: Timestamp,
    /// When it is paid.
    pub pays_on: Date,
    /// When it was closed.
    pub closed_at: Timestamp,
}

/// An entry of a closed period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeriodLine {
    /// Its number in the period, from 1.
    pub number: i32,
    /// Its identity.
    pub event_id: EventId,
    /// The component.
    pub component: String,
    /// Whose it is: `distributor:ID`, `breakage`, `capped:CAP`, `carried`.
    pub account: String,
    /// Signed: what is taken back is negative.
    pub amount: Money,
    /// In which currency.
    pub currency: String,
    /// Why nobody has it.
    pub reason: Option<String>,
    /// The closed period that it corrects.
    pub corrects: Option<String>,
}

/// What is read back of the ledger at once.
#[derive(Debug)]
pub struct ReadBack {
    /// The last of the blocks.
    pub upto: u64,
    /// What was posted in them.
    pub posted: Vec<Posting>,
    /// The period that was closed in the last of them.
    pub closed: Option<ClosedPeriod>,
}

/// The turn of this process to feed the warehouse. Nobody else has one until it is done or dropped.
#[derive(Debug)]
pub struct Turn {
    client: Object,
    mark: u64,
    ended: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            // Polled once, it is on its way; nobody waits for the answer.
            drop(self.client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

impl Turn {
    /// The blocks behind the mark, at most so many.
    pub async fn blocks(&self, most: u32) -> Result<Vec<Block>, ServiceError> {
        let query = "SELECT number, last_seq - first_seq + 1, posted_at FROM upline.ledger_block
                     WHERE number > $1 ORDER BY number LIMIT $2";
        let given: [&(dyn ToSql + Sync); 2] = [&to_i64(self.mark), &i64::from(most)];
        let block = |row: &Row| Block {
            number: to_u64(row.get(0)),
            entries: to_u64(row.get(1)),
            posted_at: row.get(2),
        };
        Ok(self.query(query, &given).await?.iter().map(block).collect())
    }

    async fn query(
        &self,
        query: &str,
        given: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ServiceError> {
        let statement = self.client.prepare_cached(query).await.map_err(classify)?;
        self.client.query(&statement, given).await.map_err(classify)
    }

    /// Reads back what was posted in these blocks, from the first on: up to so many revisions, but at least
    /// one block, and no further than the first that closed a period.
    pub async fn read_back(
        &self,
        blocks: RangeInclusive<u64>,
        most: usize,
    ) -> Result<ReadBack, ServiceError> {
        let (first, mut last) = (to_i64(*blocks.start()), to_i64(*blocks.end()));
        let query = "SELECT plan_id, period, starts_at, ends_at, pays_on, closed_at, block
                     FROM upline.period_close WHERE block BETWEEN $1 AND $2 ORDER BY block LIMIT 1";
        let closed = self.query(query, &[&first, &last]).await?.into_iter().next();
        if let Some(closed) = &closed {
            last = closed.get(6);
        }
        let query =
            "SELECT block, count(*) FROM upline.commission_run WHERE block BETWEEN $1 AND $2
                     GROUP BY block ORDER BY block";
        let mut revisions = 0;
        for row in self.query(query, &[&first, &last]).await? {
            let block: i64 = row.get(0);
            revisions = to_u64(row.get(1)).saturating_add(revisions);
            if block > first && revisions > u64::try_from(most).unwrap_or(u64::MAX) {
                last = last.min(block.saturating_sub(1));
                break;
            }
        }
        let closed = closed.filter(|row| row.get::<_, i64>(6) == last);
        Ok(ReadBack {
            upto: to_u64(last),
            posted: posted(&self.client, first, last, false).await?,
            closed: closed.map(|row| ClosedPeriod {
                plan: row.get(0),
                period: row.get(1),
                starts_at: row.get(2),
                ends_at: row.get(3),
                pays_on: row.get(4),
                closed_at: row.get(5),
            }),
        })
    }

    /// The entries of a closed period behind this number, in their order, at most so many.
    pub async fn period_lines(
        &self,
        of: &ClosedPeriod,
        after: i32,
        most: u32,
    ) -> Result<Vec<PeriodLine>, ServiceError> {
        let query = "SELECT number, event_id::text, component,
                            CASE debit WHEN 'commission' THEN credit ELSE debit END,
                            CASE debit WHEN 'commission' THEN amount ELSE -amount END,
                            currency, reason, corrects
                     FROM upline.period_entry
                     WHERE plan_id = $1 AND period = $2 AND number > $3 ORDER BY number LIMIT $4";
        let given: [&(dyn ToSql + Sync); 4] = [&of.plan, &of.period, &after, &i64::from(most)];
        self.query(query, &given).await?.iter().map(period_line).collect()
    }

    /// The warehouse has everything up to this block.
    pub async fn done(mut self, upto: u64) -> Result<(), ServiceError> {
        let moved = "UPDATE upline.warehouse_mark SET block = $1";
        let statement = self.client.prepare_cached(moved).await.map_err(classify)?;
        let upto = to_i64(upto);
        let moved: [&(dyn ToSql + Sync); 1] = [&upto];
        let moved = self.client.execute(&statement, &moved);
        try_join(moved, self.client.batch_execute("COMMIT")).await.map_err(classify)?;
        self.ended = true;
        Ok(())
    }
}

impl Postgres {
    /// Up to which block the warehouse has everything, and the last block of the ledger.
    pub async fn warehouse_mark(&self) -> Result<(u64, u64), ServiceError> {
        let query = "SELECT block, coalesce((SELECT number FROM upline.ledger_block
                                             ORDER BY number DESC LIMIT 1), 0)
                     FROM upline.warehouse_mark";
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(classify)?;
        let row = client.query_one(&statement, &[]).await.map_err(classify)?;
        Ok((to_u64(row.get(0)), to_u64(row.get(1))))
    }

    /// Takes the turn; none if another process has it. Rows are written to another server meanwhile, so the
    /// transaction may be idle for longer than the server allows others.
    pub async fn warehouse_turn(&self) -> Result<Option<Turn>, ServiceError> {
        let begin = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0";
        let query = "SELECT block FROM upline.warehouse_mark FOR UPDATE SKIP LOCKED";
        let client = self.client().await?;
        let statement = client.prepare_cached(query).await.map_err(classify)?;
        let mut turn = Turn { client, mark: 0, ended: false };
        let locked = turn.client.query_opt(&statement, &[]);
        let ((), locked) =
            try_join(turn.client.batch_execute(begin), locked).await.map_err(classify)?;
        Ok(locked.map(|row| {
            turn.mark = to_u64(row.get(0));
            turn
        }))
    }

    /// Lets the warehouse be fed again from the first block, or from the block after `mark`. What it
    /// has stays; what comes twice counts once. Waits for a turn that is under way.
    pub async fn feed_warehouse_from(&self, mark: u64) -> Result<(), ServiceError> {
        let moved = "UPDATE upline.warehouse_mark SET block = least($1, block)";
        let client = self.client().await?;
        client.execute(moved, &[&to_i64(mark)]).await.map(drop).map_err(classify)
    }
}

/// Everything that is posted in these blocks, by order and revision; entries of the volume journal only if
/// they are wanted.
pub(super) async fn posted(
    client: &ClientWrapper,
    first: i64,
    last: i64,
    with_volumes: bool,
) -> Result<Vec<Posting>, ServiceError> {
    let runs = "SELECT order_key, revision, calc_snapshot_json::text, block, posted_at, received_at,
                       validated_at, mapped_at, computed_at
                FROM upline.commission_run WHERE block BETWEEN $1 AND $2 ORDER BY order_key, revision";
    let statement = client.prepare_cached(runs).await.map_err(classify)?;
    let runs = client.query(&statement, &[&first, &last]).await.map_err(classify)?;
    let mut entries = entries(client, first, last).await?;
    let mut volumes: Option<OfRuns> = None;
    let mut postings = Vec::with_capacity(runs.len());
    for row in runs {
        let run: Run = from_json(row.get(2))?;
        if with_volumes && volumes.is_none() && run.volumes.is_some() {
            volumes = Some(journal::of_blocks(client, first, last).await?);
        }
        let of = (row.get(0), row.get(1));
        postings.push(Posting {
            run,
            entries: entries.remove(&of).unwrap_or_default(),
            volumes: volumes.as_mut().and_then(|all| all.remove(&of)).unwrap_or_default(),
            block: to_u64(row.get(3)),
            at: row.get(4),
            trace: Trace {
                received_at: row.get(5),
                validated_at: row.get(6),
                mapped_at: row.get(7),
                computed_at: row.get(8),
            },
        });
    }
    Ok(postings)
}

/// The entries of each revision in these blocks.
async fn entries(
    client: &ClientWrapper,
    first: i64,
    last: i64,
) -> Result<HashMap<(String, i64), Vec<Entry>>, ServiceError> {
    // Of entries the blocks know the numbers; nothing else leads to them.
    let query = "SELECT order_key, revision, event_id::text, line_id, component, level,
                CASE kind WHEN 'earned' THEN credit ELSE debit END, currency, kind, amount,
                corrects::text, breakage
         FROM upline.ledger_entry
         WHERE seq BETWEEN (SELECT min(first_seq) FROM upline.ledger_block WHERE number BETWEEN $1 AND $2)
                       AND (SELECT max(last_seq) FROM upline.ledger_block WHERE number BETWEEN $1 AND $2)
         ORDER BY seq";
    let statement = client.prepare_cached(query).await.map_err(classify)?;
    let mut of_run: HashMap<(String, i64), Vec<Entry>> = HashMap::new();
    for row in client.query(&statement, &[&first, &last]).await.map_err(classify)? {
        of_run.entry((row.get(0), row.get(1))).or_default().push(entry(&row)?);
    }
    Ok(of_run)
}

/// An entry as it stands in the ledger.
fn entry(row: &Row) -> Result<Entry, ServiceError> {
    let kind: &str = row.get(8);
    let corrects: Option<String> = row.get(10);
    let breakage: Option<&str> = row.get(11);
    Ok(Entry {
        event_id: EventId::try_from(row.get::<_, String>(2)).map_err(unreadable)?,
        position: position([row.get(3), row.get(4), row.get(6), row.get(7)], row.get(5))?,
        kind: if kind == Kind::Reversed.as_str() { Kind::Reversed } else { Kind::Earned },
        amount: Money::from_decimal(row.get(9)).map_err(unreadable)?,
        corrects: corrects.map(EventId::try_from).transpose().map_err(unreadable)?,
        breakage: breakage.map(|b| from_json(&format!("\"{b}\""))).transpose()?,
    })
}

fn period_line(row: &Row) -> Result<PeriodLine, ServiceError> {
    Ok(PeriodLine {
        number: row.get(0),
        event_id: EventId::try_from(row.get::<_, String>(1)).map_err(unreadable)?,
        component: row.get(2),
        account: row.get(3),
        amount: Money::from_decimal(row.get(4)).map_err(unreadable)?,
        currency: row.get(5),
        reason: row.get(6),
        corrects: row.get(7),
    })
}
