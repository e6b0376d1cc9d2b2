//! The order of WooCommerce.
//!
//! Amounts are text, quantities may be fractions; the `price` of a line is a rounded quotient and
//! is never read. A line's `total` is after coupons and without tax, also in shops whose prices
//! hold the tax.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::{
    domain::{
        id::LineId,
        money::{Currency, Money},
        order::{
            Detail, Footing, Line, LineKind, LooseMoney, Refund, RefundPolicy, Snapshot, Status,
        },
    },
    stage::{
        Rejection,
        platform::{
            Found, RawEvent, ReferralPlace, StorePolicy, body, buyer, line_id,
            net::{self, RowMoney},
            number, order_id,
            referral::{self, Candidate, NameValue},
            refund_id, sku, times, variant,
            wire::{Many, Path, Raw},
        },
    },
};

/// The fields of an order that are read. Billing, shipping and notes are not among them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireOrder<'a> {
    id: Raw<'a>,
    number: Raw<'a>,
    status: Raw<'a>,
    currency: Raw<'a>,
    date_created_gmt: Raw<'a>,
    date_created: Raw<'a>,
    date_modified_gmt: Raw<'a>,
    date_modified: Raw<'a>,
    date_paid_gmt: Raw<'a>,
    date_paid: Raw<'a>,
    total: Raw<'a>,
    total_tax: Raw<'a>,
    shipping_total: Raw<'a>,
    customer_id: Raw<'a>,
    meta_data: Many<NameValue<'a>>,
    line_items: Many<WireLine<'a>>,
    fee_lines: Many<Fee<'a>>,
    coupon_lines: Many<Coupon<'a>>,
    refunds: Many<Summary<'a>>,
    gift_cards: Many<GiftCard<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireLine<'a> {
    id: Raw<'a>,
    sku: Raw<'a>,
    product_id: Raw<'a>,
    variation_id: Raw<'a>,
    quantity: Raw<'a>,
    total: Raw<'a>,
    total_tax: Raw<'a>,
    meta_data: Many<NameValue<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Fee<'a> {
    total: Raw<'a>,
    total_tax: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Coupon<'a> {
    code: Raw<'a>,
    discount: Raw<'a>,
    discount_tax: Raw<'a>,
}

/// A refund in the header of its order; its `reason` is personal text and is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Summary<'a> {
    id: Raw<'a>,
    total: Raw<'a>,
}

/// A gift card that pays for a part: plugins lower `total` by it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct GiftCard<'a> {
    amount: Raw<'a>,
}

/// Line metadata by which gift-card plugins mark the sale of a card.
const GIFT_CARD_MARKS: [&str; 2] = ["wc_gc_giftcard", "pw_gift_card"];

impl WireLine<'_> {
    fn kind(&self) -> LineKind {
        let card = self.meta_data.objects().filter_map(|(_, meta)| meta.name()).any(|name| {
            let name = name.trim_start_matches('_');
            GIFT_CARD_MARKS.iter().any(|mark| name.starts_with(mark))
        });
        if card { LineKind::GiftCard } else { LineKind::Merchandise }
    }
}

/// One line, before it is decided what its money is.
struct Row<'w, 'a> {
    id: LineId,
    wire: &'w WireLine<'a>,
    quantity: Decimal,
    money: RowMoney,
    /// What further rows with the same id state.
    repeated: RowMoney,
}

/// Reads a whole order.
pub(super) fn read(
    order: &WireOrder<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    let id = order_id(&order.id, at.key("id"))?;
    let currency = order.currency.currency(at.key("currency"))?;
    let currency = currency.ok_or_else(|| body::incomplete(at.key("currency"), "currency"))?;
    let total = order.total.amount(at.key("total"))?;
    let status = status(order);
    let time = |gmt: &Raw<'_>, local: &Raw<'_>, name| match gmt.time(at.key(name))? {
        Some(time) => Ok(Some(time)),
        // Bodies of the oldest API have local times only; taken as UTC they still order versions.
        None => local.time(at.key(name)),
    };
    let placed = time(&order.date_created_gmt, &order.date_created, "date_created_gmt")?;
    let updated = time(&order.date_modified_gmt, &order.date_modified, "date_modified_gmt")?;
    let times = times(event, placed, updated, status, at.key("date_modified_gmt"))?;
    let (rows, footing) = judge(order, rows(order, at)?, total, currency, at)?;
    let all_refunded = word(order) == "refunded";
    let snapshot = Snapshot {
        version: times.version,
        placed_at: times.placed_at,
        status,
        platform_status: word(order).into(),
        number: number(&order.number, &id),
        currency,
        lines: rows.into_iter().map(|row| line(row, all_refunded)).collect(),
        folded: Vec::new(),
        total,
        footing,
        buyer: buyer(&order.customer_id),
        member: None,
        refund_policy: RefundPolicy::default(),
        referrals: referral::choose(policy, &candidates(order)),
        refunds: summaries(order, at)?,
    };
    Ok(Found::snapshot(id, snapshot))
}

/// The status in lower case, without the prefix that it has in the database.
fn word(order: &WireOrder<'_>) -> String {
    let word = order.status.word().unwrap_or("unknown").to_ascii_lowercase();
    word.strip_prefix("wc-").map(str::to_owned).unwrap_or(word)
}

/// Statuses by which plugins say that only a part has been paid, by their letters alone: plugins
/// for deposits write `partially-paid`, `partial-payment`, `wc-partial-paid`, `deposit_paid`. Other
/// statuses that hold the word "partial" are about parcels and refunds.
const PART_PAID: [&str; 9] = [
    "partiallypaid",
    "partialpaid",
    "partialpayment",
    "partialpayments",
    "partpaid",
    "partpayment",
    "paidpartially",
    "depositpaid",
    "depositpayment",
];

fn is_part_paid(word: &str) -> bool {
    let letters: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
    PART_PAID.contains(&letters.as_str())
}

/// A status that a plugin invented earns if the order has a date of payment, unless it says itself
/// that the payment is partial.
fn status(order: &WireOrder<'_>) -> Status {
    let word = word(order);
    match word.as_str() {
        // `refunded` is paid, and everything is taken back.
        "processing" | "completed" | "refunded" => Status::Paid,
        "pending" | "on-hold" => Status::Unpaid,
        "failed" => Status::Voided,
        "cancelled" | "canceled" => Status::Cancelled,
        "trash" => Status::Deleted,
        "draft" | "auto-draft" | "checkout-draft" | "new" => Status::Draft,
        plugin => {
            let paid = !order.date_paid_gmt.is_nothing() || !order.date_paid.is_nothing();
            if paid && !is_part_paid(plugin) { Status::Paid } else { Status::Unpaid }
        }
    }
}

/// The lines, each id once. A line that has not been saved yet has no id and is named by its place.
fn rows<'w, 'a>(order: &'w WireOrder<'a>, at: Path<'_>) -> Result<Vec<Row<'w, 'a>>, Rejection> {
    let at = at.key("line_items");
    let mut rows: Vec<Row<'_, '_>> = Vec::new();
    let mut places: BTreeMap<LineId, usize> = BTreeMap::new();
    for (i, wire) in order.line_items.needed(at)? {
        let at = at.index(i);
        let id = match wire.id.id() {
            Some(_) => line_id(&wire.id, at.key("id"))?,
            None => line_id(&Raw::Text(format!("row-{i}").into()), at.key("id"))?,
        };
        let money = RowMoney {
            list: wire.total.amount(at.key("total"))?,
            discounts: Money::ZERO,
            tax: wire.total_tax.amount_or_zero(at.key("total_tax"))?,
            tax_in_list: false,
        };
        let quantity = wire.quantity.quantity(at.key("quantity"))?;
        let next = rows.len();
        let place = *places.entry(id.clone()).or_insert(next);
        match rows.get_mut(place) {
            Some(row) => {
                row.repeated.list += money.list;
                row.repeated.tax += money.tax;
            }
            None => rows.push(Row { id, wire, quantity, money, repeated: RowMoney::default() }),
        }
    }
    Ok(rows)
}

/// Lets the header decide between the readings of a body, in this order of trust: each id once,
/// with the fees; less the gift cards that paid a part; less coupons of store credit, which paid a
/// part too and are not in the line totals; with repeated ids counted as often as they stand there;
/// without negative fees, for plugins that only show them. In the reading that wins, a negative fee
/// is a discount on the merchandise.
fn judge<'w, 'a>(
    order: &WireOrder<'_>,
    rows: Vec<Row<'w, 'a>>,
    total: Money,
    currency: Currency,
    at: Path<'_>,
) -> Result<(Vec<Row<'w, 'a>>, Footing), Rejection> {
    let fees = fees(order, at)?;
    let mut always = order.shipping_total.amount_or_zero(at.key("shipping_total"))?;
    always += order.total_tax.amount_or_zero(at.key("total_tax"))?;
    let (cards, credit) = (gift_cards(order, at)?, coupons(order, at)?);
    let once: Vec<RowMoney> = rows.iter().map(|row| row.money).collect();
    let mut repeated = once.clone();
    for (money, row) in repeated.iter_mut().zip(&rows) {
        money.list += row.repeated.list;
        money.tax += row.repeated.tax;
    }
    let mut readings = Vec::new();
    for discount in [fees.discount, Money::ZERO] {
        for money in [&once, &repeated] {
            for card in [Money::ZERO, cards, credit] {
                readings.push((money.clone(), discount, card));
            }
        }
    }
    let count = rows.len().saturating_add(fees.count).saturating_add(1);
    let judged = net::judge(readings.into_iter().map(|(money, discount, card)| {
        let parts = money.iter().map(RowMoney::in_rows);
        let parts = parts.chain([always, fees.charged, -discount, -card]).collect::<Vec<_>>();
        (net::foot(parts, total, count, currency), (money, discount))
    }));
    let Some((footing, (mut money, discount))) = judged else {
        return Ok((rows, net::foot([], total, 0, currency)));
    };
    net::absorb_negative_rows(&mut money, currency);
    let tax = if discount.is_zero() { Money::ZERO } else { fees.discount_tax };
    net::spread_discount(&mut money, discount, tax, currency);
    let rows = rows.into_iter().zip(money).map(|(row, money)| Row { money, ..row });
    Ok((rows.collect(), footing))
}

/// The fees of an order; all amounts positive.
struct Fees {
    charged: Money,
    discount: Money,
    discount_tax: Money,
    count: usize,
}

fn fees(order: &WireOrder<'_>, at: Path<'_>) -> Result<Fees, Rejection> {
    let (mut charged, mut discount, mut discount_tax) = (Money::ZERO, Money::ZERO, Money::ZERO);
    let mut count: usize = 0;
    let at = at.key("fee_lines");
    for (i, fee) in order.fee_lines.objects() {
        let at = at.index(i);
        let total = fee.total.amount_or_zero(at.key("total"))?;
        if total.is_negative() {
            discount -= total;
            discount_tax -= fee.total_tax.amount_or_zero(at.key("total_tax"))?;
        } else {
            charged += total;
        }
        count = count.saturating_add(1);
    }
    Ok(Fees { charged, discount, discount_tax: discount_tax.at_least_zero(), count })
}

fn gift_cards(order: &WireOrder<'_>, at: Path<'_>) -> Result<Money, Rejection> {
    let at = at.key("gift_cards");
    let mut sum = Money::ZERO;
    for (i, card) in order.gift_cards.objects() {
        sum += card.amount.amount_or_zero(at.index(i).key("amount"))?.abs();
    }
    Ok(sum)
}

fn coupons(order: &WireOrder<'_>, at: Path<'_>) -> Result<Money, Rejection> {
    let at = at.key("coupon_lines");
    let mut sum = Money::ZERO;
    for (i, coupon) in order.coupon_lines.objects() {
        let at = at.index(i);
        sum += coupon.discount.amount_or_zero(at.key("discount"))?.abs();
        sum += coupon.discount_tax.amount_or_zero(at.key("discount_tax"))?.abs();
    }
    Ok(sum)
}

fn line(row: Row<'_, '_>, all_refunded: bool) -> Line {
    let net = row.money.net().at_least_zero();
    Line {
        sku: sku(&row.wire.sku),
        variant: variant(&row.wire.variation_id).or_else(|| variant(&row.wire.product_id)),
        quantity: row.quantity,
        net,
        gross: row.money.gross().at_least_zero(),
        // A status of `refunded` says that nothing is left, even where the listed sums fall short:
        // a plugin's gift card lowers the total and with it what can be refunded in money.
        refunded: if all_refunded { net } else { Money::ZERO },
        kind: row.wire.kind(),
        id: row.id,
    }
}

/// The refunds that the order lists; `None` where there is no list, so that known refunds stand.
fn summaries(order: &WireOrder<'_>, at: Path<'_>) -> Result<Option<Vec<Refund>>, Rejection> {
    if matches!(order.refunds, Many::Absent) {
        return Ok(None);
    }
    let at = at.key("refunds");
    let mut list: Vec<Refund> = Vec::new();
    for (i, wire) in order.refunds.needed(at)? {
        let at = at.index(i);
        let id = refund_id(&wire.id, at.key("id"))?;
        if list.iter().any(|known| known.id == id) {
            continue;
        }
        let gross = wire.total.amount_or_zero(at.key("total"))?.abs();
        let loose =
            if gross.is_zero() { Vec::new() } else { vec![LooseMoney { gross, against: None }] };
        list.push(Refund { id, at: None, detail: Detail::Summary, lines: Vec::new(), loose });
    }
    Ok(Some(list))
}

fn candidates<'o>(order: &'o WireOrder<'_>) -> Vec<Candidate<'o>> {
    let mut found = Vec::new();
    referral::add_named(ReferralPlace::OrderMeta, &order.meta_data, &mut found);
    let entries = order.meta_data.objects().filter(|(_, meta)| {
        // The page on which the visit began, by WooCommerce's own order attribution.
        meta.name() == Some("_wc_order_attribution_session_entry")
    });
    for (_, entry) in entries {
        referral::add_query(entry.value(), &mut found);
    }
    for (_, coupon) in order.coupon_lines.objects() {
        if let Some(code) = coupon.code.text() {
            found.push(Candidate::new(ReferralPlace::DiscountCode, "", code));
        }
    }
    for (_, line) in order.line_items.objects() {
        referral::add_named(ReferralPlace::LineMeta, &line.meta_data, &mut found);
    }
    found
}
