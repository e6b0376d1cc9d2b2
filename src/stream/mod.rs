//! The acked log between the stages, and the one loop that every stage runs in.
//!
//! Invariant: a message is acknowledged only after its effect is durable. So an effect can happen
//! twice, and every sink is idempotent on a business key.
//!
//! Deliberately absent: any knowledge of orders. `jetstream` and `memory` implement the same two
//! traits, so what is proved over memory with scripted faults holds for the real log.

pub mod batch;
mod commit;
pub mod jetstream;
pub mod memory;
pub mod runner;

use std::{error::Error, future::Future, time::Duration};

use bytes::Bytes;

use crate::stage::{DeferReason, Rejection, SkipReason, message::Headers};

/// What went wrong with a service: already classified into what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// It may work later: connection, time-out, overload, a lost leader. Retried without limit.
    #[error("{service} is unavailable")]
    Unavailable {
        /// The service: `nats`, `postgres` or `clickhouse`.
        service: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It will never work as it is: a constraint, a type, a size.
    #[error("{service} refuses it")]
    Refused {
        /// The service: `nats`, `postgres` or `clickhouse`.
        service: &'static str,
        /// What it said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl ServiceError {
    /// Whether a later attempt may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Refused { .. } => false,
        }
    }

    /// The message with all its sources, for a log line or a dead letter.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error with all its sources in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The subject, without the deployment's prefix.
    pub subject: String,
    /// The deduplication key: the same for the same business fact.
    pub id: String,
    /// Further headers.
    pub headers: Headers,
    /// The bytes.
    pub payload: Bytes,
}

/// What the log says of a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// Whether the log had a message of that id already and kept only the first.
    pub duplicate: bool,
}

/// The writing side of the log.
pub trait Publish: Send + Sync + 'static {
    /// Publishes messages and returns when each is durable or has failed. Order is kept.
    fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<Result<Receipt, ServiceError>>> + Send;

    /// Publishes messages that belong together: all of them are durable, or it is an error.
    fn publish_all(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send {
        async move {
            let mut refused = None;
            for result in self.publish(messages).await {
                match result {
                    Ok(_) => {}
                    // It goes first: the whole batch comes again, and then the refusal too.
                    Err(error) if error.is_transient() => return Err(error),
                    Err(error) => refused = Some(error),
                }
            }
            refused.map_or(Ok(()), Err)
        }
    }
}

/// A message on its way to a stage.
#[derive(Debug)]
pub struct Delivery<T> {
    /// The subject, without the deployment's prefix.
    pub subject: String,
    /// The headers that the pipeline set.
    pub headers: Headers,
    /// The bytes.
    pub payload: Bytes,
    /// Which delivery this is, from 1: above 1 an earlier one was not acknowledged.
    pub attempt: u32,
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// What settles it.
    pub token: T,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Done: never deliver it again.
    Ack,
    /// Deliver it again after this time.
    Retry(Duration),
}

/// The reading side of the log: one durable consumer.
pub trait Inbox: Send + 'static {
    /// What settles a delivery.
    type Token: Send + Sync + 'static;

    /// Waits up to `wait` for a first message, then takes what else is there, up to `max`.
    fn fetch(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Delivery<Self::Token>>, ServiceError>> + Send;

    /// Settles deliveries. If it fails they come again, which is harmless.
    fn settle(
        &self,
        settled: Vec<(Self::Token, Disposition)>,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// An effect on its way to a sink.
#[derive(Debug, Clone)]
pub struct Effect<T> {
    /// The effect.
    pub value: T,
    /// Whether the message may have had its effect before: it was delivered more than once.
    pub redelivered: bool,
}

/// What a sink made of one effect.
#[must_use = "every message is accounted for"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is durable.
    Delivered,
    /// There was nothing to do.
    Skipped(SkipReason),
    /// It is durable and waits there for something to become known.
    Parked(DeferReason),
    /// It cannot be processed as it is.
    Rejected(Rejection),
}

/// Makes effects durable.
pub trait Sink<T>: Send + Sync + 'static {
    /// Makes a batch durable, all or nothing, and says what became of each, in order.
    fn deliver(
        &self,
        effects: &[Effect<T>],
    ) -> impl Future<Output = Result<Vec<Fate>, ServiceError>> + Send;
}

/// A result on its way from one stage to the next.
#[derive(Debug, Clone)]
pub struct Parcel<T> {
    /// The deduplication key: the same for the same business fact.
    pub id: String,
    /// The result.
    pub value: T,
    /// Whether it may have been handed on before.
    pub redelivered: bool,
}

/// Hands results on to the next stage.
pub trait Forward<T>: Send + Sync + 'static {
    /// Hands all of them on: each is durable then, in the log or in its effect, or it is an error.
    fn forward(
        &self,
        parcels: Vec<Parcel<T>>,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}
