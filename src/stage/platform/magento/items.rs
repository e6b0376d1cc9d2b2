//! The item rows of an order, and which of them count.
//!
//! A configurable product is two rows with one SKU: the parent has the money, the child has zeros.
//! A bundle is a parent and its children, and has the money on the one or the others, depending on
//! its kind of price. Only the header can tell, so both readings are offered to it.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Rate;
use crate::{
    domain::{
        id::{LineId, Sku},
        money::Money,
        order::{Line, LineKind},
    },
    stage::{
        Rejection,
        platform::{
            body, line_id,
            net::{self, RowMoney},
            sku, variant,
            wire::{Many, Maybe, Path, Raw},
        },
    },
};

/// The fields of an item row that are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct WireItem<'a> {
    item_id: Raw<'a>,
    id: Raw<'a>,
    parent_item_id: Raw<'a>,
    /// Read only one level deep, when it is needed.
    parent_item: Option<&'a RawValue>,
    product_type: Raw<'a>,
    product_id: Raw<'a>,
    sku: Raw<'a>,
    qty_ordered: Raw<'a>,
    qty_refunded: Raw<'a>,
    qty_canceled: Raw<'a>,
    base_price: Raw<'a>,
    price: Raw<'a>,
    base_row_total: Raw<'a>,
    row_total: Raw<'a>,
    base_discount_amount: Raw<'a>,
    discount_amount: Raw<'a>,
    base_tax_amount: Raw<'a>,
    tax_amount: Raw<'a>,
    base_discount_tax_compensation_amount: Raw<'a>,
    discount_tax_compensation_amount: Raw<'a>,
    base_weee_tax_applied_row_amnt: Raw<'a>,
    weee_tax_applied_row_amount: Raw<'a>,
    base_amount_refunded: Raw<'a>,
    amount_refunded: Raw<'a>,
    base_discount_refunded: Raw<'a>,
    discount_refunded: Raw<'a>,
    base_discount_tax_compensation_refunded: Raw<'a>,
    discount_tax_compensation_refunded: Raw<'a>,
}

/// One item row with its money in base currency.
#[derive(Debug, Clone)]
pub(super) struct Row {
    id: LineId,
    parent: Option<LineId>,
    bundle: bool,
    place: Place,
    kind: LineKind,
    sku: Option<Sku>,
    variant: Option<Sku>,
    ordered: Decimal,
    refunded: Decimal,
    canceled: Decimal,
    list: Money,
    discount: Money,
    compensation: Money,
    tax: Money,
    /// A fixed product tax (`weee`), which some settings keep out of all the other amounts.
    pub(super) weee: Money,
    amount_refunded: Money,
    discount_refunded: Money,
}

/// Where a row stands in its family. `carries`: some child of the family has money of its own.
#[derive(Debug, Clone, Copy)]
enum Place {
    Alone,
    Parent { bundle: bool, carries: bool },
    Child { bundle: bool, carries: bool },
}

/// How the rows of an order are to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Which rows of a parent with children count.
    pub(super) of: Counted,
    /// A customised shop: `row_total` is after the discount already.
    pub(super) row_total_is_net: bool,
}

/// What the order as a whole says about its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// The rows speak for themselves.
    Open,
    /// All of it was paid back, whatever the rows say.
    NothingLeft,
    /// It was cancelled as a whole.
    Cancelled,
}

/// Which rows of a parent with children count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// The children of bundles where they carry money, else the parents.
    Usual,
    /// Only parents.
    Parents,
    /// The children wherever they carry money.
    Children,
    /// Both: the parent has the fixed part of the price, the children the rest.
    Both,
}

impl Counted {
    /// In order of trust.
    pub(super) const ALL: [Self; 4] = [Self::Usual, Self::Parents, Self::Children, Self::Both];
}

/// Reads the rows, each once. A child whose parent is not listed brings the parent along in
/// `parent_item`; without that it stands for itself.
pub(super) fn read(
    items: &Many<WireItem<'_>>,
    rate: &Rate,
    at: Path<'_>,
) -> Result<Vec<Row>, Rejection> {
    let mut rows: Vec<Row> = Vec::new();
    let mut known: BTreeSet<LineId> = BTreeSet::new();
    let list = items.needed(at)?;
    for (i, item) in &list {
        let row = row(item, rate, at.index(*i))?;
        if known.insert(row.id.clone()) {
            rows.push(row);
        }
    }
    for (i, item) in &list {
        let at = at.index(*i);
        let Some(parent) = item.nested_parent() else { continue };
        if parent.own_id().id().is_none() || parent.base_row_total.is_nothing() {
            continue;
        }
        let row = row(&parent, rate, at.key("parent_item"))?;
        if known.insert(row.id.clone()) {
            rows.push(row);
        }
    }
    place(&mut rows);
    Ok(rows)
}

/// Finds out which rows are of one family. A parent that is not there is no parent.
fn place(rows: &mut [Row]) {
    let mut families: BTreeMap<LineId, (bool, bool)> = BTreeMap::new();
    let bundles: BTreeMap<LineId, bool> =
        rows.iter().map(|row| (row.id.clone(), row.bundle)).collect();
    for row in rows.iter() {
        let Some(parent) = row.parent.as_ref().filter(|parent| **parent != row.id) else {
            continue;
        };
        let Some(bundle) = bundles.get(parent) else { continue };
        let family = families.entry(parent.clone()).or_insert((*bundle, false));
        family.1 |= !row.list.is_zero();
    }
    for row in rows {
        let above = row.parent.as_ref().filter(|parent| **parent != row.id);
        row.place = if let Some((bundle, carries)) = above.and_then(|id| families.get(id)).copied()
        {
            Place::Child { bundle, carries }
        } else if let Some((bundle, carries)) = families.get(&row.id).copied() {
            Place::Parent { bundle, carries }
        } else {
            Place::Alone
        };
    }
}

impl<'a> WireItem<'a> {
    fn own_id(&self) -> &Raw<'a> {
        if self.item_id.id().is_some() { &self.item_id } else { &self.id }
    }

    fn nested_parent(&self) -> Option<WireItem<'a>> {
        let nested: Maybe<WireItem<'a>> = serde_json::from_str(self.parent_item?.get()).ok()?;
        nested.0
    }

    fn parent(&self) -> Raw<'a> {
        if self.parent_item_id.id().is_some() {
            return self.parent_item_id.clone();
        }
        self.nested_parent().map(|parent| parent.own_id().clone()).unwrap_or_default()
    }

    /// The row total, or price times quantity; a child may have neither.
    fn row_total(&self, rate: &Rate, at: Path<'_>) -> Result<Money, Rejection> {
        let stated = rate.base_if_any(&self.base_row_total, &self.row_total, at, "row_total")?;
        if let Some(amount) = stated {
            return Ok(amount);
        }
        let price = rate.base_if_any(&self.base_price, &self.price, at, "price")?;
        match price {
            Some(price) => {
                let ordered = self.qty_ordered.quantity(at.key("qty_ordered"))?;
                net::extend(price, ordered, at.key("base_price"))
            }
            None if self.parent().id().is_some() => Ok(Money::ZERO),
            None => Err(body::incomplete(at.key("base_row_total"), "base_row_total")),
        }
    }
}

fn row(item: &WireItem<'_>, rate: &Rate, at: Path<'_>) -> Result<Row, Rejection> {
    let money = |base: &Raw<'_>, plain: &Raw<'_>, name| rate.base(base, plain, at, name);
    let parent = item.parent();
    let parent = match parent.id() {
        Some(_) => Some(line_id(&parent, at.key("parent_item_id"))?),
        None => None,
    };
    let discount_refunded =
        money(&item.base_discount_refunded, &item.discount_refunded, "discount_refunded")?.abs()
            - money(
                &item.base_discount_tax_compensation_refunded,
                &item.discount_tax_compensation_refunded,
                "discount_tax_compensation_refunded",
            )?;
    let amount = |raw: &Raw<'_>, name| {
        if raw.is_nothing() { Ok(Decimal::ZERO) } else { raw.quantity(at.key(name)) }
    };
    let gift_card = item.product_type.word() == Some("giftcard");
    Ok(Row {
        id: line_id(item.own_id(), at.key("item_id"))?,
        parent,
        bundle: item.product_type.word() == Some("bundle"),
        place: Place::Alone,
        kind: if gift_card { LineKind::GiftCard } else { LineKind::Merchandise },
        sku: sku(&item.sku),
        variant: variant(&item.product_id),
        ordered: item.qty_ordered.quantity(at.key("qty_ordered"))?,
        refunded: amount(&item.qty_refunded, "qty_refunded")?,
        canceled: amount(&item.qty_canceled, "qty_canceled")?,
        list: item.row_total(rate, at)?,
        // Positive on items, negative in headers; modules mix the two.
        discount: money(&item.base_discount_amount, &item.discount_amount, "discount_amount")?
            .abs(),
        compensation: money(
            &item.base_discount_tax_compensation_amount,
            &item.discount_tax_compensation_amount,
            "discount_tax_compensation_amount",
        )?,
        tax: money(&item.base_tax_amount, &item.tax_amount, "tax_amount")?,
        weee: money(
            &item.base_weee_tax_applied_row_amnt,
            &item.weee_tax_applied_row_amount,
            "weee_tax_applied_row_amount",
        )?,
        amount_refunded: money(
            &item.base_amount_refunded,
            &item.amount_refunded,
            "amount_refunded",
        )?,
        discount_refunded,
    })
}

/// The rows that count in a reading.
pub(super) fn counted(rows: &[Row], of: Counted) -> Vec<&Row> {
    let children_count = |bundle: bool, carries: bool| match of {
        Counted::Usual => bundle && carries,
        Counted::Parents => false,
        Counted::Children | Counted::Both => carries,
    };
    let counts = |row: &&Row| match row.place {
        Place::Alone => true,
        Place::Parent { bundle, carries } => {
            of == Counted::Both || !children_count(bundle, carries)
        }
        Place::Child { bundle, carries } => children_count(bundle, carries),
    };
    rows.iter().filter(counts).collect()
}

/// The rows that do not count: their money stands in others of their family.
pub(super) fn folded(rows: &[Row], counted: &[&Row]) -> Vec<LineId> {
    let lines: BTreeSet<&LineId> = counted.iter().map(|row| &row.id).collect();
    rows.iter().map(|row| &row.id).filter(|id| !lines.contains(id)).cloned().collect()
}

impl Row {
    /// The money of the row. Where a discount is taken off prices that hold tax, the discount is
    /// too large by its tax, and the compensation is that tax.
    pub(super) fn money(&self, row_total_is_net: bool) -> RowMoney {
        let discounts =
            if row_total_is_net { Money::ZERO } else { self.discount - self.compensation };
        RowMoney { list: self.list, discounts, tax: self.tax, tax_in_list: false }
    }

    /// The line of the order, in the given [`Standing`] of it. Units that were cancelled before
    /// anybody paid for them are not sold, and no refund either: the line is what is left without
    /// them. Only of an order that is cancelled as a whole it stays as it was ordered.
    pub(super) fn line(&self, row_total_is_net: bool, order: Standing) -> Line {
        let money = self.money(row_total_is_net);
        let (ordered, gross) = (money.net().at_least_zero(), money.gross().at_least_zero());
        let canceled = if order == Standing::Cancelled { Decimal::ZERO } else { self.canceled };
        let net = ordered - self.share(ordered, canceled);
        let refunded = match order {
            Standing::NothingLeft => net,
            Standing::Cancelled | Standing::Open => self.taken(ordered, row_total_is_net).min(net),
        };
        Line {
            id: self.id.clone(),
            sku: self.sku.clone(),
            variant: self.variant.clone(),
            quantity: self.ordered.saturating_sub(canceled).max(Decimal::ZERO),
            net,
            gross: gross - self.share(gross, canceled),
            refunded,
            kind: self.kind,
        }
    }

    /// What the snapshot says was taken back: refunded amounts less their discounts, or else the
    /// share of the refunded units.
    fn taken(&self, net: Money, row_total_is_net: bool) -> Money {
        let by_amount = if row_total_is_net {
            self.amount_refunded
        } else {
            self.amount_refunded - self.discount_refunded
        };
        if self.amount_refunded.is_positive() {
            by_amount.at_least_zero()
        } else {
            self.share(net, self.refunded)
        }
    }

    fn share(&self, net: Money, units: Decimal) -> Money {
        let as_money = |units: Decimal| Money::from_decimal(units).unwrap_or_default();
        if units <= Decimal::ZERO {
            Money::ZERO
        } else if units >= self.ordered {
            net
        } else {
            net.proportion(as_money(units), as_money(self.ordered))
        }
    }
}
