//! Sinks that hand the effect on to the next stage.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use crate::{
    clock::Clock,
    domain::order::OrderEvent,
    stage::message::{Computed, Headers, Subject, Trace, Validated},
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

/// After validate: publishes order events.
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

impl<P: Publish> Sink<Vec<OrderEvent>> for PublishEvents<P> {
    async fn deliver(
        &self,
        effects: &[Effect<Vec<OrderEvent>>],
    ) -> Result<Vec<Fate>, ServiceError> {
        let now = self.clock.now();
        let mut messages = Vec::with_capacity(effects.len());
        for events in effects.iter().map(|effect| &effect.value) {
            for (number, event) in events.iter().enumerate() {
                let mut trace = Trace::start(event.origin.received_at);
                trace.validated_at = Some(now);
                // The receipt time tells a replay of kept bytes from a repeated delivery: a replay
                // has the time at which it was replayed.
                let id = format!(
                    "valid:{}:{number}:{}",
                    event.origin.delivery,
                    event.origin.received_at.as_microsecond()
                );
                let message = Validated { event: event.clone(), trace };
                messages.push(outgoing(Subject::Valid(&event.key), id, &message)?);
            }
        }
        self.log.publish_all(messages).await?;
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
