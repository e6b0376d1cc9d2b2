//! Posting: one transaction a batch, sealed as one block.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::{ClientWrapper, Transaction};
use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{
    classify,
    orders::{from_json, to_json},
    to_i64, to_u64, unreadable,
};
use crate::{
    domain::{
        commission::{Account, Breakage, Run},
        digest::Digest,
        id::{ComponentId, LineId},
        ledger::{self, Entry, EventId, Kind, Position, block_hash, merkle_root},
        money::{Currency, Money},
    },
    stage::message::{Computed, Posted},
    store::PostOutcome,
    stream::ServiceError,
};

pub(super) async fn post(
    client: &mut ClientWrapper,
    runs: &[&Computed],
    now: Timestamp,
) -> Result<Vec<PostOutcome>, ServiceError> {
    let tx = client.transaction().await.map_err(classify)?;
    // One writer at a time seals blocks, so the chain has no forks and no gaps; a batch makes the
    // wait short. Held until commit.
    tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('upline.ledger', 0))", &[])
        .await
        .map_err(classify)?;
    let keys: Vec<String> = runs.iter().map(|c| c.run.order.key.to_string()).collect();
    let revisions = posted_revisions(&tx, &keys).await?;
    let fresh = newest(runs, &keys, &revisions);
    let known: Vec<&str> = fresh
        .iter()
        .filter_map(|at| keys.get(*at))
        .filter(|key| revisions.contains_key(*key))
        .map(String::as_str)
        .collect();
    let positions =
        if known.is_empty() { HashMap::new() } else { posted_positions(&tx, &known).await? };
    let mut posted: BTreeMap<usize, Posted> = BTreeMap::new();
    for at in fresh {
        let (Some(computed), Some(key)) = (runs.get(at), keys.get(at)) else { continue };
        let before = positions.get(key).map_or(&[][..], Vec::as_slice);
        let entries = ledger::post(&computed.run, before);
        let mut trace = computed.trace.clone();
        trace.posted_at = Some(now);
        posted.insert(at, Posted { run: computed.run.clone(), entries, trace });
    }
    if !posted.is_empty() {
        seal(&tx, &posted, &keys, now).await?;
    }
    let mut outcomes = Vec::with_capacity(runs.len());
    for (at, (computed, key)) in runs.iter().zip(&keys).enumerate() {
        outcomes.push(match posted.remove(&at) {
            Some(posted) => PostOutcome::Posted(Box::new(posted)),
            None if is_posted(&revisions, key, computed) => {
                PostOutcome::Already(Box::new(read_back(&tx, computed, key).await?))
            }
            None => PostOutcome::Stale,
        });
    }
    tx.commit().await.map_err(classify)?;
    Ok(outcomes)
}

/// The posted revisions of each order.
async fn posted_revisions(
    tx: &Transaction<'_>,
    keys: &[String],
) -> Result<HashMap<String, BTreeSet<u64>>, ServiceError> {
    let statement = tx
        .prepare_cached(
            "SELECT order_key, revision FROM upline.commission_run WHERE order_key = ANY ($1)",
        )
        .await
        .map_err(classify)?;
    let mut revisions: HashMap<String, BTreeSet<u64>> = HashMap::new();
    for row in tx.query(&statement, &[&keys]).await.map_err(classify)? {
        revisions.entry(row.get(0)).or_default().insert(to_u64(row.get(1)));
    }
    Ok(revisions)
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
    tx: &Transaction<'_>,
    keys: &[&str],
) -> Result<HashMap<String, Vec<ledger::Posted>>, ServiceError> {
    let statement = tx
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
    for row in tx.query(&statement, &[&keys]).await.map_err(classify)? {
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
fn position(
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

/// What was posted for a run that is in the ledger already.
async fn read_back(
    tx: &Transaction<'_>,
    computed: &Computed,
    key: &str,
) -> Result<Posted, ServiceError> {
    let revision = to_i64(computed.run.order.revision);
    let row = tx
        .query_one(
            "SELECT calc_snapshot_json::text, posted_at FROM upline.commission_run
             WHERE order_key = $1 AND revision = $2",
            &[&key, &revision],
        )
        .await
        .map_err(classify)?;
    let run = from_json(row.get(0))?;
    let mut trace = computed.trace.clone();
    trace.posted_at = Some(row.get(1));
    let rows = tx
        .query(
            "SELECT event_id::text, line_id, component, level,
                    CASE kind WHEN 'earned' THEN credit ELSE debit END, kind, amount,
                    corrects::text, breakage, currency
             FROM upline.ledger_entry WHERE order_key = $1 AND revision = $2 ORDER BY seq",
            &[&key, &revision],
        )
        .await
        .map_err(classify)?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        let corrects: Option<String> = row.get(7);
        let kind: &str = row.get(5);
        let breakage: Option<&str> = row.get(8);
        entries.push(Entry {
            event_id: EventId::try_from(row.get::<_, String>(0)).map_err(unreadable)?,
            position: position([row.get(1), row.get(2), row.get(4), row.get(9)], row.get(3))?,
            kind: if kind == Kind::Reversed.as_str() { Kind::Reversed } else { Kind::Earned },
            amount: Money::from_decimal(row.get(6)).map_err(unreadable)?,
            corrects: corrects.map(EventId::try_from).transpose().map_err(unreadable)?,
            breakage: breakage.map(|b| from_json(&format!("\"{b}\""))).transpose()?,
        });
    }
    Ok(Posted { run, entries, trace })
}

/// The columns of the runs of a block, for UNNEST.
#[derive(Default)]
struct RunColumns<'a> {
    keys: Vec<&'a str>,
    revisions: Vec<i64>,
    platforms: Vec<&'a str>,
    stores: Vec<&'a str>,
    orders: Vec<&'a str>,
    statuses: Vec<&'a str>,
    currencies: Vec<&'a str>,
    placed: Vec<Timestamp>,
    received: Vec<Timestamp>,
    order_hashes: Vec<&'a [u8]>,
    genealogy_seqs: Vec<i64>,
    genealogy_hashes: Vec<&'a [u8]>,
    plan_ids: Vec<&'a str>,
    plan_versions: Vec<i32>,
    plan_hashes: Vec<&'a [u8]>,
    engines: Vec<&'a str>,
    snapshots: Vec<String>,
    leaves: Vec<(&'a str, Digest)>,
}

impl<'a> RunColumns<'a> {
    fn push(&mut self, key: &'a str, posted: &'a Posted) -> Result<(), ServiceError> {
        let run = &posted.run;
        let order = &run.order;
        self.keys.push(key);
        self.revisions.push(to_i64(order.revision));
        self.platforms.push(order.key.platform.as_str());
        self.stores.push(order.key.store.as_str());
        self.orders.push(order.key.order_id.as_str());
        self.statuses.push(order.status.as_str());
        self.currencies.push(order.currency.as_str());
        self.placed.push(order.placed_at);
        self.received.push(posted.trace.received_at);
        self.order_hashes.push(run.order_hash.as_bytes());
        self.genealogy_seqs.push(to_i64(order.locks.genealogy.seq));
        self.genealogy_hashes.push(order.locks.genealogy.hash.as_bytes());
        self.plan_ids.push(&order.locks.plan.id);
        self.plan_versions.push(i32::try_from(order.locks.plan.version).unwrap_or(i32::MAX));
        self.plan_hashes.push(order.locks.plan.hash.as_bytes());
        self.engines.push(&run.engine);
        let snapshot = to_json(run)?;
        self.leaves.push((key, ledger::run_leaf(&order.key, order.revision, &snapshot)));
        self.snapshots.push(snapshot);
        Ok(())
    }
}

/// The columns of the entries of a block, for UNNEST.
#[derive(Default)]
struct EntryColumns<'a> {
    events: Vec<String>,
    keys: Vec<&'a str>,
    revisions: Vec<i64>,
    lines: Vec<&'a str>,
    components: Vec<&'a str>,
    levels: Vec<i16>,
    debits: Vec<String>,
    credits: Vec<String>,
    amounts: Vec<Decimal>,
    currencies: Vec<String>,
    kinds: Vec<&'a str>,
    corrects: Vec<Option<String>>,
    breakages: Vec<Option<&'static str>>,
    placed: Vec<Timestamp>,
    leaves: Vec<Digest>,
}

impl<'a> EntryColumns<'a> {
    fn push(&mut self, key: &'a str, posted: &'a Posted, entry: &'a Entry) {
        let order = &posted.run.order;
        self.events.push(entry.event_id.to_string());
        self.keys.push(key);
        self.revisions.push(to_i64(order.revision));
        self.lines.push(entry.position.line.as_str());
        self.components.push(entry.position.component.as_str());
        self.levels.push(i16::try_from(entry.position.level).unwrap_or(i16::MAX));
        self.debits.push(entry.debit());
        self.credits.push(entry.credit());
        self.amounts.push(entry.amount.as_decimal());
        self.currencies.push(entry.position.currency.to_string());
        self.kinds.push(entry.kind.as_str());
        self.corrects.push(entry.corrects.map(|id| id.to_string()));
        self.breakages.push(entry.breakage.map(Breakage::as_str));
        self.placed.push(order.placed_at);
        self.leaves.push(entry.leaf(&order.key, order.revision, order.placed_at));
    }
}

/// Writes the runs and entries of a batch and the block that seals them.
async fn seal(
    tx: &Transaction<'_>,
    posted: &BTreeMap<usize, Posted>,
    keys: &[String],
    now: Timestamp,
) -> Result<(), ServiceError> {
    let mut runs = RunColumns::default();
    let mut entries = EntryColumns::default();
    for (at, posted) in posted {
        let Some(key) = keys.get(*at) else { continue };
        runs.push(key, posted)?;
        for entry in &posted.entries {
            entries.push(key, posted, entry);
        }
    }
    let head = tx
        .query_opt(
            "SELECT number, hash, last_seq FROM upline.ledger_block ORDER BY number DESC LIMIT 1",
            &[],
        )
        .await
        .map_err(classify)?;
    let (last, previous, last_seq) = match &head {
        Some(row) => {
            let hash = Digest::try_from(row.get::<_, &[u8]>(1)).map_err(unreadable)?;
            (to_u64(row.get(0)), hash, row.get(2))
        }
        None => (0, Digest::ZERO, 0i64),
    };
    let number = last.saturating_add(1);
    let count = u64::try_from(entries.events.len()).unwrap_or(u64::MAX);
    runs.leaves.sort_unstable();
    let leaves: Vec<Digest> =
        runs.leaves.iter().map(|(_, leaf)| *leaf).chain(entries.leaves.iter().copied()).collect();
    let root = merkle_root(&leaves);
    let hash = block_hash(number, &previous, &root, count);
    let number = to_i64(number);
    insert_runs(tx, &runs, number, now).await?;
    if count > 0 {
        insert_entries(tx, &entries, last_seq, number, now).await?;
    }
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
            &last_seq.saturating_add(to_i64(count)),
            &now,
        ],
    )
    .await
    .map_err(classify)?;
    Ok(())
}

async fn insert_runs(
    tx: &Transaction<'_>,
    runs: &RunColumns<'_>,
    block: i64,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO upline.commission_run
                 (order_key, revision, platform, store, order_id, status, currency, order_ts,
                  received_at, order_hash, genealogy_seq, genealogy_hash, plan_id, plan_version,
                  plan_hash, engine, calc_snapshot_json, block, posted_at)
             SELECT a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, s::json, $18, $19
             FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                         $7::text[], $8::timestamptz[], $9::timestamptz[], $10::bytea[],
                         $11::bigint[], $12::bytea[], $13::text[], $14::integer[], $15::bytea[],
                         $16::text[], $17::text[])
                  AS c(a, b, d, e, f, g, h, i, j, k, l, m, n, o, p, q, s)",
        )
        .await
        .map_err(classify)?;
    tx.execute(
        &statement,
        &[
            &runs.keys,
            &runs.revisions,
            &runs.platforms,
            &runs.stores,
            &runs.orders,
            &runs.statuses,
            &runs.currencies,
            &runs.placed,
            &runs.received,
            &runs.order_hashes,
            &runs.genealogy_seqs,
            &runs.genealogy_hashes,
            &runs.plan_ids,
            &runs.plan_versions,
            &runs.plan_hashes,
            &runs.engines,
            &runs.snapshots,
            &block,
            &now,
        ],
    )
    .await
    .map_err(classify)?;
    Ok(())
}

async fn insert_entries(
    tx: &Transaction<'_>,
    entries: &EntryColumns<'_>,
    last_seq: i64,
    block: i64,
    now: Timestamp,
) -> Result<(), ServiceError> {
    let statement = tx
        .prepare_cached(
            "INSERT INTO upline.ledger_entry
                 (seq, event_id, order_key, revision, line_id, component, level, debit, credit,
                  amount, currency, kind, corrects, breakage, order_ts, block, posted_at)
             SELECT $15 + at, e::uuid, k, r, l, c, n, d, t, a, u, i, x::uuid, b, o, $16, $17
             FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                         $6::smallint[], $7::text[], $8::text[], $9::numeric[], $10::text[],
                         $11::text[], $12::text[], $13::text[], $14::timestamptz[])
                  WITH ORDINALITY AS v(e, k, r, l, c, n, d, t, a, u, i, x, b, o, at)",
        )
        .await
        .map_err(classify)?;
    tx.execute(
        &statement,
        &[
            &entries.events,
            &entries.keys,
            &entries.revisions,
            &entries.lines,
            &entries.components,
            &entries.levels,
            &entries.debits,
            &entries.credits,
            &entries.amounts,
            &entries.currencies,
            &entries.kinds,
            &entries.corrects,
            &entries.breakages,
            &entries.placed,
            &last_seq,
            &block,
            &now,
        ],
    )
    .await
    .map_err(classify)?;
    Ok(())
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
