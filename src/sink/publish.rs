//! Sinks that hand the effect on to the next stage.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    clock::Clock,
    domain::order::{Fact, OrderEvent, Origin, Status},
    metric,
    stage::{
        message::{Computed, Headers, Subject, Trace, Validated},
        validate::Understood,
    },
    stream::{Effect, Fate, Forward, Outgoing, Parcel, Publish, ServiceError, Sink},
};

/// A message as JSON.
pub(super) fn outgoing<T: Serialize>(
    subject: Subject<'_>,
    id: String,
    message: &T,
) -> Result<Outgoing, ServiceError> {
    // Room for most messages at once.
    let mut payload = Vec::with_capacity(4 * 1024);
    serde_json::to_writer(&mut payload, message)
        .map_err(|error| ServiceError::Refused { service: "json", source: error.into() })?;
    Ok(Outgoing {
        subject: subject.to_string(),
        id,
        headers: Headers::default(),
        payload: Bytes::from(payload),
    })
}

/// After validate: hands the facts about orders on, publishes those about articles and customers.
#[derive(Debug)]
pub struct PublishEvents<P, F> {
    log: Arc<P>,
    next: F,
    clock: Clock,
}

impl<P, F> PublishEvents<P, F> {
    /// A sink that publishes to `log` and hands facts about orders to `next`.
    pub fn new(log: Arc<P>, next: F, clock: Clock) -> Self {
        Self { log, next, clock }
    }
}

/// The deduplication key of the fact with this number in a delivery. A replayed dead letter is a
/// delivery of its own; two deliveries of one key that the log did not recognise differ in their
/// receipt.
fn id_of(kind: &str, origin: &Origin, number: usize) -> String {
    format!("{kind}:{}:{number}:{}", origin.delivery, origin.received_at.as_microsecond())
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

impl<P: Publish, F: Forward<Validated>> Sink<Understood> for PublishEvents<P, F> {
    async fn deliver(&self, effects: &[Effect<Understood>]) -> Result<Vec<Fate>, ServiceError> {
        let now = self.clock.now();
        let mut parcels = Vec::with_capacity(effects.len());
        let mut messages = Vec::new();
        for effect in effects {
            match &effect.value {
                Understood::Orders(events) => {
                    let valid = |(number, event): (usize, &OrderEvent)| Parcel {
                        id: id_of("valid", &event.origin, number),
                        value: Validated {
                            event: event.clone(),
                            trace: Trace {
                                validated_at: Some(now),
                                ..Trace::start(event.origin.received_at)
                            },
                        },
                        redelivered: effect.redelivered,
                    };
                    parcels.extend(events.iter().enumerate().map(valid));
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
        if !messages.is_empty() {
            self.log.publish_all(messages).await?;
        }
        self.next.forward(parcels).await?;
        count_unfooted(effects);
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}

/// After commission: hands calculations on.
#[derive(Debug)]
pub struct PublishRuns<F> {
    next: F,
    clock: Clock,
}

impl<F> PublishRuns<F> {
    /// A sink that hands on to `next`.
    pub fn new(next: F, clock: Clock) -> Self {
        Self { next, clock }
    }
}

impl<F: Forward<Computed>> Sink<Computed> for PublishRuns<F> {
    async fn deliver(&self, effects: &[Effect<Computed>]) -> Result<Vec<Fate>, ServiceError> {
        let now = self.clock.now();
        let parcel = |effect: &Effect<Computed>| {
            let mut computed = effect.value.clone();
            computed.trace.computed_at = Some(now);
            let order = &computed.run.order;
            let id = format!("run:{}:{}", order.key, order.revision);
            Parcel { id, value: computed, redelivered: effect.redelivered }
        };
        self.next.forward(effects.iter().map(parcel).collect()).await?;
        Ok(effects.iter().map(|_| Fate::Delivered).collect())
    }
}
