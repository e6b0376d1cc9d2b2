//! What this process has posted and the warehouse does not have yet.
//!
//! The ledger is where the rows come from; this spares reading back what was written a moment ago. It may
//! be incomplete at any time, after a start it is empty.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::stage::message::Posted;

/// The most entries and orders that are kept: some 30 MB. What comes when it is full is read back, later:
/// the oldest blocks are needed first.
const MOST: usize = 100_000;

/// Posted revisions by their block.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    kept: Mutex<Kept>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    /// By number, with the time that the block was sealed at.
    blocks: BTreeMap<u64, (Timestamp, Arc<[Posted]>)>,
    rows: usize,
}

fn rows(posted: &[Posted]) -> usize {
    posted.iter().map(|one| one.entries.len().saturating_add(1)).fold(0, usize::saturating_add)
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was posted in a block that was sealed at that time.
    pub fn keep(&self, block: u64, sealed_at: Timestamp, posted: Vec<Posted>) {
        let mut kept = self.lock();
        let (before, more) = (kept.rows, rows(&posted));
        if before.saturating_add(more) <= MOST {
            let replaced = kept.blocks.insert(block, (sealed_at, posted.into()));
            let less = replaced.map_or(0, |(_, posted)| rows(&posted));
            kept.rows = before.saturating_add(more).saturating_sub(less);
        }
        drop(kept);
        self.0.came.notify_one();
    }

    /// What was posted in a block, if it is here. Of another block with the same number, as there can be
    /// after a database came back from a copy, it is not.
    pub fn of(&self, block: u64, sealed_at: Timestamp) -> Option<Arc<[Posted]>> {
        let kept = self.lock();
        let (at, posted) = kept.blocks.get(&block)?;
        (at.as_microsecond() == sealed_at.as_microsecond()).then(|| posted.clone())
    }

    /// The warehouse has everything up to this block.
    pub fn forget(&self, upto: u64) {
        let mut kept = self.lock();
        let later = kept.blocks.split_off(&upto.saturating_add(1));
        let gone = std::mem::replace(&mut kept.blocks, later);
        let gone = gone.values().map(|(_, posted)| rows(posted)).fold(0, usize::saturating_add);
        kept.rows = kept.rows.saturating_sub(gone);
    }

    /// Waits until something is kept; at once if that was since the last time.
    pub async fn came(&self) {
        self.0.came.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_kept_until_the_warehouse_has_them() {
        let (recent, at) = (Recent::default(), Timestamp::from_microsecond(7).unwrap());
        for block in [1, 2, 3] {
            recent.keep(block, at, Vec::new());
        }
        recent.forget(2);
        assert_eq!([1, 2, 3].map(|block| recent.of(block, at).is_some()), [false, false, true]);
        recent.forget(2);
        assert!(recent.of(3, at).is_some());
        assert!(recent.of(3, Timestamp::UNIX_EPOCH).is_none(), "another block of that number");
        recent.forget(u64::MAX);
        assert!(recent.of(3, at).is_none());
    }
}
