//! What should be, what is in Postgres, what is in ClickHouse: compared to the cent.

use std::collections::BTreeMap;

use anyhow::Context;
use rust_decimal::Decimal;

use super::{Running, traffic::Totals};

/// Sums in one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Orders that earn.
    pub(super) orders: u64,
    /// The net that they earn on.
    pub(super) net: Decimal,
    /// What distributors get.
    pub(super) paid: Decimal,
    /// What the company keeps.
    pub(super) breakage: Decimal,
}

/// What one distributor gets on one order.
type Shares = BTreeMap<(String, String), Decimal>;

/// What the two databases hold.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// Postgres by currency.
    pub(super) postgres: BTreeMap<String, Sums>,
    /// ClickHouse by currency.
    pub(super) clickhouse: BTreeMap<String, Sums>,
    /// The status of every order in Postgres.
    pub(super) statuses: BTreeMap<String, String>,
    /// Postgres: (order, distributor), sums that are not zero.
    pub(super) shares: Shares,
    /// Orders that wait.
    pub(super) parked: u64,
    /// Ledger entries and blocks.
    pub(super) entries: u64,
    /// Entries that take back.
    pub(super) reversals: u64,
    /// Blocks.
    pub(super) blocks: u64,
}

impl Books {
    /// Reads both databases.
    pub(super) async fn read(running: &Running) -> anyhow::Result<Self> {
        let mut books = Self::default();
        books.read_postgres(running).await?;
        books.read_clickhouse(running).await?;
        Ok(books)
    }

    async fn read_postgres(&mut self, running: &Running) -> anyhow::Result<()> {
        let client = running.store.client().await?;
        let latest = "
            WITH latest AS (
                SELECT DISTINCT ON (order_key) order_key, currency, status, calc_snapshot_json AS run
                FROM upline.commission_run ORDER BY order_key, revision DESC),
            base AS (
                SELECT order_key, currency, status,
                       (SELECT coalesce(sum((line ->> 'base')::numeric), 0)
                        FROM json_array_elements(run -> 'order' -> 'lines') line) AS net
                FROM latest)";
        let rows = client
            .query(
                &format!(
                    "{latest} SELECT currency, count(*) FILTER (WHERE net > 0), sum(net)
                     FROM base GROUP BY 1"
                ),
                &[],
            )
            .await?;
        for row in rows {
            let sums = self.postgres.entry(row.get(0)).or_default();
            sums.orders = u64::try_from(row.get::<_, i64>(1))?;
            sums.net = row.get(2);
        }
        let rows = client
            .query(
                "SELECT currency, coalesce(sum(amount) FILTER (WHERE distributor_id IS NOT NULL), 0),
                        coalesce(sum(amount) FILTER (WHERE distributor_id IS NULL), 0)
                 FROM upline.ledger GROUP BY 1",
                &[],
            )
            .await?;
        for row in rows {
            let sums = self.postgres.entry(row.get(0)).or_default();
            sums.paid = row.get(1);
            sums.breakage = row.get(2);
        }
        let rows =
            client.query(&format!("{latest} SELECT order_key, status FROM base"), &[]).await?;
        self.statuses = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let rows = client
            .query(
                "SELECT order_key, distributor_id, sum(amount) FROM upline.ledger
                 WHERE distributor_id IS NOT NULL GROUP BY 1, 2 HAVING sum(amount) <> 0",
                &[],
            )
            .await?;
        self.shares = rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let row = client
            .query_one(
                "SELECT (SELECT count(DISTINCT order_key) FROM upline.order_wait),
                        (SELECT count(*) FROM upline.ledger_entry),
                        (SELECT count(*) FROM upline.ledger_entry WHERE kind = 'reversed'),
                        (SELECT count(*) FROM upline.ledger_block)",
                &[],
            )
            .await?;
        let count = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
        (self.parked, self.entries, self.reversals, self.blocks) =
            (count(0), count(1), count(2), count(3));
        Ok(())
    }

    async fn read_clickhouse(&mut self, running: &Running) -> anyhow::Result<()> {
        let client = running.warehouse.client();
        let orders: Vec<(String, u64, String)> = client
            .query(
                "SELECT toString(currency), countIf(base > 0), toString(sum(base)) FROM orders
                 GROUP BY currency",
            )
            .fetch_all()
            .await?;
        let decimal = |text: &str| Decimal::from_str_exact(text).context("a sum of ClickHouse");
        for (currency, count, net) in orders {
            let sums = self.clickhouse.entry(currency).or_default();
            sums.orders = count;
            sums.net = decimal(&net)?;
        }
        let lines: Vec<(String, String, String)> = client
            .query(
                "SELECT toString(currency), toString(sumIf(amount, account != 'breakage')),
                        toString(sumIf(amount, account = 'breakage'))
                 FROM commission_lines GROUP BY currency",
            )
            .fetch_all()
            .await?;
        for (currency, paid, breakage) in lines {
            let sums = self.clickhouse.entry(currency).or_default();
            sums.paid = decimal(&paid)?;
            sums.breakage = decimal(&breakage)?;
        }
        Ok(())
    }
}

/// One line of the reconciliation.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// What is compared.
    pub(super) what: String,
    /// What should be.
    pub(super) expected: Decimal,
    /// What Postgres has.
    pub(super) postgres: Decimal,
    /// What ClickHouse has.
    pub(super) clickhouse: Decimal,
}

impl Line {
    /// Whether the three agree.
    pub(super) fn holds(&self) -> bool {
        self.expected == self.postgres && self.expected == self.clickhouse
    }
}

/// Compares the sums of every currency that any of the three knows.
pub(super) fn totals(expected: &BTreeMap<&'static str, Totals>, books: &Books) -> Vec<Line> {
    let mut currencies: Vec<&str> = expected.keys().copied().collect();
    currencies.extend(books.postgres.keys().map(String::as_str));
    currencies.extend(books.clickhouse.keys().map(String::as_str));
    currencies.sort_unstable();
    currencies.dedup();
    let mut lines = Vec::new();
    for currency in currencies {
        let due = expected.get(currency).cloned().unwrap_or_default();
        let postgres = books.postgres.get(currency).cloned().unwrap_or_default();
        let clickhouse = books.clickhouse.get(currency).cloned().unwrap_or_default();
        let mut line = |what: &str, expected, postgres, clickhouse| {
            let what = format!("{currency} {what}");
            lines.push(Line { what, expected, postgres, clickhouse });
        };
        let orders = due.orders.into();
        line("orders that earn", orders, postgres.orders.into(), clickhouse.orders.into());
        line("net that earns", due.net, postgres.net, clickhouse.net);
        line("paid", due.paid, postgres.paid, clickhouse.paid);
        line("breakage", due.breakage, postgres.breakage, clickhouse.breakage);
    }
    lines
}
