//! Sealing: the calculations and entries of a batch, and the block over them.
//!
//! The rows go in by COPY in its binary form: of the ways into a table it costs the server the least.

use std::{error::Error, pin::pin};

use bytes::{BufMut, BytesMut};
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{classify, orders::to_json, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        commission::Breakage,
        digest::Digest,
        ledger::{self, Entry, EventId, block_hash, merkle_root},
    },
    stage::message::Computed,
    stream::ServiceError,
};

/// The identity of an entry as Postgres stores a UUID.
#[derive(Debug)]
struct Uuid(EventId);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::UUID
    }

    to_sql_checked!();
}

/// A revision on its way into the ledger.
#[derive(Clone, Copy)]
pub(super) struct Posting<'a> {
    /// The key of the order.
    pub(super) key: &'a str,
    /// The calculation.
    pub(super) computed: &'a Computed,
    /// Its entries.
    pub(super) entries: &'a [Entry],
}

/// Where the chain of blocks ends.
struct Head {
    number: i64,
    hash: Digest,
    last_seq: i64,
}

async fn head(tx: &Transaction<'_>) -> Result<Head, ServiceError> {
    let newest =
        "SELECT number, hash, last_seq FROM upline.ledger_block ORDER BY number DESC LIMIT 1";
    let statement = tx.prepare_cached(newest).await.map_err(classify)?;
    match tx.query_opt(&statement, &[]).await.map_err(classify)? {
        Some(row) => {
            let hash = Digest::try_from(row.get::<_, &[u8]>(1)).map_err(unreadable)?;
            Ok(Head { number: row.get(0), hash, last_seq: row.get(2) })
        }
        None => Ok(Head { number: 0, hash: Digest::ZERO, last_seq: 0 }),
    }
}

/// Writes the runs and entries of a batch and the block that seals them.
pub(super) async fn seal(
    tx: &Transaction<'_>,
    postings: &[Posting<'_>],
    now: Timestamp,
) -> Result<(), ServiceError> {
    let mut snapshots = Vec::with_capacity(postings.len());
    let mut run_leaves = Vec::with_capacity(postings.len());
    let mut entry_leaves = Vec::new();
    for Posting { key, computed, entries } in postings {
        let order = &computed.run.order;
        let snapshot = to_json(&computed.run)?;
        run_leaves.push((*key, ledger::run_leaf(&order.key, order.revision, &snapshot)));
        snapshots.push(snapshot);
        let leaf = |entry: &Entry| entry.leaf(&order.key, order.revision, order.placed_at);
        entry_leaves.extend(entries.iter().map(leaf));
    }
    let Head { number: last, hash: previous, last_seq } = head(tx).await?;
    let number = last.saturating_add(1);
    let count = u64::try_from(entry_leaves.len()).unwrap_or(u64::MAX);
    run_leaves.sort_unstable();
    let leaves: Vec<Digest> =
        run_leaves.into_iter().map(|(_, leaf)| leaf).chain(entry_leaves).collect();
    let root = merkle_root(&leaves);
    let hash = block_hash(to_u64(number), &previous, &root, count);
    copy_runs(tx, postings, &snapshots, number, now).await?;
    if count > 0 {
        copy_entries(tx, postings, last_seq, number, now).await?;
    }
    let insert = "INSERT INTO upline.ledger_block
             (number, previous, merkle_root, hash, first_seq, last_seq, posted_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let statement = tx.prepare_cached(insert).await.map_err(classify)?;
    let block: [&(dyn ToSql + Sync); 7] = [
        &number,
        &previous.as_bytes().as_slice(),
        &root.as_bytes().as_slice(),
        &hash.as_bytes().as_slice(),
        &last_seq.saturating_add(1),
        &last_seq.saturating_add(to_i64(count)),
        &now,
    ];
    tx.execute(&statement, &block).await.map_err(classify)?;
    Ok(())
}

async fn copy_runs(
    tx: &Transaction<'_>,
    postings: &[Posting<'_>],
    snapshots: &[String],
    block: i64,
    now: Timestamp,
) -> Result<(), ServiceError> {
    const INTO: &str = "COPY upline.commission_run
        (order_key, revision, platform, store, order_id, status, currency, order_ts, received_at,
         order_hash, genealogy_seq, genealogy_hash, plan_id, plan_version, plan_hash, engine,
         calc_snapshot_json, block, posted_at) FROM STDIN BINARY";
    // JSON has the binary form of text.
    const TYPES: [Type; 19] = [
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::BYTEA,
        Type::INT8,
        Type::BYTEA,
        Type::TEXT,
        Type::INT4,
        Type::BYTEA,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::TIMESTAMPTZ,
    ];
    let sink = tx.copy_in(INTO).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    for (Posting { key, computed, .. }, snapshot) in postings.iter().zip(snapshots) {
        let (run, order) = (&computed.run, &computed.run.order);
        let row: [&(dyn ToSql + Sync); 19] = [
            key,
            &to_i64(order.revision),
            &order.key.platform.as_str(),
            &order.key.store.as_str(),
            &order.key.order_id.as_str(),
            &order.status.as_str(),
            &order.currency.as_str(),
            &order.placed_at,
            &computed.trace.received_at,
            &run.order_hash.as_bytes().as_slice(),
            &to_i64(order.locks.genealogy.seq),
            &order.locks.genealogy.hash.as_bytes().as_slice(),
            &&*order.locks.plan.id,
            &i32::try_from(order.locks.plan.version).unwrap_or(i32::MAX),
            &order.locks.plan.hash.as_bytes().as_slice(),
            &&*run.engine,
            snapshot,
            &block,
            &now,
        ];
        rows.as_mut().write(&row).await.map_err(classify)?;
    }
    rows.finish().await.map_err(classify)?;
    Ok(())
}

async fn copy_entries(
    tx: &Transaction<'_>,
    postings: &[Posting<'_>],
    last_seq: i64,
    block: i64,
    now: Timestamp,
) -> Result<(), ServiceError> {
    const INTO: &str = "COPY upline.ledger_entry
        (seq, event_id, order_key, revision, line_id, component, level, debit, credit, amount,
         currency, kind, corrects, breakage, order_ts, block, posted_at) FROM STDIN BINARY";
    const TYPES: [Type; 17] = [
        Type::INT8,
        Type::UUID,
        Type::TEXT,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::INT2,
        Type::TEXT,
        Type::TEXT,
        Type::NUMERIC,
        Type::TEXT,
        Type::TEXT,
        Type::UUID,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::INT8,
        Type::TIMESTAMPTZ,
    ];
    let sink = tx.copy_in(INTO).await.map_err(classify)?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
    let mut seq = last_seq;
    for Posting { key, computed, entries } in postings {
        let order = &computed.run.order;
        for entry in *entries {
            seq = seq.saturating_add(1);
            let position = &entry.position;
            let row: [&(dyn ToSql + Sync); 17] = [
                &seq,
                &Uuid(entry.event_id),
                key,
                &to_i64(order.revision),
                &position.line.as_str(),
                &position.component.as_str(),
                &i16::try_from(position.level).unwrap_or(i16::MAX),
                &entry.debit(),
                &entry.credit(),
                &entry.amount.written(),
                &position.currency.as_str(),
                &entry.kind.as_str(),
                &entry.corrects.map(Uuid),
                &entry.breakage.map(Breakage::as_str),
                &order.placed_at,
                &block,
                &now,
            ];
            rows.as_mut().write(&row).await.map_err(classify)?;
        }
    }
    rows.finish().await.map_err(classify)?;
    Ok(())
}
