//! How a result gets to the next stage: through the log, or at once.
//!
//! The log is the rule. [`Fused`] saves the way through it where two stages run in one process: the
//! next stage judges the value itself, and its sink makes the effect durable before the first
//! stage's message is acknowledged. What the next stage cannot take is an error of the first one's
//! sink: it waits, is retried and isolated there, and becomes a dead letter of the first stage, with
//! the bytes as the shop sent them. So a fused chain has the same effects as the one through the log.

use std::sync::Arc;

use serde::Serialize;

use super::publish::outgoing;
use crate::{
    metric,
    stage::{Judge, Verdict, message::Routed},
    stream::{Effect, Fate, Forward, Outgoing, Parcel, Publish, ServiceError, Sink},
};

/// Hands on through the log.
#[derive(Debug)]
pub struct ToLog<P>(Arc<P>);

impl<P> ToLog<P> {
    /// Hands on through `log`.
    pub fn new(log: Arc<P>) -> Self {
        Self(log)
    }
}

impl<T, P> Forward<T> for ToLog<P>
where
    T: Routed + Serialize + Send + Sync + 'static,
    P: Publish,
{
    async fn forward(&self, parcels: Vec<Parcel<T>>) -> Result<(), ServiceError> {
        let message =
            |parcel: Parcel<T>| outgoing(parcel.value.subject(), parcel.id, &parcel.value);
        let messages = parcels.into_iter().map(message).collect::<Result<Vec<Outgoing>, _>>()?;
        if messages.is_empty() { Ok(()) } else { self.0.publish_all(messages).await }
    }
}

/// Hands on to the next stage in the same process.
#[derive(Debug)]
pub struct Fused<J, K> {
    stage: J,
    sink: K,
}

impl<J, K> Fused<J, K> {
    /// Hands on to `stage` and its `sink`.
    pub fn new(stage: J, sink: K) -> Self {
        Self { stage, sink }
    }
}

impl<J: Judge, K: Sink<J::Effect>> Forward<J::Input> for Fused<J, K> {
    async fn forward(&self, parcels: Vec<Parcel<J::Input>>) -> Result<(), ServiceError> {
        let mut effects = Vec::with_capacity(parcels.len());
        for Parcel { value, redelivered, .. } in parcels {
            match self.stage.judge(value) {
                Verdict::Emit(value) => effects.push(Effect { value, redelivered }),
                Verdict::Skip(reason) => metric::message(J::NAME, &Fate::Skipped(reason)),
                Verdict::Defer(reason) => {
                    let source = format!("{} has to wait: {}", J::NAME, reason.as_str()).into();
                    return Err(ServiceError::Unavailable { service: J::NAME, source });
                }
                Verdict::Reject(rejection) => {
                    let source = rejection.into();
                    return Err(ServiceError::Refused { service: J::NAME, source });
                }
            }
        }
        if effects.is_empty() {
            return Ok(());
        }
        for fate in self.sink.deliver(&effects).await? {
            metric::message(J::NAME, &fate);
        }
        Ok(())
    }
}

/// Hands on to the next stage in the same process, but through the log what other consumers look for
/// there.
pub struct Unless<T, F, P> {
    wanted: Box<dyn Fn(&T) -> bool + Send + Sync>,
    next: F,
    log: ToLog<P>,
}

impl<T, F, P> Unless<T, F, P> {
    /// Hands on to `next` unless `wanted` says that it is looked for in the log.
    pub fn new(
        wanted: impl Fn(&T) -> bool + Send + Sync + 'static,
        next: F,
        log: ToLog<P>,
    ) -> Self {
        Self { wanted: Box::new(wanted), next, log }
    }
}

impl<T, F: std::fmt::Debug, P> std::fmt::Debug for Unless<T, F, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unless").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<T, F, P> Forward<T> for Unless<T, F, P>
where
    T: Routed + Serialize + Send + Sync + 'static,
    F: Forward<T>,
    P: Publish,
{
    async fn forward(&self, parcels: Vec<Parcel<T>>) -> Result<(), ServiceError> {
        let (logged, at_once): (Vec<_>, Vec<_>) =
            parcels.into_iter().partition(|parcel| (self.wanted)(&parcel.value));
        self.log.forward(logged).await?;
        self.next.forward(at_once).await
    }
}
