//! Bulk import of distributors, SKU rows and exchange rates.
//!
//! A batch is one statement; a batch that is refused is taken apart until the bad row is alone, so
//! every good row gets in and every bad one is named.

use jiff::Timestamp;
use rust_decimal::Decimal;

use super::{Postgres, classify};
use crate::stream::ServiceError;

/// A distributor as a CSV file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistributorRow {
    /// The row in the file, for messages.
    pub row: u64,
    /// Their id.
    pub id: String,
    /// Their sponsor; `none` for the top. Without it what is known stays.
    pub sponsor: Option<String>,
    /// `active`, `inactive` or `terminated`; without it what is known stays, and who is new is
    /// active.
    pub status: Option<String>,
    /// Two letters.
    pub country: Option<String>,
    /// When they enrolled; without it they have always been there.
    pub created_at: Option<Timestamp>,
    /// When the change became true; without it, now.
    pub changed_at: Option<Timestamp>,
}

/// A SKU mapping as a CSV file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkuRow {
    /// The row in the file, for messages.
    pub row: u64,
    /// The company's article.
    pub sku_id: String,
    /// A platform or `any`.
    pub platform: String,
    /// What the platform calls it.
    pub platform_sku: String,
    /// For people.
    pub name: Option<String>,
    /// For people.
    pub category: Option<String>,
    /// The commission class.
    pub class: String,
    /// From when it holds; without it, since ever.
    pub effective_from: Option<Timestamp>,
    /// Commissionable volume per unit.
    pub cv: Option<Decimal>,
    /// Qualifying volume per unit.
    pub qv: Option<Decimal>,
}

/// An exchange rate as a CSV file has it: one `base` is so many `quote`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateRow {
    /// The row in the file, for messages.
    pub row: u64,
    /// ISO 4217.
    pub base: String,
    /// ISO 4217.
    pub quote: String,
    /// Above zero.
    pub rate: Decimal,
    /// From when it holds.
    pub effective_from: Timestamp,
    /// Who says so, such as a central bank.
    pub source: Option<String>,
}

/// A row that the database refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The row in the file.
    pub row: u64,
    /// Why.
    pub reason: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows that made a difference.
    pub written: u64,
    /// Rows that said what was known.
    pub unchanged: u64,
    /// Rows that were refused.
    pub refused: Vec<Refused>,
}

/// A row of one of the files.
pub trait ImportRow: Sync {
    /// The row in the file.
    fn row(&self) -> u64;

    /// Writes rows in one statement; says how many made a difference.
    fn write(
        store: &Postgres,
        rows: &[Self],
    ) -> impl Future<Output = Result<u64, ServiceError>> + Send
    where
        Self: Sized;
}

impl ImportRow for DistributorRow {
    fn row(&self) -> u64 {
        self.row
    }

    /// Inserts in the order of the rows, so events are in the order of the file.
    async fn write(store: &Postgres, rows: &[Self]) -> Result<u64, ServiceError> {
        let ids: Vec<&str> = rows.iter().map(|r| r.id.as_str()).collect();
        let sponsors: Vec<Option<&str>> = rows.iter().map(|r| r.sponsor.as_deref()).collect();
        let statuses: Vec<Option<&str>> = rows.iter().map(|r| r.status.as_deref()).collect();
        let countries: Vec<Option<&str>> = rows.iter().map(|r| r.country.as_deref()).collect();
        let created: Vec<Option<Timestamp>> = rows.iter().map(|r| r.created_at).collect();
        let changed: Vec<Option<Timestamp>> = rows.iter().map(|r| r.changed_at).collect();
        let client = store.client().await?;
        client
            .execute(
                "INSERT INTO upline.distributors AS d
                     (distributor_id, sponsor_id, status, country, created_at, changed_at)
                 SELECT i, CASE s WHEN 'none' THEN NULL ELSE coalesce(s, o.sponsor_id) END,
                        coalesce(t, o.status, 'active'), coalesce(c, o.country),
                        coalesce(a, 'epoch'), x
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
                             $6::timestamptz[]) WITH ORDINALITY AS r(i, s, t, c, a, x, n)
                 -- One look-up a row, never a join that reads the whole table for each batch.
                 LEFT JOIN LATERAL (SELECT d.sponsor_id, d.status, d.country
                                    FROM upline.distributors d
                                    WHERE d.distributor_id = i OFFSET 0) o ON true
                 ORDER BY n
                 ON CONFLICT (distributor_id) DO UPDATE
                 SET sponsor_id = excluded.sponsor_id, status = excluded.status,
                     country = excluded.country,
                     changed_at = excluded.changed_at
                 WHERE (d.sponsor_id, d.status, d.country) IS DISTINCT FROM
                       (excluded.sponsor_id, excluded.status, excluded.country)",
                &[&ids, &sponsors, &statuses, &countries, &created, &changed],
            )
            .await
            .map_err(classify)
    }
}

impl ImportRow for SkuRow {
    fn row(&self) -> u64 {
        self.row
    }

    /// Adds rows that differ from the latest one of their SKU and effective time.
    async fn write(store: &Postgres, rows: &[Self]) -> Result<u64, ServiceError> {
        let text = |pick: fn(&Self) -> &str| rows.iter().map(pick).collect::<Vec<_>>();
        let ids = text(|r| &r.sku_id);
        let platforms = text(|r| &r.platform);
        let skus = text(|r| &r.platform_sku);
        let classes = text(|r| &r.class);
        let names: Vec<Option<&str>> = rows.iter().map(|r| r.name.as_deref()).collect();
        let categories: Vec<Option<&str>> = rows.iter().map(|r| r.category.as_deref()).collect();
        let from: Vec<Timestamp> =
            rows.iter().map(|r| r.effective_from.unwrap_or(Timestamp::UNIX_EPOCH)).collect();
        let cvs: Vec<Option<Decimal>> = rows.iter().map(|r| r.cv).collect();
        let qvs: Vec<Option<Decimal>> = rows.iter().map(|r| r.qv).collect();
        let client = store.client().await?;
        client
            .execute(
                "INSERT INTO upline.sku_mapping
                     (sku_id, platform, platform_sku, name, category, commission_class,
                      effective_from, cv_per_unit, qv_per_unit)
                 SELECT i, p, s, n, k, c, f, v, q
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                             $7::timestamptz[], $8::numeric[], $9::numeric[])
                      WITH ORDINALITY AS r(i, p, s, n, k, c, f, v, q, at)
                 WHERE (i, c, v, q, n, k) IS DISTINCT FROM (
                     SELECT (m.sku_id, m.commission_class, m.cv_per_unit, m.qv_per_unit, m.name,
                             m.category)
                     FROM upline.sku_mapping m
                     WHERE m.platform = p AND m.platform_sku = s AND m.effective_from = f
                     ORDER BY m.seq DESC LIMIT 1)
                 ORDER BY at",
                &[&ids, &platforms, &skus, &names, &categories, &classes, &from, &cvs, &qvs],
            )
            .await
            .map_err(classify)
    }
}

impl ImportRow for RateRow {
    fn row(&self) -> u64 {
        self.row
    }

    /// Adds rows that differ from the latest one of their pair and effective time.
    async fn write(store: &Postgres, rows: &[Self]) -> Result<u64, ServiceError> {
        let bases: Vec<&str> = rows.iter().map(|r| r.base.as_str()).collect();
        let quotes: Vec<&str> = rows.iter().map(|r| r.quote.as_str()).collect();
        let rates: Vec<Decimal> = rows.iter().map(|r| r.rate).collect();
        let from: Vec<Timestamp> = rows.iter().map(|r| r.effective_from).collect();
        let sources: Vec<Option<&str>> = rows.iter().map(|r| r.source.as_deref()).collect();
        let client = store.client().await?;
        client
            .execute(
                "INSERT INTO upline.exchange_rate
                     (base_currency, quote_currency, rate, effective_from, source)
                 SELECT b, q, x, f, s
                 FROM unnest($1::text[], $2::text[], $3::numeric[], $4::timestamptz[], $5::text[])
                      WITH ORDINALITY AS r(b, q, x, f, s, at)
                 WHERE (x, s) IS DISTINCT FROM (
                     SELECT (e.rate, e.source) FROM upline.exchange_rate e
                     WHERE e.base_currency = b AND e.quote_currency = q AND e.effective_from = f
                     ORDER BY e.seq DESC LIMIT 1)
                 ORDER BY at",
                &[&bases, &quotes, &rates, &from, &sources],
            )
            .await
            .map_err(classify)
    }
}

/// Imports a batch of rows.
pub async fn import<R: ImportRow>(store: &Postgres, rows: &[R]) -> Result<Imported, ServiceError> {
    let mut imported = Imported::default();
    let mut stack = vec![rows];
    while let Some(part) = stack.pop() {
        let count = u64::try_from(part.len()).unwrap_or(u64::MAX);
        match (R::write(store, part).await, part) {
            (Ok(written), _) => {
                imported.written = imported.written.saturating_add(written);
                imported.unchanged =
                    imported.unchanged.saturating_add(count.saturating_sub(written));
            }
            (Err(ServiceError::Refused { source, .. }), [row]) => {
                let reason = crate::stream::chain(source.as_ref());
                imported.refused.push(Refused { row: row.row(), reason });
            }
            (Err(ServiceError::Refused { .. }), _) => {
                let (first, second) = part.split_at(part.len().div_euclid(2));
                stack.push(second);
                stack.push(first);
            }
            (Err(error @ ServiceError::Unavailable { .. }), _) => return Err(error),
        }
    }
    Ok(imported)
}
