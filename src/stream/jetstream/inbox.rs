//! The reading side: a durable pull consumer whose messages are fetched ahead.

use std::time::Duration;

use async_nats::jetstream::{
    self, AckKind,
    consumer::{PullConsumer, pull},
    message::Acker,
};
use futures_util::{FutureExt, StreamExt};

use super::{JetStream, unavailable};
use crate::stream::{Delivery, Disposition, Inbox, ServiceError};

/// The most messages that are fetched ahead. What waits here for longer than `ack_wait` is delivered
/// again, and a process that dies takes it along for as long: so no more than a batch.
const AHEAD: usize = 500;

/// A durable pull consumer.
pub struct JetStreamInbox {
    pub(super) log: JetStream,
    pub(super) consumer: PullConsumer,
    pub(super) in_flight: usize,
    pub(super) messages: Option<pull::Stream>,
}

impl std::fmt::Debug for JetStreamInbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JetStreamInbox").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}

impl JetStreamInbox {
    fn delivery(&self, message: jetstream::Message) -> Delivery<Acker> {
        let (attempt, sequence) = match message.info() {
            Ok(info) => (u32::try_from(info.delivered).unwrap_or(u32::MAX), info.stream_sequence),
            // Without its position a message counts as delivered before: the careful way.
            Err(_unreadable) => (2, 0),
        };
        let (message, token) = message.split();
        Delivery {
            subject: self.log.without_prefix(&message.subject).to_owned(),
            headers: JetStream::headers(message.headers.as_ref()),
            payload: message.payload,
            attempt,
            sequence,
            token,
        }
    }

    async fn open(&self) -> Result<pull::Stream, ServiceError> {
        self.consumer
            .stream()
            .max_messages_per_batch(self.in_flight.min(AHEAD))
            .expires(Duration::from_secs(10))
            .heartbeat(Duration::from_secs(3))
            .messages()
            .await
            .map_err(unavailable)
    }
}

impl Inbox for JetStreamInbox {
    type Token = Acker;

    async fn fetch(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Delivery<Acker>>, ServiceError> {
        if self.messages.is_none() {
            self.messages = Some(self.open().await?);
        }
        let Some(messages) = &mut self.messages else { return Ok(Vec::new()) };
        let mut batch = Vec::new();
        // Only the first message is waited for, so whoever stops waiting loses nothing.
        let Ok(mut next) = tokio::time::timeout(wait, messages.next()).await else {
            return Ok(batch);
        };
        // Unconstrained, because tokio's cooperative budget would end the drain after 128 messages.
        let drained = tokio::task::unconstrained(async {
            let mut taken = Vec::new();
            loop {
                match next {
                    Some(Ok(message)) => taken.push(message),
                    Some(Err(error)) => return (taken, Some(Err(unavailable(error)))),
                    None => return (taken, Some(Ok(()))),
                }
                if taken.len() >= max {
                    return (taken, None);
                }
                match messages.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => return (taken, None),
                }
            }
        });
        let (taken, ended) = drained.await;
        batch.extend(taken.into_iter().map(|message| self.delivery(message)));
        match ended {
            None => Ok(batch),
            Some(ended) => {
                self.messages = None;
                // What was fetched before the error is still good; the error shows itself again.
                if batch.is_empty() { ended.map(|()| batch) } else { Ok(batch) }
            }
        }
    }

    async fn settle(&self, settled: Vec<(Acker, Disposition)>) -> Result<(), ServiceError> {
        for (acker, disposition) in settled {
            let kind = match disposition {
                Disposition::Ack => AckKind::Ack,
                Disposition::Retry(after) => AckKind::Nak(Some(after)),
            };
            acker.ack_with(kind).await.map_err(unavailable)?;
        }
        Ok(())
    }
}
