//! The edge's view of the log and of the metrics.

use std::sync::Arc;

use jiff::Timestamp;

use super::pressure::Arrivals;
use crate::{
    domain::id::{Platform, StoreId},
    ingest::{Accepted, Envelope, Intake, IntakeError, Observer, Outcome, Reason},
    metric,
    stage::message::{Headers, Subject},
    stream::{Outgoing, Publish, ServiceError, jetstream::JetStream},
};

/// Publishes deliveries to the log, one by one.
#[derive(Debug)]
pub(super) struct LogIntake {
    log: Arc<JetStream>,
    arrivals: Arrivals,
}

/// Room for the headers beside the body in a message.
const HEADER_ROOM: usize = 8 * 1024;

impl LogIntake {
    pub(super) fn new(log: Arc<JetStream>, arrivals: Arrivals) -> Self {
        Self { log, arrivals }
    }
}

impl Intake for LogIntake {
    async fn accept(&self, envelope: Envelope) -> Result<Accepted, IntakeError> {
        let limit = self.log.max_payload().saturating_sub(HEADER_ROOM);
        if envelope.body.len() > limit {
            return Err(IntakeError::TooLarge { length: envelope.body.len(), limit });
        }
        let headers = Headers::default()
            .with(Headers::TOPIC, &envelope.topic)
            .with(Headers::RECEIVED_AT, &envelope.received_at.as_microsecond().to_string())
            .with(Headers::DIGEST, &envelope.digest.to_string());
        let message = Outgoing {
            subject: Subject::Ingest(envelope.platform, &envelope.store).to_string(),
            id: envelope.delivery,
            headers,
            payload: envelope.body,
        };
        let receipt = self.log.publish(vec![message]).await.into_iter().next();
        match receipt {
            Some(Ok(receipt)) => {
                self.arrivals.saw(receipt.sequence);
                if receipt.duplicate {
                    metric::duplicate("log");
                }
                Ok(Accepted { duplicate: receipt.duplicate })
            }
            Some(Err(error @ ServiceError::Unavailable { .. })) => {
                Err(IntakeError::Unavailable(error.into()))
            }
            Some(Err(error @ ServiceError::Refused { .. })) => {
                Err(IntakeError::Refused(error.into()))
            }
            None => Err(IntakeError::Unavailable("the log gave no answer".into())),
        }
    }

    fn ready(&self) -> bool {
        self.log.is_connected()
    }
}

/// Hands what the edge reports to Prometheus.
#[derive(Debug)]
pub(super) struct MetricObserver;

impl Observer for MetricObserver {
    fn webhook(&self, platform: &'static str, outcome: Outcome, seconds: f64) {
        metric::webhook(platform, outcome.as_str(), seconds);
    }

    fn body(&self, platform: &'static str, bytes: usize) {
        metric::webhook_bytes(platform, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    fn refused(&self, platform: Platform, store: &StoreId, reason: Reason) {
        metric::refused(platform.as_str(), store.as_str(), reason);
    }

    fn connections(&self, open: usize) {
        metric::connections(open);
    }

    fn source_seen(&self, platform: Platform, store: &StoreId, at: Timestamp) {
        metric::source_seen(platform.as_str(), store.as_str(), at);
    }

    fn source_lag(&self, platform: &'static str, seconds: f64) {
        metric::source_lag(platform, seconds);
    }
}
