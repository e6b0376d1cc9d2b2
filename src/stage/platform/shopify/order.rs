//! The order of Shopify.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Found, Set, refund, shop, shop_side};
use crate::{
    domain::{
        id::LineId,
        money::{Currency, Money},
        order::{Footing, Line, LineKind, Refund, RefundPolicy, Snapshot, Status},
    },
    stage::{
        RejectCode, Rejection,
        platform::{
            RawEvent, ReferralPlace, StorePolicy, body, buyer, line_id,
            net::{self, RowMoney},
            number, order_id,
            referral::{self, Candidate, NameValue},
            sku, times, variant,
            wire::{Many, Maybe, Path, Raw},
        },
    },
};

/// The fields of an order that are read. Names, addresses and mail addresses are not among them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct WireOrder<'a> {
    id: Raw<'a>,
    name: Raw<'a>,
    currency: Raw<'a>,
    created_at: Raw<'a>,
    processed_at: Raw<'a>,
    updated_at: Raw<'a>,
    cancelled_at: Raw<'a>,
    financial_status: Raw<'a>,
    test: Raw<'a>,
    taxes_included: Raw<'a>,
    total_price: Raw<'a>,
    total_price_set: Set<'a>,
    total_tax: Raw<'a>,
    total_tax_set: Set<'a>,
    total_discounts: Raw<'a>,
    total_tip_received: Raw<'a>,
    original_total_duties_set: Set<'a>,
    original_total_additional_fees_set: Set<'a>,
    total_cash_rounding_payment_adjustment_set: Set<'a>,
    line_items: Many<WireLine<'a>>,
    shipping_lines: Many<WireShipping<'a>>,
    refunds: Many<refund::WireRefund<'a>>,
    discount_codes: Many<WireCode<'a>>,
    note_attributes: Many<NameValue<'a>>,
    landing_site: Raw<'a>,
    landing_site_ref: Raw<'a>,
    tags: Raw<'a>,
    customer: Maybe<WireCustomer<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireCustomer<'a> {
    id: Raw<'a>,
    tags: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireCode<'a> {
    code: Raw<'a>,
    #[serde(rename = "type")]
    kind: Raw<'a>,
}

/// A line, of an order or embedded in a refund.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct WireLine<'a> {
    id: Raw<'a>,
    sku: Raw<'a>,
    variant_id: Raw<'a>,
    product_id: Raw<'a>,
    quantity: Raw<'a>,
    price: Raw<'a>,
    price_set: Set<'a>,
    total_discount: Raw<'a>,
    discount_allocations: Many<Share<'a>>,
    pub(crate) tax_lines: Many<Share<'a>>,
    gift_card: Raw<'a>,
    tip_payment_gateway: Raw<'a>,
    tip_payment_method: Raw<'a>,
    tip: Raw<'a>,
    properties: Many<NameValue<'a>>,
}

/// A share of a discount (`amount`) or a tax (`price`) on one line.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct Share<'a> {
    amount: Raw<'a>,
    amount_set: Set<'a>,
    price: Raw<'a>,
    price_set: Set<'a>,
    pub(crate) rate: Raw<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireShipping<'a> {
    price: Raw<'a>,
    price_set: Set<'a>,
    discount_allocations: Many<Share<'a>>,
    is_removed: Raw<'a>,
}

impl WireLine<'_> {
    /// Price times quantity, before discounts.
    pub(crate) fn list(&self, at: Path<'_>) -> Result<Money, Rejection> {
        let price = shop(&self.price, &self.price_set, at.key("price"))?;
        let price = price.ok_or_else(|| at.key("price").missing("the price of one unit"))?;
        net::extend(price, self.units(at)?, at.key("price"))
    }

    pub(crate) fn units(&self, at: Path<'_>) -> Result<Decimal, Rejection> {
        self.quantity.quantity(at.key("quantity"))
    }

    /// All the money of the line.
    pub(crate) fn money(&self, tax_in_list: bool, at: Path<'_>) -> Result<RowMoney, Rejection> {
        let (list, discounts) = (self.list(at)?, self.discount(at)?);
        Ok(RowMoney { list, discounts, tax: self.tax(at)?, tax_in_list })
    }

    /// The shares of discounts; bodies from before 2018 do not have them and state
    /// `total_discount`, which bodies with shares leave at 0.00.
    pub(crate) fn discount(&self, at: Path<'_>) -> Result<Money, Rejection> {
        if self.discount_allocations.is_list() {
            discounts(&self.discount_allocations, at.key("discount_allocations"))
        } else {
            self.total_discount.amount_or_zero(at.key("total_discount"))
        }
    }

    /// What `total_discount` says where the list of shares is there but empty.
    fn unshared_discount(&self, at: Path<'_>) -> Result<Money, Rejection> {
        if self.discount_allocations.objects().next().is_some() {
            return Ok(Money::ZERO);
        }
        let stated = self.total_discount.amount_or_zero(at.key("total_discount"))?;
        Ok(stated - self.discount(at)?)
    }

    fn tax(&self, at: Path<'_>) -> Result<Money, Rejection> {
        let at = at.key("tax_lines");
        let mut sum = Money::ZERO;
        for (i, share) in self.tax_lines.objects() {
            let at = at.index(i);
            sum += shop(&share.price, &share.price_set, at.key("price"))?.unwrap_or_default();
        }
        Ok(sum)
    }

    fn kind(&self) -> LineKind {
        let tip = [&self.tip_payment_gateway, &self.tip_payment_method, &self.tip];
        if self.gift_card.is_true() {
            LineKind::GiftCard
        } else if tip.iter().any(|tip| !tip.is_nothing()) {
            LineKind::Tip
        } else {
            LineKind::Merchandise
        }
    }
}

fn discounts(shares: &Many<Share<'_>>, at: Path<'_>) -> Result<Money, Rejection> {
    let mut sum = Money::ZERO;
    for (i, share) in shares.needed(at)? {
        let at = at.index(i);
        sum += shop(&share.amount, &share.amount_set, at.key("amount"))?.unwrap_or_default();
    }
    Ok(sum)
}

/// One line with its money, before it is decided which discounts count.
struct Row<'w, 'a> {
    id: LineId,
    wire: &'w WireLine<'a>,
    quantity: Decimal,
    money: RowMoney,
    unshared: Money,
}

/// Reads a whole order.
pub(super) fn read(
    order: &WireOrder<'_>,
    at: Path<'_>,
    event: &RawEvent<'_>,
    policy: &StorePolicy,
) -> Result<Found, Rejection> {
    let id = order_id(&order.id, at.key("id"))?;
    if matches!(order.line_items, Many::Absent) {
        // Above the size limit of some transports only the id is left.
        return Err(body::incomplete(at.key("line_items"), "line_items"));
    }
    let currency = order.currency.currency(at.key("currency"))?;
    let currency = currency.ok_or_else(|| body::incomplete(at.key("currency"), "currency"))?;
    let total = shop(&order.total_price, &order.total_price_set, at.key("total_price"))?;
    let total = total.ok_or_else(|| body::incomplete(at.key("total_price"), "total_price"))?;
    for (field, name) in [
        (&order.cancelled_at, "cancelled_at"),
        (&order.test, "test"),
        (&order.financial_status, "financial_status"),
    ] {
        // Absent says nothing, while `null` says "not cancelled": only a filter takes a field out.
        if *field == Raw::Absent {
            return Err(filtered(at.key(name), name));
        }
    }
    let status = status(order);
    // processed_at is when the buyer paid; of an imported order only it is the true time.
    let placed = match order.processed_at.time(at.key("processed_at"))? {
        Some(time) => Some(time),
        None => order.created_at.time(at.key("created_at"))?,
    };
    let updated = match order.updated_at.time(at.key("updated_at"))? {
        Some(time) => Some(time),
        None => order.created_at.time(at.key("created_at"))?,
    };
    let times = times(event, placed, updated, status, at.key("updated_at"))?;
    let rows = rows(order, at)?;
    let (rows, footing) = judge(order, rows, total, currency, at)?;
    let all_refunded = financial_status(order).as_deref() == Some("refunded");
    let lines = rows.into_iter().map(|row| line(row, all_refunded)).collect();
    let snapshot = Snapshot {
        version: times.version,
        placed_at: times.placed_at,
        status,
        platform_status: platform_status(order),
        number: number(&order.name, &id),
        currency,
        lines,
        folded: Vec::new(),
        total,
        footing,
        buyer: order.customer.get().and_then(|customer| buyer(&customer.id)),
        member: None,
        refund_policy: RefundPolicy::default(),
        referrals: referral::choose(policy, &candidates(order)),
        refunds: refunds(order, currency, at)?,
    };
    Ok(Found::snapshot(id, snapshot))
}

/// The rejection of an order that a subscription has cut down.
fn filtered(at: Path<'_>, name: &str) -> Rejection {
    at.reject(
        RejectCode::Incomplete,
        format!(
            "{name} is not in the body, so it is not known whether the order earns: send the whole \
             order, from a subscription without a `fields` filter"
        ),
    )
}

/// The financial status in lower case, as REST writes it.
fn financial_status(order: &WireOrder<'_>) -> Option<String> {
    order.financial_status.word().map(str::to_ascii_lowercase)
}

/// A cancellation is `cancelled_at`, whatever the financial status still says. Partly paid and
/// authorized orders wait; refunded ones are paid, and their refunds take back.
fn status(order: &WireOrder<'_>) -> Status {
    if order.test.is_true() {
        return Status::Test;
    }
    if !order.cancelled_at.is_nothing() {
        return Status::Cancelled;
    }
    match financial_status(order).as_deref() {
        Some("paid" | "partially_refunded" | "refunded") => Status::Paid,
        Some("voided") => Status::Voided,
        _ => Status::Unpaid,
    }
}

fn platform_status(order: &WireOrder<'_>) -> Box<str> {
    let mut text = order.financial_status.word().unwrap_or("unknown").to_owned();
    if !order.cancelled_at.is_nothing() {
        text.push_str(", cancelled");
    }
    if order.test.is_true() {
        text.push_str(", test");
    }
    text.into()
}

/// The lines, each id once.
fn rows<'w, 'a>(order: &'w WireOrder<'a>, at: Path<'_>) -> Result<Vec<Row<'w, 'a>>, Rejection> {
    let at = at.key("line_items");
    let tax_in_list = order.taxes_included.is_true();
    let mut rows: Vec<Row<'_, '_>> = Vec::new();
    let mut known = BTreeSet::new();
    for (i, wire) in order.line_items.needed(at)? {
        let at = at.index(i);
        let id = line_id(&wire.id, at.key("id"))?;
        if !known.insert(id.clone()) {
            continue;
        }
        let money = wire.money(tax_in_list, at)?;
        let (quantity, unshared) = (wire.units(at)?, wire.unshared_discount(at)?);
        rows.push(Row { id, wire, quantity, money, unshared });
    }
    Ok(rows)
}

/// What is in the total beside the lines, and what only some shops have.
struct Beside {
    always: Money,
    sometimes: Money,
    shipping_discounts: Money,
    count: usize,
}

fn beside(order: &WireOrder<'_>, rows: &[Row<'_, '_>], at: Path<'_>) -> Result<Beside, Rejection> {
    let mut found = Beside {
        always: Money::ZERO,
        sometimes: Money::ZERO,
        shipping_discounts: Money::ZERO,
        count: 0,
    };
    let shipping = at.key("shipping_lines");
    for (i, line) in order.shipping_lines.objects() {
        let at = shipping.index(i);
        if line.is_removed.is_true() {
            continue;
        }
        let off = discounts(&line.discount_allocations, at.key("discount_allocations"))?;
        let price = shop(&line.price, &line.price_set, at.key("price"))?.unwrap_or_default();
        found.always += price - off;
        found.shipping_discounts += off;
        found.count = found.count.saturating_add(1);
    }
    if !order.taxes_included.is_true() {
        let tax = shop(&order.total_tax, &order.total_tax_set, at.key("total_tax"))?;
        found.always += tax.unwrap_or_default();
    }
    // A tip that is a line of its own is in the rows already.
    if !rows.iter().any(|row| row.wire.kind() == LineKind::Tip) {
        found.always += order.total_tip_received.amount_or_zero(at.key("total_tip_received"))?;
    }
    let sets = [
        ("original_total_duties_set", &order.original_total_duties_set),
        ("original_total_additional_fees_set", &order.original_total_additional_fees_set),
        (
            "total_cash_rounding_payment_adjustment_set",
            &order.total_cash_rounding_payment_adjustment_set,
        ),
    ];
    for (name, set) in sets {
        found.sometimes += shop_side(set, at.key(name))?.unwrap_or_default();
    }
    Ok(found)
}

/// Lets the header decide between the readings of a body, in this order of trust: the shares of
/// discounts; duties and fees on top; `total_discount` of lines whose list of shares is empty; a
/// discount that only the header states, as bodies from before 2018 do.
fn judge<'w, 'a>(
    order: &WireOrder<'_>,
    rows: Vec<Row<'w, 'a>>,
    total: Money,
    currency: Currency,
    at: Path<'_>,
) -> Result<(Vec<Row<'w, 'a>>, Footing), Rejection> {
    let beside = beside(order, &rows, at)?;
    let count = rows.len().saturating_add(beside.count);
    let shared: Vec<RowMoney> = rows.iter().map(|row| row.money).collect();
    let mut unshared = shared.clone();
    for (money, row) in unshared.iter_mut().zip(&rows) {
        money.discounts += row.unshared;
    }
    let mut readings = vec![
        (shared.clone(), Money::ZERO),
        (shared.clone(), beside.sometimes),
        (unshared.clone(), Money::ZERO),
    ];
    let stated = order.total_discounts.amount_or_zero(at.key("total_discounts"))?;
    let on_lines: Money = unshared.iter().map(|row| row.discounts).sum();
    let rest = stated - on_lines - beside.shipping_discounts;
    let on_shipping =
        order.discount_codes.objects().any(|(_, code)| code.kind.word() == Some("shipping"));
    let has_shares = rows.iter().any(|row| row.wire.discount_allocations.is_list());
    if rest.is_positive() && !on_shipping && !has_shares {
        let mut spread = unshared;
        net::spread_discount(&mut spread, rest, Money::ZERO, currency);
        readings.push((spread, Money::ZERO));
    }
    let judged = net::judge(readings.into_iter().map(|(money, more)| {
        let parts = money.iter().map(RowMoney::in_rows).chain([beside.always, more]);
        (net::foot(parts.collect::<Vec<_>>(), total, count, currency), money)
    }));
    let Some((footing, money)) = judged else {
        return Ok((rows, net::foot([], total, 0, currency)));
    };
    let rows = rows.into_iter().zip(money).map(|(row, money)| Row { money, ..row });
    Ok((rows.collect(), footing))
}

fn line(row: Row<'_, '_>, all_refunded: bool) -> Line {
    let net = row.money.net().at_least_zero();
    let by_variant = variant(&row.wire.variant_id).or_else(|| variant(&row.wire.product_id));
    Line {
        id: row.id,
        sku: sku(&row.wire.sku),
        variant: by_variant,
        quantity: row.quantity,
        net,
        gross: row.money.gross().at_least_zero(),
        // A status of `refunded` says that nothing is left, even if money is missing in the list.
        refunded: if all_refunded { net } else { Money::ZERO },
        kind: row.wire.kind(),
    }
}

/// The refunds that the order lists; `None` where there is no list, so that known refunds stand.
fn refunds(
    order: &WireOrder<'_>,
    currency: Currency,
    at: Path<'_>,
) -> Result<Option<Vec<Refund>>, Rejection> {
    if matches!(order.refunds, Many::Absent) {
        return Ok(None);
    }
    let context = refund::Context {
        taxes_included: Some(order.taxes_included.is_true()),
        currency: Some(currency),
        total: shop(&order.total_price, &order.total_price_set, at.key("total_price"))?,
        presentment_total: super::presentment_side(
            &order.total_price_set,
            at.key("total_price_set"),
        )?,
    };
    let at = at.key("refunds");
    let mut list: Vec<Refund> = Vec::new();
    for (i, wire) in order.refunds.needed(at)? {
        let refund = refund::read(wire, at.index(i), &context)?;
        if !list.iter().any(|known| known.id == refund.id) {
            list.push(refund);
        }
    }
    Ok(Some(list))
}

fn candidates<'o>(order: &'o WireOrder<'_>) -> Vec<Candidate<'o>> {
    let mut found = Vec::new();
    referral::add_named(ReferralPlace::NoteAttribute, &order.note_attributes, &mut found);
    referral::add_query(&order.landing_site, &mut found);
    if let Some(value) = order.landing_site_ref.text() {
        // Shopify's own reading of the landing site's `ref`, `source` or `r`.
        found.push(Candidate::new(ReferralPlace::LandingSite, "ref", value));
    }
    for (_, code) in order.discount_codes.objects() {
        if let Some(code) = code.code.text() {
            found.push(Candidate::new(ReferralPlace::DiscountCode, "", code));
        }
    }
    if let Some(customer) = order.customer.get() {
        referral::add_tags(ReferralPlace::CustomerTag, &customer.tags, &mut found);
    }
    referral::add_tags(ReferralPlace::OrderTag, &order.tags, &mut found);
    for (_, line) in order.line_items.objects() {
        referral::add_named(ReferralPlace::LineMeta, &line.properties, &mut found);
    }
    found
}
