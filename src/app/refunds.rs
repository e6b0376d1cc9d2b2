//! The consumers that ask WooCommerce shops for refunds, one for each store with access to its API.

use std::{collections::BTreeSet, time::Duration};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{BuildError, Inside};
use crate::{
    config::Config,
    domain::id::StoreId,
    metric,
    sink::{REFUNDS_AT_ONCE, REFUNDS_IN_FLIGHT, RefundsSink, RestAccess},
    stage::{Stage, refunds::Refunds},
    stream::{
        jetstream::{JetStream, StreamName},
        runner::Limits,
    },
};

/// The stores that can be asked.
fn stores(config: &Config) -> impl Iterator<Item = (&StoreId, &RestAccess)> {
    config.pipelines.stores.iter().filter_map(|s| s.rest.as_ref().map(|rest| (&s.name, rest)))
}

/// The stores that are asked: what they say of refunds has to come through the log.
pub(super) fn asked(config: &Config) -> BTreeSet<StoreId> {
    stores(config).map(|(store, _)| store.clone()).collect()
}

/// The names of the durable consumers.
pub(super) fn consumers(config: &Config) -> Vec<String> {
    stores(config).map(|(store, _)| consumer(store)).collect()
}

fn consumer(store: &StoreId) -> String {
    format!("{}-{store}", Refunds::NAME)
}

/// The longest pause between two attempts, in those of the other stages: a shop is asked less often
/// than a service of our own.
const PATIENCE: u32 = 6;

/// Starts the consumers.
pub(super) async fn spawn(
    inside: &Inside,
    work: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Result<(), BuildError> {
    let stage = inside.config.pipelines.limits.stage();
    let wait = Duration::from_secs(inside.config.pipelines.limits.ack_wait_seconds);
    let limits = Limits {
        batch: REFUNDS_AT_ONCE,
        retry_longest: stage.retry_longest.saturating_mul(PATIENCE),
        ..stage
    };
    for (store, access) in stores(&inside.config) {
        metric::refund_fetch_start(store.as_str());
        let (name, filter) = (consumer(store), "orders.valid.>");
        let inbox =
            inside.log.consumer(StreamName::Orders, &name, filter, wait, REFUNDS_IN_FLIGHT).await?;
        let (books, log, clock) = (inside.store.clone(), inside.log.clone(), inside.clock.clone());
        let sink = RefundsSink::new(books, log, clock, store.clone(), access.clone());
        let runner = inside.runner(Refunds::new(store.clone()), sink, inbox, limits);
        work.spawn(runner.run(stop.clone()));
    }
    Ok(())
}

/// Reports how far they are behind, together.
pub(super) async fn watch_lag(log: &JetStream, consumers: &[String]) {
    if consumers.is_empty() {
        return;
    }
    let mut sum = 0u64;
    for name in consumers {
        match log.lag(StreamName::Orders, name).await {
            Ok(lag) => sum = sum.saturating_add(lag),
            Err(error) => {
                tracing::debug!(consumer = name, error = error.chain(), "the lag is unknown");
                return;
            }
        }
    }
    metric::consumer_lag(Refunds::NAME, sum);
}
