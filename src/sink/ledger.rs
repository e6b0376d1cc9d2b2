//! After commission: the books.

use std::sync::Arc;

use super::publish::outgoing;
use crate::{
    clock::Clock,
    domain::ledger::Kind,
    metric,
    stage::{
        SkipReason,
        message::{Computed, Posted, Subject},
    },
    store::{PostOutcome, Store},
    stream::{Effect, Fate, Publish, ServiceError, Sink},
};

/// Posts what is new and publishes what was posted.
#[derive(Debug)]
pub struct LedgerSink<S, P> {
    store: Arc<S>,
    log: Arc<P>,
    clock: Clock,
}

impl<S, P> LedgerSink<S, P> {
    /// A sink that posts to `store` and publishes to `log`.
    pub fn new(store: Arc<S>, log: Arc<P>, clock: Clock) -> Self {
        Self { store, log, clock }
    }
}

fn count(posted: &Posted) {
    let of = |kind| posted.entries.iter().filter(|entry| entry.kind == kind).count();
    for kind in [Kind::Earned, Kind::Reversed] {
        metric::ledger_entries(kind.as_str(), u64::try_from(of(kind)).unwrap_or(u64::MAX));
    }
}

impl<S: Store, P: Publish> Sink<Computed> for LedgerSink<S, P> {
    async fn deliver(&self, effects: &[Effect<Computed>]) -> Result<Vec<Fate>, ServiceError> {
        let runs: Vec<&Computed> = effects.iter().map(|effect| &effect.value).collect();
        let outcomes = self.store.post(&runs, self.clock.now()).await?;
        let committed = self.clock.now();
        let mut fates = Vec::with_capacity(outcomes.len());
        let mut messages = Vec::new();
        let mut sealed = false;
        for (outcome, effect) in outcomes.into_iter().zip(effects) {
            let (posted, fate) = match outcome {
                PostOutcome::Posted(mut posted) => {
                    metric::commission_emitted(posted.trace.received_at, committed);
                    posted.trace.posted_at = Some(committed);
                    count(&posted);
                    sealed = true;
                    (Some(posted), Fate::Delivered)
                }
                PostOutcome::Already(posted) if effect.redelivered => {
                    (Some(posted), Fate::Delivered)
                }
                PostOutcome::Already(_) | PostOutcome::Stale => {
                    (None, Fate::Skipped(SkipReason::AlreadyPosted))
                }
            };
            if let Some(posted) = posted {
                let order = &posted.run.order;
                let id = format!("posted:{}:{}", order.key, order.revision);
                messages.push(outgoing(Subject::Posted(&order.key), id, &*posted)?);
            }
            fates.push(fate);
        }
        if sealed {
            metric::ledger_block();
        }
        self.log.publish_all(messages).await?;
        Ok(fates)
    }
}
