//! The edge: an HTTP server that takes deliveries from shops, proves who sent them and hands them
//! to a durable log before it answers.
//!
//! Invariant: a delivery is answered with success only after [`Intake::accept`] said that it is
//! durable. So a shop that heard "200" never has to send again, and one that heard anything else
//! may: deliveries are at least once, and everything behind the log is idempotent.
//!
//! Invariant: every request that reaches the service is counted exactly once, with one
//! [`Outcome`], whether its client waited for the answer or not.
//!
//! Deliberately absent: nothing here parses a body, but for the addressee of what Adobe has signed and
//! the shop that a caller of the API names.
//! The signature is over the raw bytes, and a signed body that nobody can read must be kept as a dead
//! letter, not refused at the door: `WooCommerce` never sends again. TLS is the business of the proxy in front.

mod admission;
mod adobe;
mod answer;
mod body;
mod config;
mod connection;
mod directory;
mod request;
mod route;
mod server;
mod signature;
mod transport;

#[cfg(test)]
mod tests;

use std::{error::Error, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;

pub use self::{
    admission::{Admission, AdmissionConfig, Outlook, Reading, Reason},
    adobe::{AdobeEvents, AdobeKey, KEYS_MAX as ADOBE_KEYS_MAX, KeyError},
    config::{EdgeConfig, EdgeError, StoreEndpoint},
    server::{Drained, Edge},
};
use crate::domain::{
    digest::Digest,
    id::{Platform, StoreId},
};

/// The topic of a delivery whose headers do not name one that can be kept.
///
/// Such a delivery is signed, so it is not refused: the stage that reads it makes it a dead letter,
/// with its bytes.
pub const UNKNOWN_TOPIC: &str = "unknown";

/// A verified delivery on its way to the log.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The platform of the endpoint.
    pub platform: Platform,
    /// The shop of the endpoint: of its path, or of its token.
    pub store: StoreId,
    /// The platform's topic or event name; for the API the form, `short` or `canonical`. At most
    /// 135 printable ASCII characters without blanks. Shops sign the body, not the headers, so of
    /// the shop platforms only Magento's topic (it is in the path) is more than a claim.
    pub topic: String,
    /// The transport key, for `Nats-Msg-Id`: at most 512 printable ASCII characters without blanks,
    /// never the same for two shops, and the same when a shop sends the same delivery again.
    pub delivery: String,
    /// When the whole body had been read.
    pub received_at: Timestamp,
    /// SHA-256 of the body.
    pub digest: Digest,
    /// The body, exactly as it was signed.
    pub body: Bytes,
}

/// What the log says about a delivery that it has made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The log holds this transport key already, and stored nothing new.
    pub duplicate: bool,
}

/// Why the log did not take a delivery.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The log cannot be reached, or did not confirm in time. The delivery may be durable or not.
    /// Answered with 503 and the configured `Retry-After`.
    #[error("the log is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The log is reachable and takes no more for now. Answered with 503 and this `Retry-After`.
    #[error("the log takes no more for now, try again in {retry_after:?}")]
    Overloaded {
        /// When it makes sense to try again; rounded up to seconds in the answer.
        retry_after: Duration,
    },
    /// The delivery is larger than the log can hold. Answered with 413.
    #[error("the delivery has {length} bytes, the log takes at most {limit}")]
    TooLarge {
        /// The length of the body, in bytes.
        length: usize,
        /// The most that the log takes, in bytes.
        limit: usize,
    },
    /// The log will never take this delivery. Answered with 500: it is not the sender's fault, and
    /// somebody should look.
    #[error("the log refused the delivery")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
}

/// Where the edge puts deliveries.
pub trait Intake: Send + Sync + 'static {
    /// Makes a delivery durable, and returns only then.
    ///
    /// The edge drops the future after [`EdgeConfig::accept_timeout`], and only then: a client
    /// that hangs up does not cancel it. What becomes durable later is found again by its
    /// transport key when the shop retries.
    fn accept(
        &self,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Accepted, IntakeError>> + Send;

    /// Whether the log could take a delivery now, for a readiness probe.
    ///
    /// The edge itself turns nobody away because of it: `WooCommerce` does not send again, so a
    /// delivery is worth waiting for while [`Self::accept`] still hopes.
    fn ready(&self) -> bool;
}

/// What the edge reports about its work. Every call is on the path of a request: no blocking.
pub trait Observer: Send + Sync + 'static {
    /// A request has ended. `platform` is `shopify`, `woocommerce`, `magento`, `api`, or `none` for
    /// a path that belongs to none; `seconds` runs from the request head to the answer.
    fn webhook(&self, platform: &'static str, outcome: Outcome, seconds: f64);

    /// A verified body of this many bytes was read, and there is room for it.
    fn body(&self, platform: &'static str, bytes: usize);

    /// A delivery that said it was of this store was refused for load; it is also counted by
    /// [`Self::webhook`].
    fn refused(&self, platform: Platform, store: &StoreId, reason: Reason);

    /// This many connections are open now.
    fn connections(&self, open: usize);

    /// A shop has delivered something that proved to be its own, and it is durable. Shops switch a
    /// failing webhook off without a word: the age of the last sign of life is how one notices.
    fn source_seen(&self, platform: Platform, store: &StoreId, at: Timestamp);

    /// The time between the event at the shop and its receipt here, in seconds, never negative. Only
    /// Shopify says when an event happened (`X-Shopify-Triggered-At`).
    fn source_lag(&self, platform: &'static str, seconds: f64);
}

/// How a request ended. Every request has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The delivery is durable.
    Accepted,
    /// The delivery was durable already.
    Duplicate,
    /// The unsigned greeting of `WooCommerce`, sent when a webhook is saved.
    Ping,
    /// The registration check of Adobe I/O, answered with its challenge.
    Challenge,
    /// The signature or token is missing, is malformed, or is not that of the shop.
    BadSignature,
    /// The token may not write the orders of the shop that the body names.
    Forbidden,
    /// The path names a shop that is not configured.
    UnknownStore,
    /// The path is none of the edge's.
    NotFound,
    /// The path is known, the method does not belong to it.
    MethodNotAllowed,
    /// The request lacks something that its form needs.
    BadRequest,
    /// The body is larger than the limit, of the edge or of the log.
    TooLarge,
    /// The body did not arrive in time.
    Timeout,
    /// The edge, the log or the pipeline behind them has as much as it may.
    Overloaded,
    /// The log could not be reached or did not confirm in time.
    Unavailable,
    /// The log will never take the delivery.
    Refused,
    /// The client went away, or the drain ended, before the delivery had been read and verified.
    Aborted,
    /// A defect: the hand-over panicked.
    Internal,
}

impl Outcome {
    /// Every outcome, in the order of the enum.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Ping,
        Self::Challenge,
        Self::BadSignature,
        Self::Forbidden,
        Self::UnknownStore,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::BadRequest,
        Self::TooLarge,
        Self::Timeout,
        Self::Overloaded,
        Self::Unavailable,
        Self::Refused,
        Self::Aborted,
        Self::Internal,
    ];

    /// The name: the metric's label and the `error` code of the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Ping => "ping",
            Self::Challenge => "challenge",
            Self::BadSignature => "bad_signature",
            Self::Forbidden => "forbidden",
            Self::UnknownStore => "unknown_store",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::BadRequest => "bad_request",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::Refused => "refused",
            Self::Aborted => "aborted",
            Self::Internal => "internal",
        }
    }
}
