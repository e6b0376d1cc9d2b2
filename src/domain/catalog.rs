//! What is sold: from a platform's SKU or variant id to a commission class and volumes.
//!
//! Invariant: nothing here knows a product's name. Names are for people; they change, repeat and
//! are translated.
//!
//! The mapping is append-only and effective-dated; a version is the sequence number of its last
//! row. An order locked to a version is not changed by rows that came later.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    id::{CommissionClass, Platform, Sku},
    money::Money,
};

/// One row of the mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuEntry {
    /// Sequence number of the row.
    pub seq: u64,
    /// The company's own id of the article.
    pub sku_id: Sku,
    /// The commission class: which rates of the plan hold.
    pub class: CommissionClass,
    /// From when the row holds, by the order's time.
    pub effective_from: Timestamp,
    /// Commissionable volume per unit; without it the volume is the net amount.
    pub cv: Option<Money>,
    /// Qualifying volume per unit; without it the volume is the net amount.
    pub qv: Option<Money>,
}

/// Where a row applies: one platform or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// One platform.
    Platform(Platform),
    /// Every platform that has no row of its own for the SKU.
    Any,
}

impl Scope {
    /// Parses `any` or a platform's name.
    pub fn parse(text: &str) -> Result<Self, super::id::IdError> {
        if text.trim().eq_ignore_ascii_case("any") {
            return Ok(Self::Any);
        }
        Platform::parse(text).map(Self::Platform)
    }

    /// The name in the table `sku_mapping`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform(platform) => platform.as_str(),
            Self::Any => "any",
        }
    }
}

/// The whole mapping with its history.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Shared by the versions of the company until a row is added.
    entries: Arc<HashMap<(Scope, Sku), Vec<SkuEntry>>>,
    version: u64,
}

impl Catalog {
    /// Adds a row. Rows may come in any order; the version is the highest sequence number.
    pub fn add(&mut self, scope: Scope, platform_sku: Sku, entry: SkuEntry) {
        self.version = self.version.max(entry.seq);
        Arc::make_mut(&mut self.entries).entry((scope, platform_sku)).or_default().push(entry);
    }

    /// The version: the sequence number of the last row, 0 for an empty mapping.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How many SKUs are mapped.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The row in force for what was sold at `at`, judged by the rows up to version `seq`: the
    /// platform's own row before one for any platform, the SKU before the variant id.
    pub fn resolve(
        &self,
        platform: Platform,
        sku: Option<&Sku>,
        variant: Option<&Sku>,
        at: Timestamp,
        seq: u64,
    ) -> Option<&SkuEntry> {
        sku.into_iter().chain(variant).find_map(|key| {
            [Scope::Platform(platform), Scope::Any]
                .into_iter()
                .find_map(|scope| self.in_force(scope, key, at, seq))
        })
    }

    fn in_force(&self, scope: Scope, key: &Sku, at: Timestamp, seq: u64) -> Option<&SkuEntry> {
        let entries = self.entries.get(&(scope, key.clone()))?;
        let known = || entries.iter().filter(|e| e.seq <= seq);
        known().filter(|e| e.effective_from <= at).max_by_key(|e| (e.effective_from, e.seq))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn entry(seq: u64, class: &str, from: i64) -> SkuEntry {
        SkuEntry {
            seq,
            sku_id: Sku::parse("article").unwrap(),
            class: CommissionClass::parse(class).unwrap(),
            effective_from: Timestamp::from_second(from).unwrap(),
            cv: None,
            qv: None,
        }
    }

    fn class<'a>(
        catalog: &'a Catalog,
        sku: Option<&str>,
        variant: Option<&str>,
        at: i64,
        seq: u64,
    ) -> Option<&'a str> {
        let parse = |text: Option<&str>| text.map(|t| Sku::parse(t).unwrap());
        let (sku, variant) = (parse(sku), parse(variant));
        let at = Timestamp::from_second(at).unwrap();
        catalog
            .resolve(Platform::Shopify, sku.as_ref(), variant.as_ref(), at, seq)
            .map(|e| e.class.as_str())
    }

    #[test]
    fn the_row_in_force_at_the_order_time_and_version_is_found() {
        let mut catalog = Catalog::default();
        let sku = || Sku::parse("A-1").unwrap();
        catalog.add(Scope::Any, sku(), entry(1, "any", 0));
        catalog.add(Scope::Platform(Platform::Shopify), sku(), entry(2, "old", 0));
        catalog.add(Scope::Platform(Platform::Shopify), sku(), entry(3, "new", 100));
        catalog.add(Scope::Any, Sku::parse("4711").unwrap(), entry(4, "variant", 0));
        assert_eq!(class(&catalog, Some("A-1"), None, 99, 4), Some("old"));
        assert_eq!(class(&catalog, Some("A-1"), None, 100, 4), Some("new"));
        assert_eq!(class(&catalog, Some("A-1"), None, 100, 2), Some("old"));
        assert_eq!(class(&catalog, Some("A-1"), None, 100, 1), Some("any"));
        assert_eq!(class(&catalog, None, Some("4711"), 1, 4), Some("variant"));
        assert_eq!(class(&catalog, Some("B"), Some("4711"), 1, 4), Some("variant"));
        assert_eq!(class(&catalog, Some("B"), Some("4711"), 1, 1), None);
        assert_eq!(class(&catalog, Some("B"), None, 1, 4), None);
    }
}
