//! The two forms of the API, for systems that are no shop: `short` and `canonical`.
//!
//! The caller names the platform and thereby the order, so a message here and a webhook of the
//! shop about the same order join. Both forms are strict where a webhook is tolerant: what cannot
//! be understood is refused while the caller still listens. `schemas/order-*.schema.json` are
//! their JSON Schemas.
//!
//! The currency of the short form is that of the body, else that of the store's policy, else US dollars.
//!
//! Version: `updated_at`, or else `order_ts`, or else the time of receipt: without either, of two
//! messages about one order the one that arrives last wins, whatever the caller meant. Two messages of one
//! instant are ordered by what they say (`ranked`), so that a caller who repeats `order_ts` on a
//! cancellation is understood.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::Deserialize;

use super::{
    Parsed, RawEvent, ReferralPlace, StorePolicy, body, buyer, line_id,
    net::{self, RowMoney},
    order_id, origin, ranked,
    referral::{self, Candidate},
    sku,
    wire::{Many, Path, Raw},
};
use crate::{
    domain::{
        id::{LineId, OrderKey, Platform, Sku, StoreId},
        money::{Currency, Money},
        order::{
            Fact, Footing, Line, LineKind, OrderEvent, Referral, RefundPolicy, Snapshot, Status,
            Version,
        },
    },
    stage::{RejectCode, Rejection},
};

/// The short form: one line, already net.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Short<'a> {
    shopify_order_id: Raw<'a>,
    store: Raw<'a>,
    sku: Raw<'a>,
    customer_id: Raw<'a>,
    referrer_id: Raw<'a>,
    amount: Raw<'a>,
    currency: Raw<'a>,
    quantity: Raw<'a>,
    status: Raw<'a>,
    order_ts: Raw<'a>,
    updated_at: Raw<'a>,
}

/// The canonical form.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Canonical<'a> {
    platform: Raw<'a>,
    store: Raw<'a>,
    platform_order_id: Raw<'a>,
    order_ts: Raw<'a>,
    updated_at: Raw<'a>,
    status: Raw<'a>,
    currency: Raw<'a>,
    distributor_ref: Raw<'a>,
    customer_id: Raw<'a>,
    items: Many<Item<'a>>,
    tax: Raw<'a>,
    shipping: Raw<'a>,
    total: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Item<'a> {
    line_id: Raw<'a>,
    platform_sku: Raw<'a>,
    qty: Raw<'a>,
    unit_price: Raw<'a>,
}

/// The statuses that a caller can state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Unpaid,
    Paid,
    Refunded,
    Cancelled,
    Test,
}

impl Word {
    fn parse(raw: &Raw<'_>, at: Path<'_>) -> Result<Self, Rejection> {
        let word = raw.text().map(str::to_ascii_lowercase);
        Ok(match word.as_deref() {
            Some("paid") => Self::Paid,
            Some("unpaid" | "pending") => Self::Unpaid,
            Some("refunded") => Self::Refunded,
            Some("cancelled" | "canceled") => Self::Cancelled,
            Some("test") => Self::Test,
            None => {
                return Err(at.missing("one of paid, unpaid, pending, cancelled, refunded, test"));
            }
            Some(_) => {
                return Err(at.reject(
                    RejectCode::Value,
                    "is unknown, use one of paid, unpaid, pending, cancelled, refunded, test",
                ));
            }
        })
    }

    fn status(self) -> Status {
        match self {
            Self::Unpaid => Status::Unpaid,
            // Refunded is paid, and every line says that all of it was taken back.
            Self::Paid | Self::Refunded => Status::Paid,
            Self::Cancelled => Status::Cancelled,
            Self::Test => Status::Test,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unpaid => "unpaid",
            Self::Paid => "paid",
            Self::Refunded => "refunded",
            Self::Cancelled => "cancelled",
            Self::Test => "test",
        }
    }
}

/// Reads a message of the API.
pub(super) fn parse(
    event: &RawEvent<'_>,
    topic: &str,
    policy: &StorePolicy,
) -> Result<Parsed, Rejection> {
    let json = body::text(event.body)?;
    let found = match topic {
        "short" => short(&body::object(json, Path::ROOT)?, event, policy)?,
        _ => canonical(&body::object(json, Path::ROOT)?, event, policy)?,
    };
    Ok(Parsed::Facts(vec![found]))
}

/// The order: its key and the parts of a snapshot that both forms have.
struct Order {
    key: OrderKey,
    word: Word,
    version: Version,
    placed_at: Timestamp,
    currency: Currency,
    buyer: Option<Box<str>>,
}

impl Order {
    fn into_event(
        self,
        event: &RawEvent<'_>,
        lines: Vec<Line>,
        footing: Footing,
        referrals: Vec<Referral>,
    ) -> OrderEvent {
        let snapshot = Snapshot {
            version: self.version,
            placed_at: self.placed_at,
            status: self.word.status(),
            platform_status: self.word.as_str().into(),
            number: None,
            currency: self.currency,
            lines,
            folded: Vec::new(),
            total: footing.header,
            footing,
            // The company's own systems number buyers as they number distributors.
            member: self.buyer.clone(),
            refund_policy: RefundPolicy::default(),
            buyer: self.buyer,
            referrals,
            refunds: None,
        };
        OrderEvent {
            key: self.key,
            origin: origin(event),
            fact: Fact::Snapshot(Box::new(ranked(snapshot))),
        }
    }
}

/// The shop of an order: the one that the caller names, else the one that the API store speaks for,
/// else the API store itself.
fn store(raw: &Raw<'_>, event: &RawEvent<'_>, policy: &StorePolicy) -> Result<StoreId, Rejection> {
    match raw.text() {
        None => Ok(policy.shop.as_ref().unwrap_or(event.store).clone()),
        Some(text) => StoreId::parse(text)
            .map_err(|error| Rejection::new(RejectCode::Value, "store", error.to_string())),
    }
}

fn time(raw: &Raw<'_>, name: &str) -> Result<Option<Timestamp>, Rejection> {
    raw.time(Path::ROOT.key(name))
}

/// The time of the last change. One in the future would win over every later message, so a clock that
/// is off by more than an hour is refused.
fn changed(
    raw: &Raw<'_>,
    placed_at: Timestamp,
    event: &RawEvent<'_>,
) -> Result<Timestamp, Rejection> {
    let at = time(raw, "updated_at")?.unwrap_or(placed_at);
    if at.duration_since(event.received_at) > SignedDuration::from_hours(1) {
        let message = format!("{at} is in the future, use the time of the last change");
        return Err(Rejection::new(RejectCode::Value, "updated_at", message));
    }
    Ok(at)
}

fn short(
    form: &Short<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<OrderEvent, Rejection> {
    let root = Path::ROOT;
    let key = OrderKey {
        platform: Platform::Shopify,
        store: store(&form.store, event, policy)?,
        order_id: order_id(&form.shopify_order_id, root.key("shopify_order_id"))?,
    };
    let word = if form.status.is_nothing() {
        Word::Paid
    } else {
        Word::parse(&form.status, root.key("status"))?
    };
    let placed_at = time(&form.order_ts, "order_ts")?.unwrap_or(event.received_at);
    let at = changed(&form.updated_at, placed_at, event)?;
    let currency = match form.currency.currency(root.key("currency"))?.or(policy.currency) {
        Some(currency) => currency,
        None => Currency::parse("USD")
            .map_err(|error| root.key("currency").reject(RejectCode::Value, error.to_string()))?,
    };
    let amount = not_negative(form.amount.amount(root.key("amount"))?, root.key("amount"))?;
    let Some(sku) = sku(&form.sku) else {
        return Err(root.key("sku").missing("the SKU of what was sold"));
    };
    let line = Line {
        id: line_id(&Raw::Number("1"), root.key("sku"))?,
        sku: Some(sku),
        variant: None,
        quantity: units(&form.quantity, root.key("quantity"))?,
        net: amount,
        gross: amount,
        refunded: if word == Word::Refunded { amount } else { Money::ZERO },
        kind: LineKind::Merchandise,
    };
    let version = Version { progress: 0, at, digest: event.digest };
    let buyer = customer(&form.customer_id)?;
    let referrals = referrals(policy, "referrer_id", &form.referrer_id)?;
    let order = Order { key, word, version, placed_at, currency, buyer };
    let footing = net::foot([amount], amount, 0, currency);
    Ok(order.into_event(event, vec![line], footing, referrals))
}

fn canonical(
    form: &Canonical<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<OrderEvent, Rejection> {
    let root = Path::ROOT;
    let Some(platform) = form.platform.text() else {
        let expected = "one of shopify, woocommerce, magento, api";
        return Err(root.key("platform").missing(expected));
    };
    let platform = Platform::parse(platform)
        .map_err(|error| root.key("platform").reject(RejectCode::Value, error.to_string()))?;
    let key = OrderKey {
        platform,
        store: store(&form.store, event, policy)?,
        order_id: order_id(&form.platform_order_id, root.key("platform_order_id"))?,
    };
    let word = Word::parse(&form.status, root.key("status"))?;
    let Some(placed_at) = time(&form.order_ts, "order_ts")? else {
        return Err(root.key("order_ts").missing("a time such as \"2026-11-21T10:00:00Z\""));
    };
    let at = changed(&form.updated_at, placed_at, event)?;
    let Some(currency) = form.currency.currency(root.key("currency"))? else {
        return Err(root.key("currency").missing("a code of three letters such as \"USD\""));
    };
    let items = items(form)?;
    let (lines, footing) = spread(form, items, currency, word)?;
    let version = Version { progress: 0, at, digest: event.digest };
    let buyer = customer(&form.customer_id)?;
    let referrals = referrals(policy, "distributor_ref", &form.distributor_ref)?;
    let order = Order { key, word, version, placed_at, currency, buyer };
    Ok(order.into_event(event, lines, footing, referrals))
}

/// A webhook's odd referral is dropped; a caller who states one means it and is told.
fn referrals(
    policy: &StorePolicy,
    name: &'static str,
    value: &Raw<'_>,
) -> Result<Vec<Referral>, Rejection> {
    refuse_free_text(value, name, value.word().is_some())?;
    let candidate = value.text().map(|text| Candidate::new(ReferralPlace::Api, name, text));
    Ok(referral::choose(policy, candidate.as_slice()))
}

fn customer(value: &Raw<'_>) -> Result<Option<Box<str>>, Rejection> {
    let found = buyer(value);
    refuse_free_text(value, "customer_id", found.is_some() || value.id().is_none())?;
    Ok(found)
}

fn refuse_free_text(value: &Raw<'_>, name: &str, fits: bool) -> Result<(), Rejection> {
    let mail = value.text().is_some_and(|text| text.contains('@'));
    if (fits && !mail) || value.is_nothing() {
        return Ok(());
    }
    Err(Path::ROOT.key(name).reject(
        RejectCode::Value,
        "is not an id, expected up to 64 letters, digits or signs without blanks; never a name or \
         a mail address",
    ))
}

fn not_negative(amount: Money, at: Path<'_>) -> Result<Money, Rejection> {
    if amount.is_negative() {
        return Err(at.reject(
            RejectCode::Value,
            "is negative; send a refund as the same order with status refunded",
        ));
    }
    Ok(amount)
}

fn units(raw: &Raw<'_>, at: Path<'_>) -> Result<Decimal, Rejection> {
    let units = raw.quantity(at)?;
    if units > Decimal::ZERO {
        Ok(units)
    } else {
        Err(at.reject(RejectCode::Value, "is not above zero, send the number of units sold"))
    }
}

/// One item, priced.
struct Priced {
    id: LineId,
    sku: Sku,
    quantity: Decimal,
    list: Money,
}

/// The items; one without a `line_id` is named by its place, from 1.
fn items(form: &Canonical<'_>) -> Result<Vec<Priced>, Rejection> {
    let at = Path::ROOT.key("items");
    let mut items: Vec<Priced> = Vec::new();
    let mut known = BTreeSet::new();
    for (i, item) in form.items.needed(at)? {
        let at = at.index(i);
        let place = i.saturating_add(1).to_string();
        let id = match item.line_id.id() {
            Some(_) => line_id(&item.line_id, at.key("line_id"))?,
            None => line_id(&Raw::Number(&place), at.key("line_id"))?,
        };
        if !known.insert(id.clone()) {
            return Err(at.key("line_id").reject(
                RejectCode::Value,
                "names two items, give each item a line_id of its own or none",
            ));
        }
        let Some(sku) = sku(&item.platform_sku) else {
            return Err(at.key("platform_sku").missing("the SKU of what was sold"));
        };
        if item.qty.is_nothing() {
            return Err(at.key("qty").missing("the number of units"));
        }
        let quantity = units(&item.qty, at.key("qty"))?;
        let price_at = at.key("unit_price");
        let price = not_negative(item.unit_price.amount(price_at)?, price_at)?;
        items.push(Priced { id, sku, quantity, list: net::extend(price, quantity, price_at)? });
    }
    if items.is_empty() {
        return Err(at.reject(RejectCode::Value, "is empty, expected at least one item"));
    }
    Ok(items)
}

/// What the items come to. `total` is what the buyer owes in all, tax and shipping included where
/// they are stated; if it is lower than that sum, the difference is a discount on the whole order
/// and is spread over the items; if it is higher, something is not stated.
fn spread(
    form: &Canonical<'_>,
    items: Vec<Priced>,
    currency: Currency,
    word: Word,
) -> Result<(Vec<Line>, Footing), Rejection> {
    let root = Path::ROOT;
    let optional = |raw: &Raw<'_>, name| {
        let at = root.key(name);
        not_negative(raw.amount_or_zero(at)?, at)
    };
    let (tax, shipping) = (optional(&form.tax, "tax")?, optional(&form.shipping, "shipping")?);
    let total = not_negative(form.total.amount(root.key("total"))?, root.key("total"))?;
    let list: Money = items.iter().map(|item| item.list).sum();
    let discount = list + tax + shipping - total;
    if discount.is_negative() {
        return Err(root.key("total").reject(
            RejectCode::Unfooted,
            format!(
                "is {total}, but items {list}, tax {tax} and shipping {shipping} come to {}: state \
                 the missing {} in tax or shipping, or lower the total",
                list + tax + shipping,
                -discount
            ),
        ));
    }
    if discount > list {
        return Err(root.key("total").reject(
            RejectCode::Unfooted,
            format!("is {total}, which is less than tax {tax} and shipping {shipping} alone"),
        ));
    }
    let mut rows: Vec<RowMoney> =
        items.iter().map(|item| RowMoney { list: item.list, ..RowMoney::default() }).collect();
    net::spread_discount(&mut rows, discount, Money::ZERO, currency);
    let weights: Vec<Money> = rows.iter().map(RowMoney::net).collect();
    for (row, share) in rows.iter_mut().zip(tax.split(&weights, currency.minor_unit())) {
        row.tax = share;
    }
    let parts = rows.iter().map(RowMoney::in_rows).chain([tax, shipping]);
    let footing = net::foot(parts.collect::<Vec<_>>(), total, 0, currency);
    let lines = items.into_iter().zip(rows).map(|(item, row)| Line {
        id: item.id,
        sku: Some(item.sku),
        variant: None,
        quantity: item.quantity,
        net: row.net(),
        gross: row.gross(),
        refunded: if word == Word::Refunded { row.net() } else { Money::ZERO },
        kind: LineKind::Merchandise,
    });
    Ok((lines.collect(), footing))
}
