//! The platforms: one adapter each, from raw bytes to facts about orders.
//!
//! Invariant: an adapter computes no net amount itself. It hands the money of each row to
//! [`net`], the one module that knows what earns.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Rejection, SkipReason};
use crate::domain::{
    digest::Digest,
    id::{Platform, StoreId},
    order::OrderEvent,
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
    /// Nothing that concerns commission.
    Skip(SkipReason),
}

/// What a store's pipeline file says about reading its orders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorePolicy {
    /// Where referral codes are found, in order of priority.
    pub attribution: Vec<ReferralRule>,
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
            Self::Api => "api",
        }
    }
}

/// Reads a delivery with the adapter of its platform.
pub fn parse(event: &RawEvent<'_>, policy: &StorePolicy) -> Result<Parsed, Rejection> {
    let _ = (event, policy);
    Ok(Parsed::Skip(SkipReason::IrrelevantTopic))
}
