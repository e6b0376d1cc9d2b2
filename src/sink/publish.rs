//! Sinks that hand the effect on to the next stage.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    clock::Clock,
    domain::order::{Fact, OrderEvent, Origin, Status},
    metric,
    stage::{
        message::{Computed, Headers, Subject, Trace, Validated},
        validate::Understood,
    },
    stream::{Effect, Fate, Outgoing, Publish, ServiceError, Sink},
};

/// A message as JSON.
pub(super) fn outgoing<T: Serialize>(
    subject: Subject<'_>,
    id: String,
    message: &T,
) -> Result<Outgoing, ServiceError> {
    let payload = serde_json::to_vec(message)
        .map_err(|error| ServiceError::Refused { service: "json", source: error.into() })?;
    Ok(Outgoing {
        subject: subject.to_string(),
        id,
        headers: Headers::default(),
        payload: Bytes::from(payload),
    })
}

/// After validate: publishes the facts about orders, articles and customers.
#[derive(Debug)]
pub struct PublishEvents<P> {
    log: Arc<P>,
    clock: Clock,
}

impl<P> PublishEvents<P> {
    /// A sink that publishes to `log`.
    pub fn new(log: Arc<P>, clock: Clock) -> Self {
        Self { log, clock }
    }
}

/// The deduplication key of the fact with this number in a delivery. A replayed dead letter is a
/// delivery of its own; two deliveries of one key that the log did not recognise differ in their
/// receipt.
fn id_of(kind: &str, origin: &Origin, number: usize) -> String {
    format!("{kind}:{}:{number}:{}", origin.delivery, origin.received_at.as_microsecond())
}

/// An order event on its way to the order book.
fn valid(event: &OrderEvent, number: usize, now: Timestamp) -> Result<Outgoing, ServiceError> {
    let mut trace = Trace::start(event.origin.received_at);
    trace.validated_at = Some(now);
    let message = Validated { event: event.clone(), trace };
    outgoing(Subject::Valid(&event.key), id_of("valid", &event.origin, number), &message)
}

/// Counts the orders that validate let through although they do not foot. A message that comes again
/// was counted.
fn count_unfooted(effects: &[Effect<Understood>]) {
    for effect in effects.iter().filter(|effect| !effect.redelivered) {
        let Understood::Orders(events) = &effect.value else { continue };
        for event in events {
            if let Fact::Snapshot(snapshot) = &event.fact
                && snapshot.status == Status::Paid
                && !snapshot.footing.holds()
            {
                metric::unfooted_accepted(event.key.platform.as_str(), event.key.store.as_str(), 1);
            }
        }
    }
}

impl<P: Publish> Sink<Understood> for PublishEvents<P> {
    async fn deliver(&self, effects: &[Effect<Understood>]) -> Result<Vec<Fate>, ServiceError> {
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(effects.len());
        for understood in effects.iter().map(|effect| &effect.value) {
            match understood {
                Understood::Orders(events) => {
                    for (number, event) in events.iter().enumerate() {
                        messages.push(valid(event, number, now)?);
                    }
                }
                Understood::Customer(event) => {
                    let id = id_of("customer", &event.origin, 0);
                    messages.push(outgoing(Subject::Customer(&event.customer), id, event)?);
                }
                Understood::Articles(events) => {
                    for (number, event) in events.iter().enumerate() {
                        let id = id_of("article", &event.origin, number);
                        messages.push(outgoing(Subject::Article(event), id, event)?);
                    }
                }
            }
        }
        self.log.publish_all(messages).await?;
        count_unfooted(effects);
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}

/// After commission: publishes calculations.
#[derive(Debug)]
pub struct PublishRuns<P> {
    log: Arc<P>,
    clock: Clock,
}

impl<P> PublishRuns<P> {
    /// A sink that publishes to `log`.
    pub fn new(log: Arc<P>, clock: Clock) -> Self {
        Self { log, clock }
    }
}

impl<P: Publish> Sink<Computed> for PublishRuns<P> {
    async fn deliver(&self, effects: &[Effect<Computed>]) -> Result<Vec<Fate>, ServiceError> {
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(effects.len());
        for effect in effects {
            let mut computed = effect.value.clone();
            computed.trace.computed_at = Some(now);
            let order = &computed.run.order;
            let id = format!("run:{}:{}", order.key, order.revision);
            messages.push(outgoing(Subject::Run(&order.key), id, &computed)?);
        }
        self.log.publish_all(messages).await?;
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}
