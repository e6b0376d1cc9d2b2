//! The volume journal: what it has of orders, and the whole of it for a close.

use std::{collections::HashMap, error::Error, pin::pin};

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{
    Row, Statement,
    binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream},
    types::Type,
};

use super::{Postgres, classify, to_u64, unreadable};
use crate::{
    domain::{
        commission::VolumeSource,
        id::{DistributorId, LineId},
        journal::{PostedVolume, VolumeEntry, VolumePosition},
        ledger::EventId,
        plan::volume::LineVolumes,
        volume::Volume,
    },
    store::{JournalPage, JournalRange},
    stream::ServiceError,
};

/// Entries read in one statement, which so stays far below the time limit of statements.
const PART: u64 = 250_000;
/// Entries handed over at a time.
const PAGE: usize = 10_000;

/// What the journal has of each order.
pub(super) type Journals = HashMap<String, Vec<PostedVolume>>;
/// The entries of each order and revision.
pub(super) type OfRuns = HashMap<(String, i64), Vec<VolumeEntry>>;

/// The statement of [`posted`].
pub(super) async fn posted_statement(client: &ClientWrapper) -> Result<Statement, ServiceError> {
    let query = "SELECT order_key, line_id, distributor_id, source, order_ts, sum(pv)::bigint,
                sum(qv)::bigint, sum(cv)::bigint,
                (array_agg(event_id::text ORDER BY seq DESC))[1]
         FROM upline.volume_entry WHERE order_key = ANY ($1) GROUP BY 1, 2, 3, 4, 5";
    client.prepare_cached(query).await.map_err(classify)
}

/// What the journal has on each position of the orders.
pub(super) async fn posted(
    client: &ClientWrapper,
    statement: &Statement,
    keys: &[&str],
) -> Result<Journals, ServiceError> {
    let mut journals = Journals::new();
    for row in client.query(statement, &[&keys]).await.map_err(classify)? {
        let posted = PostedVolume {
            position: position(&row, 1)?,
            amount: amount(&row, 5),
            last: EventId::try_from(row.get::<_, String>(8)).map_err(unreadable)?,
        };
        journals.entry(row.get(0)).or_default().push(posted);
    }
    Ok(journals)
}

/// The position in the columns from `first` on: line, distributor, source, time.
fn position(row: &Row, first: usize) -> Result<VolumePosition, ServiceError> {
    let column = |nth: usize| first.saturating_add(nth);
    Ok(VolumePosition {
        line: LineId::parse(row.get(column(0))).map_err(unreadable)?,
        distributor: DistributorId::parse(row.get(column(1))).map_err(unreadable)?,
        source: source(row.get(column(2))).map_err(unreadable)?,
        placed_at: row.get(column(3)),
    })
}

fn source(name: &str) -> Result<VolumeSource, Box<dyn Error + Send + Sync>> {
    VolumeSource::parse(name).ok_or_else(|| format!("{name:?} is no source of volume").into())
}

/// The volumes in the columns from `first` on: PV, QV, CV.
fn amount(row: &Row, first: usize) -> LineVolumes {
    let volume = |nth: usize| Volume::from_parts(row.get(first.saturating_add(nth)));
    LineVolumes { pv: volume(0), qv: volume(1), cv: volume(2) }
}

/// Every entry of these blocks, by order and revision.
pub(super) async fn of_blocks(
    client: &ClientWrapper,
    first: i64,
    last: i64,
) -> Result<OfRuns, ServiceError> {
    let query = "SELECT order_key, revision, line_id, distributor_id, source, order_ts, pv, qv, cv,
                event_id::text, corrects::text
         FROM upline.volume_entry
         WHERE seq BETWEEN
             (SELECT min(first_volume) FROM upline.ledger_block WHERE number BETWEEN $1 AND $2)
             AND (SELECT max(last_volume) FROM upline.ledger_block WHERE number BETWEEN $1 AND $2)
         ORDER BY seq";
    let statement = client.prepare_cached(query).await.map_err(classify)?;
    let mut of_runs = OfRuns::new();
    for row in client.query(&statement, &[&first, &last]).await.map_err(classify)? {
        of_runs.entry((row.get(0), row.get(1))).or_default().push(entry(&row)?);
    }
    Ok(of_runs)
}

/// An entry with its number.
#[derive(Debug, Clone, Serialize)]
pub struct NumberedVolume {
    /// Its number in the journal.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub entry: VolumeEntry,
    /// The number of the entry that it corrects.
    pub corrects_seq: Option<u64>,
}

/// The entries of one order in the order of their numbers, each with its revision.
pub(super) async fn numbered(
    client: &ClientWrapper,
    order: &str,
) -> Result<Vec<(u64, NumberedVolume)>, ServiceError> {
    let query = "SELECT e.seq, e.revision, e.line_id, e.distributor_id, e.source, e.order_ts, e.pv,
                e.qv, e.cv, e.event_id::text, e.corrects::text, c.seq
         FROM upline.volume_entry e LEFT JOIN upline.volume_entry c ON c.event_id = e.corrects
         WHERE e.order_key = $1 ORDER BY e.seq";
    let rows = client.query(query, &[&order]).await.map_err(classify)?;
    let number = |row: &Row| -> Result<(u64, NumberedVolume), ServiceError> {
        let corrects_seq = row.get::<_, Option<i64>>(11).map(to_u64);
        let (seq, entry) = (to_u64(row.get(0)), entry(row)?);
        Ok((to_u64(row.get(1)), NumberedVolume { seq, entry, corrects_seq }))
    };
    rows.iter().map(number).collect()
}

/// An entry from a row with the columns from the third on as the two queries here have them.
fn entry(row: &Row) -> Result<VolumeEntry, ServiceError> {
    let corrects: Option<String> = row.get(10);
    Ok(VolumeEntry {
        event_id: EventId::try_from(row.get::<_, String>(9)).map_err(unreadable)?,
        position: position(row, 2)?,
        amount: amount(row, 6),
        corrects: corrects.map(EventId::try_from).transpose().map_err(unreadable)?,
    })
}

/// The columns of an entry, in the order of the copy.
const ENTRY: [Type; 7] =
    [Type::INT8, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ, Type::INT8, Type::INT8, Type::INT8];

fn add(
    page: &mut JournalPage,
    row: &BinaryCopyOutRow,
    number: &mut impl FnMut(&str) -> u32,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    page.seq.push(to_u64(row.try_get(0)?));
    page.member.push(number(row.try_get(1)?));
    page.source.push(source(row.try_get(2)?)?);
    page.placed_at.push(row.try_get(3)?);
    page.pv.push(Volume::from_parts(row.try_get(4)?));
    page.qv.push(Volume::from_parts(row.try_get(5)?));
    page.cv.push(Volume::from_parts(row.try_get(6)?));
    Ok(())
}

/// The first whole microsecond that is not before an instant: times are stored in these.
fn microseconds(at: Timestamp) -> i64 {
    let whole = at.as_microsecond();
    let rest = Timestamp::from_microsecond(whole).is_ok_and(|floor| floor < at);
    whole.saturating_add(i64::from(rest))
}

impl Postgres {
    /// The number of the last entry in the volume journal. Entries are numbered in the order of their
    /// commit and never change, so what lies up to a number is the same for ever.
    pub async fn last_volume(&self) -> Result<u64, ServiceError> {
        let client = self.client().await?;
        let last = "SELECT coalesce(max(seq), 0) FROM upline.volume_entry";
        Ok(to_u64(client.query_one(last, &[]).await.map_err(classify)?.get(0)))
    }

    /// Reads a part of the volume journal, as columns of at most ten thousand entries at a time, in the
    /// order of their numbers. `number` gives a distributor the number by which the columns name them.
    pub async fn volume_journal(
        &self,
        range: JournalRange,
        mut number: impl FnMut(&str) -> u32,
        mut take: impl FnMut(&JournalPage),
    ) -> Result<(), ServiceError> {
        let upto = range.upto.min(self.last_volume().await?);
        let client = self.client().await?;
        let mut page = JournalPage::default();
        let (mut first, before) = (range.after, microseconds(range.before));
        while first < upto {
            let end = first.saturating_add(PART).min(upto);
            // The numbers are ours: a copy takes no parameters.
            let copy = format!(
                "COPY (SELECT seq, distributor_id, source, order_ts, pv, qv, cv
                       FROM upline.volume_entry WHERE seq > {first} AND seq <= {end}
                       AND order_ts < timestamptz 'epoch' + interval '{before} microseconds'
                       ORDER BY seq) TO STDOUT (FORMAT binary)"
            );
            let stream = client.copy_out(&copy).await.map_err(classify)?;
            let mut rows = pin!(BinaryCopyOutStream::new(stream, &ENTRY));
            while let Some(row) = rows.try_next().await.map_err(classify)? {
                add(&mut page, &row, &mut number).map_err(unreadable)?;
                if page.len() >= PAGE {
                    take(&page);
                    page.clear();
                }
            }
            first = end;
        }
        if !page.is_empty() {
            take(&page);
        }
        Ok(())
    }
}
