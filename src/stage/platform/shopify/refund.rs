//! The refund of Shopify: embedded in an order, or alone in `refunds/create`.
//!
//! A refund alone does not say whether prices hold the tax, nor the rate between the currencies of
//! the shop and of the buyer. Where its own data does not settle that either, the refund is marked
//! as a summary: the order, which lists it too and knows, then wins the join.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::{Set, order::WireLine, presentment_side, shop, shop_code, shop_side};
use crate::{
    domain::{
        money::{Currency, Money},
        order::{Detail, Refund},
    },
    stage::{
        Rejection,
        platform::{
            line_id,
            net::{self, Paid, RefundRow, RowMoney},
            refund_id,
            wire::{Many, Maybe, Path, Raw},
        },
    },
};

/// The fields of a refund that are read; its note is not.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(crate) struct WireRefund<'a> {
    id: Raw<'a>,
    pub(super) order_id: Raw<'a>,
    created_at: Raw<'a>,
    processed_at: Raw<'a>,
    refund_line_items: Many<WireRefundLine<'a>>,
    order_adjustments: Many<Adjustment<'a>>,
    refund_shipping_lines: Many<ShippingRefund<'a>>,
    transactions: Many<Transaction<'a>>,
    total_duties_set: Set<'a>,
    total_additional_fees_set: Set<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct WireRefundLine<'a> {
    line_item_id: Raw<'a>,
    quantity: Raw<'a>,
    subtotal: Raw<'a>,
    subtotal_set: Set<'a>,
    total_tax: Raw<'a>,
    total_tax_set: Set<'a>,
    line_item: Maybe<WireLine<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Adjustment<'a> {
    kind: Raw<'a>,
    amount: Raw<'a>,
    amount_set: Set<'a>,
    tax_amount: Raw<'a>,
    tax_amount_set: Set<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct ShippingRefund<'a> {
    subtotal_amount_set: Set<'a>,
    tax_amount_set: Set<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Transaction<'a> {
    kind: Raw<'a>,
    status: Raw<'a>,
    amount: Raw<'a>,
    amount_set: Set<'a>,
    currency: Raw<'a>,
}

impl WireRefund<'_> {
    /// Whether the refund says nothing of lines or money.
    pub(super) fn is_stub(&self) -> bool {
        let absent = matches!(self.refund_line_items, Many::Absent);
        absent && matches!(self.transactions, Many::Absent)
    }
}

/// What the order knows of its refunds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Whether prices hold the tax; `None` in a refund alone.
    pub(super) taxes_included: Option<bool>,
    /// The shop's currency.
    pub(super) currency: Option<Currency>,
    /// The order's total, for the rate between the currencies.
    pub(super) total: Option<Money>,
    /// The same total in the buyer's currency.
    pub(super) presentment_total: Option<Money>,
}

impl Context {
    /// A refund that came without its order.
    pub(super) fn alone() -> Self {
        Self { taxes_included: None, currency: None, total: None, presentment_total: None }
    }
}

/// Sums of a refund in the currencies of the shop and of the buyer.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    shop: Money,
    presentment: Money,
}

impl Both {
    fn of(plain: &Raw<'_>, set: &Set<'_>, at: Path<'_>) -> Result<Self, Rejection> {
        let shop = shop(plain, set, at)?.unwrap_or_default();
        Ok(Self { shop, presentment: presentment_side(set, at)?.unwrap_or(shop) })
    }

    fn add(&mut self, other: Self) {
        self.shop += other.shop;
        self.presentment += other.presentment;
    }

    fn abs(self) -> Self {
        Self { shop: self.shop.abs(), presentment: self.presentment.abs() }
    }
}

/// Reads a refund.
pub(super) fn read(
    refund: &WireRefund<'_>,
    at: Path<'_>,
    context: &Context,
) -> Result<Refund, Rejection> {
    let currency = context.currency.or_else(|| currency_of(refund));
    let unit = currency.map_or_else(
        || Money::from_decimal(Decimal::new(1, 2)).unwrap_or_default(),
        |currency| currency.minor_unit(),
    );
    let sums = sums(refund, at)?;
    let paid = transactions(refund, at, currency, context, &sums)?;
    let (included, sure) = taxes_included(refund, at, context, &sums, paid, unit)?;
    let rows = rows(refund, at, included, unit)?;
    let beside = sums.beside.shop;
    let (lines, loose) = match paid_out(paid, &sums) {
        Some(paid_out) => net::settle_refund(rows, beside, paid_out, unit),
        None => (Vec::new(), Vec::new()),
    };
    let sure = sure && !matches!(paid, Actual::Foreign);
    let made = match refund.created_at.time(at.key("created_at"))? {
        Some(time) => Some(time),
        None => refund.processed_at.time(at.key("processed_at"))?,
    };
    Ok(Refund {
        id: refund_id(&refund.id, at.key("id"))?,
        at: made,
        detail: if sure { Detail::Full } else { Detail::Summary },
        lines,
        loose,
    })
}

/// What was paid back, as far as it is known; `None` if all payments failed: then the buyer has
/// nothing back and the refund takes nothing, until a payment is under way or has succeeded.
///
/// A pending payment counts as the platform lists the refund: the lines are taken now. If it fails
/// later, the order then says so and what was taken is given back.
///
/// Only where all money has gone out and the platform states a discrepancy can a refund be smaller
/// than its lines. While a payment is under way the platform calls all of it a discrepancy, and
/// without a payment the units left the order all the same: then the lines are taken in full, as
/// they are if less money went out and nothing says why. More money than the lines is loose in any
/// case.
fn paid_out(paid: Actual, sums: &Sums) -> Option<Paid> {
    match paid {
        Actual::Failed => None,
        Actual::Unknown | Actual::Foreign => Some(Paid::Unknown),
        Actual::Whole(amount) if !sums.discrepancy.shop.is_zero() => Some(Paid::Exactly(amount)),
        Actual::Whole(amount) | Actual::Part(amount) => Some(Paid::AtLeast(amount)),
    }
}

/// The sums of a refund.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    /// `subtotal` of the lines: after discounts, with the tax where prices hold it.
    subtotals: Both,
    taxes: Both,
    /// Shipping, duties and fees paid back.
    beside: Both,
    /// The platform's own account of calculated less actual.
    discrepancy: Both,
}

fn sums(refund: &WireRefund<'_>, at: Path<'_>) -> Result<Sums, Rejection> {
    let mut sums = Sums::default();
    let list = at.key("refund_line_items");
    for (i, line) in refund.refund_line_items.needed(list)? {
        let at = list.index(i);
        sums.subtotals.add(Both::of(&line.subtotal, &line.subtotal_set, at.key("subtotal"))?);
        sums.taxes.add(Both::of(&line.total_tax, &line.total_tax_set, at.key("total_tax"))?);
    }
    let list = at.key("order_adjustments");
    let mut shipping = false;
    for (i, adjustment) in refund.order_adjustments.objects() {
        let at = list.index(i);
        let mut amount = Both::of(&adjustment.amount, &adjustment.amount_set, at.key("amount"))?;
        let tax = &adjustment.tax_amount;
        amount.add(Both::of(tax, &adjustment.tax_amount_set, at.key("tax_amount"))?);
        match adjustment.kind.word() {
            Some("shipping_refund") => {
                shipping = true;
                sums.beside.add(amount.abs());
            }
            Some("refund_discrepancy") => sums.discrepancy.add(amount),
            _ => {}
        }
    }
    let list = at.key("refund_shipping_lines");
    for (i, line) in refund.refund_shipping_lines.objects().filter(|_| !shipping) {
        let at = list.index(i);
        for (name, set) in [
            ("subtotal_amount_set", &line.subtotal_amount_set),
            ("tax_amount_set", &line.tax_amount_set),
        ] {
            sums.beside.add(Both::of(&Raw::Absent, set, at.key(name))?.abs());
        }
    }
    for (name, set) in [
        ("total_duties_set", &refund.total_duties_set),
        ("total_additional_fees_set", &refund.total_additional_fees_set),
    ] {
        sums.beside.add(Both::of(&Raw::Absent, set, at.key(name))?.abs());
    }
    Ok(sums)
}

/// The money that was paid back, in shop currency.
#[derive(Debug, Clone, Copy)]
enum Actual {
    /// No payment has succeeded yet, or none is listed.
    Unknown,
    /// There are payments, and all of them have failed.
    Failed,
    /// Paid in the buyer's currency at an unknown rate.
    Foreign,
    /// Some payments have succeeded, others are under way.
    Part(Money),
    /// All payments that there are have succeeded.
    Whole(Money),
}

fn transactions(
    refund: &WireRefund<'_>,
    at: Path<'_>,
    currency: Option<Currency>,
    context: &Context,
    sums: &Sums,
) -> Result<Actual, Rejection> {
    let list = at.key("transactions");
    let (mut shop_paid, mut buyer_paid) = (Money::ZERO, Money::ZERO);
    let (mut some, mut pending, mut failed, mut open) = (false, false, false, false);
    for (i, transaction) in refund.transactions.objects() {
        let at = list.index(i);
        if transaction.kind.word() != Some("refund") {
            continue;
        }
        match transaction.status.word() {
            Some("success") => {}
            Some("failure" | "error") => {
                failed = true;
                continue;
            }
            status => {
                pending |= status == Some("pending");
                open = true;
                continue;
            }
        }
        some = true;
        let in_shop = shop_side(&transaction.amount_set, at.key("amount_set"))?;
        let amount = transaction.amount.amount_or_zero(at.key("amount"))?;
        let code = transaction.currency.word();
        let foreign = matches!((code, currency), (Some(code), Some(shop))
            if !code.eq_ignore_ascii_case(shop.as_str()));
        match in_shop {
            Some(amount) => shop_paid += amount.abs(),
            None if foreign => buyer_paid += amount.abs(),
            None => shop_paid += amount.abs(),
        }
    }
    if !some {
        return Ok(if failed && !open { Actual::Failed } else { Actual::Unknown });
    }
    if !buyer_paid.is_zero() {
        match convert(buyer_paid, context, sums) {
            Some(amount) => shop_paid += amount,
            None => return Ok(Actual::Foreign),
        }
    }
    Ok(if pending { Actual::Part(shop_paid) } else { Actual::Whole(shop_paid) })
}

/// Turns the buyer's currency into the shop's, by the refund's own sums or the order's totals. The
/// rate of two rounded amounts is not exact, so the result is brought to the cent.
fn convert(paid: Money, context: &Context, sums: &Sums) -> Option<Money> {
    let mut own = sums.subtotals;
    own.add(sums.taxes);
    own.add(sums.beside);
    let (shop, buyer) = if own.presentment.is_positive() && own.shop != own.presentment {
        (own.shop, own.presentment)
    } else {
        (context.total?, context.presentment_total?)
    };
    if !shop.is_positive() || !buyer.is_positive() {
        return None;
    }
    let product = paid.as_decimal().checked_mul(shop.as_decimal())?;
    let amount = product.checked_div(buyer.as_decimal())?.round_dp(context.digits());
    Money::from_decimal(amount).ok()
}

impl Context {
    fn digits(&self) -> u32 {
        self.currency.map_or(2, |currency| currency.minor_digits())
    }
}

/// Whether the subtotals hold the tax, and whether that is sure. Both cases state the same
/// `subtotal`, so only the tax tells: by its rate, which gives another tax in each case, or by the
/// money paid.
fn taxes_included(
    refund: &WireRefund<'_>,
    at: Path<'_>,
    context: &Context,
    sums: &Sums,
    paid: Actual,
    unit: Money,
) -> Result<(bool, bool), Rejection> {
    if let Some(included) = context.taxes_included {
        return Ok((included, true));
    }
    if sums.taxes.shop.is_zero() {
        return Ok((false, true));
    }
    let list = at.key("refund_line_items");
    for (i, line) in refund.refund_line_items.objects() {
        let at = list.index(i);
        if let Some(included) = by_rate(line, at, unit)? {
            return Ok((included, true));
        }
    }
    if let Actual::Whole(paid) = paid {
        let without = sums.subtotals.shop + sums.beside.shop - sums.discrepancy.shop;
        if paid == without {
            return Ok((true, true));
        }
        if paid == without + sums.taxes.shop {
            return Ok((false, true));
        }
    }
    Ok((false, false))
}

fn by_rate(
    line: &WireRefundLine<'_>,
    at: Path<'_>,
    unit: Money,
) -> Result<Option<bool>, Rejection> {
    let Some(item) = line.line_item.get() else { return Ok(None) };
    let subtotal = Both::of(&line.subtotal, &line.subtotal_set, at.key("subtotal"))?.shop;
    let tax = Both::of(&line.total_tax, &line.total_tax_set, at.key("total_tax"))?.shop;
    let at = at.key("line_item").key("tax_lines").to_string();
    let mut rate = Decimal::ZERO;
    let mut count: u32 = 0;
    for (_, share) in item.tax_lines.objects() {
        let one = share.rate.decimal(Path::ROOT.key(&at)).unwrap_or_default();
        rate = rate.saturating_add(one.unwrap_or_default());
        count = count.saturating_add(1);
    }
    if tax.is_zero() || rate <= Decimal::ZERO {
        return Ok(None);
    }
    let base = subtotal.as_decimal();
    let on_top = base.saturating_mul(rate);
    let inside = on_top.checked_div(rate.saturating_add(Decimal::ONE)).unwrap_or_default();
    let off = |expected: Decimal| expected.saturating_sub(tax.as_decimal()).abs();
    // The platform rounds the tax of the whole line and shares it out by units.
    let near = unit.times(Decimal::from(count.saturating_add(1))).as_decimal();
    Ok(match (off(on_top) <= near, off(inside) <= near) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        (true, true) | (false, false) => None,
    })
}

fn rows(
    refund: &WireRefund<'_>,
    at: Path<'_>,
    included: bool,
    unit: Money,
) -> Result<Vec<RefundRow>, Rejection> {
    let list = at.key("refund_line_items");
    let mut rows = Vec::new();
    for (i, line) in refund.refund_line_items.needed(list)? {
        let at = list.index(i);
        let subtotal = Both::of(&line.subtotal, &line.subtotal_set, at.key("subtotal"))?.shop;
        let tax = Both::of(&line.total_tax, &line.total_tax_set, at.key("total_tax"))?.shop;
        let quantity = line.quantity.quantity(at.key("quantity"))?;
        let money = RowMoney {
            list: subtotal.abs(),
            discounts: Money::ZERO,
            tax: tax.abs(),
            tax_in_list: included,
        };
        let item = line.line_item.get();
        let item_at = at.key("line_item");
        rows.push(RefundRow {
            line: line_id(&line.line_item_id, at.key("line_item_id"))?,
            quantity,
            money: whole(item, quantity, money, unit, item_at).unwrap_or(money),
            worth: worth(item, item_at),
        });
    }
    Ok(rows)
}

/// The money of the whole line, where the refund takes all of its units and is a cent off: the
/// platform shares a discount of 10.00 over three equal lines as 3.34, 3.33, 3.33, and a refund of
/// two of them can state the cent on the other one. So all units are exactly all of the net.
fn whole(
    item: Option<&WireLine<'_>>,
    quantity: Decimal,
    money: RowMoney,
    unit: Money,
    at: Path<'_>,
) -> Option<RowMoney> {
    let line = item?.money(money.tax_in_list, at).ok()?;
    let all = item?.units(at).ok()? == quantity;
    let near = |a: Money, b: Money| (a - b).abs() <= unit;
    let same = near(line.net(), money.net()) && near(line.gross(), money.gross());
    if all && same && !money.gross().is_zero() { Some(line) } else { None }
}

/// What the line is worth on the order, after its discounts; not known if it is not embedded.
fn worth(item: Option<&WireLine<'_>>, at: Path<'_>) -> Option<Money> {
    let item = item?;
    let (list, discount) = (item.list(at).ok()?, item.discount(at).ok()?);
    Some((list - discount).at_least_zero())
}

/// The shop's currency, by the refund's own data.
fn currency_of(refund: &WireRefund<'_>) -> Option<Currency> {
    let lines = refund.refund_line_items.objects();
    let sets = lines.map(|(_, line)| &line.subtotal_set);
    let adjustments = refund.order_adjustments.objects().map(|(_, a)| &a.amount_set);
    let mut codes = sets
        .chain(adjustments)
        .chain([&refund.total_duties_set, &refund.total_additional_fees_set])
        .filter_map(shop_code);
    let code = codes.next().or_else(|| {
        refund.transactions.objects().find_map(|(_, transaction)| transaction.currency.word())
    })?;
    Currency::parse(code).ok()
}
