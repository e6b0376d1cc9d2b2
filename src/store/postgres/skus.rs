//! What the shops sell and nobody has mapped, with the orders that wait for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Postgres, classify, orders::from_json};
use crate::{
    domain::{
        money::{Currency, Money},
        order::{OrderState, Status},
    },
    stream::ServiceError,
};

/// An article without a commission class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmapped {
    /// The platform.
    pub platform: String,
    /// The shop.
    pub store: String,
    /// The product, if the catalogue has the article.
    pub product: Option<String>,
    /// The variant, if the catalogue has the article.
    pub variant: Option<String>,
    /// The SKU, or the variant id that orders wait for.
    pub sku: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// Units in stock, if the shop counts them.
    pub stock: Option<Decimal>,
    /// The orders that wait for it.
    pub waiting: Waiting,
}

/// Orders that wait for an article.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub orders: u64,
    /// What they come to, by currency: what all their lines would earn on.
    pub net: BTreeMap<Currency, Money>,
    /// Since when the oldest waits.
    pub since: Option<Timestamp>,
}

impl Waiting {
    fn add(&mut self, state: &OrderState, since: Timestamp) {
        self.orders = self.orders.saturating_add(1);
        self.since = Some(self.since.map_or(since, |known| known.min(since)));
        let Some(snapshot) = state.snapshot.as_deref() else { return };
        let net: Money = state.effective().iter().map(|line| line.net).sum();
        *self.net.entry(snapshot.currency).or_default() += net;
    }
}

/// Platform, store and what orders wait for.
type Key = (String, String, String);

impl Postgres {
    /// Every article that has no mapping: those of the catalogue and those that orders wait for.
    /// What waits longest comes first.
    pub async fn unmapped(&self) -> Result<Vec<Unmapped>, ServiceError> {
        let mut waiting = self.waiting().await?;
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT platform, store, product_id, variant_id, sku, title, stock
                 FROM upline.platform_article_mapped a
                 WHERE NOT a.mapped AND NOT a.deleted AND (NOT a.container OR EXISTS (
                     SELECT 1 FROM upline.order_wait w
                     WHERE w.kind = 'sku' AND w.value IN (a.sku, a.variant_id)))
                 ORDER BY platform, store, sku, variant_id",
                &[],
            )
            .await
            .map_err(classify)?;
        let mut found = Vec::new();
        let mut listed = BTreeSet::new();
        for row in &rows {
            let (platform, store): (String, String) = (row.get(0), row.get(1));
            let (variant, sku): (String, Option<String>) = (row.get(3), row.get(4));
            let names = [sku.clone(), Some(variant.clone())].into_iter().flatten();
            let mut waits = Waiting::default();
            for name in names {
                let key = (platform.clone(), store.clone(), name);
                if let Some(known) = waiting.get(&key) {
                    waits.join(known);
                    listed.insert(key);
                }
            }
            found.push(Unmapped {
                platform,
                store,
                product: row.get(2),
                variant: Some(variant),
                sku,
                title: row.get(5),
                stock: row.get(6),
                waiting: waits,
            });
        }
        waiting.retain(|key, _| !listed.contains(key));
        found.extend(waiting.into_iter().map(|((platform, store, sku), waiting)| Unmapped {
            platform,
            store,
            product: None,
            variant: None,
            sku: Some(sku),
            title: None,
            stock: None,
            waiting,
        }));
        found.sort_by_key(|article| (article.waiting.since.is_none(), article.waiting.since));
        Ok(found)
    }

    /// What orders wait for, by platform, store and name.
    async fn waiting(&self) -> Result<BTreeMap<Key, Waiting>, ServiceError> {
        let client = self.client().await?;
        let rows = client
            .query(
                "SELECT split_part(w.order_key, '/', 1), split_part(w.order_key, '/', 2), w.value,
                        w.since, b.state::text
                 FROM upline.order_wait w JOIN upline.order_book b USING (order_key)
                 WHERE w.kind = 'sku'",
                &[],
            )
            .await
            .map_err(classify)?;
        let mut waiting: BTreeMap<Key, Waiting> = BTreeMap::new();
        for row in &rows {
            let state: OrderState = from_json(row.get(4))?;
            if state.status() == Some(Status::Paid) {
                let key = (row.get(0), row.get(1), row.get(2));
                waiting.entry(key).or_default().add(&state, row.get(3));
            }
        }
        Ok(waiting)
    }
}

impl Waiting {
    fn join(&mut self, other: &Self) {
        self.orders = self.orders.saturating_add(other.orders);
        self.since = match (self.since, other.since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (currency, net) in &other.net {
            *self.net.entry(*currency).or_default() += *net;
        }
    }
}
