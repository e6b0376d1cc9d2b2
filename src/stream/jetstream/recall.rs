//! Remembering what was written before this process began.

use std::time::Duration;

use async_nats::{
    header::NATS_MESSAGE_ID,
    jetstream::consumer::{AckPolicy, DeliverPolicy, pull},
};
use futures_util::StreamExt;

use super::{JetStream, StreamName, unavailable};
use crate::stream::ServiceError;

/// How many of the last messages are looked at.
const LAST: u64 = 1 << 16;
/// Messages of one request.
const PART: usize = 1_000;

impl JetStream {
    /// Reads back the ids of the last messages of a stream, so that what is delivered again is known
    /// after a restart, too: the server refuses a whole batch for one known id. Says how many it found.
    pub async fn recall(&self, stream: StreamName) -> Result<usize, ServiceError> {
        let name = self.stream_name(stream);
        let log = self.context.get_stream(name).await.map_err(unavailable)?;
        let state = &log.cached_info().state;
        if state.messages == 0 {
            return Ok(0);
        }
        let start_sequence = state.last_sequence.saturating_sub(LAST).saturating_add(1);
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            headers_only: true,
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        };
        let mut consumer = log.create_consumer(config).await.map_err(unavailable)?;
        let pending = consumer.info().await.map_err(unavailable)?.num_pending;
        let wanted = usize::try_from(pending).unwrap_or(usize::MAX);
        let mut found = 0usize;
        while found < wanted {
            let most = wanted.saturating_sub(found).min(PART);
            let fetch = consumer.fetch().max_messages(most);
            let mut part = fetch.messages().await.map_err(unavailable)?;
            let mut ids = Vec::with_capacity(most);
            while let Some(message) = part.next().await {
                let message = message.map_err(unavailable)?;
                let sequence = message.info().map_err(unavailable)?.stream_sequence;
                let id = message.headers.as_ref().and_then(|headers| headers.get(NATS_MESSAGE_ID));
                ids.extend(id.map(|id| (id.as_str().to_owned(), sequence)));
            }
            if ids.is_empty() {
                break;
            }
            found = found.saturating_add(ids.len());
            self.committer(stream).recall(ids).await?;
        }
        Ok(found)
    }
}
