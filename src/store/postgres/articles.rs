//! The catalogue in Postgres: each table keeps the newest version that was told.
//!
//! Invariant: writing is a join. A fact that is older than what is known, or the same, changes
//! nothing; so a batch may come any number of times and in any order.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{Transaction, types::ToSql};

use super::{Postgres, classify};
use crate::{
    domain::{
        article::{Article, ArticleEvent, ArticleFact, Gone, Item, Product, StockLevel},
        id::ArticleId,
    },
    store::Articles,
    stream::ServiceError,
};

/// Platform, store, and up to two ids: what a row is about.
type Key<'a> = (&'static str, &'a str, &'a str, &'a str);
/// What decides between two rows of one key.
type Version<'a> = (Timestamp, &'a [u8]);

/// The newest row of each key: one statement may not touch a row twice.
struct Newest<'a, T>(BTreeMap<Key<'a>, (Version<'a>, T)>);

impl<T> Default for Newest<'_, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'a, T> Newest<'a, T> {
    fn add(&mut self, event: &'a ArticleEvent, id: &'a str, second: &'a str, value: T) {
        let key = (event.platform.as_str(), event.store.as_str(), id, second);
        let version = (event.at, event.origin.digest.as_bytes().as_slice());
        let known = self.0.get(&key).is_some_and(|(known, _)| *known >= version);
        if !known {
            self.0.insert(key, (version, value));
        }
    }

    /// Runs a statement with platform, store, both ids, version, digest and these further columns,
    /// in the order of the keys.
    async fn write<'c>(
        &'c self,
        tx: &Transaction<'_>,
        statement: &str,
        columns: impl FnOnce(Vec<&'c T>) -> Vec<Box<dyn ToSql + Sync + Send + 'c>>,
    ) -> Result<(), ServiceError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let key = |pick: fn(&Key<'a>) -> &'a str| self.0.keys().map(pick).collect::<Vec<_>>();
        let (platforms, stores) = (key(|k| k.0), key(|k| k.1));
        let (ids, seconds) = (key(|k| k.2), key(|k| k.3));
        let times: Vec<Timestamp> = self.0.values().map(|((at, _), _)| *at).collect();
        let digests: Vec<&[u8]> = self.0.values().map(|((_, digest), _)| *digest).collect();
        let more = columns(self.0.values().map(|(_, value)| value).collect());
        let mut all: Vec<&(dyn ToSql + Sync)> =
            vec![&platforms, &stores, &ids, &seconds, &times, &digests];
        for column in &more {
            all.push(&**column);
        }
        tx.execute(statement, &all).await.map(drop).map_err(classify)
    }
}

const PRODUCTS: &str = "
    INSERT INTO upline.article_product AS t
        (platform, store, product_id, listed, version_at, version_digest)
    SELECT p, s, i, CASE WHEN l IS NULL THEN NULL ELSE string_to_array(l, ' ') END, v, d
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[],
                $7::text[]) AS c(p, s, i, x, v, d, l)
    ON CONFLICT (platform, store, product_id) DO UPDATE
    SET listed = excluded.listed, version_at = excluded.version_at,
        version_digest = excluded.version_digest, updated_at = clock_timestamp()
    WHERE (t.version_at, t.version_digest) < (excluded.version_at, excluded.version_digest)";

const VARIANTS: &str = "
    INSERT INTO upline.article_variant AS t
        (platform, store, variant_id, version_at, version_digest, product_id, sku, item_id, title,
         stock, container)
    SELECT p, s, i, v, d, o, u, k, n, q, h
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[],
                $7::text[], $8::text[], $9::text[], $10::text[], $11::numeric[], $12::boolean[])
         AS c(p, s, i, x, v, d, o, u, k, n, q, h)
    ON CONFLICT (platform, store, variant_id) DO UPDATE
    SET product_id = excluded.product_id, sku = excluded.sku, item_id = excluded.item_id,
        title = excluded.title, stock = excluded.stock, container = excluded.container,
        version_at = excluded.version_at, version_digest = excluded.version_digest,
        updated_at = clock_timestamp()
    WHERE (t.version_at, t.version_digest) < (excluded.version_at, excluded.version_digest)";

const ITEMS: &str = "
    INSERT INTO upline.article_item AS t (platform, store, item_id, version_at, version_digest, sku)
    SELECT p, s, i, v, d, u
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[],
                $7::text[]) AS c(p, s, i, x, v, d, u)
    ON CONFLICT (platform, store, item_id) DO UPDATE
    SET sku = excluded.sku, version_at = excluded.version_at,
        version_digest = excluded.version_digest, updated_at = clock_timestamp()
    WHERE (t.version_at, t.version_digest) < (excluded.version_at, excluded.version_digest)";

const STOCK: &str = "
    INSERT INTO upline.article_stock AS t
        (platform, store, item_id, location_id, version_at, version_digest, quantity)
    SELECT p, s, i, x, v, d, q
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[],
                $7::numeric[]) AS c(p, s, i, x, v, d, q)
    ON CONFLICT (platform, store, item_id, location_id) DO UPDATE
    SET quantity = excluded.quantity, version_at = excluded.version_at,
        version_digest = excluded.version_digest, updated_at = clock_timestamp()
    WHERE (t.version_at, t.version_digest) < (excluded.version_at, excluded.version_digest)";

const GONE: &str = "
    INSERT INTO upline.article_gone AS t (platform, store, what, id, gone_at)
    SELECT p, s, i, x, v
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[])
         AS c(p, s, i, x, v, d)
    ON CONFLICT (platform, store, what, id) DO UPDATE
    SET gone_at = excluded.gone_at, updated_at = clock_timestamp()
    WHERE t.gone_at < excluded.gone_at";

/// The rows of a batch.
#[derive(Default)]
struct Rows<'a> {
    products: Newest<'a, Option<String>>,
    variants: Newest<'a, (&'a ArticleId, &'a Article)>,
    items: Newest<'a, &'a Item>,
    stock: Newest<'a, &'a StockLevel>,
    gone: Newest<'a, ()>,
}

impl<'a> Rows<'a> {
    fn add(&mut self, event: &'a ArticleEvent) {
        match &event.fact {
            ArticleFact::Product(Product { id, variants, listed }) => {
                if let Some(listed) = listed {
                    // An id holds no blanks.
                    let ids: Vec<&str> = listed.iter().map(ArticleId::as_str).collect();
                    self.products.add(event, id.as_str(), "", Some(ids.join(" ")));
                }
                for article in variants {
                    self.variants.add(event, article.variant.as_str(), "", (id, article));
                }
            }
            ArticleFact::Item(item) => self.items.add(event, item.item.as_str(), "", item),
            ArticleFact::Stock(level) => {
                let place = level.location.as_ref().map_or("", |place| place.as_str());
                self.stock.add(event, level.item.as_str(), place, level);
            }
            ArticleFact::Gone(Gone { what, id }) => {
                self.gone.add(event, what.as_str(), id.as_str(), ());
            }
        }
    }
}

impl Articles for Postgres {
    async fn record(&self, events: &[&ArticleEvent]) -> Result<(), ServiceError> {
        let mut rows = Rows::default();
        for event in events {
            rows.add(event);
        }
        let mut client = self.client().await?;
        let tx = client.transaction().await.map_err(classify)?;
        rows.products.write(&tx, PRODUCTS, |products| vec![Box::new(products)]).await?;
        let columns = |variants: Vec<&(&'_ ArticleId, &'_ Article)>| {
            let text = |pick: fn(&(&'_ ArticleId, &'_ Article)) -> Option<String>| {
                variants.iter().map(|row| pick(row)).collect::<Vec<Option<String>>>()
            };
            let columns: Vec<Box<dyn ToSql + Sync + Send>> = vec![
                Box::new(text(|(product, _)| Some(product.to_string()))),
                Box::new(text(|(_, a)| a.sku.as_ref().map(ToString::to_string))),
                Box::new(text(|(_, a)| Some(a.item.to_string()))),
                Box::new(text(|(_, a)| a.title.as_deref().map(str::to_owned))),
                Box::new(variants.iter().map(|(_, a)| a.stock).collect::<Vec<Option<Decimal>>>()),
                Box::new(variants.iter().map(|(_, a)| a.container).collect::<Vec<bool>>()),
            ];
            columns
        };
        rows.variants.write(&tx, VARIANTS, columns).await?;
        let skus = |items: Vec<&&Item>| -> Vec<Box<dyn ToSql + Sync + Send>> {
            let skus = items.iter().map(|item| item.sku.as_ref().map(ToString::to_string));
            vec![Box::new(skus.collect::<Vec<Option<String>>>())]
        };
        rows.items.write(&tx, ITEMS, skus).await?;
        let quantities = |levels: Vec<&&StockLevel>| -> Vec<Box<dyn ToSql + Sync + Send>> {
            vec![Box::new(levels.iter().map(|l| l.quantity).collect::<Vec<Option<Decimal>>>())]
        };
        rows.stock.write(&tx, STOCK, quantities).await?;
        rows.gone.write(&tx, GONE, |_| Vec::new()).await?;
        tx.commit().await.map_err(classify)
    }
}
