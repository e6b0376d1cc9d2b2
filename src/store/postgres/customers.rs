//! The links of customers to distributors in Postgres.

use deadpool_postgres::{ClientWrapper, Transaction};
use jiff::Timestamp;

use super::{Postgres, classify, import::ImportRow, to_u64, unreadable};
use crate::{
    domain::{
        customer::{CustomerEvent, CustomerKey, CustomerLink, LinkKind},
        id::{DistributorId, OrderKey, Platform, StoreId},
    },
    store::Links,
    stream::ServiceError,
};

/// The columns of customers, for UNNEST.
struct Customers<'c> {
    platforms: Vec<&'c str>,
    stores: Vec<&'c str>,
    ids: Vec<&'c str>,
}

impl<'c> Customers<'c> {
    fn of(customers: impl Iterator<Item = &'c CustomerKey> + Clone) -> Self {
        Self {
            platforms: customers.clone().map(|c| c.platform.as_str()).collect(),
            stores: customers.clone().map(|c| c.store.as_str()).collect(),
            ids: customers.map(|c| c.customer.as_ref()).collect(),
        }
    }
}

/// Reads the links of customers, by the primary index.
pub(super) async fn links(
    client: &ClientWrapper,
    customers: &[CustomerKey],
) -> Result<Links, ServiceError> {
    let statement = client
        .prepare_cached(
            "SELECT a.platform, a.store, a.customer_id, a.seq, a.distributor_id, a.kind, a.source,
                    a.order_key, a.effective_from
             FROM unnest($1::text[], $2::text[], $3::text[]) AS c(p, s, i)
             JOIN upline.customer_attribution a
               ON a.platform = c.p AND a.store = c.s AND a.customer_id = c.i
             ORDER BY a.seq",
        )
        .await
        .map_err(classify)?;
    let keys = Customers::of(customers.iter());
    let rows = client
        .query(&statement, &[&keys.platforms, &keys.stores, &keys.ids])
        .await
        .map_err(classify)?;
    let mut found = Links::new();
    for row in rows {
        let customer = CustomerKey {
            platform: Platform::parse(row.get(0)).map_err(unreadable)?,
            store: StoreId::parse(row.get(1)).map_err(unreadable)?,
            customer: row.get::<_, &str>(2).into(),
        };
        let order: Option<&str> = row.get(7);
        let kind: &str = row.get(5);
        let link = CustomerLink {
            seq: to_u64(row.get(3)),
            distributor: DistributorId::parse(row.get(4)).map_err(unreadable)?,
            kind: LinkKind::parse(kind)
                .ok_or_else(|| unreadable(format!("unknown kind of link {kind}")))?,
            source: row.get::<_, &str>(6).into(),
            order: order.map(OrderKey::parse).transpose().map_err(unreadable)?,
            effective_from: row.get(8),
        };
        found.entry(customer).or_default().push(link);
    }
    Ok(found)
}

/// Writes the first touches that orders leave behind: one for each customer and order.
pub(super) async fn touch(
    tx: &Transaction<'_>,
    touches: &[&(CustomerKey, CustomerLink)],
) -> Result<(), ServiceError> {
    let keys = Customers::of(touches.iter().map(|(customer, _)| customer));
    let links = || touches.iter().map(|(_, link)| link);
    let distributors: Vec<&str> = links().map(|link| link.distributor.as_str()).collect();
    let kinds: Vec<&str> = links().map(|link| link.kind.as_str()).collect();
    let sources: Vec<&str> = links().map(|link| link.source.as_ref()).collect();
    let orders: Vec<Option<String>> =
        links().map(|link| link.order.as_ref().map(ToString::to_string)).collect();
    let from: Vec<Timestamp> = links().map(|link| link.effective_from).collect();
    tx.execute(
        "INSERT INTO upline.customer_attribution
             (platform, store, customer_id, distributor_id, kind, source, order_key, effective_from)
         SELECT p, s, i, d, k, o, n, f
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::timestamptz[]) AS r(p, s, i, d, k, o, n, f)
         ON CONFLICT (platform, store, customer_id, kind, order_key)
             WHERE order_key IS NOT NULL DO NOTHING",
        &[
            &keys.platforms,
            &keys.stores,
            &keys.ids,
            &distributors,
            &kinds,
            &sources,
            &orders,
            &from,
        ],
    )
    .await
    .map_err(classify)?;
    Ok(())
}

impl Postgres {
    /// Does what a privacy request asks for, once for each delivery.
    pub async fn privacy(&self, event: &CustomerEvent, kind: &str) -> Result<(), ServiceError> {
        let CustomerKey { platform, store, customer } = &event.customer;
        let client = self.client().await?;
        let key = [&event.origin.delivery, platform.as_str(), store.as_str(), kind].join("|");
        client
            .execute(
                "SELECT upline.privacy($1, $2, $3, $4, $5, $6)",
                &[
                    &key,
                    &kind,
                    &platform.as_str(),
                    &store.as_str(),
                    &customer.as_ref(),
                    &event.origin.received_at,
                ],
            )
            .await
            .map_err(classify)?;
        Ok(())
    }
}

/// A link as a CSV file or a customer's message assigns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerRow {
    /// The row in the file, for messages.
    pub row: u64,
    /// The customer.
    pub customer: CustomerKey,
    /// The link; of no order.
    pub link: CustomerLink,
}

impl ImportRow for CustomerRow {
    fn row(&self) -> u64 {
        self.row
    }

    /// Adds assignments that say something else than the one in force at their time.
    async fn write(store: &Postgres, rows: &[Self]) -> Result<u64, ServiceError> {
        let keys = Customers::of(rows.iter().map(|row| &row.customer));
        let distributors: Vec<&str> = rows.iter().map(|r| r.link.distributor.as_str()).collect();
        let kinds: Vec<&str> = rows.iter().map(|r| r.link.kind.as_str()).collect();
        let sources: Vec<&str> = rows.iter().map(|r| r.link.source.as_ref()).collect();
        let from: Vec<Timestamp> = rows.iter().map(|r| r.link.effective_from).collect();
        let client = store.client().await?;
        client
            .execute(
                "INSERT INTO upline.customer_attribution
                     (platform, store, customer_id, distributor_id, kind, source, effective_from)
                 SELECT p, s, i, d, k, o, f
                 FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
                             $6::text[], $7::timestamptz[])
                      WITH ORDINALITY AS r(p, s, i, d, k, o, f, at)
                 WHERE d IS DISTINCT FROM (
                     SELECT a.distributor_id FROM upline.customer_attribution a
                     WHERE a.platform = p AND a.store = s AND a.customer_id = i AND a.kind = k
                       AND a.order_key IS NULL AND a.effective_from <= f
                     ORDER BY a.effective_from DESC, a.seq DESC LIMIT 1)
                 ORDER BY at",
                &[&keys.platforms, &keys.stores, &keys.ids, &distributors, &kinds, &sources, &from],
            )
            .await
            .map_err(classify)
    }
}
