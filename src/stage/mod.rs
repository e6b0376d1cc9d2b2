//! The stages: pure functions from a message to a verdict.
//!
//! Invariant: no async, no clock, no I/O. A stage has no error for the world because it cannot meet
//! the world; the runner in `stream` does, once, for all of them.

pub mod commission;
#[cfg(test)]
mod example_tests;
pub mod ledger;
pub mod map;
pub mod message;
pub mod platform;
pub mod refunds;
pub mod validate;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A message as a stage sees it.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The subject, without the deployment's prefix.
    pub subject: &'a str,
    /// The headers that the pipeline set.
    pub headers: &'a message::Headers,
    /// The bytes.
    pub payload: &'a [u8],
}

/// One step of the pipeline: a synchronous, pure function from a message to a verdict.
pub trait Stage: Send + Sync + 'static {
    /// Names the durable consumer, the metric label and the dead letters.
    const NAME: &'static str;
    /// The effect that the sink makes durable.
    type Effect: Send + Sync + 'static;

    /// Judges one message.
    fn apply(&self, message: Message<'_>) -> Verdict<Self::Effect>;
}

/// A stage that reads what an earlier stage handed on: as a message, or as the value itself when both
/// run as one.
pub trait Judge: Send + Sync + 'static {
    /// See [`Stage::NAME`].
    const NAME: &'static str;
    /// What the earlier stage hands on.
    type Input: DeserializeOwned + Send + Sync + 'static;
    /// See [`Stage::Effect`].
    type Effect: Send + Sync + 'static;

    /// Judges one value.
    fn judge(&self, input: Self::Input) -> Verdict<Self::Effect>;
}

impl<J: Judge> Stage for J {
    const NAME: &'static str = J::NAME;
    type Effect = J::Effect;

    fn apply(&self, message: Message<'_>) -> Verdict<Self::Effect> {
        match decode(message.payload) {
            Ok(input) => self.judge(input),
            Err(rejection) => Verdict::Reject(rejection),
        }
    }
}

/// Decodes a message that an earlier stage wrote.
pub fn decode<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Rejection> {
    // The path of a fault costs much on every field, so it is asked for only when there is one.
    if let Ok(decoded) = serde_json::from_slice(payload) {
        return Ok(decoded);
    }
    let mut json = serde_json::Deserializer::from_slice(payload);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        Rejection::new(RejectCode::Shape, path, error.into_inner().to_string())
    })
}

/// What is to become of a message.
#[must_use = "every message is accounted for"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It has this effect.
    Emit(T),
    /// It has none, and that is right.
    Skip(SkipReason),
    /// Not yet: try again later.
    Defer(DeferReason),
    /// It cannot be processed: keep it as a dead letter.
    Reject(Rejection),
}

/// Why a message has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The topic says nothing about orders.
    IrrelevantTopic,
    /// A resource that never earns: a draft order, a cart, a quote.
    NotAnOrder,
    /// The state already holds all that the message says.
    NothingNew,
    /// The ledger already has this revision or a newer one.
    AlreadyPosted,
    /// The message carries no facts of its own and only announces that something changed.
    Notice,
    /// There is no refund that the shop would have to be asked for.
    NothingToFetch,
}

impl SkipReason {
    /// The label of the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IrrelevantTopic => "irrelevant_topic",
            Self::NotAnOrder => "not_an_order",
            Self::NothingNew => "nothing_new",
            Self::AlreadyPosted => "already_posted",
            Self::Notice => "notice",
            Self::NothingToFetch => "nothing_to_fetch",
        }
    }
}

/// Why a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferReason {
    /// The order is locked to a genealogy or plan version that this process has not loaded yet.
    VersionNotLoaded,
    /// A SKU has no commission class yet: the order is parked in the order book.
    UnknownSku,
    /// A distributor is not known yet: the order is parked in the order book.
    UnknownDistributor,
    /// Nobody referred the order, and its store wants such orders parked.
    NoReferrer,
    /// An exchange rate is not known yet: the order is parked in the order book.
    UnknownRate,
    /// A line or a chargeback of the order waits for a person's decision: it is parked.
    Undecided,
    /// A refund or deletion came before its order: it is kept in the order book.
    NoOrderYet,
}

impl DeferReason {
    /// The label of the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VersionNotLoaded => "version_not_loaded",
            Self::UnknownSku => "unknown_sku",
            Self::UnknownDistributor => "unknown_distributor",
            Self::NoReferrer => "no_referrer",
            Self::UnknownRate => "unknown_rate",
            Self::Undecided => "undecided",
            Self::NoOrderYet => "no_order_yet",
        }
    }
}

/// Why a message cannot be processed, for the person who has to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code} at {path}: {message}")]
pub struct Rejection {
    /// The class of the reason: a bounded label.
    pub code: RejectCode,
    /// The JSON path of what is wrong, such as `line_items[2].price`; `$` is the whole body.
    pub path: String,
    /// What is wrong there and what would be right.
    pub message: String,
}

impl Rejection {
    /// A rejection of what stands at `path`.
    pub fn new(code: RejectCode, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, path: path.into(), message: message.into() }
    }
}

/// The classes of rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectCode {
    /// Not JSON, or cut off.
    Malformed,
    /// JSON, but a field is missing or of another type.
    Shape,
    /// A field's value cannot be: an amount that is no number, a time that is none.
    Value,
    /// The rows do not add up to the header.
    Unfooted,
    /// Only an id: the platform left the body out and it has to be fetched.
    Incomplete,
    /// The platform sent an error object in place of the resource.
    ErrorObject,
    /// A form of delivery whose body is not understood (Shopify `shopify-*` events).
    UnsupportedForm,
    /// The store is not configured.
    UnknownStore,
    /// The database refuses it as it is.
    Refused,
}

impl RejectCode {
    /// The label of the class.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Shape => "shape",
            Self::Value => "value",
            Self::Unfooted => "unfooted",
            Self::Incomplete => "incomplete",
            Self::ErrorObject => "error_object",
            Self::UnsupportedForm => "unsupported_form",
            Self::UnknownStore => "unknown_store",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
