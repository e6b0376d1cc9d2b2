//! What the stages hand to each other, as JSON, and the headers of a raw delivery.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    article::ArticleEvent,
    commission::{MappedOrder, Run},
    customer::CustomerKey,
    id::{DistributorId, OrderKey, Platform, StoreId},
    ledger::Entry,
    money::{Currency, Money},
    order::Status,
    plan::PlanRef,
};

/// The headers of a message that the pipeline itself set, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<Box<str>, Box<str>>);

impl Headers {
    /// The platform's topic or event name.
    pub const TOPIC: &'static str = "Upline-Topic";
    /// When the edge had read the whole body, in microseconds since 1970.
    pub const RECEIVED_AT: &'static str = "Upline-Received-At";
    /// SHA-256 of the body.
    pub const DIGEST: &'static str = "Upline-Digest";
    /// The transport key of the delivery; JetStream's own header for deduplication.
    pub const DELIVERY: &'static str = "Nats-Msg-Id";
    /// The reason code of a dead letter.
    pub const CODE: &'static str = "Upline-Reason-Code";
    /// The JSON path of what is wrong in a dead letter.
    pub const PATH: &'static str = "Upline-Reason-Path";
    /// What is wrong in a dead letter, for people.
    pub const REASON: &'static str = "Upline-Reason";
    /// The subject that a dead letter came from and goes back to.
    pub const SUBJECT: &'static str = "Upline-Subject";
    /// How often a dead letter was tried.
    pub const ATTEMPTS: &'static str = "Upline-Attempts";
    /// When a message became a dead letter, in microseconds since 1970.
    pub const DIED_AT: &'static str = "Upline-Died-At";

    /// The number of the dead letter whose bytes were corrected, in a corrected copy.
    pub const ORIGINAL: &'static str = "Upline-Original";
    /// Who corrected or dropped a dead letter.
    pub const BY: &'static str = "Upline-By";
    /// When it was corrected or dropped, in microseconds since 1970.
    pub const AT: &'static str = "Upline-At";
    /// Why it was dropped, or what was corrected.
    pub const WHY: &'static str = "Upline-Why";

    /// Every header that the pipeline reads.
    pub const ALL: [&'static str; 14] = [
        Self::TOPIC,
        Self::RECEIVED_AT,
        Self::DIGEST,
        Self::DELIVERY,
        Self::CODE,
        Self::PATH,
        Self::REASON,
        Self::SUBJECT,
        Self::ATTEMPTS,
        Self::DIED_AT,
        Self::ORIGINAL,
        Self::BY,
        Self::AT,
        Self::WHY,
    ];

    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Sets a header. Control characters become blanks: a header is one line.
    pub fn set(&mut self, name: &'static str, value: &str) {
        let clean: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.0.insert(name.into(), clean.into());
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.set(name, value);
        self
    }

    /// All headers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

/// When a message passed each stage: for the latency figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The edge had read the whole body.
    pub received_at: Timestamp,
    /// The order event was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validated_at: Option<Timestamp>,
    /// The order book had the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped_at: Option<Timestamp>,
    /// The lines were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub computed_at: Option<Timestamp>,
}

impl Trace {
    /// A trace that starts at the edge.
    pub fn start(received_at: Timestamp) -> Self {
        Self { received_at, validated_at: None, mapped_at: None, computed_at: None }
    }
}

/// An order event on its way to the order book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validated {
    /// What the message says.
    pub event: crate::domain::order::OrderEvent,
    /// When it passed the stages.
    pub trace: Trace,
}

/// An order revision on its way to commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapped {
    /// The order, whole.
    pub order: MappedOrder,
    /// When it passed the stages.
    pub trace: Trace,
}

/// A calculation on its way to the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computed {
    /// The calculation.
    pub run: Run,
    /// When it passed the stages.
    pub trace: Trace,
}

/// A posted revision on its way to the warehouse. The calculation itself is in the ledger; this is what
/// it comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The order.
    pub order: PostedOrder,
    /// The entries that the revision posted.
    pub entries: Vec<Entry>,
    /// When it passed the stages.
    pub trace: Trace,
    /// When the ledger had committed.
    pub posted_at: Timestamp,
}

/// What a posted order comes to. Up to `base` in the order's currency, `paid` and `breakage` in the
/// payout currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedOrder {
    /// The order.
    pub key: OrderKey,
    /// The revision.
    pub revision: u64,
    /// Whether it earns.
    pub status: Status,
    /// The currency of the order.
    pub currency: Currency,
    /// The currency that its commission is paid in.
    pub payout_currency: Currency,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The distributor who referred it.
    pub referrer: Option<DistributorId>,
    /// The distributor who bought for themselves.
    pub own_purchase: Option<DistributorId>,
    /// What the buyer owed in all, shipping and tax included.
    pub total: Money,
    /// The net amount of the lines.
    pub net: Money,
    /// What of it was refunded.
    pub refunded: Money,
    /// What commission is computed on.
    pub base: Money,
    /// What distributors get.
    pub paid: Money,
    /// What the company keeps because nobody qualified.
    pub breakage: Money,
    /// The plan and its version.
    pub plan: PlanRef,
}

impl Posted {
    /// What a posted calculation comes to.
    pub fn of(run: &Run, entries: Vec<Entry>, trace: Trace, posted_at: Timestamp) -> Self {
        let order = &run.order;
        Self {
            order: PostedOrder {
                key: order.key.clone(),
                revision: order.revision,
                status: order.status,
                currency: order.currency,
                payout_currency: order.payout_currency(),
                placed_at: order.placed_at,
                referrer: order.attribution.referrer.clone(),
                own_purchase: order.attribution.own_purchase.clone(),
                total: order.total,
                net: order.lines.iter().map(|line| line.net).sum(),
                refunded: order.lines.iter().map(|line| line.refunded).sum(),
                base: order.lines.iter().map(|line| line.base).sum(),
                paid: run.paid(),
                breakage: run.breakage(),
                plan: order.locks.plan.clone(),
            },
            entries,
            trace,
            posted_at,
        }
    }
}

/// What has a place of its own in the log.
pub trait Routed {
    /// Where it goes.
    fn subject(&self) -> Subject<'_>;
}

impl Routed for Validated {
    fn subject(&self) -> Subject<'_> {
        Subject::Valid(&self.event.key)
    }
}

impl Routed for Mapped {
    fn subject(&self) -> Subject<'_> {
        Subject::Mapped(&self.order.key)
    }
}

impl Routed for Computed {
    fn subject(&self) -> Subject<'_> {
        Subject::Run(&self.run.order.key)
    }
}

/// A name in the log, without the deployment's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// Raw deliveries of a store.
    Ingest(Platform, &'a StoreId),
    /// Order events.
    Valid(&'a OrderKey),
    /// What shops say of their articles.
    Article(&'a ArticleEvent),
    /// What is said of customers.
    Customer(&'a CustomerKey),
    /// Order revisions.
    Mapped(&'a OrderKey),
    /// Calculations.
    Run(&'a OrderKey),
    /// Dead letters of a stage.
    Dead(&'a str),
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ingest(platform, store) => write!(f, "ingest.{platform}.{store}"),
            Self::Valid(key) => write!(f, "orders.valid.{}", key.partition()),
            Self::Article(event) => write!(f, "orders.articles.{}", event.partition()),
            Self::Customer(key) => write!(f, "orders.customers.{}", key.partition()),
            Self::Mapped(key) => write!(f, "orders.mapped.{}", key.partition()),
            Self::Run(key) => write!(f, "commissions.run.{}", key.partition()),
            Self::Dead(stage) => write!(f, "dead.{stage}"),
        }
    }
}
