//! The one loop: fetch a batch, judge each message, make the effects durable, settle.
//!
//! Every message that is settled for good is counted under exactly one outcome: delivered, skipped,
//! deferred (durable elsewhere and waiting) or dead-lettered. A message that comes again is a retry
//! and is counted as such; an outage is retried without limit and buries nothing.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Delivery, Disposition, Effect, Fate, Inbox, Outgoing, Publish, ServiceError, Sink,
    batch::deliver_isolating,
    tail::{Pending, Tail, oldest},
};
use crate::{
    clock::Clock,
    metric,
    stage::{
        Message, Rejection, Stage, Verdict,
        message::{Headers, Subject},
    },
};

/// The limits of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most messages in one batch.
    pub batch: usize,
    /// How long an idle fetch waits before the loop looks at its stop signal.
    pub idle: Duration,
    /// How long a batch that is not full goes on collecting; zero takes what is there.
    pub linger: Duration,
    /// The first wait before a message comes again; it doubles with each attempt.
    pub retry_first: Duration,
    /// The longest wait.
    pub retry_longest: Duration,
}

impl Limits {
    /// How long to wait before attempt `attempt + 1`.
    pub fn back_off(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(16);
        self.retry_first.saturating_mul(1 << doublings).min(self.retry_longest)
    }
}

/// What became of a message, before it is settled.
enum Outcome {
    Settled(Fate),
    Later,
}

/// A stage with everything that it runs on.
pub struct Runner<S, K, I, P> {
    /// The pure stage.
    pub stage: S,
    /// Makes its effects durable.
    pub sink: K,
    /// Its durable consumer.
    pub inbox: I,
    /// Where dead letters go.
    pub dead: Arc<P>,
    /// The time.
    pub clock: Clock,
    /// Its limits.
    pub limits: Limits,
    /// What its sink hands on without waiting for it.
    pub tail: Tail,
}

/// A batch whose effects are durable.
struct Done<T> {
    deliveries: Vec<(T, u32)>,
    outcomes: Vec<Outcome>,
    /// Whether its dead letters are.
    buried: bool,
}

/// The most batches that wait for what they handed on; the next is begun when the oldest is settled.
const OPEN: usize = 8;

impl<S, K, I, P> std::fmt::Debug for Runner<S, K, I, P>
where
    S: Stage,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("stage", &S::NAME).finish_non_exhaustive()
    }
}

impl<S, K, I, P> Runner<S, K, I, P>
where
    S: Stage,
    K: Sink<S::Effect>,
    I: Inbox,
    P: Publish,
{
    /// Runs until `stop`; a batch that was begun is finished.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0u32;
        let mut open = VecDeque::new();
        while !stop.is_cancelled() {
            let full = open.len() >= OPEN;
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                (durable, done) = oldest(&mut open) => self.settle(done, durable).await,
                // What waits here when another branch is first has not been taken from the inbox.
                fetched = self.collect(), if !full => match fetched {
                    Ok(batch) if batch.is_empty() => continue,
                    Ok(batch) => self.process(batch, &mut open).await,
                    Err(error) => Err(error),
                },
            };
            match result {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let pause = self.limits.back_off(failures);
                    tracing::warn!(
                        stage = S::NAME,
                        error = error.chain(),
                        pause_ms = pause.as_millis(),
                        "the stage waits for a service"
                    );
                    metric::stage_failure(S::NAME);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        while !open.is_empty() {
            let (durable, done) = oldest(&mut open).await;
            if let Err(error) = self.settle(done, durable).await {
                tracing::warn!(stage = S::NAME, error = error.chain(), "a batch will come again");
            }
        }
    }

    /// Fetches a batch. With a linger it goes on until the batch is full or the time is over.
    ///
    /// Dropped in between (at a stop) it loses nothing: what was fetched comes again.
    async fn collect(&mut self) -> Result<Vec<Delivery<I::Token>>, ServiceError> {
        let Limits { batch: most, idle, linger, .. } = self.limits;
        let mut batch = self.inbox.fetch(most, idle).await?;
        if batch.is_empty() || linger.is_zero() {
            return Ok(batch);
        }
        let until = self.clock.instant().checked_add(linger);
        while batch.len() < most {
            let now = self.clock.instant();
            let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            if left.is_zero() {
                break;
            }
            batch.extend(self.inbox.fetch(most.saturating_sub(batch.len()), left).await?);
        }
        Ok(batch)
    }

    /// Judges a batch, makes its effects durable and settles it, or leaves that to be done when what it
    /// handed on is durable. An error has been dealt with: the messages that it concerns come again.
    async fn process(
        &mut self,
        batch: Vec<Delivery<I::Token>>,
        open: &mut VecDeque<(Pending, Done<I::Token>)>,
    ) -> Result<(), ServiceError> {
        let started = self.clock.instant();
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(batch.len());
        let mut effects = Vec::new();
        for delivery in &batch {
            let message = Message {
                subject: &delivery.subject,
                headers: &delivery.headers,
                payload: &delivery.payload,
            };
            outcomes.push(match self.stage.apply(message) {
                Verdict::Emit(value) => {
                    effects.push(Effect { value, redelivered: delivery.attempt > 1 });
                    None
                }
                Verdict::Skip(reason) => Some(Outcome::Settled(Fate::Skipped(reason))),
                Verdict::Defer(reason) => {
                    metric::deferred(S::NAME, reason);
                    Some(Outcome::Later)
                }
                Verdict::Reject(rejection) => Some(Outcome::Settled(Fate::Rejected(rejection))),
            });
        }
        let judged = self.clock.instant();
        let (fates, error) = deliver_isolating(&self.sink, effects).await;
        let mut fates = fates.into_iter();
        let outcomes: Vec<Outcome> = outcomes
            .into_iter()
            .map(|known| known.or_else(|| fates.next().map(Outcome::Settled)))
            .map(|outcome| outcome.unwrap_or(Outcome::Later))
            .collect();
        let buried = self.bury(&batch, &outcomes).await;
        let count = batch.len();
        let deliveries = batch.into_iter().map(|delivery| (delivery.token, delivery.attempt));
        let done = Done { deliveries: deliveries.collect(), outcomes, buried: buried.is_ok() };
        let pending = self.tail.take();
        if pending.is_empty() {
            self.settle(done, true).await?;
        } else {
            open.push_back((pending, done));
        }
        let finished = self.clock.instant();
        metric::stage_batch(
            S::NAME,
            count,
            judged.saturating_duration_since(started),
            finished.saturating_duration_since(judged),
        );
        error.map_or(buried, Err)
    }

    /// Publishes the dead letters of a batch: raw bytes, reason, attempt.
    async fn bury(
        &self,
        batch: &[Delivery<I::Token>],
        outcomes: &[Outcome],
    ) -> Result<(), ServiceError> {
        let letters: Vec<Outgoing> = batch
            .iter()
            .zip(outcomes)
            .filter_map(|(delivery, outcome)| match outcome {
                Outcome::Settled(Fate::Rejected(rejection)) => {
                    Some(self.dead_letter(delivery, rejection))
                }
                Outcome::Settled(Fate::Delivered | Fate::Skipped(_) | Fate::Parked(_))
                | Outcome::Later => None,
            })
            .collect();
        if letters.is_empty() {
            return Ok(());
        }
        self.dead.publish_all(letters).await
    }

    fn dead_letter(&self, delivery: &Delivery<I::Token>, rejection: &Rejection) -> Outgoing {
        tracing::warn!(
            stage = S::NAME,
            subject = delivery.subject,
            sequence = delivery.sequence,
            code = %rejection.code,
            path = rejection.path,
            "dead letter: {}",
            rejection.message
        );
        let mut headers = delivery.headers.clone();
        headers.set(Headers::CODE, rejection.code.as_str());
        headers.set(Headers::PATH, &rejection.path);
        headers.set(Headers::REASON, &rejection.message);
        headers.set(Headers::SUBJECT, &delivery.subject);
        headers.set(Headers::ATTEMPTS, &delivery.attempt.to_string());
        headers.set(Headers::DIED_AT, &self.clock.now().as_microsecond().to_string());
        let id = headers.get(Headers::DELIVERY).unwrap_or_default();
        let id = format!("dead:{}:{}:{id}", S::NAME, delivery.sequence);
        Outgoing {
            subject: Subject::Dead(S::NAME).to_string(),
            id,
            headers,
            payload: delivery.payload.clone(),
        }
    }

    /// Acknowledges what is done; if what the batch handed on is not durable, all of it comes again.
    async fn settle(&self, done: Done<I::Token>, durable: bool) -> Result<(), ServiceError> {
        let Done { deliveries, outcomes, buried } = done;
        let settled = deliveries
            .into_iter()
            .zip(outcomes)
            .map(|((token, attempt), outcome)| {
                let disposition = match outcome {
                    Outcome::Settled(fate)
                        if durable && (buried || !matches!(fate, Fate::Rejected(_))) =>
                    {
                        metric::message(S::NAME, &fate);
                        Disposition::Ack
                    }
                    Outcome::Settled(_) | Outcome::Later => {
                        metric::message_retry(S::NAME);
                        Disposition::Retry(self.limits.back_off(attempt))
                    }
                };
                (token, disposition)
            })
            .collect();
        self.inbox.settle(settled).await
    }
}
