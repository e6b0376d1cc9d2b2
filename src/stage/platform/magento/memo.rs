//! The credit memo of Magento: one refund of an order.
//!
//! Its items name order items, parents and children alike; the order knows which of them are its
//! lines and which are folded into these, and what is said of the latter is ignored there. So rows of
//! both can stand here side by side.

use serde::Deserialize;

use super::Rate;
use crate::{
    domain::{
        money::Money,
        order::{Detail, Fact, LooseMoney, Refund, RefundLine},
    },
    stage::{
        Rejection, SkipReason,
        platform::{
            Found, body, line_id,
            net::{self, Paid, RefundRow, RowMoney},
            order_id, refund_id,
            wire::{Many, Path, Raw},
        },
    },
};

/// The fields of a credit memo that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireMemo<'a> {
    entity_id: Raw<'a>,
    id: Raw<'a>,
    order_id: Raw<'a>,
    state: Raw<'a>,
    created_at: Raw<'a>,
    base_currency_code: Raw<'a>,
    order_currency_code: Raw<'a>,
    base_to_order_rate: Raw<'a>,
    base_grand_total: Raw<'a>,
    grand_total: Raw<'a>,
    base_adjustment_positive: Raw<'a>,
    adjustment_positive: Raw<'a>,
    items: Many<WireItem<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireItem<'a> {
    order_item_id: Raw<'a>,
    qty: Raw<'a>,
    base_row_total: Raw<'a>,
    row_total: Raw<'a>,
    base_discount_amount: Raw<'a>,
    discount_amount: Raw<'a>,
    base_tax_amount: Raw<'a>,
    tax_amount: Raw<'a>,
    base_discount_tax_compensation_amount: Raw<'a>,
    discount_tax_compensation_amount: Raw<'a>,
}

/// What a credit memo says.
pub(super) enum Memo {
    /// A refund.
    Refund(Found),
    /// Nothing yet, or nothing any more.
    Skip(SkipReason),
}

/// Reads a credit memo; `rate` is that of its order, if the order came along.
pub(super) fn read(
    memo: &WireMemo<'_>,
    at: Path<'_>,
    rate: Option<Rate>,
) -> Result<Memo, Rejection> {
    match memo.state.text() {
        // Open: the payment provider has not confirmed it.
        Some("1") => return Ok(Memo::Skip(SkipReason::Notice)),
        // Cancelled.
        Some("3") => return Ok(Memo::Skip(SkipReason::NothingNew)),
        Some(_) | None => {}
    }
    let order = order_id(&memo.order_id, at.key("order_id"))?;
    let rate = match rate {
        Some(rate) => rate,
        None => Rate::of(
            &memo.base_currency_code,
            &memo.order_currency_code,
            &memo.base_to_order_rate,
            at,
        )?,
    };
    if !memo.items.is_list() && memo.base_grand_total.is_nothing() && memo.grand_total.is_nothing()
    {
        return Err(body::incomplete(at.key("items"), "items"));
    }
    let (lines, loose) = money(memo, &rate, at)?;
    // Some bodies repeat the entity id as `id`. The increment id is another number: the same memo,
    // sent once with each, would be two refunds.
    let key = [&memo.entity_id, &memo.id].into_iter().find(|key| key.id().is_some());
    let key = key.ok_or_else(|| body::incomplete(at.key("entity_id"), "entity_id"))?;
    let id = refund_id(key, at.key("entity_id"))?;
    let made = memo.created_at.time(at.key("created_at"))?;
    let fact = Fact::Refund(Refund { id, at: made, detail: Detail::Full, lines, loose });
    Ok(Memo::Refund(Found { order, fact }))
}

/// `adjustment_positive` is money beside all rows: loose. `adjustment_negative` is a fee that the
/// shop keeps, and no sale: the rows are taken back in full, as the order shows them too.
fn money(
    memo: &WireMemo<'_>,
    rate: &Rate,
    at: Path<'_>,
) -> Result<(Vec<RefundLine>, Vec<LooseMoney>), Rejection> {
    let (base, plain) = (&memo.base_adjustment_positive, &memo.adjustment_positive);
    let extra = rate.base(base, plain, at, "adjustment_positive")?.abs();
    let rows = rows(memo, rate, at.key("items"))?;
    let unit = rate.currency.minor_unit();
    let (lines, mut loose) = net::settle_refund(rows, Money::ZERO, Paid::Unknown, unit);
    if extra.is_positive() {
        loose.push(LooseMoney { gross: extra, against: None });
    }
    Ok((lines, loose))
}

/// The rows with money. A child of a configurable has none and may state no amount at all.
fn rows(memo: &WireMemo<'_>, rate: &Rate, at: Path<'_>) -> Result<Vec<RefundRow>, Rejection> {
    let mut rows = Vec::new();
    for (i, item) in memo.items.needed(at)? {
        let at = at.index(i);
        let money = |base: &Raw<'_>, plain: &Raw<'_>, name| rate.base(base, plain, at, name);
        let list = money(&item.base_row_total, &item.row_total, "row_total")?;
        if list.is_zero() {
            continue;
        }
        let discount =
            money(&item.base_discount_amount, &item.discount_amount, "discount_amount")?.abs();
        let compensation = money(
            &item.base_discount_tax_compensation_amount,
            &item.discount_tax_compensation_amount,
            "discount_tax_compensation_amount",
        )?;
        rows.push(RefundRow {
            line: line_id(&item.order_item_id, at.key("order_item_id"))?,
            quantity: item.qty.quantity(at.key("qty"))?,
            money: RowMoney {
                list,
                discounts: discount - compensation,
                tax: money(&item.base_tax_amount, &item.tax_amount, "tax_amount")?,
                tax_in_list: false,
            },
            worth: Some(Money::ZERO),
        });
    }
    Ok(rows)
}
