//! The writing side: single messages, and atomic batches by the server's headers (2.12 and later).
//!
//! The server syncs an atomic batch once, after its last message and before its one answer. That is
//! not written down anywhere, so a test watches it (`tests/commit.rs`).

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, Request, RequestErrorKind,
    header::{
        NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
        NATS_MESSAGE_ID,
    },
    jetstream::{
        Context,
        context::{PublishError, PublishErrorKind},
        message::PublishMessage,
    },
};
use futures_util::FutureExt as _;
use serde::Deserialize;

use super::{SERVICE, unavailable};
use crate::{
    stage::message::Headers,
    stream::{
        Outgoing, Receipt, ServiceError,
        commit::{Journal, Promise, Refusal},
    },
};

/// How long the answer to a write may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The server's code for a batch with a message id that it knows.
const CONTAINS_DUPLICATE: u64 = 10_201;

fn classify(error: PublishError) -> ServiceError {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => {
            ServiceError::Refused { service: SERVICE, source: error.into() }
        }
        PublishErrorKind::StreamNotFound
        | PublishErrorKind::WrongLastMessageId
        | PublishErrorKind::WrongLastSequence
        | PublishErrorKind::TimedOut
        | PublishErrorKind::BrokenPipe
        | PublishErrorKind::MaxAckPending
        | PublishErrorKind::Other => unavailable(error),
    }
}

/// The answer to the last message of a batch.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// What a committer writes with.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) client: Client,
    pub(super) context: Context,
    /// What stands before every subject, with its dot.
    pub(super) prefix: String,
}

impl Wire {
    fn subject(&self, message: &Outgoing) -> String {
        format!("{}{}", self.prefix, message.subject)
    }

    /// The headers of a message; its own id takes the place of one that it was delivered with.
    fn headers(message: &Outgoing) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in message.headers.iter().filter(|(n, _)| *n != Headers::DELIVERY) {
            headers.insert(name, value);
        }
        headers.insert(NATS_MESSAGE_ID, message.id.as_str());
        headers
    }
}

impl Journal for Wire {
    async fn send(&self, message: &Outgoing) -> Promise {
        let publish = PublishMessage::build()
            .payload(message.payload.clone())
            .headers(Self::headers(message));
        let sent = self.context.send_publish(self.subject(message), publish).await;
        async {
            let acked = match sent {
                Ok(ack) => ack.await,
                Err(error) => Err(error),
            };
            acked
                .map(|ack| Receipt { sequence: ack.sequence, duplicate: ack.duplicate })
                .map_err(classify)
        }
        .boxed()
    }

    async fn together(&self, messages: &[Outgoing]) -> Result<u64, Refusal> {
        let inbox = self.client.new_inbox();
        let batch = inbox.rsplit('.').next().unwrap_or(&inbox);
        let lost = |error: async_nats::PublishError| Refusal::Unavailable(unavailable(error));
        let Some((final_one, before)) = messages.split_last() else { return Ok(0) };
        let numbered = |message: &Outgoing, number: usize| {
            let mut headers = Self::headers(message);
            headers.insert(NATS_BATCH_ID, batch);
            headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
            headers
        };
        for (message, number) in before.iter().zip(1..) {
            let headers = numbered(message, number);
            let payload = message.payload.clone();
            let sent = self.client.publish_with_headers(self.subject(message), headers, payload);
            sent.await.map_err(lost)?;
        }
        let mut headers = numbered(final_one, messages.len());
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let request = Request::new()
            .headers(headers)
            .payload(final_one.payload.clone())
            .timeout(Some(TIMEOUT));
        let answered = self.client.send_request(self.subject(final_one), request).await;
        let answer = answered.map_err(|error| match error.kind() {
            RequestErrorKind::MaxPayloadExceeded => Refusal::Rejected(error.to_string()),
            RequestErrorKind::TimedOut
            | RequestErrorKind::NoResponders
            | RequestErrorKind::InvalidSubject
            | RequestErrorKind::Other => Refusal::Unavailable(unavailable(error)),
        })?;
        let answer: Answer = serde_json::from_slice(&answer.payload)
            .map_err(|error| Refusal::Unavailable(unavailable(error)))?;
        match answer.error {
            None => Ok(answer.seq),
            Some(error) if error.err_code == CONTAINS_DUPLICATE => Err(Refusal::Known),
            Some(error) => Err(Refusal::Rejected(error.description)),
        }
    }
}
