//! After commission: the books.

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::ledger::{Entry, Kind},
    metric,
    stage::{
        SkipReason,
        message::{Computed, Posted},
    },
    store::{PostOutcome, Store},
    stream::{Effect, Fate, ServiceError, Sink},
    warehouse::recent::Recent,
};

/// Posts what is new. Nothing is handed on: who wants to know what was posted follows the blocks.
#[derive(Debug)]
pub struct LedgerSink<S> {
    store: Arc<S>,
    recent: Recent,
    clock: Clock,
}

impl<S> LedgerSink<S> {
    /// A sink that posts to `store` and keeps what it posted for the warehouse in `recent`.
    pub fn new(store: Arc<S>, recent: Recent, clock: Clock) -> Self {
        Self { store, recent, clock }
    }
}

fn count(entries: &[Entry]) {
    for kind in [Kind::Earned, Kind::Reversed] {
        let of_kind = entries.iter().filter(|entry| entry.kind == kind).count();
        metric::ledger_entries(kind.as_str(), u64::try_from(of_kind).unwrap_or(u64::MAX));
    }
}

impl<S: Store> Sink<Computed> for LedgerSink<S> {
    async fn deliver(&self, effects: &[Effect<Computed>]) -> Result<Vec<Fate>, ServiceError> {
        let runs: Vec<&Computed> = effects.iter().map(|effect| &effect.value).collect();
        let sealed_at = self.clock.now();
        let outcomes = self.store.post(&runs, sealed_at).await?;
        let committed = self.clock.now();
        let mut fates = Vec::with_capacity(outcomes.len());
        let (mut sealed, mut posted) = (None, Vec::with_capacity(effects.len()));
        for (outcome, effect) in outcomes.into_iter().zip(effects) {
            let Computed { run, trace } = &effect.value;
            fates.push(match outcome {
                PostOutcome::Posted { entries, block } => {
                    metric::commission_emitted(trace.received_at, committed);
                    count(&entries);
                    sealed = Some(block);
                    posted.push(Posted::of(run, entries, trace.clone(), committed));
                    Fate::Delivered
                }
                PostOutcome::Already if effect.redelivered => Fate::Delivered,
                PostOutcome::Already | PostOutcome::Stale => {
                    Fate::Skipped(SkipReason::AlreadyPosted)
                }
            });
        }
        if let Some(block) = sealed {
            metric::ledger_block();
            self.recent.keep(block, sealed_at, posted);
        }
        Ok(fates)
    }
}
