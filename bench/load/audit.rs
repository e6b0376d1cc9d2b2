//! Are the books right? Every accepted order exactly once, with the ten rows that it must have.

use std::{collections::HashMap, fmt, pin::pin};

use anyhow::Context;
use futures_util::TryStreamExt;

use crate::{
    company::LEVELS,
    generator::Sent,
    order::{Order, Shape},
    world::World,
};

/// All levels are there.
const WHOLE: u16 = (1 << LEVELS) - 1;

/// What is wrong with the books, and what was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Orders that were accepted.
    pub(crate) accepted: u64,
    /// Ledger rows read.
    pub(crate) rows: u64,
    /// Rows that say something else than they must.
    pub(crate) wrong: u64,
    /// Rows that are there a second time.
    pub(crate) doubled: u64,
    /// Accepted orders that have no rows, or not all of them.
    pub(crate) lost: u64,
    /// What the ledger adds up to, in cents.
    pub(crate) sum: u64,
    /// What it must add up to, in cents.
    pub(crate) expected_sum: u64,
}

impl Audit {
    /// Nothing is wrong.
    pub(crate) fn clean(&self) -> bool {
        self.faults() == 0 && self.sum == self.expected_sum
    }

    /// Wrong rows, doubled rows and lost orders.
    pub(crate) fn faults(&self) -> u64 {
        self.wrong + self.doubled + self.lost
    }

    /// Adds another part of the books.
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.rows += other.rows;
        self.wrong += other.wrong;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.sum += other.sum;
        self.expected_sum += other.expected_sum;
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} orders accepted, {} rows: {} wrong, {} doubled, {} orders lost; sum {} of {} cents",
            self.accepted,
            self.rows,
            self.wrong,
            self.doubled,
            self.lost,
            self.sum,
            self.expected_sum
        )
    }
}

/// Compares the rows behind `after` with what was sent since then.
pub(crate) async fn audit(
    world: &World,
    shape: Shape,
    sent: &Sent,
    after: u64,
) -> anyhow::Result<Audit> {
    let mut levels: HashMap<u64, u16> = sent.accepted.iter().map(|number| (*number, 0)).collect();
    // An order whose answer was lost may be there, but then it must be right too.
    levels.extend(sent.open.iter().map(|number| (*number, 0)));
    let mut audit = Audit { accepted: u64::try_from(sent.accepted.len())?, ..Audit::default() };
    let rows = world
        .client
        .query_raw(
            "SELECT order_key, line_id, level, credit, (amount * 100)::bigint, currency, kind,
                    component, revision
             FROM upline.ledger_entry WHERE seq > $1",
            &[i64::try_from(after)?],
        )
        .await?;
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await? {
        audit.rows += 1;
        let cents = u64::try_from(row.get::<_, i64>(4)).unwrap_or_default();
        audit.sum += cents;
        let number = Order::number_of(row.get(0)).context("an order key of another program")?;
        let Some(seen) = levels.get_mut(&number) else {
            // Nobody sent it, or it was posted before.
            audit.doubled += 1;
            continue;
        };
        let order = Order::new(number, world.company, shape);
        let level = usize::try_from(row.get::<_, i16>(2)).unwrap_or_default();
        let expected = world.company.expected(order);
        let right =
            level.checked_sub(1).and_then(|at| expected.get(at)).is_some_and(|(who, amount)| {
                row.get::<_, &str>(3) == format!("distributor:{who}") && cents == *amount
            }) && row.get::<_, &str>(1) == order.earning_line()
                && row.get::<_, &str>(5) == "USD"
                && row.get::<_, &str>(6) == "earned"
                && row.get::<_, &str>(7) == "unilevel"
                && row.get::<_, i64>(8) == 1;
        if !right {
            audit.wrong += 1;
            continue;
        }
        let bit = 1u16 << (level - 1);
        if *seen & bit != 0 {
            audit.doubled += 1;
        }
        *seen |= bit;
    }
    for (number, seen) in &levels {
        let whole = *seen == WHOLE;
        if !whole && (*seen != 0 || !sent.open.contains(number)) {
            audit.lost += 1;
        }
        if whole || !sent.open.contains(number) {
            let order = Order::new(*number, world.company, shape);
            let expected = world.company.expected(order);
            audit.expected_sum += expected.iter().map(|(_, cents)| cents).sum::<u64>();
        }
    }
    Ok(audit)
}
