//! Identifiers, parsed once.
//!
//! Invariant: a value of one of these types is not empty, is not longer than its bound and holds no
//! control character, so it can go into a subject, a key, a label or a log line as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is there.
    #[error("{kind} is empty")]
    Empty {
        /// The kind of identifier.
        kind: &'static str,
    },
    /// It is longer than the bound of its kind.
    #[error("{kind} is {length} bytes long, at most {max} are allowed")]
    TooLong {
        /// The kind of identifier.
        kind: &'static str,
        /// The length found, in bytes.
        length: usize,
        /// The bound, in bytes.
        max: usize,
    },
    /// It holds a character that its kind does not allow.
    #[error("{kind} holds the character {found:?}, which is not allowed there")]
    Character {
        /// The kind of identifier.
        kind: &'static str,
        /// The first character refused.
        found: char,
    },
    /// It is none of the known words.
    #[error("{kind} {found:?} is unknown, use one of {known}")]
    Unknown {
        /// The kind of word.
        kind: &'static str,
        /// What was found.
        found: String,
        /// The words that are known.
        known: &'static str,
    },
}

fn check(
    kind: &'static str,
    text: &str,
    max: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { kind });
    }
    if text.len() > max {
        return Err(IdError::TooLong { kind, length: text.len(), max });
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(IdError::Character { kind, found }),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, max $max:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses a text; surrounding blanks are cut off.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Self::checked(text).map(|text| Self(text.into()))
            }

            /// The text that [`Self::parse`] would take, borrowed.
            pub fn checked(text: &str) -> Result<&str, IdError> {
                let text = text.trim();
                check($kind, text, $max, $allowed)?;
                Ok(text)
            }

            /// The text of the identifier.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn printable(c: char) -> bool {
    !c.is_control()
}

fn token(c: char) -> bool {
    c.is_ascii_graphic()
}

fn label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

id!(
    /// A shop, as the pipeline file names it. Letters, digits, `-` and `_`: it is part of a subject.
    StoreId, "store", max 64, label
);
id!(
    /// The platform's own key of an order (`id`, `entity_id`), not the number shown to the buyer.
    OrderId, "order id", max 64, |c| token(c) && c != '/'
);
id!(
    /// The platform's own key of an order line.
    LineId, "line id", max 64, token
);
id!(
    /// The platform's own key of a refund or credit memo.
    RefundId, "refund id", max 64, token
);
id!(
    /// The platform's own key of a product, a variant, an inventory item or a stock location.
    ArticleId, "article id", max 64, token
);
id!(
    /// A distributor, as the company numbers them.
    DistributorId, "distributor id", max 64, token
);
id!(
    /// A stock keeping unit or variant id, as the platform states it. Never a product name.
    Sku, "sku", max 255, printable
);
id!(
    /// The commission class of a SKU: the plan's rates are per class.
    CommissionClass, "commission class", max 64, label
);
id!(
    /// Who decided something by hand, as the company names its staff: an account or a number says
    /// enough, for it stays in calculations for ever.
    Operator, "operator", max 64, printable
);
id!(
    /// Why somebody decided something by hand: free text of one line.
    Reason, "reason", max 500, printable
);
id!(
    /// A component of a plan, by the name that the plan file gives it.
    ComponentId, "component", max 64, label
);
id!(
    /// A rank of a plan, by the name that the plan file gives it.
    RankId, "rank", max 64, label
);
id!(
    /// A placement tree, by the name that plan files and imports give it.
    TreeId, "placement tree", max 64, label
);
id!(
    /// A position of a placement tree, as the company numbers them.
    PositionId, "position", max 64, token
);

/// Where an order was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Platform {
    /// Shopify.
    Shopify,
    /// WooCommerce, the shop of `WordPress`.
    WooCommerce,
    /// Magento 2 Open Source or Adobe Commerce.
    Magento,
    /// An order that no shop platform knows, from the company's own systems.
    Api,
}

impl Platform {
    /// Every platform, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Shopify, Self::WooCommerce, Self::Magento, Self::Api];

    /// The lower-case name used in subjects, keys, tables and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::WooCommerce => "woocommerce",
            Self::Magento => "magento",
            Self::Api => "api",
        }
    }

    /// Parses the lower-case name, in any case.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        Self::ALL.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(text.trim())).ok_or_else(
            || IdError::Unknown {
                kind: "platform",
                found: text.chars().take(64).collect(),
                known: "shopify, woocommerce, magento, api",
            },
        )
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many partitions the order subjects have. A constant of the deployment: subjects carry it.
pub const PARTITIONS: u64 = 64;

/// An order, named over all shops: the unit of the order algebra, of locking and of partitioning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderKey {
    /// The platform on which the order was placed.
    pub platform: Platform,
    /// The shop.
    pub store: StoreId,
    /// The platform's key of the order, unique within the shop.
    pub order_id: OrderId,
}

impl OrderKey {
    /// The partition of the order: `hash % 64`, the same on every machine and in every release.
    pub fn partition(&self) -> u64 {
        partition(self.platform, &self.store, self.order_id.as_str())
    }

    /// Parses the form that [`fmt::Display`] writes: `platform/store/order`.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let mut parts = text.splitn(3, '/');
        let platform = Platform::parse(parts.next().unwrap_or_default())?;
        let store = StoreId::parse(parts.next().unwrap_or_default())?;
        let order_id = OrderId::parse(parts.next().unwrap_or_default())?;
        Ok(Self { platform, store, order_id })
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.platform, self.store, self.order_id)
    }
}

/// The partition of what a store calls by this id.
pub(super) fn partition(platform: Platform, store: &StoreId, id: &str) -> u64 {
    let mut hash = Fnv::new();
    for text in [platform.as_str(), "/", store.as_str(), "/", id] {
        hash.write(text);
    }
    hash.0 % PARTITIONS
}

/// FNV-1a of 64 bits: stable by its definition, unlike the standard library's hasher.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_trimmed_bounded_and_printable() {
        assert_eq!(StoreId::parse(" acme-eu ").unwrap().as_str(), "acme-eu");
        assert_eq!(StoreId::parse(""), Err(IdError::Empty { kind: "store" }));
        assert!(matches!(StoreId::parse("a.b"), Err(IdError::Character { found: '.', .. })));
        assert!(matches!(OrderId::parse(&"9".repeat(65)), Err(IdError::TooLong { .. })));
        assert!(Sku::parse("Crème 50 ml").is_ok());
    }

    #[test]
    fn an_order_key_reads_back_what_it_writes() {
        let key = OrderKey::parse("shopify/acme/820982911946154508").unwrap();
        assert_eq!(OrderKey::parse(&key.to_string()).unwrap(), key);
    }

    #[test]
    fn a_partition_never_changes_between_releases() {
        // These figures are in subjects on disk: a change here strands messages.
        let partition = |text: &str| OrderKey::parse(text).unwrap().partition();
        assert_eq!(
            [partition("shopify/acme/1"), partition("magento/eu/000000016"), partition("api/x/y")],
            [40, 25, 44]
        );
    }
}
