//! What a period costs as a whole: what its close posts, and what its orders paid already.

use rust_decimal::Decimal;
use serde::Serialize;

use super::{ClosingError, Prepared};
use crate::{
    domain::{
        close::{Beneficiary, binary::Legs},
        id::ComponentId,
        money::{Currency, Money},
        volume::Volume,
    },
    store::postgres::{OrdersPaid, Postgres},
};

/// What the positions of a binary carry on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarriedLegs {
    /// The binary.
    pub component: ComponentId,
    /// How many positions carry any.
    pub positions: u64,
    /// Of left legs.
    pub left: Volume,
    /// Of right legs.
    pub right: Volume,
}

/// What positions carry on, by binary.
pub(super) fn carried_legs(prepared: &Prepared) -> Vec<CarriedLegs> {
    let mut told: Vec<CarriedLegs> = Vec::new();
    for record in &prepared.placed().positions {
        let legs = record.carried();
        if legs == Legs::ZERO {
            continue;
        }
        // They are sorted by component.
        match told.last_mut().filter(|last| last.component == *record.component) {
            Some(last) => {
                last.positions = last.positions.saturating_add(1);
                last.left += legs.left;
                last.right += legs.right;
            }
            None => told.push(CarriedLegs {
                component: ComponentId::clone(&record.component),
                positions: 1,
                left: legs.left,
                right: legs.right,
            }),
        }
    }
    told
}

/// What distributors get of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Whole {
    /// What the close pays in.
    pub currency: Currency,
    /// What the close posts to them, with what it corrects of closed periods.
    pub close: Money,
    /// What the orders of the period paid, by component; other currencies too.
    pub orders: Vec<OrdersPaid>,
    /// Both, in the currency of the close.
    pub together: Money,
    /// The money that all commissionable volume is at the plan's own conversion.
    pub volume: Decimal,
    /// What the close posts as a share of that, to four decimal places; none without volume.
    pub close_ratio: Option<Decimal>,
    /// Both as a share of it.
    pub ratio: Option<Decimal>,
}

/// Adds up what a period costs.
pub async fn whole(store: &Postgres, prepared: &Prepared) -> Result<Whole, ClosingError> {
    let currency = prepared.basis.currency;
    let entries = prepared.entries();
    let to_members = entries.iter().filter(|entry| matches!(entry.to, Beneficiary::Distributor(_)));
    let close: Money = to_members.map(|entry| entry.amount).sum();
    let orders = store.paid_with_orders(&prepared.basis).await?;
    let of_currency = orders.iter().filter(|paid| paid.currency == currency);
    let together = close + of_currency.map(|paid| paid.paid).sum();
    let cv = prepared.summary.cv.at_least_zero().as_decimal();
    let volume = cv.saturating_mul(prepared.plan.conversion().as_decimal()).normalize();
    let ratio = |money: Money| {
        let ratio = money.as_decimal().checked_div(volume)?;
        Some(ratio.round_dp(4).normalize())
    };
    let (close_ratio, ratio) = (ratio(close), ratio(together));
    Ok(Whole { currency, close, orders, together, volume, close_ratio, ratio })
}
