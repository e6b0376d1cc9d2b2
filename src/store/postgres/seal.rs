//! Sealing: the block over the calculations and entries of a batch, and how all of it is written.
//!
//! Of the ways into a table COPY in its binary form costs the server the least by row, but each takes two
//! round trips. A small batch goes in by UNNEST: all statements and the commit in one round trip.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use deadpool_postgres::ClientWrapper;
use futures_util::future::{OptionFuture, join, join5};
use jiff::Timestamp;
use tokio_postgres::{
    Row, Statement,
    types::{IsNull, ToSql, Type, to_sql_checked},
};

use super::{classify, copy, orders::to_json, to_i64, to_u64, unnest, unreadable};
use crate::{
    domain::{
        digest::Digest,
        journal::VolumeEntry,
        ledger::{self, Entry, EventId, block_hash, merkle_root},
    },
    stage::message::Computed,
    stream::ServiceError,
};

/// The most orders of a batch that goes in by UNNEST.
const SMALL: usize = 24;

/// The identity of an entry as Postgres stores a UUID.
#[derive(Debug)]
pub(super) struct Uuid(pub(super) EventId);

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
    /// Its entries in the volume journal.
    pub(super) volumes: &'a [VolumeEntry],
}

/// One writer at a time seals blocks, so the chain has no forks and no gaps; a batch makes the wait
/// short. Held until commit.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('upline.ledger', 0))";

/// Where the chain of blocks ends.
pub(super) const HEAD: &str =
    "SELECT number, hash, last_seq FROM upline.ledger_block ORDER BY number DESC LIMIT 1";

/// The same with the number of the last volume entry, for a batch with volumes.
pub(super) const HEAD_WITH_VOLUMES: &str =
    "SELECT number, hash, last_seq, (SELECT coalesce(max(seq), 0) FROM upline.volume_entry)
     FROM upline.ledger_block ORDER BY number DESC LIMIT 1";

/// The last block of the chain.
pub(super) struct Head {
    number: i64,
    hash: Digest,
    last_seq: i64,
    last_volume: i64,
}

impl Head {
    /// The head from a row of [`HEAD`].
    pub(super) fn of(row: Option<&Row>) -> Result<Self, ServiceError> {
        match row {
            Some(row) => {
                let hash = Digest::try_from(row.get::<_, &[u8]>(1)).map_err(unreadable)?;
                let last_volume = if row.len() > 3 { row.get(3) } else { 0 };
                Ok(Self { number: row.get(0), hash, last_seq: row.get(2), last_volume })
            }
            None => Ok(Self { number: 0, hash: Digest::ZERO, last_seq: 0, last_volume: 0 }),
        }
    }
}

/// A batch with the block that seals it.
pub(super) struct Sealed<'a> {
    pub(super) postings: &'a [Posting<'a>],
    /// The calculation of each posting as JSON, as it is hashed and stored.
    pub(super) snapshots: Vec<String>,
    /// The number of the block.
    pub(super) number: i64,
    /// The number of the last entry before the batch.
    pub(super) last_seq: i64,
    /// The number of the last volume entry before the batch.
    pub(super) last_volume: i64,
    pub(super) now: Timestamp,
    entries: i64,
    volumes: i64,
    previous: Digest,
    root: Digest,
    hash: Digest,
}

impl<'a> Sealed<'a> {
    /// Seals a batch behind the head of the chain.
    pub(super) fn new(
        postings: &'a [Posting<'a>],
        head: &Head,
        now: Timestamp,
    ) -> Result<Self, ServiceError> {
        let mut snapshots = Vec::with_capacity(postings.len());
        let mut run_leaves = Vec::with_capacity(postings.len());
        let mut entry_leaves = Vec::new();
        let mut volume_leaves = Vec::new();
        for Posting { key, computed, entries, volumes } in postings {
            let order = &computed.run.order;
            let snapshot = to_json(&computed.run)?;
            run_leaves.push((*key, ledger::run_leaf(&order.key, order.revision, &snapshot)));
            snapshots.push(snapshot);
            let leaf = |entry: &Entry| entry.leaf(&order.key, order.revision, order.placed_at);
            entry_leaves.extend(entries.iter().map(leaf));
            let leaf = |volume: &VolumeEntry| volume.leaf(&order.key, order.revision);
            volume_leaves.extend(volumes.iter().map(leaf));
        }
        let number = head.number.saturating_add(1);
        let count = u64::try_from(entry_leaves.len()).unwrap_or(u64::MAX);
        let volumes = u64::try_from(volume_leaves.len()).unwrap_or(u64::MAX);
        run_leaves.sort_unstable();
        let leaves: Vec<Digest> = run_leaves
            .into_iter()
            .map(|(_, leaf)| leaf)
            .chain(entry_leaves)
            .chain(volume_leaves)
            .collect();
        let root = merkle_root(&leaves);
        Ok(Self {
            postings,
            snapshots,
            number,
            last_seq: head.last_seq,
            now,
            last_volume: head.last_volume,
            entries: to_i64(count),
            volumes: to_i64(volumes),
            previous: head.hash,
            root,
            hash: block_hash(to_u64(number), &head.hash, &root, count, volumes),
        })
    }

    /// Writes runs, entries and block, and commits the transaction that was begun on this connection.
    pub(super) async fn commit(
        &self,
        client: &ClientWrapper,
        statements: &Statements,
    ) -> Result<(), ServiceError> {
        if self.postings.len() > SMALL {
            copy::runs(client, &statements.copy_runs, self).await?;
            if self.entries > 0 {
                copy::entries(client, &statements.copy_entries, self).await?;
            }
            if let Some(statements) = self.volume_statements(statements)? {
                copy::volumes(client, &statements.copy, self).await?;
            }
            let block = self.block(client, &statements.block);
            let (block, committed) = join(block, commit(client)).await;
            return block.and(committed);
        }
        // They go out in this order. If one fails, the COMMIT after it takes back the others.
        let volumes = self.volume_statements(statements)?;
        let volumes = volumes.map(|of| unnest::volumes(client, &of.insert, self));
        let (runs, entries, volumes, block, committed) = join5(
            unnest::runs(client, &statements.insert_runs, self),
            unnest::entries(client, &statements.insert_entries, self),
            OptionFuture::from(volumes),
            self.block(client, &statements.block),
            commit(client),
        )
        .await;
        runs.and(entries).and(volumes.unwrap_or(Ok(()))).and(block).and(committed)
    }

    /// The statements of the volume journal, if the batch has anything for it.
    fn volume_statements<'s>(
        &self,
        statements: &'s Statements,
    ) -> Result<Option<&'s VolumeStatements>, ServiceError> {
        match (self.volumes, &statements.volumes) {
            (0, _) => Ok(None),
            (_, Some(volumes)) => Ok(Some(volumes)),
            // They are prepared whenever a calculation has volumes.
            (_, None) => Err(unreadable("volume entries of a batch without volumes")),
        }
    }

    async fn block(&self, client: &ClientWrapper, insert: &Statement) -> Result<(), ServiceError> {
        let last_volume = self.last_volume.saturating_add(self.volumes);
        let sealed = (self.volumes > 0).then_some(());
        let block: [&(dyn ToSql + Sync); 9] = [
            &self.number,
            &self.previous.as_bytes().as_slice(),
            &self.root.as_bytes().as_slice(),
            &self.hash.as_bytes().as_slice(),
            &self.last_seq.saturating_add(1),
            &self.last_seq.saturating_add(self.entries),
            &self.now,
            &sealed.map(|()| self.last_volume.saturating_add(1)),
            &sealed.map(|()| last_volume),
        ];
        client.execute(insert, &block).await.map(drop).map_err(classify)
    }
}

/// The statements that write a batch, prepared.
pub(super) struct Statements {
    insert_runs: Statement,
    insert_entries: Statement,
    copy_runs: Statement,
    copy_entries: Statement,
    block: Statement,
    volumes: Option<VolumeStatements>,
}

/// Those that write the volume journal.
struct VolumeStatements {
    insert: Statement,
    copy: Statement,
}

impl Statements {
    /// Prepares them, or takes them from the cache of the connection; those of the volume journal only
    /// for a batch with volumes.
    pub(super) async fn of(client: &ClientWrapper, volumes: bool) -> Result<Self, ServiceError> {
        let block = "INSERT INTO upline.ledger_block
                 (number, previous, merkle_root, hash, first_seq, last_seq, posted_at,
                  first_volume, last_volume)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let volumes = if volumes {
            Some(VolumeStatements {
                insert: client.prepare_cached(unnest::VOLUMES).await.map_err(classify)?,
                copy: client.prepare_cached(copy::VOLUMES).await.map_err(classify)?,
            })
        } else {
            None
        };
        Ok(Self {
            insert_runs: client.prepare_cached(unnest::RUNS).await.map_err(classify)?,
            insert_entries: client.prepare_cached(unnest::ENTRIES).await.map_err(classify)?,
            copy_runs: client.prepare_cached(copy::RUNS).await.map_err(classify)?,
            copy_entries: client.prepare_cached(copy::ENTRIES).await.map_err(classify)?,
            block: client.prepare_cached(block).await.map_err(classify)?,
            volumes,
        })
    }
}

async fn commit(client: &ClientWrapper) -> Result<(), ServiceError> {
    client.batch_execute("COMMIT").await.map_err(classify)
}
