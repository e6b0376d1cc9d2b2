//! What stands for closed periods: with their closes, and with what later ones corrected.

use std::pin::pin;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::{Row, types::ToSql};

use super::{Postgres, classify, placed::patient, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        close::{Basis, CloseKey, binary::unpair::Posted},
        id::{ComponentId, TreeId},
        money::Money,
    },
    stream::ServiceError,
};

/// An entry of the ledger of an order of which something was taken back.
#[derive(Debug, Clone)]
pub struct ReversedEntry {
    /// The component.
    pub component: ComponentId,
    /// The order.
    pub order: String,
    /// Whose money it is.
    pub distributor: String,
    /// When the order was placed.
    pub placed_at: Timestamp,
    /// The number of the entry.
    pub seq: u64,
    /// How much; below zero where it was taken back.
    pub amount: Money,
}

fn money(row: &Row, column: usize) -> Result<Money, ServiceError> {
    Money::from_decimal(row.get(column)).map_err(unreadable)
}

impl Postgres {
    /// Reads what stands for a closed period, with the corrections that the closes of `since` posted:
    /// component, account, the reason of breakage, and how much.
    pub async fn standing_entries(
        &self,
        key: &CloseKey,
        since: &[&str],
        mut take: impl FnMut(&str, &str, Option<&str>, Money),
    ) -> Result<(), ServiceError> {
        let query = "SELECT component, account, reason, sum(amount)
             FROM (SELECT component, reason,
                          CASE debit WHEN 'commission' THEN credit ELSE debit END AS account,
                          CASE debit WHEN 'commission' THEN amount ELSE -amount END AS amount
                   FROM upline.period_entry
                   WHERE plan_id = $1 AND (period = $2 AND corrects IS NULL
                                           OR corrects = $2 AND period = ANY ($3))) t
             GROUP BY 1, 2, 3";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 3] = [&plan, &period, &since];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            take(row.get(0), row.get(1), row.get(2), money(&row, 3)?);
        }
        Ok(())
    }

    /// What stands as carried out of a closed period by its components, with the corrections that the closes
    /// of `since` posted.
    pub async fn standing_carries(
        &self,
        key: &CloseKey,
        since: &[&str],
    ) -> Result<Vec<(ComponentId, Money)>, ServiceError> {
        let query = "SELECT component,
                            sum(CASE debit WHEN 'commission' THEN amount ELSE -amount END)
             FROM upline.period_entry
             WHERE plan_id = $1 AND (period = $2 AND corrects IS NULL
                                     OR corrects = $2 AND period = ANY ($3))
                   AND (credit = 'carried' OR debit = 'carried')
             GROUP BY 1";
        let client = self.client().await?;
        let given: [&(dyn ToSql + Sync); 3] = [&&*key.plan, &key.period.as_str(), &since];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let carried =
            |row: &Row| Ok((ComponentId::parse(row.get(0)).map_err(unreadable)?, money(row, 1)?));
        rows.iter().map(carried).collect()
    }

    /// Reads what the positions of a binary earned in a closed period before caps of the plan, with the
    /// corrections that the closes of `since` wrote down: whose, how much, and why there is breakage.
    pub async fn standing_pairs(
        &self,
        key: &CloseKey,
        (component, tree): (&ComponentId, &TreeId),
        since: &[&str],
        mut take: impl FnMut(&str, Posted, Option<&str>),
    ) -> Result<(), ServiceError> {
        let query = "SELECT e.distributor_id, t.paid, t.breakage, t.capped, t.reason
             FROM (SELECT position, paid, breakage, capped, reason FROM upline.period_position
                   WHERE plan_id = $1 AND period = $2 AND component = $3 AND pool <> 0
                   UNION ALL
                   SELECT position, paid, breakage, capped, reason FROM upline.period_correction
                   WHERE plan_id = $1 AND corrects = $2 AND component = $3 AND period = ANY ($5)) t
             JOIN upline.placement_event e ON e.tree = $4 AND e.seq = t.position + 1";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let (plan, period) = (&*key.plan, key.period.as_str());
        let given: [&(dyn ToSql + Sync); 5] =
            [&plan, &period, &component.as_str(), &tree.as_str(), &since];
        let mut rows = pin!(client.query_raw(query, given).await.map_err(classify)?);
        while let Some(row) = rows.try_next().await.map_err(classify)? {
            let (paid, breakage, capped) = (money(&row, 1)?, money(&row, 2)?, money(&row, 3)?);
            take(row.get(0), Posted { paid, breakage, capped }, row.get(4));
        }
        Ok(())
    }

    /// What orders of closed periods earned distributors in components of orders, where something of it was
    /// taken back after ledger entry `after`: all entries up to that of the basis, those of one component,
    /// order and distributor side by side, in the order of their numbers.
    pub async fn reversed_entries(
        &self,
        basis: &Basis,
        after: u64,
    ) -> Result<Vec<ReversedEntry>, ServiceError> {
        let query = "WITH back AS (
                         SELECT DISTINCT component, order_key, debit AS account
                         FROM upline.ledger_entry
                         WHERE kind <> 'earned' AND debit LIKE 'distributor:%' AND currency = $1
                               AND seq > $2 AND seq <= $3 AND order_ts >= $4 AND order_ts < $5)
                     SELECT e.component, e.order_key, substr(b.account, 13), e.order_ts, e.seq,
                            CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END
                     FROM back b
                     JOIN upline.ledger_entry e
                          ON e.order_key = b.order_key AND e.component = b.component
                             AND e.currency = $1
                             AND b.account = CASE e.kind WHEN 'earned' THEN e.credit ELSE e.debit END
                     JOIN upline.commission_run r
                          ON r.order_key = e.order_key AND r.revision = e.revision
                     WHERE r.plan_id = $6 AND e.seq <= $3 ORDER BY 1, 2, 3, 5";
        let mut client = self.client().await?;
        let client = patient(&mut client).await?;
        let given: [&(dyn ToSql + Sync); 6] = [
            &basis.currency.as_str(),
            &to_i64(after),
            &to_i64(basis.ledger),
            &basis.counted.since,
            &basis.period.end,
            &&*basis.plan.id,
        ];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let entry = |row: &Row| {
            Ok(ReversedEntry {
                component: ComponentId::parse(row.get(0)).map_err(unreadable)?,
                order: row.get(1),
                distributor: row.get(2),
                placed_at: row.get(3),
                seq: to_u64(row.get(4)),
                amount: money(row, 5)?,
            })
        };
        rows.iter().map(entry).collect()
    }
}
