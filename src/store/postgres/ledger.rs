//! Posting: one transaction a batch, sealed as one block.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::ClientWrapper;
use futures_util::{
    FutureExt,
    future::{OptionFuture, join, join4},
};
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{Row, Statement};

use super::{
    classify,
    journal::{self, Journals},
    orders::from_json,
    seal::{self, Head, Posting, Sealed},
    to_u64, unreadable,
};
use crate::{
    domain::{
        self,
        commission::{Account, Run},
        id::{ComponentId, LineId},
        journal::VolumeEntry,
        ledger::{self, Entry, EventId, Position},
        money::{Currency, Money},
    },
    stage::message::Computed,
    store::PostOutcome,
    stream::ServiceError,
};

/// The statements of posting. They are prepared before a transaction begins: what goes out together
/// must not wait for a preparation in between.
struct Statements {
    lock: Statement,
    head: Statement,
    revisions: Statement,
    write: seal::Statements,
    /// What the journal has of orders; `None` for a batch without volumes.
    volumes: Option<Statement>,
}

impl Statements {
    async fn of(client: &ClientWrapper, volumes: bool) -> Result<Self, ServiceError> {
        let revisions =
            "SELECT order_key, revision FROM upline.commission_run WHERE order_key = ANY ($1)";
        let head = if volumes { seal::HEAD_WITH_VOLUMES } else { seal::HEAD };
        Ok(Self {
            lock: client.prepare_cached(seal::LOCK).await.map_err(classify)?,
            head: client.prepare_cached(head).await.map_err(classify)?,
            revisions: client.prepare_cached(revisions).await.map_err(classify)?,
            write: seal::Statements::of(client, volumes).await?,
            volumes: if volumes { Some(journal::posted_statement(client).await?) } else { None },
        })
    }
}

/// A transaction that was begun by hand, so that its first statements go out with the BEGIN and its
/// last with the COMMIT. Dropped before its end, it is rolled back before whoever uses the connection
/// next.
struct Begun<'c> {
    client: &'c ClientWrapper,
    ended: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Polled once, it is on its way; nobody waits for the answer.
            drop(self.client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

/// Two round trips for a small batch of new orders: all that is to be known, all that is to be written.
pub(super) async fn post(
    client: &ClientWrapper,
    runs: &[&Computed],
    now: Timestamp,
) -> Result<Vec<PostOutcome>, ServiceError> {
    let keys: Vec<String> = runs.iter().map(|c| c.run.order.key.to_string()).collect();
    // Whether the plan of any of these orders has volumes: otherwise nothing asks for the journal.
    let volumes = runs.iter().any(|computed| computed.run.volumes.is_some());
    let statements = Statements::of(client, volumes).await?;
    let mut transaction = Begun { client, ended: false };
    let (begun, locked, head, revisions) = join4(
        client.batch_execute("BEGIN"),
        client.execute(&statements.lock, &[]),
        client.query_opt(&statements.head, &[]),
        client.query(&statements.revisions, &[&keys]),
    )
    .await;
    begun.map_err(classify)?;
    locked.map_err(classify)?;
    let head = Head::of(head.map_err(classify)?.as_ref())?;
    let revisions = posted_revisions(&revisions.map_err(classify)?);
    let fresh = newest(runs, &keys, &revisions);
    let known: Vec<&str> = fresh
        .iter()
        .filter_map(|at| keys.get(*at))
        .filter(|key| revisions.contains_key(*key))
        .map(String::as_str)
        .collect();
    let (positions, journal) = posted_before(client, &statements, &known).await?;
    let mut posted: BTreeMap<usize, (Vec<Entry>, Vec<VolumeEntry>)> = BTreeMap::new();
    for at in fresh {
        let (Some(computed), Some(key)) = (runs.get(at), keys.get(at)) else { continue };
        let before = positions.get(key).map_or(&[][..], Vec::as_slice);
        let volumes = journal.get(key).map_or(&[][..], Vec::as_slice);
        let volumes = domain::journal::post(&computed.run, volumes);
        posted.insert(at, (ledger::post(&computed.run, before), volumes));
    }
    let mut block = 0;
    if !posted.is_empty() {
        let batch: Vec<Posting<'_>> = posted
            .iter()
            .filter_map(|(at, (entries, volumes))| {
                let (key, computed) = (keys.get(*at)?, runs.get(*at)?);
                Some(Posting { key, computed, entries, volumes })
            })
            .collect();
        let sealed = Sealed::new(&batch, &head, now)?;
        block = to_u64(sealed.number);
        sealed.commit(client, &statements.write).await?;
        transaction.ended = true;
    }
    let mut outcomes = Vec::with_capacity(runs.len());
    for (at, (computed, key)) in runs.iter().zip(&keys).enumerate() {
        outcomes.push(match posted.remove(&at) {
            Some((entries, _volumes)) => PostOutcome::Posted { entries, block },
            None if is_posted(&revisions, key, computed) => PostOutcome::Already,
            None => PostOutcome::Stale,
        });
    }
    Ok(outcomes)
}

/// What is posted for orders that are known, money and volumes in one round trip.
async fn posted_before(
    client: &ClientWrapper,
    statements: &Statements,
    known: &[&str],
) -> Result<(HashMap<String, Vec<ledger::Posted>>, Journals), ServiceError> {
    if known.is_empty() {
        return Ok((HashMap::new(), Journals::new()));
    }
    let volumes = statements.volumes.as_ref();
    let volumes = volumes.map(|statement| journal::posted(client, statement, known));
    let (positions, volumes) =
        join(posted_positions(client, known), OptionFuture::from(volumes)).await;
    Ok((positions?, volumes.transpose()?.unwrap_or_default()))
}

/// The posted revisions of each order.
fn posted_revisions(rows: &[Row]) -> HashMap<String, BTreeSet<u64>> {
    let mut revisions: HashMap<String, BTreeSet<u64>> = HashMap::new();
    for row in rows {
        revisions.entry(row.get(0)).or_default().insert(to_u64(row.get(1)));
    }
    revisions
}

fn is_posted(revisions: &HashMap<String, BTreeSet<u64>>, key: &str, computed: &Computed) -> bool {
    revisions.get(key).is_some_and(|posted| posted.contains(&computed.run.order.revision))
}

/// Which runs are to be posted: of each order the newest in the batch, if newer than what is there.
fn newest(
    runs: &[&Computed],
    keys: &[String],
    revisions: &HashMap<String, BTreeSet<u64>>,
) -> Vec<usize> {
    let mut best: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for (at, (computed, key)) in runs.iter().zip(keys).enumerate() {
        let revision = computed.run.order.revision;
        if revisions.get(key).and_then(BTreeSet::last).is_some_and(|posted| *posted >= revision) {
            continue;
        }
        let known = best.entry(key).or_insert((revision, at));
        if revision > known.0 {
            *known = (revision, at);
        }
    }
    let mut fresh: Vec<usize> = best.into_values().map(|(_, at)| at).collect();
    fresh.sort_unstable();
    fresh
}

/// What is posted on each position of the orders.
async fn posted_positions(
    client: &ClientWrapper,
    keys: &[&str],
) -> Result<HashMap<String, Vec<ledger::Posted>>, ServiceError> {
    let statement = client
        .prepare_cached(
            "SELECT order_key, line_id, component, level,
                    CASE kind WHEN 'earned' THEN credit ELSE debit END,
                    sum(CASE kind WHEN 'earned' THEN amount ELSE -amount END),
                    (array_agg(event_id::text ORDER BY seq DESC) FILTER (WHERE kind = 'earned'))[1],
                    currency
             FROM upline.ledger_entry WHERE order_key = ANY ($1) GROUP BY 1, 2, 3, 4, 5, currency",
        )
        .await
        .map_err(classify)?;
    let mut positions: HashMap<String, Vec<ledger::Posted>> = HashMap::new();
    for row in client.query(&statement, &[&keys]).await.map_err(classify)? {
        let amount: Decimal = row.get(5);
        let last: Option<String> = row.get(6);
        let posted = ledger::Posted {
            position: position([row.get(1), row.get(2), row.get(4), row.get(7)], row.get(3))?,
            amount: Money::from_decimal(amount).map_err(unreadable)?,
            last_earned: last.map(EventId::try_from).transpose().map_err(unreadable)?,
        };
        positions.entry(row.get(0)).or_default().push(posted);
    }
    Ok(positions)
}

/// A position from its line, component, account and currency, and its level.
pub(super) fn position(
    [line, component, account, currency]: [&str; 4],
    level: i16,
) -> Result<Position, ServiceError> {
    Ok(Position {
        line: LineId::parse(line).map_err(unreadable)?,
        component: ComponentId::parse(component).map_err(unreadable)?,
        level: u16::try_from(level).map_err(unreadable)?,
        account: Account::try_from(account.to_owned()).map_err(unreadable)?,
        currency: Currency::parse(currency).map_err(unreadable)?,
    })
}

impl super::Postgres {
    /// The newest posted calculation of each order that `order` names: by its key
    /// `platform/store/id`, or by the platform's id alone.
    pub async fn latest_runs(&self, order: &str) -> Result<Vec<Run>, ServiceError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT DISTINCT ON (order_key) calc_snapshot_json::text
                 FROM upline.commission_run WHERE order_key = $1 OR order_id = $1
                 ORDER BY order_key, revision DESC",
                &[&order],
            )
            .await
            .map_err(classify)?;
        rows.iter().map(|row| from_json(row.get(0))).collect()
    }

    /// How many orders have a posted revision.
    pub async fn posted_orders(&self) -> Result<u64, ServiceError> {
        let client = self.client().await?;
        let row = client
            .query_one("SELECT count(DISTINCT order_key) FROM upline.commission_run", &[])
            .await
            .map_err(classify)?;
        Ok(to_u64(row.get(0)))
    }
}
