//! The log on NATS JetStream.
//!
//! The server must run with `sync_interval: always`: its default acknowledges messages that a power
//! cut loses. A stream that is full refuses new messages (`discard: new`), so what is not processed
//! yet is never pushed out; the edge then answers 503.

mod inbox;
mod recall;
mod wire;

use std::{collections::BTreeMap, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self, Context,
        consumer::{AckPolicy, DeliverPolicy, pull},
        stream::{DiscardPolicy, RetentionPolicy, StorageType},
    },
};
use futures_util::StreamExt;

pub use self::inbox::JetStreamInbox;
use self::wire::Wire;
use super::{Outgoing, Publish, Receipt, ServiceError, commit::Committer};
use crate::{clock::Clock, stage::message::Headers};

const SERVICE: &str = "nats";

/// Classifies an error of the client: whatever it is, the broker may be back later.
fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ServiceError {
    ServiceError::Unavailable { service: SERVICE, source: source.into() }
}

/// How the streams are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLimits {
    /// Copies of each message in a cluster.
    pub replicas: usize,
    /// How long raw deliveries are kept for replay.
    pub keep_raw: Duration,
    /// How long messages between stages are kept; a consumer must not be down for longer.
    pub keep_stages: Duration,
    /// The most bytes of each stream; the server sets them aside when the stream is made.
    pub max_bytes: i64,
    /// For how long the log itself remembers message ids. Kept to minutes: each id costs the server
    /// memory, and the keys in Postgres are the guarantee.
    pub dedupe_window: Duration,
}

/// One of the four streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamName {
    /// Raw deliveries.
    Ingest,
    /// Order events and revisions.
    Orders,
    /// Calculations and posted calculations.
    Commissions,
    /// Dead letters.
    Dead,
}

impl StreamName {
    /// Every stream.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Orders, Self::Commissions, Self::Dead];

    /// Its name without the deployment's prefix.
    pub fn upper(self) -> &'static str {
        match self {
            Self::Ingest => "INGEST",
            Self::Orders => "ORDERS",
            Self::Commissions => "COMMISSIONS",
            Self::Dead => "DEAD",
        }
    }

    /// The stream that keeps messages of this subject.
    fn of(subject: &str) -> Self {
        match subject.split('.').next() {
            Some("ingest") => Self::Ingest,
            Some("orders") => Self::Orders,
            Some("commissions") => Self::Commissions,
            Some(_) | None => Self::Dead,
        }
    }

    fn subjects(self) -> &'static str {
        match self {
            Self::Ingest => "ingest.>",
            Self::Orders => "orders.>",
            Self::Commissions => "commissions.>",
            Self::Dead => "dead.>",
        }
    }
}

/// A message that a stream keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its sequence number in the stream.
    pub sequence: u64,
    /// Its subject, without the deployment's prefix.
    pub subject: String,
    /// The headers that the pipeline set.
    pub headers: Headers,
    /// The bytes.
    pub payload: bytes::Bytes,
}

/// A connection to JetStream for one deployment: its streams and subjects carry a prefix, so that
/// several deployments (and every test) can share a server.
#[derive(Debug, Clone)]
pub struct JetStream {
    client: Client,
    context: Context,
    prefix: String,
    committers: [Committer; 4],
}

impl JetStream {
    /// Connects; the client reconnects by itself from then on.
    pub async fn connect(url: &str, prefix: &str) -> Result<Self, ServiceError> {
        let client = async_nats::ConnectOptions::new()
            .name("upline")
            .connection_timeout(Duration::from_secs(5))
            .request_timeout(Some(Duration::from_secs(5)))
            .connect(url)
            .await
            .map_err(unavailable)?;
        let context = jetstream::ContextBuilder::new()
            .timeout(Duration::from_secs(5))
            .max_ack_inflight(10_000)
            .build(client.clone());
        let wire = Wire {
            client: client.clone(),
            context: context.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
        };
        let committers = StreamName::ALL
            .map(|stream| Committer::start(stream.upper(), wire.clone(), Clock::system()));
        Ok(Self { client, context, prefix: prefix.to_owned(), committers })
    }

    /// Writes to a stream.
    fn committer(&self, stream: StreamName) -> &Committer {
        let [ingest, orders, commissions, dead] = &self.committers;
        match stream {
            StreamName::Ingest => ingest,
            StreamName::Orders => orders,
            StreamName::Commissions => commissions,
            StreamName::Dead => dead,
        }
    }

    /// The largest message that the server takes, in bytes.
    pub fn max_payload(&self) -> usize {
        self.client.server_info().max_payload
    }

    /// Whether the client is connected now.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// The name of a stream with the deployment's prefix.
    pub fn stream_name(&self, stream: StreamName) -> String {
        match self.prefix.as_str() {
            "" => stream.upper().to_owned(),
            prefix => format!("{prefix}_{}", stream.upper()),
        }
    }

    fn subject(&self, subject: &str) -> String {
        match self.prefix.as_str() {
            "" => subject.to_owned(),
            prefix => format!("{prefix}.{subject}"),
        }
    }

    fn without_prefix<'a>(&self, subject: &'a str) -> &'a str {
        match self.prefix.as_str() {
            "" => subject,
            prefix => subject
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('.'))
                .unwrap_or(subject),
        }
    }

    /// Makes the streams, or brings them to these limits.
    pub async fn ensure_streams(&self, limits: &StreamLimits) -> Result<(), ServiceError> {
        for stream in StreamName::ALL {
            let max_age = match stream {
                StreamName::Ingest => limits.keep_raw,
                StreamName::Orders | StreamName::Commissions => limits.keep_stages,
                StreamName::Dead => Duration::ZERO,
            };
            let config = jetstream::stream::Config {
                name: self.stream_name(stream),
                subjects: vec![self.subject(stream.subjects())],
                retention: RetentionPolicy::Limits,
                storage: StorageType::File,
                discard: DiscardPolicy::New,
                max_age,
                max_bytes: limits.max_bytes,
                num_replicas: limits.replicas,
                duplicate_window: limits.dedupe_window,
                allow_direct: true,
                allow_atomic_publish: true,
                ..jetstream::stream::Config::default()
            };
            self.context.create_or_update_stream(config).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// Deletes the streams with all that is in them.
    pub async fn delete_streams(&self) -> Result<(), ServiceError> {
        for stream in StreamName::ALL {
            self.context.delete_stream(self.stream_name(stream)).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// A durable pull consumer. `ack_wait` is how long a delivery may be in work before it comes
    /// again; `in_flight` how many may be.
    pub async fn consumer(
        &self,
        stream: StreamName,
        stage: &str,
        filter: &str,
        ack_wait: Duration,
        in_flight: usize,
    ) -> Result<JetStreamInbox, ServiceError> {
        let config = pull::Config {
            durable_name: Some(stage.to_owned()),
            ack_policy: AckPolicy::Explicit,
            deliver_policy: DeliverPolicy::All,
            filter_subject: self.subject(filter),
            ack_wait,
            max_deliver: -1,
            max_ack_pending: i64::try_from(in_flight).unwrap_or(i64::MAX),
            ..pull::Config::default()
        };
        let stream =
            self.context.get_stream(self.stream_name(stream)).await.map_err(unavailable)?;
        let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
        Ok(JetStreamInbox { log: self.clone(), consumer, in_flight, messages: None })
    }

    /// How many messages a stage's consumer has not settled: waiting and in work.
    pub async fn lag(&self, stream: StreamName, stage: &str) -> Result<u64, ServiceError> {
        let stream =
            self.context.get_stream_no_info(self.stream_name(stream)).await.map_err(unavailable)?;
        let info = stream.consumer_info(stage).await.map_err(unavailable)?;
        let in_work = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
        Ok(info.num_pending.saturating_add(in_work))
    }

    /// Every message of a stream whose subject matches the filter, oldest first, at most `limit`.
    pub async fn read(
        &self,
        stream: StreamName,
        filter: &str,
        limit: usize,
    ) -> Result<Vec<Kept>, ServiceError> {
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            filter_subject: self.subject(filter),
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        };
        let stream =
            self.context.get_stream(self.stream_name(stream)).await.map_err(unavailable)?;
        let mut consumer = stream.create_consumer(config).await.map_err(unavailable)?;
        let pending = consumer.info().await.map_err(unavailable)?.num_pending;
        let wanted = usize::try_from(pending).unwrap_or(usize::MAX).min(limit);
        let mut kept = Vec::with_capacity(wanted);
        while kept.len() < wanted {
            let most = wanted.saturating_sub(kept.len()).min(500);
            let mut batch =
                consumer.fetch().max_messages(most).messages().await.map_err(unavailable)?;
            let before = kept.len();
            while let Some(message) = batch.next().await {
                let message = message.map_err(unavailable)?;
                let sequence = message.info().map_err(unavailable)?.stream_sequence;
                kept.push(Kept {
                    sequence,
                    subject: self.without_prefix(&message.subject).to_owned(),
                    headers: Self::headers(message.headers.as_ref()),
                    payload: message.message.payload.clone(),
                });
            }
            if kept.len() == before {
                break;
            }
        }
        Ok(kept)
    }

    /// One message of a stream, if it is there.
    pub async fn get(
        &self,
        stream: StreamName,
        sequence: u64,
    ) -> Result<Option<Kept>, ServiceError> {
        let stream =
            self.context.get_stream_no_info(self.stream_name(stream)).await.map_err(unavailable)?;
        match stream.direct_get(sequence).await {
            Ok(message) => Ok(Some(Kept {
                sequence,
                subject: self.without_prefix(&message.subject).to_owned(),
                headers: Self::headers(Some(&message.headers)),
                payload: message.payload,
            })),
            Err(error) if error.kind() == jetstream::stream::DirectGetErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The bytes that a stream holds.
    pub async fn bytes(&self, stream: StreamName) -> Result<u64, ServiceError> {
        let stream =
            self.context.get_stream(self.stream_name(stream)).await.map_err(unavailable)?;
        Ok(stream.cached_info().state.bytes)
    }

    /// Deletes one message of a stream.
    pub async fn delete(&self, stream: StreamName, sequence: u64) -> Result<(), ServiceError> {
        let stream =
            self.context.get_stream_no_info(self.stream_name(stream)).await.map_err(unavailable)?;
        stream.delete_message(sequence).await.map(drop).map_err(unavailable)
    }

    /// Reads the headers of a message that the pipeline set.
    pub fn headers(from: Option<&async_nats::HeaderMap>) -> Headers {
        let mut headers = Headers::default();
        for name in Headers::ALL {
            if let Some(value) = from.and_then(|from| from.get(name)) {
                headers.set(name, value.as_str());
            }
        }
        headers
    }
}

impl Publish for JetStream {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<Receipt, ServiceError>> {
        let streams: Vec<StreamName> =
            messages.iter().map(|message| StreamName::of(&message.subject)).collect();
        let Some(first) = streams.first().copied() else { return Vec::new() };
        if streams.iter().all(|stream| *stream == first) {
            return self.committer(first).commit(messages).await;
        }
        let mut parts: BTreeMap<StreamName, Vec<Outgoing>> = BTreeMap::new();
        for (message, stream) in messages.into_iter().zip(&streams) {
            parts.entry(*stream).or_default().push(message);
        }
        let mut receipts = BTreeMap::new();
        for (stream, part) in parts {
            receipts.insert(stream, self.committer(stream).commit(part).await.into_iter());
        }
        let next = |stream| receipts.get_mut(stream)?.next();
        streams.iter().filter_map(next).collect()
    }
}
