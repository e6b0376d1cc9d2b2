//! The order of Magento.

use serde::Deserialize;

use super::{
    Rate,
    items::{self, Counted, Reading, Row, Standing, WireItem},
};
use crate::{
    domain::{
        id::LineId,
        money::Money,
        order::{Footing, Line, RefundPolicy, Snapshot, Status},
    },
    stage::{
        Rejection,
        platform::{
            Found, RawEvent, ReferralPlace, StorePolicy, body, buyer, net, number, order_id,
            referral::{self, Candidate, NameValue},
            times,
            wire::{Many, Pairs, Path, Raw},
        },
    },
};

/// The fields of an order that are read. Names, addresses and mail addresses are not among them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireOrder<'a> {
    entity_id: Raw<'a>,
    id: Raw<'a>,
    increment_id: Raw<'a>,
    customer_id: Raw<'a>,
    state: Raw<'a>,
    status: Raw<'a>,
    created_at: Raw<'a>,
    updated_at: Raw<'a>,
    base_currency_code: Raw<'a>,
    order_currency_code: Raw<'a>,
    base_to_order_rate: Raw<'a>,
    base_grand_total: Raw<'a>,
    grand_total: Raw<'a>,
    base_tax_amount: Raw<'a>,
    tax_amount: Raw<'a>,
    base_shipping_amount: Raw<'a>,
    shipping_amount: Raw<'a>,
    base_shipping_discount_amount: Raw<'a>,
    shipping_discount_amount: Raw<'a>,
    base_shipping_discount_tax_compensation_amnt: Raw<'a>,
    shipping_discount_tax_compensation_amount: Raw<'a>,
    base_total_paid: Raw<'a>,
    total_paid: Raw<'a>,
    base_total_due: Raw<'a>,
    total_due: Raw<'a>,
    base_total_canceled: Raw<'a>,
    total_canceled: Raw<'a>,
    base_total_refunded: Raw<'a>,
    total_refunded: Raw<'a>,
    base_gift_cards_amount: Raw<'a>,
    gift_cards_amount: Raw<'a>,
    base_customer_balance_amount: Raw<'a>,
    customer_balance_amount: Raw<'a>,
    base_reward_currency_amount: Raw<'a>,
    reward_currency_amount: Raw<'a>,
    gw_base_price: Raw<'a>,
    gw_items_base_price: Raw<'a>,
    gw_card_base_price: Raw<'a>,
    coupon_code: Raw<'a>,
    items: Many<WireItem<'a>>,
    extension_attributes: Pairs<'a>,
    custom_attributes: Many<NameValue<'a>>,
}

/// The currencies of an order, for a credit memo that comes with it.
pub(super) fn rate(json: &str, at: Path<'_>) -> Result<Rate, Rejection> {
    let order: WireOrder<'_> = body::object(json, at)?;
    order.rate(at)
}

/// Reads a whole order.
pub(super) fn read(
    order: &WireOrder<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    let id = if order.entity_id.id().is_some() {
        order_id(&order.entity_id, at.key("entity_id"))?
    } else {
        order_id(&order.id, at.key("entity_id"))?
    };
    let rate = order.rate(at)?;
    let total = rate.base_if_any(&order.base_grand_total, &order.grand_total, at, "grand_total")?;
    let total =
        total.ok_or_else(|| body::incomplete(at.key("base_grand_total"), "base_grand_total"))?;
    let state = order.state();
    let status = status(order, &state, &rate, total, at)?;
    let placed = order.created_at.time(at.key("created_at"))?;
    let updated = order.updated_at.time(at.key("updated_at"))?;
    let times = times(event, placed, updated, status, at.key("updated_at"))?;
    let refunded =
        rate.base(&order.base_total_refunded, &order.total_refunded, at, "total_refunded")?;
    let standing = if status == Status::Cancelled {
        Standing::Cancelled
    } else if state == "closed" || (refunded.is_positive() && refunded >= total) {
        // Closed, or all money paid back by adjustments, which no row shows.
        Standing::NothingLeft
    } else {
        Standing::Open
    };
    let (lines, folded, footing) = judge(order, &rate, total, standing, at)?;
    let word = order.status.word().filter(|word| *word != state);
    let snapshot = Snapshot {
        version: times.version,
        placed_at: times.placed_at,
        status,
        platform_status: word
            .map_or_else(|| state.clone(), |word| format!("{state}, {word}"))
            .into(),
        number: number(&order.increment_id, &id),
        currency: rate.currency,
        lines,
        folded,
        total,
        footing,
        buyer: buyer(&order.customer_id),
        member: None,
        refund_policy: RefundPolicy::default(),
        referrals: referral::choose(policy, &candidates(order)),
        // The rows say what was refunded of them; the credit memos are not listed.
        refunds: None,
    };
    Ok(Found::snapshot(id, snapshot))
}

impl WireOrder<'_> {
    fn rate(&self, at: Path<'_>) -> Result<Rate, Rejection> {
        Rate::of(&self.base_currency_code, &self.order_currency_code, &self.base_to_order_rate, at)
    }

    /// The state; where an event leaves it out, the status, whose standard words are the same.
    fn state(&self) -> String {
        let word = self.state.word().or_else(|| self.status.word()).unwrap_or("unknown");
        word.to_ascii_lowercase()
    }

    /// A field that is at the top of events and in the extension attributes of REST bodies.
    fn either<'o>(&'o self, top: &'o Raw<'o>, name: &str) -> &'o Raw<'o> {
        if top.is_nothing() { self.extension_attributes.get(name).unwrap_or(top) } else { top }
    }
}

/// State and not status decides, since merchants invent statuses; and only an order with nothing
/// due earns. A closed order is a paid one of which nothing is left.
fn status(
    order: &WireOrder<'_>,
    state: &str,
    rate: &Rate,
    total: Money,
    at: Path<'_>,
) -> Result<Status, Rejection> {
    Ok(match state {
        "processing" | "complete" => {
            if nothing_due(order, state, rate, total, at)? {
                Status::Paid
            } else {
                Status::Unpaid
            }
        }
        "closed" => Status::Paid,
        "canceled" | "cancelled" => Status::Cancelled,
        // new, pending_payment, payment_review, holded, and what is not known.
        _ => Status::Unpaid,
    })
}

/// Whether nothing is due. The amount due in an event can be older than the payment in it, and a
/// part that was cancelled stays "due" for ever; so the payments are looked at too.
fn nothing_due(
    order: &WireOrder<'_>,
    state: &str,
    rate: &Rate,
    total: Money,
    at: Path<'_>,
) -> Result<bool, Rejection> {
    let due = rate.base_if_any(&order.base_total_due, &order.total_due, at, "total_due")?;
    let paid = rate.base_if_any(&order.base_total_paid, &order.total_paid, at, "total_paid")?;
    let canceled =
        rate.base(&order.base_total_canceled, &order.total_canceled, at, "total_canceled")?;
    Ok(match (due, paid) {
        (Some(due), _) if !due.is_positive() => true,
        (_, Some(paid)) => paid + canceled >= total,
        (Some(_), None) => !total.is_positive(),
        // Complete means invoiced and shipped, so an event without either field is believed.
        (None, None) => state == "complete" || !total.is_positive(),
    })
}

/// What is in the total beside the items.
fn beside(order: &WireOrder<'_>, rate: &Rate, at: Path<'_>) -> Result<Money, Rejection> {
    let money = |base: &Raw<'_>, plain: &Raw<'_>, name| rate.base(base, plain, at, name);
    let mut sum = money(&order.base_shipping_amount, &order.shipping_amount, "shipping_amount")?;
    sum += money(&order.base_tax_amount, &order.tax_amount, "tax_amount")?;
    sum -= money(
        &order.base_shipping_discount_amount,
        &order.shipping_discount_amount,
        "shipping_discount_amount",
    )?
    .abs();
    sum += money(
        &order.base_shipping_discount_tax_compensation_amnt,
        &order.shipping_discount_tax_compensation_amount,
        "shipping_discount_tax_compensation_amount",
    )?;
    let wrapping = [
        ("gw_base_price", &order.gw_base_price),
        ("gw_items_base_price", &order.gw_items_base_price),
        ("gw_card_base_price", &order.gw_card_base_price),
    ];
    for (name, top) in wrapping {
        sum += order.either(top, name).amount_or_zero(at.key(name))?;
    }
    Ok(sum)
}

/// What paid a part of the total before it was the total: gift cards, store credit, reward points.
fn prepaid(order: &WireOrder<'_>, rate: &Rate, at: Path<'_>) -> Result<Money, Rejection> {
    let kinds = [
        ("gift_cards_amount", &order.base_gift_cards_amount, &order.gift_cards_amount),
        (
            "customer_balance_amount",
            &order.base_customer_balance_amount,
            &order.customer_balance_amount,
        ),
        (
            "reward_currency_amount",
            &order.base_reward_currency_amount,
            &order.reward_currency_amount,
        ),
    ];
    let mut sum = Money::ZERO;
    for (name, base, plain) in kinds {
        let base = order.either(base, &format!("base_{name}")).clone();
        let plain = order.either(plain, name).clone();
        sum += rate.base(&base, &plain, at, name)?.abs();
    }
    Ok(sum)
}

/// Lets the header decide between the readings of the rows, in this order of trust: the usual
/// rows with their discounts; other rows of bundles; `row_total` as net already; a product tax on
/// top. If none adds up, the first is reported with the sum of the parents, and does not hold. Beside the
/// lines: the rows that are none.
fn judge(
    order: &WireOrder<'_>,
    rate: &Rate,
    total: Money,
    standing: Standing,
    at: Path<'_>,
) -> Result<(Vec<Line>, Vec<LineId>, Footing), Rejection> {
    let rows = items::read(&order.items, rate, at.key("items"))?;
    let (beside, prepaid) = (beside(order, rate, at)?, prepaid(order, rate, at)?);
    let mut readings = Vec::new();
    for paid in [prepaid, Money::ZERO] {
        for weee in [false, true] {
            for row_total_is_net in [false, true] {
                for of in Counted::ALL {
                    readings.push((Reading { of, row_total_is_net }, weee, paid));
                }
            }
        }
    }
    let foot = |(reading, weee, paid): (Reading, bool, Money)| {
        let counted = items::counted(&rows, reading.of);
        let more: Money = if weee { counted.iter().map(|row| row.weee).sum() } else { Money::ZERO };
        let money = counted.iter().map(|row| row.money(reading.row_total_is_net).in_rows());
        let parts = money.chain([beside, more, -paid]).collect::<Vec<_>>();
        let count = counted.len().saturating_add(1);
        (net::foot(parts, total, count, rate.currency), reading)
    };
    let Some((mut footing, reading)) = net::judge(readings.into_iter().map(foot)) else {
        return Ok((Vec::new(), Vec::new(), net::foot([], total, 0, rate.currency)));
    };
    if !footing.holds() {
        let parents = Reading { of: Counted::Parents, ..reading };
        let parents = foot((parents, false, prepaid)).0.rows;
        footing.parents = (parents != footing.rows).then_some(parents);
    }
    let counted = items::counted(&rows, reading.of);
    let line = |row: &&Row| row.line(reading.row_total_is_net, standing);
    let lines = counted.iter().map(line).collect();
    Ok((lines, items::folded(&rows, &counted), footing))
}

fn candidates<'o>(order: &'o WireOrder<'_>) -> Vec<Candidate<'o>> {
    let mut found = Vec::new();
    referral::add_pairs(ReferralPlace::OrderMeta, &order.extension_attributes, &mut found);
    referral::add_named(ReferralPlace::OrderMeta, &order.custom_attributes, &mut found);
    if let Some(code) = order.coupon_code.text() {
        found.push(Candidate::new(ReferralPlace::DiscountCode, "", code));
    }
    found
}
