//! The refund of WooCommerce, from `/orders/{id}/refunds`.
//!
//! `amount` is what was paid back, exactly: the merchant types it. The lines state what of each
//! order line it is for, with negative signs, and name that line in `_refunded_item_id`.

use serde::Deserialize;

use crate::{
    domain::{
        id::OrderId,
        money::Money,
        order::{Detail, Fact, Refund},
    },
    stage::{
        RejectCode, Rejection,
        platform::{
            Found, line_id,
            net::{self, Paid, RefundRow, RowMoney},
            order_id,
            referral::NameValue,
            refund_id,
            wire::{Many, Maybe, Path, Raw},
        },
    },
};

/// The fields of a refund that are read; its reason is not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireRefund<'a> {
    id: Raw<'a>,
    order_id: Raw<'a>,
    parent_id: Raw<'a>,
    currency: Raw<'a>,
    date_created_gmt: Raw<'a>,
    date_created: Raw<'a>,
    amount: Raw<'a>,
    line_items: Many<WireLine<'a>>,
    shipping_lines: Many<Other<'a>>,
    fee_lines: Many<Other<'a>>,
    #[serde(rename = "_links")]
    links: Maybe<Links<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireLine<'a> {
    quantity: Raw<'a>,
    total: Raw<'a>,
    total_tax: Raw<'a>,
    meta_data: Many<NameValue<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Other<'a> {
    total: Raw<'a>,
    total_tax: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Links<'a> {
    up: Many<Link<'a>>,
    #[serde(rename = "self")]
    own: Many<Link<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Link<'a> {
    href: Raw<'a>,
}

/// Reads a refund.
pub(super) fn read(refund: &WireRefund<'_>, at: Path<'_>) -> Result<Found, Rejection> {
    let order = order_of(refund, at)?;
    let amount = refund.amount.amount(at.key("amount"))?.abs();
    // Without a currency: that of most shops; it only decides how fine a share can be.
    let currency = refund.currency.currency(at.key("currency"))?;
    let unit = match currency {
        Some(currency) => currency.minor_unit(),
        None => Money::from_decimal(rust_decimal::Decimal::new(1, 2)).unwrap_or_default(),
    };
    let beside = beside(refund, at)?;
    let (lines, loose) = net::settle_refund(rows(refund, at)?, beside, Paid::Exactly(amount), unit);
    let made = match refund.date_created_gmt.time(at.key("date_created_gmt"))? {
        Some(time) => Some(time),
        None => refund.date_created.time(at.key("date_created"))?,
    };
    let id = refund_id(&refund.id, at.key("id"))?;
    let fact = Fact::Refund(Refund { id, at: made, detail: Detail::Full, lines, loose });
    Ok(Found { order, fact })
}

/// The order: stated, or the parent, or in the links (`.../orders/723/refunds/724`).
fn order_of(refund: &WireRefund<'_>, at: Path<'_>) -> Result<OrderId, Rejection> {
    for (name, id) in [("order_id", &refund.order_id), ("parent_id", &refund.parent_id)] {
        if id.id().is_some() {
            return order_id(id, at.key(name));
        }
    }
    let links = refund.links.get().into_iter();
    let hrefs = links.flat_map(|links| links.up.objects().chain(links.own.objects()));
    for (_, link) in hrefs {
        let path = link.href.text().unwrap_or_default();
        let after = path.rsplit_once("/orders/").map(|(_, rest)| rest);
        let id = after.and_then(|rest| rest.split(['/', '?']).next());
        if let Some(order) = id.and_then(|id| OrderId::parse(id).ok()) {
            return Ok(order);
        }
    }
    Err(at.key("order_id").reject(
        RejectCode::Incomplete,
        "a refund does not name its order: add order_id, or send it with its _links",
    ))
}

/// Shipping and fees paid back. The refund of a negative fee is positive: it lowers the amount.
fn beside(refund: &WireRefund<'_>, at: Path<'_>) -> Result<Money, Rejection> {
    let mut sum = Money::ZERO;
    for (name, list) in
        [("shipping_lines", &refund.shipping_lines), ("fee_lines", &refund.fee_lines)]
    {
        let list_at = at.key(name);
        for (i, line) in list.objects() {
            let at = list_at.index(i);
            sum -= line.total.amount_or_zero(at.key("total"))?;
            sum -= line.total_tax.amount_or_zero(at.key("total_tax"))?;
        }
    }
    Ok(sum)
}

/// The lines that name their order line; the money of others is loose, since `amount` holds it.
fn rows(refund: &WireRefund<'_>, at: Path<'_>) -> Result<Vec<RefundRow>, Rejection> {
    let at = at.key("line_items");
    let mut rows = Vec::new();
    for (i, line) in refund.line_items.needed(at)? {
        let at = at.index(i);
        let named = line
            .meta_data
            .objects()
            .find(|(_, meta)| meta.name() == Some("_refunded_item_id"))
            .filter(|(_, meta)| meta.value().id().is_some());
        let Some((m, meta)) = named else { continue };
        let meta_at = at.key("meta_data");
        rows.push(RefundRow {
            line: line_id(meta.value(), meta_at.index(m).key("value"))?,
            quantity: line.quantity.quantity(at.key("quantity"))?.abs(),
            money: RowMoney {
                list: line.total.amount_or_zero(at.key("total"))?.abs(),
                discounts: Money::ZERO,
                tax: line.total_tax.amount_or_zero(at.key("total_tax"))?.abs(),
                tax_in_list: false,
            },
            worth: None,
        });
    }
    Ok(rows)
}
