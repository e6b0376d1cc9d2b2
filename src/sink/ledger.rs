//! After commission: the books.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    clock::Clock,
    domain::{
        id::OrderKey,
        ledger::{Entry, Kind},
    },
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

fn parcel(posted: Posted, redelivered: bool) -> Parcel<Posted> {
    let id = format!("posted:{}:{}", posted.order.key, posted.order.revision);
    Parcel { id, value: posted, redelivered }
}

impl<S: Store, F> LedgerSink<S, F> {
    /// Every posted revision of the orders whose message comes again, but for what goes on its way just
    /// now: the one that was being posted when the message was cut off may be behind a later one by now.
    async fn posted_before(
        &self,
        effects: &[Effect<Computed>],
        now: &[Parcel<Posted>],
    ) -> Result<Vec<Parcel<Posted>>, ServiceError> {
        let again = effects.iter().filter(|effect| effect.redelivered);
        let keys: BTreeSet<&OrderKey> = again.map(|effect| &effect.value.run.order.key).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<OrderKey> = keys.into_iter().cloned().collect();
        let going: BTreeSet<&str> = now.iter().map(|parcel| parcel.id.as_str()).collect();
        let before = self.store.posted(&keys).await?.into_iter().map(|known| {
            let trace = Trace { posted_at: Some(known.at), ..Trace::start(known.received_at) };
            parcel(Posted::of(&known.run, known.entries, trace), true)
        });
        Ok(before.filter(|parcel| !going.contains(parcel.id.as_str())).collect())
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
            fates.push(match outcome {
                PostOutcome::Posted(entries) => {
                    metric::commission_emitted(trace.received_at, committed);
                    count(&entries);
                    sealed = true;
                    let trace = Trace { posted_at: Some(committed), ..trace.clone() };
                    parcels.push(parcel(Posted::of(run, entries, trace), effect.redelivered));
                    Fate::Delivered
                }
                PostOutcome::Already if effect.redelivered => Fate::Delivered,
                PostOutcome::Already | PostOutcome::Stale => {
                    Fate::Skipped(SkipReason::AlreadyPosted)
                }
            });
        }
        parcels.extend(self.posted_before(effects, &parcels).await?);
        if sealed {
            metric::ledger_block();
        }
        self.next.forward(parcels).await?;
        Ok(fates)
    }
}
