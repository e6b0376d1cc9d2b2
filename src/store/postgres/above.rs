//! What periods and their orders paid, for who asks what became of an order, or what a period costs.

use std::collections::BTreeMap;

use serde::Serialize;
use tokio_postgres::types::ToSql;

use super::{Postgres, classify, to_i64, to_u64, unreadable};
use crate::{
    domain::{
        close::Basis,
        id::{ComponentId, PositionId, TreeId},
        money::{Currency, Money},
        placement::Position,
    },
    stream::ServiceError,
};

/// What a close paid to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaidAbove {
    /// Who.
    pub distributor: String,
    /// The components that paid, each with its amount.
    pub components: Vec<String>,
}

/// What the orders of a period paid in a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrdersPaid {
    /// The component.
    pub component: ComponentId,
    /// The currency.
    pub currency: Currency,
    /// To distributors, after what was taken back.
    pub paid: Money,
}

/// So many of the upline are looked at.
const LEVELS: i32 = 32;
/// So many of them who got something are told.
const TOLD: usize = 3;

impl Postgres {
    /// The block of a closed period, and what it paid for itself to a distributor and the nearest above who
    /// got something; nothing of an open one.
    pub async fn paid_above(
        &self,
        (plan, period, distributor): (&str, &str, &str),
    ) -> Result<(Option<u64>, Vec<PaidAbove>), ServiceError> {
        let client = self.client().await?;
        let query = "SELECT block FROM upline.period_close WHERE plan_id = $1 AND period = $2";
        let row = client.query_opt(query, &[&plan, &period]).await.map_err(classify)?;
        let Some(block) = row.map(|row| to_u64(row.get(0))) else { return Ok((None, Vec::new())) };
        let query = "WITH RECURSIVE above (id, level) AS (
                 SELECT $3::text, 0
                 UNION ALL
                 SELECT d.sponsor_id, a.level + 1
                 FROM above a JOIN upline.distributors d ON d.distributor_id = a.id
                 WHERE d.sponsor_id IS NOT NULL AND a.level < $4)
             SELECT a.id, e.component, e.amount::text
             FROM above a JOIN upline.period_entry e ON e.credit = 'distributor:' || a.id
             WHERE e.plan_id = $1 AND e.period = $2 AND e.corrects IS NULL
             ORDER BY a.level, e.number";
        let given: [&(dyn ToSql + Sync); 4] = [&plan, &period, &distributor, &LEVELS];
        let mut paid: Vec<PaidAbove> = Vec::new();
        for row in client.query(query, &given).await.map_err(classify)? {
            let (who, component, amount): (String, &str, &str) =
                (row.get(0), row.get(1), row.get(2));
            let part = format!("{component} {amount}");
            let full = paid.len() >= TOLD;
            match paid.last_mut() {
                Some(last) if last.distributor == who => last.components.push(part),
                _ if full => break,
                _ => paid.push(PaidAbove { distributor: who, components: vec![part] }),
            }
        }
        Ok((Some(block), paid))
    }

    /// What the orders of a period paid to distributors, by component: the entries that
    /// [`Postgres::own_earnings`] counts, of everybody.
    pub async fn paid_with_orders(&self, basis: &Basis) -> Result<Vec<OrdersPaid>, ServiceError> {
        let query = "SELECT e.component, e.currency,
                            sum(CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END)
             FROM upline.ledger_entry e JOIN upline.commission_run r USING (order_key, revision)
             WHERE (CASE e.kind WHEN 'earned' THEN e.credit ELSE e.debit END) LIKE 'distributor:%'
               AND r.plan_id = $1 AND e.seq <= $2 AND e.order_ts < $4
               AND (e.order_ts >= $3 OR e.order_ts >= $5 AND e.seq > $6)
             GROUP BY 1, 2
             HAVING sum(CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END) <> 0
             ORDER BY 1, 2";
        let client = self.client().await?;
        let given: [&(dyn ToSql + Sync); 6] = [
            &&*basis.plan.id,
            &to_i64(basis.ledger),
            &basis.period.start,
            &basis.period.end,
            &basis.counted.since,
            &to_i64(basis.ledger_before),
        ];
        let rows = client.query(query, &given).await.map_err(classify)?;
        let paid = |row: &tokio_postgres::Row| {
            Ok(OrdersPaid {
                component: ComponentId::parse(row.get(0)).map_err(unreadable)?,
                currency: Currency::parse(row.get(1)).map_err(unreadable)?,
                paid: Money::from_decimal(row.get(2)).map_err(unreadable)?,
            })
        };
        rows.iter().map(paid).collect()
    }

    /// What the company calls some positions of a tree.
    pub async fn position_names(
        &self,
        tree: &TreeId,
        positions: &[Position],
    ) -> Result<BTreeMap<Position, PositionId>, ServiceError> {
        let query = "SELECT seq, position_id FROM upline.placement_event
                     WHERE tree = $1 AND seq = ANY ($2)";
        let seqs: Vec<i64> =
            positions.iter().map(|position| i64::from(position.0).saturating_add(1)).collect();
        let client = self.client().await?;
        let rows = client.query(query, &[&tree.as_str(), &seqs]).await.map_err(classify)?;
        let named = |row: &tokio_postgres::Row| {
            // Events are numbered from 1, positions from 0.
            let position = to_u64(row.get(0)).saturating_sub(1);
            let position = u32::try_from(position).map(Position).map_err(unreadable)?;
            Ok((position, PositionId::parse(row.get(1)).map_err(unreadable)?))
        };
        rows.iter().map(named).collect()
    }
}
