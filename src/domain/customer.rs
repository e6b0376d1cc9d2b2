//! What is known of a shop's customers for attribution: which distributor they belong to.
//!
//! Invariant: a customer is the platform's id and nothing else. No name, no address, nothing that
//! says who it is; when a customer is erased, even the id becomes a random marker.
//!
//! The links are append-only and effective-dated. An order that is locked keeps the links that it
//! was locked with ([`AttributionLock`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    digest::Digest,
    id::{DistributorId, OrderKey, Platform, StoreId},
    order::Origin,
};

/// A customer of a shop.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CustomerKey {
    /// The shop's platform.
    pub platform: Platform,
    /// The shop.
    pub store: StoreId,
    /// The platform's id of the customer.
    pub customer: Box<str>,
}

impl CustomerKey {
    /// The buyer of an order.
    pub fn of(order: &OrderKey, buyer: &str) -> Self {
        Self { platform: order.platform, store: order.store.clone(), customer: buyer.into() }
    }

    /// Which of 64 partitions the messages about the customer go through.
    pub fn partition(&self) -> u8 {
        let Self { platform, store, customer } = self;
        let digest = Digest::of(format!("{platform}/{store}/{customer}").as_bytes());
        digest.as_bytes().first().copied().unwrap_or_default() & 63
    }
}

/// What a link says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The distributor referred the customer, for good.
    Lifetime,
    /// The customer is the distributor: what they buy is an own purchase.
    Own,
}

impl LinkKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Lifetime, Self::Own];

    /// The name in the table `customer_attribution`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Own => "own",
        }
    }

    /// Parses [`LinkKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A link of a customer to a distributor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerLink {
    /// Sequence number of the row; 0 while it is not written.
    #[serde(default)]
    pub seq: u64,
    /// The distributor.
    pub distributor: DistributorId,
    /// What the link says.
    pub kind: LinkKind,
    /// Where it was found: a place of the order, `customer_tag`, `import`.
    pub source: Box<str>,
    /// The order that touched first; `None` for a link that was assigned, by import or by a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderKey>,
    /// From when it holds: when that order was placed, or as assigned.
    pub effective_from: Timestamp,
}

/// The link of a kind in force for an order placed at `at`, judged by the links up to `seq`.
///
/// What was assigned holds before what orders left behind: of the assignments effective by then the
/// latest. Else the first touch: of the links of orders placed by then the earliest placed, between
/// equals the lower order key, so that the order of arrival does not matter.
pub fn in_force(
    links: &[CustomerLink],
    kind: LinkKind,
    at: Timestamp,
    seq: u64,
) -> Option<&CustomerLink> {
    let held = || {
        let of_kind = links.iter().filter(move |link| link.kind == kind && link.seq <= seq);
        of_kind.filter(|link| link.effective_from <= at)
    };
    let assigned = held().filter(|link| link.order.is_none());
    let touched = held().filter(|link| link.order.is_some());
    assigned
        .max_by_key(|link| (link.effective_from, link.seq))
        .or_else(|| touched.min_by_key(|link| (link.effective_from, &link.order)))
}

/// What one message says about one customer, or about all of a shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerEvent {
    /// The customer.
    pub customer: CustomerKey,
    /// Where the message came from.
    pub origin: Origin,
    /// What it says.
    pub fact: CustomerFact,
}

/// One fact about a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", content = "content", rename_all = "snake_case")]
pub enum CustomerFact {
    /// A tag or metadata assigns the customer to distributors, at most one of each kind.
    Links(Vec<CustomerLink>),
    /// The customer asks what is stored of them.
    DataRequest,
    /// The customer is to be erased.
    Redact,
    /// Every customer of the shop is to be erased; `customer` names none.
    ShopRedact,
}

impl CustomerFact {
    /// The kind in the table `privacy_request`; `None` for what is no such request.
    pub fn privacy(&self) -> Option<&'static str> {
        match self {
            Self::Links(_) => None,
            Self::DataRequest => Some("data_request"),
            Self::Redact => Some("redact"),
            Self::ShopRedact => Some("shop_redact"),
        }
    }
}

/// What becomes of an order that names no referrer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unattributed {
    /// Nobody earns: the company keeps the margin.
    #[default]
    None,
    /// It waits until the customer is linked to a distributor or the shop names one.
    Park,
    /// This distributor is the referrer.
    House(DistributorId),
}

/// What becomes of an order whose codes are those of no distributor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReferrer {
    /// It waits until one of them enrols.
    #[default]
    Park,
    /// As if they were not there: [`Unattributed`] decides.
    Next,
    /// The house account of [`Unattributed::House`] is the referrer.
    House,
}

/// What a store does with orders that no known distributor referred.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionPolicy {
    /// Without any code.
    #[serde(default)]
    pub unattributed: Unattributed,
    /// With codes of which none is known.
    #[serde(default)]
    pub unknown_referrer: UnknownReferrer,
}

/// What of attribution an order is bound to from its first commissionable state on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionLock {
    /// The customer's links up to this row count.
    pub links: u64,
    /// The store's policy at that time.
    pub policy: AttributionPolicy,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::genealogy::tests::{at, id};

    pub(crate) fn link(
        seq: u64,
        kind: LinkKind,
        who: &str,
        order: Option<&str>,
        from: i64,
    ) -> CustomerLink {
        CustomerLink {
            seq,
            distributor: id(who),
            kind,
            source: "test".into(),
            order: order.map(|key| OrderKey::parse(key).unwrap()),
            effective_from: at(from),
        }
    }

    fn who(links: &[CustomerLink], at_second: i64, seq: u64) -> Option<&str> {
        in_force(links, LinkKind::Lifetime, at(at_second), seq).map(|l| l.distributor.as_str())
    }

    #[test]
    fn the_earliest_placed_order_is_the_first_touch_whatever_came_first() {
        let touch = |seq, who, order, from| link(seq, LinkKind::Lifetime, who, Some(order), from);
        let mut links = vec![
            touch(1, "late", "shopify/acme/3", 30),
            touch(2, "first", "shopify/acme/1", 10),
            touch(3, "tied", "shopify/acme/2", 10),
        ];
        for _ in 0..links.len() {
            links.rotate_left(1);
            assert_eq!(who(&links, 40, 3), Some("first"));
            assert_eq!(who(&links, 40, 1), Some("late"), "a locked order knows no later row");
            assert_eq!(who(&links, 9, 3), None);
        }
    }

    #[test]
    fn an_assignment_holds_before_touches_from_its_time_on() {
        let links = [
            link(1, LinkKind::Lifetime, "touched", Some("shopify/acme/1"), 10),
            link(2, LinkKind::Lifetime, "assigned", None, 20),
            link(3, LinkKind::Lifetime, "moved", None, 30),
            link(4, LinkKind::Own, "self", None, 0),
        ];
        assert_eq!(who(&links, 19, 4), Some("touched"));
        assert_eq!(who(&links, 29, 4), Some("assigned"));
        assert_eq!(who(&links, 30, 4), Some("moved"));
    }
}
