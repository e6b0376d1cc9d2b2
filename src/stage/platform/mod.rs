//! The platforms: one adapter each, from raw bytes to facts about orders.
//!
//! Invariant: an adapter computes no net amount itself. It hands the money of each row to
//! `net`, the one module that knows what earns.
//!
//! Steps, the same in each adapter: `body` turns bytes into JSON, `wire` into tolerant fields, the
//! adapter decides what is what, `net` computes, `referral` filters candidates for the referrer.
//!
//! Deliberately absent: names, addresses, mail addresses, telephone numbers. No wire type has a
//! field for them, so none can be read.

mod api;
mod article;
mod body;
#[cfg(test)]
mod corpus_tests;
mod customer;
#[cfg(test)]
mod example_tests;
mod magento;
mod net;
mod path;
mod referral;
mod scope;
mod shopify;
#[cfg(test)]
pub(crate) mod testing;
mod wire;
mod woocommerce;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::scope::{Scope, Writes, forbidden};
use self::wire::{Path, Raw};
use super::{RejectCode, Rejection, SkipReason};
use crate::domain::{
    article::ArticleEvent,
    customer::CustomerEvent,
    digest::Digest,
    id::{IdError, LineId, OrderId, OrderKey, Platform, RefundId, Sku, StoreId},
    money::Currency,
    order::{Fact, OrderEvent, Origin, Referral, RefundPolicy, Snapshot, Status, Version},
};

/// A delivery as the edge took it: nothing of the body has been looked at.
#[derive(Debug, Clone, Copy)]
pub struct RawEvent<'a> {
    /// The platform of the endpoint.
    pub platform: Platform,
    /// The shop of the endpoint.
    pub store: &'a StoreId,
    /// The platform's topic or event name (`orders/paid`, `order.updated`, `sales.order.created`);
    /// for the API the form: `short` or `canonical`.
    pub topic: &'a str,
    /// The transport key of the delivery.
    pub delivery: &'a str,
    /// When the edge had read the whole body.
    pub received_at: Timestamp,
    /// SHA-256 of the body.
    pub digest: Digest,
    /// The body, exactly as it was signed.
    pub body: &'a [u8],
}

/// What an adapter makes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Facts about orders; a search result carries several orders.
    Facts(Vec<OrderEvent>),
    /// Facts about articles: products, variants, stock.
    Articles(Vec<ArticleEvent>),
    /// A fact about a customer: whom they belong to, or what the privacy laws give them.
    Customer(Box<CustomerEvent>),
    /// Nothing that concerns commission.
    Skip(SkipReason),
}

/// What a store's pipeline file says about reading its orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorePolicy {
    /// Where referral codes are found, in order of priority.
    pub attribution: Vec<ReferralRule>,
    /// For an API store: the shop that its orders belong to unless the caller names another, so that
    /// an order that comes by webhook and by API is one order.
    pub shop: Option<StoreId>,
    /// For an API store: further shops whose orders its tokens may write.
    pub writes: Writes,
    /// For an API store: the currency of a short form that names none; US dollars if there is none.
    pub currency: Option<Currency>,
    /// What refunds and chargebacks take, where the platform leaves it open.
    pub refunds: RefundPolicy,
}

/// One place where a shop keeps referral codes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferralRule {
    /// The kind of place.
    pub from: ReferralPlace,
    /// The attribute's name, the query parameter or the metadata key, compared without case; for
    /// places without names (discount codes, tags) it is left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Only values that start with this count, and it is cut off: `ref:` of a tag `ref:ABC123`.
    #[serde(default)]
    pub prefix: Option<String>,
}

impl ReferralRule {
    /// Whether orders of the platform have such a place, and whether the rule says enough to find it.
    ///
    /// # Errors
    /// What is wrong and what would be right, for people.
    pub fn check(&self, platform: Platform) -> Result<(), String> {
        use ReferralPlace as P;
        let from = self.from.as_str();
        let places: &[P] = match platform {
            Platform::Shopify => &[
                P::NoteAttribute,
                P::LandingSite,
                P::DiscountCode,
                P::CustomerTag,
                P::OrderTag,
                P::LineMeta,
            ],
            Platform::WooCommerce => &[P::OrderMeta, P::LineMeta, P::DiscountCode, P::CustomerTag],
            Platform::Magento => &[P::OrderMeta, P::DiscountCode, P::CustomerTag],
            Platform::Api => &[],
        };
        if ![P::Customer, P::Lifetime, P::Api].contains(&self.from) && !places.contains(&self.from)
        {
            return Err(format!("from = \"{from}\" does not exist on orders of {platform}"));
        }
        let named = [P::NoteAttribute, P::LandingSite, P::OrderMeta, P::LineMeta];
        if named.contains(&self.from)
            && self.name.as_ref().is_none_or(|name| name.trim().is_empty())
        {
            return Err(format!(
                "from = \"{from}\" needs a name, else whatever stands there would be a code"
            ));
        }
        Ok(())
    }
}

/// Where on an order a referral code can stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferralPlace {
    /// Shopify `note_attributes` (cart attributes).
    NoteAttribute,
    /// A parameter of the query of Shopify's `landing_site`.
    LandingSite,
    /// Shopify `discount_codes`, WooCommerce `coupon_lines`, Magento `coupon_code`.
    DiscountCode,
    /// Tags of the customer.
    CustomerTag,
    /// Tags of the order.
    OrderTag,
    /// WooCommerce `meta_data` of the order; Magento extension and custom attributes.
    OrderMeta,
    /// Line properties (Shopify) or line `meta_data` (WooCommerce).
    LineMeta,
    /// The customer's link to a distributor account of their own: an own purchase.
    Customer,
    /// The customer's first-touch attribution.
    Lifetime,
    /// `distributor_ref` or `referrer_id` of the API forms.
    Api,
}

impl ReferralPlace {
    /// The name in pipeline files and snapshots.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoteAttribute => "note_attribute",
            Self::LandingSite => "landing_site",
            Self::DiscountCode => "discount_code",
            Self::CustomerTag => "customer_tag",
            Self::OrderTag => "order_tag",
            Self::OrderMeta => "order_meta",
            Self::LineMeta => "line_meta",
            Self::Customer => Referral::CUSTOMER,
            Self::Lifetime => Referral::LIFETIME,
            Self::Api => "api",
        }
    }
}

/// Reads a delivery with the adapter of its platform.
///
/// The topic decides first: what cannot concern commission is skipped without a look at the body.
/// The topics `short` and `canonical` are the API's, whatever the platform.
pub fn parse(event: &RawEvent<'_>, policy: &StorePolicy) -> Result<Parsed, Rejection> {
    let topic = event.topic.trim().to_ascii_lowercase();
    if topic.starts_with("events:") {
        return Err(Path::ROOT.reject(
            RejectCode::UnsupportedForm,
            "a Shopify \"Events\" delivery has another body than a webhook: subscribe to the \
             classic topics (orders/create, orders/updated, orders/paid, orders/cancelled, \
             refunds/create)",
        ));
    }
    if let Some(about) = customer::Topic::of(event.platform, &topic) {
        return customer::parse(event, about, policy);
    }
    let mut parsed = match (event.platform, topic.as_str()) {
        (_, "short" | "canonical") | (Platform::Api, _) => api::parse(event, &topic, policy),
        (Platform::Shopify, _) => shopify::parse(event, &topic, policy),
        (Platform::WooCommerce, _) => woocommerce::parse(event, &topic, policy),
        (Platform::Magento, _) => magento::parse(event, &topic, policy),
    }?;
    if let Parsed::Facts(events) = &mut parsed {
        for event in events {
            if let Fact::Snapshot(snapshot) = &mut event.fact {
                snapshot.refund_policy = policy.refunds.clone();
            }
        }
    }
    Ok(parsed)
}

/// What an adapter finds out about one order, before it is an event.
struct Found {
    order: OrderId,
    fact: Fact,
}

impl Found {
    fn snapshot(order: OrderId, snapshot: Snapshot) -> Self {
        Self { order, fact: Fact::Snapshot(Box::new(ranked(snapshot))) }
    }

    /// The event of a delivery from a shop: its key is that of the endpoint. A refund of its own
    /// that states no time is as old as its receipt: without a time, every snapshot that does not
    /// list it would take it for one that is gone.
    fn into_event(self, event: &RawEvent<'_>) -> OrderEvent {
        let Self { order, mut fact } = self;
        if let Fact::Refund(refund) = &mut fact {
            refund.at.get_or_insert(event.received_at);
        }
        let store = event.store.clone();
        let key = OrderKey { platform: event.platform, store, order_id: order };
        OrderEvent { key, origin: origin(event), fact }
    }
}

fn origin(event: &RawEvent<'_>) -> Origin {
    Origin {
        delivery: event.delivery.into(),
        topic: event.topic.into(),
        received_at: event.received_at,
        digest: event.digest,
    }
}

fn parse_id<T>(
    raw: &Raw<'_>,
    at: Path<'_>,
    what: &str,
    parse: impl Fn(&str) -> Result<T, IdError>,
) -> Result<T, Rejection> {
    let Some(id) = raw.id() else { return Err(at.missing(what)) };
    // A float has lost digits of the id already, so it names another resource.
    if matches!(raw, Raw::Number(digits) if digits.contains(['e', 'E', '-'])) {
        return Err(at.reject(RejectCode::Value, format!("is not {what}, send it as text")));
    }
    parse(id).map_err(|error| at.reject(RejectCode::Value, error.to_string()))
}

fn order_id(raw: &Raw<'_>, at: Path<'_>) -> Result<OrderId, Rejection> {
    parse_id(raw, at, "the id of the order", OrderId::parse)
}

fn refund_id(raw: &Raw<'_>, at: Path<'_>) -> Result<RefundId, Rejection> {
    parse_id(raw, at, "the id of the refund", RefundId::parse)
}

fn line_id(raw: &Raw<'_>, at: Path<'_>) -> Result<LineId, Rejection> {
    parse_id(raw, at, "the id of the line", LineId::parse)
}

/// A SKU or variant id; what cannot be one is none, and the line maps by the other of the two.
fn sku(raw: &Raw<'_>) -> Option<Sku> {
    raw.text().and_then(|text| Sku::parse(text).ok())
}

/// A product or variant id as something to map by; `0` is WooCommerce's "none".
fn variant(raw: &Raw<'_>) -> Option<Sku> {
    raw.id().and_then(|id| Sku::parse(id).ok())
}

/// The platform's id of the buyer, if it is one; `0` is a guest.
fn buyer(raw: &Raw<'_>) -> Option<Box<str>> {
    let id = raw.id().filter(|id| id.len() <= 64 && id.chars().all(|c| c.is_ascii_graphic()))?;
    // A mail address in the place of an id is personal, and not an id.
    if id.contains('@') { None } else { Some(id.into()) }
}

/// The number that the buyer sees, if it differs from the id.
fn number(raw: &Raw<'_>, order: &OrderId) -> Option<Box<str>> {
    let text = raw.text().filter(|text| text.len() <= 64 && !text.contains(char::is_control))?;
    if text == order.as_str() { None } else { Some(text.into()) }
}

/// The snapshot with the progress of the order in its version.
fn ranked(mut snapshot: Snapshot) -> Snapshot {
    snapshot.version.progress = snapshot.progress();
    snapshot
}

/// The two times of an order.
struct Times {
    placed_at: Timestamp,
    version: Version,
}

/// Version and time of placement. Without an update time the time of creation is the version; an
/// order that earns needs a time, any other without one has the oldest version that there is, so
/// that every dated snapshot wins over it.
fn times(
    event: &RawEvent<'_>,
    placed: Option<Timestamp>,
    updated: Option<Timestamp>,
    status: Status,
    at: Path<'_>,
) -> Result<Times, Rejection> {
    let (placed_at, updated_at) = match (placed.or(updated), updated.or(placed)) {
        (Some(placed), Some(updated)) => (placed, updated),
        _ if status == Status::Paid => return Err(at.missing("the time of the last change")),
        _ => (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
    };
    Ok(Times { placed_at, version: Version { progress: 0, at: updated_at, digest: event.digest } })
}
