//! The one loop: fetch a batch, judge each message, make the effects durable, settle.
//!
//! Every message that is settled for good is counted under exactly one outcome: delivered, skipped,
//! deferred (durable elsewhere and waiting) or dead-lettered. A message that comes again is a retry
//! and is counted as such; an outage is retried without limit and buries nothing.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    Delivery, Disposition, Effect, Fate, Inbox, Outgoing, Publish, ServiceError, Sink,
    batch::deliver_isolating,
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
}

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
        while !stop.is_cancelled() {
            let result = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                // Dropped at a stop it loses nothing: what was fetched comes again.
                fetched = self.inbox.fetch(self.limits.batch, self.limits.idle) => match fetched {
                    Ok(batch) if batch.is_empty() => continue,
                    Ok(batch) => self.process(batch).await,
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
    }

    /// Judges a batch, makes its effects durable and settles it. An error has been dealt with: the
    /// messages that it concerns come again.
    async fn process(&mut self, batch: Vec<Delivery<I::Token>>) -> Result<(), ServiceError> {
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
        self.settle(deliveries.zip(outcomes), buried.is_ok()).await?;
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

    /// Acknowledges what is done; what could not be buried comes again.
    async fn settle(
        &self,
        batch: impl Iterator<Item = ((I::Token, u32), Outcome)>,
        buried: bool,
    ) -> Result<(), ServiceError> {
        let settled = batch
            .map(|((token, attempt), outcome)| {
                let disposition = match outcome {
                    Outcome::Settled(fate) if buried || !matches!(fate, Fate::Rejected(_)) => {
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
