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
    volume::Volume,
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
    /// Commissionable volume per unit; without it the plan says what the article has.
    pub cv: Option<Volume>,
    /// Qualifying volume per unit; without it the plan says what the article has.
    pub qv: Option<Volume>,
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

    /// The row in force for an article of the company by its own id, as [`Catalog::resolve`] judges
    /// rows. It reads all of the mapping: only what a person decided asks for it.
    pub fn article(
        &self,
        platform: Platform,
        sku_id: &Sku,
        at: Timestamp,
        seq: u64,
    ) -> Option<&SkuEntry> {
        let rank = |scope: &Scope, entry: &SkuEntry| {
            (*scope == Scope::Platform(platform), entry.effective_from, entry.seq)
        };
        let scopes = [Scope::Platform(platform), Scope::Any];
        let own = self.entries.iter().filter(|((scope, _), _)| scopes.contains(scope));
        let rows = own.flat_map(|((scope, _), rows)| rows.iter().map(move |row| (scope, row)));
        let known = rows.filter(|(_, row)| row.sku_id == *sku_id && row.seq <= seq);
        let held = known.filter(|(_, row)| row.effective_from <= at);
        held.max_by_key(|(scope, row)| rank(scope, row)).map(|(_, row)| row)
    }

    /// Whether some article has this commission class.
    pub fn has_class(&self, class: &CommissionClass) -> bool {
        self.entries.values().flatten().any(|entry| entry.class == *class)
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

    #[test]
    fn an_article_is_found_by_the_id_of_the_company() {
        let mut catalog = Catalog::default();
        let sku = |text: &str| Sku::parse(text).unwrap();
        catalog.add(Scope::Any, sku("A-1"), entry(1, "any", 0));
        catalog.add(Scope::Platform(Platform::Magento), sku("A-2"), entry(2, "elsewhere", 0));
        catalog.add(Scope::Platform(Platform::Shopify), sku("A-3"), entry(3, "own", 50));
        let class = |id: &str, at: i64, seq: u64| {
            let at = Timestamp::from_second(at).unwrap();
            let row = catalog.article(Platform::Shopify, &sku(id), at, seq);
            row.map(|row| row.class.as_str())
        };
        assert_eq!(class("article", 99, 3), Some("own"));
        assert_eq!(class("article", 49, 3), Some("any"), "not in force yet");
        assert_eq!(class("article", 99, 2), Some("any"), "not known at that version");
        assert_eq!(class("A-1", 99, 3), None, "the platform's SKU is no id of the company");
    }
}
