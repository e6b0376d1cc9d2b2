//! Reading the company: genealogy, SKU mapping, plans; and finding the orders that may go on.

use std::{error::Error, pin::pin};

use deadpool_postgres::ClientWrapper;
use futures_util::TryStreamExt;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::{
    binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream},
    types::Type,
};

use super::{Postgres, classify, ranks, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        catalog::{Catalog, Scope, SkuEntry},
        commission::RankBooks,
        digest::Digest,
        fx::{ExchangeRate, RateBook, RateEntry},
        genealogy::{EventLine, Genealogy},
        id::{CommissionClass, OrderKey, Sku},
        money::Currency,
        plan::{Plan, PlanBook},
        volume::Volume,
    },
    stage::map::Company,
    stream::ServiceError,
};

/// The versions of what is loaded or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Versions {
    /// Sequence number of the last genealogy event.
    pub genealogy: u64,
    /// Sequence number of the last SKU row.
    pub catalog: u64,
    /// Sequence number of the last exchange rate.
    pub rates: u64,
    /// Sequence number of the last link of a customer. Links are read with each order; here they
    /// only tell that an order may go on.
    pub links: u64,
    /// How many plan versions there are.
    pub plans: u64,
    /// Sequence number of the last fact about ranks.
    pub ranks: u64,
}

/// Rows read in one round trip.
const PAGE: i64 = 10_000;
/// Genealogy events (and facts about ranks) read in one statement, which so stays far below the time
/// limit of statements.
pub(super) const EVENTS: u64 = 250_000;
/// Genealogy events (and facts about ranks) applied before other tasks get a turn.
pub(super) const YIELD: u64 = 2_000;

/// Reads the company from the books, from where an earlier read ended.
#[derive(Debug, Clone)]
pub struct CompanyReader {
    store: Postgres,
}

impl CompanyReader {
    /// A reader of these books.
    pub fn new(store: Postgres) -> Self {
        Self { store }
    }

    /// What is stored now.
    pub async fn versions(&self) -> Result<Versions, ServiceError> {
        let client = self.store.client().await?;
        let row = client
            .query_one(
                "SELECT (SELECT coalesce(max(seq), 0) FROM upline.genealogy_event),
                        (SELECT coalesce(max(seq), 0) FROM upline.sku_mapping),
                        (SELECT count(*) FROM upline.plan_version),
                        (SELECT coalesce(max(seq), 0) FROM upline.exchange_rate),
                        (SELECT coalesce(max(seq), 0) FROM upline.customer_attribution),
                        (SELECT coalesce(max(seq), 0) FROM upline.rank_fact)",
                &[],
            )
            .await
            .map_err(classify)?;
        Ok(Versions {
            genealogy: to_u64(row.get(0)),
            catalog: to_u64(row.get(1)),
            plans: to_u64(row.get(2)),
            rates: to_u64(row.get(3)),
            links: to_u64(row.get(4)),
            ranks: to_u64(row.get(5)),
        })
    }

    /// Brings a company up to what is stored now. An altered genealogy is refused, as are altered ranks.
    pub async fn catch_up(&self, company: &mut Company) -> Result<(), ServiceError> {
        let client = self.store.client().await?;
        // Before the genealogy, so that it knows everybody of whom these facts are.
        let facts = ranks::last(&client).await?;
        genealogy(&client, &mut company.genealogy, u64::MAX).await?;
        catalog(&client, &mut company.catalog).await?;
        rates(&client, &mut company.rates).await?;
        ranks::catch_up(&client, &mut company.ranks, &company.genealogy, facts).await?;
        plans(&client, &mut company.plans).await
    }

    /// The plans alone.
    pub async fn plans(&self) -> Result<PlanBook, ServiceError> {
        let mut book = PlanBook::default();
        plans(&*self.store.client().await?, &mut book).await?;
        Ok(book)
    }

    /// The genealogy up to an event, and nothing that was recorded after it.
    pub async fn genealogy_upto(&self, seq: u64) -> Result<Genealogy, ServiceError> {
        let mut tree = Genealogy::default();
        genealogy(&*self.store.client().await?, &mut tree, seq).await?;
        Ok(tree)
    }

    /// The ranks up to a fact, as far as the chain holds; the tree knows everybody of whom they are.
    pub async fn ranks_upto(&self, seq: u64, tree: &Genealogy) -> Result<RankBooks, ServiceError> {
        let mut books = RankBooks::default();
        ranks::catch_up(&*self.store.client().await?, &mut books, tree, seq).await?;
        Ok(books)
    }

    /// Orders that wait for something that is known now, by their keys from the one after `after`
    /// on, at most `limit`; each with its edition.
    pub async fn releasable(
        &self,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(OrderKey, u64)>, ServiceError> {
        let client = self.store.client().await?;
        let rows = client
            .query(
                "SELECT DISTINCT w.order_key, b.edition
                 FROM upline.order_wait w JOIN upline.order_book b USING (order_key)
                 WHERE w.order_key > $1 AND (
                       (w.kind = 'sku' AND EXISTS (
                           SELECT 1 FROM upline.sku_mapping m WHERE m.platform_sku = w.value
                           AND m.platform IN ('any', split_part(w.order_key, '/', 1))))
                    -- The wait names the SKU; the catalogue knows the variant that has it.
                    OR (w.kind = 'sku' AND EXISTS (
                           SELECT 1 FROM upline.article_variant v
                           JOIN upline.sku_mapping m ON m.platform_sku = v.variant_id
                                AND m.platform IN ('any', v.platform)
                           WHERE v.sku = w.value AND v.platform = split_part(w.order_key, '/', 1)
                           AND v.store = split_part(w.order_key, '/', 2)))
                    OR (w.kind = 'article' AND EXISTS (
                           SELECT 1 FROM upline.sku_mapping m WHERE m.sku_id = w.value
                           AND m.platform IN ('any', split_part(w.order_key, '/', 1))))
                    OR (w.kind = 'distributor' AND EXISTS (
                           SELECT 1 FROM upline.distributors d WHERE d.distributor_id = w.value))
                    OR (w.kind = 'referrer' AND EXISTS (
                           SELECT 1 FROM upline.customer_attribution c
                           JOIN upline.order_book b ON b.order_key = w.order_key
                           WHERE c.platform = split_part(w.order_key, '/', 1)
                           AND c.store = split_part(w.order_key, '/', 2)
                           AND c.customer_id = b.state #>> '{snapshot,buyer}'
                           AND c.effective_from
                               <= (b.state #>> '{snapshot,placed_at}')::timestamptz))
                    OR (w.kind = 'rate' AND EXISTS (
                           SELECT 1 FROM upline.exchange_rate r
                           JOIN upline.order_book b ON b.order_key = w.order_key
                           WHERE w.value IN (r.base_currency || '/' || r.quote_currency,
                                             r.quote_currency || '/' || r.base_currency)
                           AND r.effective_from
                               <= (b.state #>> '{snapshot,placed_at}')::timestamptz)))
                 ORDER BY 1 LIMIT $2",
                &[&after, &limit],
            )
            .await
            .map_err(classify)?;
        rows.iter()
            .map(|row| {
                let key = OrderKey::parse(row.get(0)).map_err(unreadable)?;
                Ok((key, to_u64(row.get(1))))
            })
            .collect()
    }

    /// How many orders wait for something.
    pub async fn parked(&self) -> Result<u64, ServiceError> {
        let client = self.store.client().await?;
        let row = client
            .query_one("SELECT count(DISTINCT order_key) FROM upline.order_wait", &[])
            .await
            .map_err(classify)?;
        Ok(to_u64(row.get(0)))
    }
}

/// Applies the events after the last one in memory up to one, a page at a time; each page is a copy in
/// binary form, which costs the server the least.
async fn genealogy(
    client: &ClientWrapper,
    tree: &mut Genealogy,
    upto: u64,
) -> Result<(), ServiceError> {
    loop {
        let first = tree.version().seq;
        let end = first.saturating_add(EVENTS).min(upto);
        // The numbers are ours: a copy takes no parameters.
        let copy = format!(
            "COPY (SELECT seq, distributor_id, sponsor_id, kind, effective_at, recorded_at, hash
                   FROM upline.genealogy_event WHERE seq > {first} AND seq <= {end} ORDER BY seq)
             TO STDOUT (FORMAT binary)"
        );
        let stream = client.copy_out(&copy).await.map_err(classify)?;
        let mut rows = pin!(BinaryCopyOutStream::new(stream, &EVENT));
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let line = event(&row).map_err(unreadable)?;
            tree.apply_line(&line).map_err(unreadable)?;
            if line.seq.is_multiple_of(YIELD) {
                tokio::task::yield_now().await;
            }
        }
        // The numbers have no gaps, so a page that is not full is the last.
        if tree.version().seq < end || end == upto {
            return Ok(());
        }
    }
}

/// The columns of an event, in the order of the copy.
const EVENT: [Type; 7] = [
    Type::INT8,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMPTZ,
    Type::BYTEA,
];

fn event(row: &BinaryCopyOutRow) -> Result<EventLine<'_>, Box<dyn Error + Send + Sync>> {
    Ok(EventLine {
        seq: to_u64(row.try_get(0)?),
        distributor: row.try_get(1)?,
        sponsor: row.try_get(2)?,
        kind: row.try_get(3)?,
        effective_at: row.try_get(4)?,
        recorded_at: row.try_get(5)?,
        hash: Digest::try_from(row.try_get::<&[u8]>(6)?)?,
    })
}

async fn catalog(client: &ClientWrapper, catalog: &mut Catalog) -> Result<(), ServiceError> {
    let statement = client
        .prepare_cached(
            // Rows from before the table bounded volumes may be finer or larger than one can be.
            "SELECT seq, sku_id, platform, platform_sku, commission_class, effective_from,
                    least(trunc(cv_per_unit, 4), 10000000000000),
                    least(trunc(qv_per_unit, 4), 10000000000000)
             FROM upline.sku_mapping WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .await
        .map_err(classify)?;
    loop {
        let last = to_i64(catalog.version());
        let rows = client.query(&statement, &[&last, &PAGE]).await.map_err(classify)?;
        for row in &rows {
            let volume = |value: Option<Decimal>| value.map(Volume::from_decimal).transpose();
            let entry = SkuEntry {
                seq: to_u64(row.get(0)),
                sku_id: Sku::parse(row.get(1)).map_err(unreadable)?,
                class: CommissionClass::parse(row.get(4)).map_err(unreadable)?,
                effective_from: row.get::<_, Timestamp>(5),
                cv: volume(row.get(6)).map_err(unreadable)?,
                qv: volume(row.get(7)).map_err(unreadable)?,
            };
            let scope = Scope::parse(row.get(2)).map_err(unreadable)?;
            catalog.add(scope, Sku::parse(row.get(3)).map_err(unreadable)?, entry);
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn rates(client: &ClientWrapper, book: &mut RateBook) -> Result<(), ServiceError> {
    let statement = client
        .prepare_cached(
            "SELECT seq, base_currency, quote_currency, rate, effective_from
             FROM upline.exchange_rate WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .await
        .map_err(classify)?;
    loop {
        let rows =
            client.query(&statement, &[&to_i64(book.version()), &PAGE]).await.map_err(classify)?;
        for row in &rows {
            let currency = |column: usize| Currency::parse(row.get(column)).map_err(unreadable);
            let entry = RateEntry {
                seq: to_u64(row.get(0)),
                rate: ExchangeRate::from_decimal(row.get(3)).map_err(unreadable)?,
                effective_from: row.get::<_, Timestamp>(4),
            };
            book.add(currency(1)?, currency(2)?, entry);
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn plans(client: &ClientWrapper, book: &mut PlanBook) -> Result<(), ServiceError> {
    let known = i64::try_from(book.iter().count()).unwrap_or(i64::MAX);
    let rows = client
        .query(
            "SELECT source FROM upline.plan_version
             WHERE (SELECT count(*) FROM upline.plan_version) <> $1",
            &[&known],
        )
        .await
        .map_err(classify)?;
    for row in rows {
        book.add(Plan::parse(row.get(0)).map_err(unreadable)?);
    }
    Ok(())
}

impl Postgres {
    /// What parked orders wait for: order key, kind, value.
    pub async fn waits(&self) -> Result<Vec<(String, String, String)>, ServiceError> {
        let client = self.client().await?;
        let rows = client
            .query("SELECT order_key, kind, value FROM upline.order_wait ORDER BY 1, 2, 3", &[])
            .await
            .map_err(classify)?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }
}
