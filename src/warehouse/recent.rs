//! What this process has posted and the warehouse does not have yet.
//!
//! The ledger is where the rows come from; this spares reading back what was written a moment ago. It may
//! be incomplete at any time, after a start it is empty.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

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
    blocks: BTreeMap<u64, Arc<[Posted]>>,
    rows: usize,
}

fn rows(posted: &[Posted]) -> usize {
    posted.iter().map(|one| one.entries.len().saturating_add(1)).fold(0, usize::saturating_add)
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was posted in a block.
    pub fn keep(&self, block: u64, posted: Vec<Posted>) {
        let mut kept = self.lock();
        let rows = kept.rows.saturating_add(rows(&posted));
        if rows <= MOST && kept.blocks.insert(block, posted.into()).is_none() {
            kept.rows = rows;
        }
        drop(kept);
        self.0.came.notify_one();
    }

    /// What was posted in a block, if it is here.
    pub fn of(&self, block: u64) -> Option<Arc<[Posted]>> {
        self.lock().blocks.get(&block).cloned()
    }

    /// The warehouse has everything up to this block.
    pub fn forget(&self, upto: u64) {
        let mut kept = self.lock();
        let later = kept.blocks.split_off(&upto.saturating_add(1));
        let gone = std::mem::replace(&mut kept.blocks, later);
        let gone = gone.values().map(|posted| rows(posted)).fold(0, usize::saturating_add);
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
        let recent = Recent::default();
        for block in [1, 2, 3] {
            recent.keep(block, Vec::new());
        }
        recent.forget(2);
        assert_eq!([1, 2, 3].map(|block| recent.of(block).is_some()), [false, false, true]);
        recent.forget(2);
        assert!(recent.of(3).is_some());
        recent.forget(u64::MAX);
        assert!(recent.of(3).is_none());
    }
}
