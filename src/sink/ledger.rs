//! After commission: the books.

use std::sync::Arc;

use crate::{
    clock::Clock,
    domain::ledger::{Entry, Kind},
    metric,
    stage::{
        SkipReason,
        message::{Computed, Posted, Trace},
    },
    store::{PostOutcome, Store},
    stream::{Effect, Fate, Forward, Parcel, ServiceError, Sink},
};

/// Posts what is new and publishes what was posted.
#[derive(Debug)]
pub struct LedgerSink<S, F> {
    store: Arc<S>,
    next: F,
    clock: Clock,
}

impl<S, F> LedgerSink<S, F> {
    /// A sink that posts to `store` and hands on to `next`.
    pub fn new(store: Arc<S>, next: F, clock: Clock) -> Self {
        Self { store, next, clock }
    }
}

fn count(entries: &[Entry]) {
    for kind in [Kind::Earned, Kind::Reversed] {
        let of_kind = entries.iter().filter(|entry| entry.kind == kind).count();
        metric::ledger_entries(kind.as_str(), u64::try_from(of_kind).unwrap_or(u64::MAX));
    }
}

impl<S: Store, F: Forward<Posted>> Sink<Computed> for LedgerSink<S, F> {
    async fn deliver(&self, effects: &[Effect<Computed>]) -> Result<Vec<Fate>, ServiceError> {
        let runs: Vec<&Computed> = effects.iter().map(|effect| &effect.value).collect();
        let outcomes = self.store.post(&runs, self.clock.now()).await?;
        let committed = self.clock.now();
        let mut fates = Vec::with_capacity(outcomes.len());
        let mut parcels = Vec::with_capacity(effects.len());
        let mut sealed = false;
        for (outcome, effect) in outcomes.into_iter().zip(effects) {
            let Computed { run, trace } = &effect.value;
            let traced = |at| Trace { posted_at: Some(at), ..trace.clone() };
            let (posted, fate) = match outcome {
                PostOutcome::Posted(entries) => {
                    metric::commission_emitted(trace.received_at, committed);
                    count(&entries);
                    sealed = true;
                    (Some(Posted::of(run, entries, traced(committed))), Fate::Delivered)
                }
                PostOutcome::Already(known) if effect.redelivered => {
                    let posted = Posted::of(&known.run, known.entries, traced(known.at));
                    (Some(posted), Fate::Delivered)
                }
                PostOutcome::Already(_) | PostOutcome::Stale => {
                    (None, Fate::Skipped(SkipReason::AlreadyPosted))
                }
            };
            if let Some(posted) = posted {
                let order = &posted.order;
                let id = format!("posted:{}:{}", order.key, order.revision);
                parcels.push(Parcel { id, value: posted, redelivered: effect.redelivered });
            }
            fates.push(fate);
        }
        if sealed {
            metric::ledger_block();
        }
        self.next.forward(parcels).await?;
        Ok(fates)
    }
}
