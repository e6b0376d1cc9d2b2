//! The one place that computes what a row is worth, whether an order adds up and what a refund
//! takes.
//!
//! Invariant: what earns is after discounts and without tax. Shipping, fees, tips and gift wrapping
//! are in the footing of an order and never in a net.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::wire::{Path, bounded};
use crate::{
    domain::{
        id::LineId,
        money::{Currency, Money},
        order::{Footing, LooseMoney, RefundLine},
    },
    stage::Rejection,
};

/// The money of one row, as its platform states it, for the whole quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RowMoney {
    /// Before discounts.
    pub(crate) list: Money,
    /// What discounts take off, positive.
    pub(crate) discounts: Money,
    /// The tax of the row.
    pub(crate) tax: Money,
    /// Whether `list` holds the tax already.
    pub(crate) tax_in_list: bool,
}

impl RowMoney {
    /// After discounts, without tax. Negative if the discounts exceed the list price.
    pub(crate) fn net(&self) -> Money {
        let after = self.list - self.discounts;
        if self.tax_in_list { after - self.tax } else { after }
    }

    /// After discounts, with tax.
    pub(crate) fn gross(&self) -> Money {
        self.net() + self.tax
    }

    /// What the row adds to the rows of the footing: the tax only where the price holds it, since
    /// the rest of the tax is in the header once.
    pub(crate) fn in_rows(&self) -> Money {
        self.list - self.discounts
    }
}

/// The list price of a quantity, rounded to six places and within the bounds of money.
pub(crate) fn extend(price: Money, quantity: Decimal, at: Path<'_>) -> Result<Money, Rejection> {
    bounded(price.times(quantity).as_decimal(), at)
}

/// The footing of an order: all its parts against its header. `rounded` is how many rows the
/// platform rounds, each by up to one minor unit.
pub(crate) fn foot(
    parts: impl IntoIterator<Item = Money>,
    header: Money,
    rounded: usize,
    currency: Currency,
) -> Footing {
    let rows = parts.into_iter().sum();
    Footing { rows, header, tolerance: units(rounded, currency.minor_unit()), parents: None }
}

fn units(count: usize, unit: Money) -> Money {
    unit.times(Decimal::from(count))
}

/// The first candidate that adds up, or else the first: the order of the candidates is the order of
/// trust, so a later reading of a body wins only where the earlier ones fail.
pub(crate) fn judge<T>(candidates: impl IntoIterator<Item = (Footing, T)>) -> Option<(Footing, T)> {
    let mut first: Option<(Footing, T)> = None;
    for (footing, found) in candidates {
        let better = match &first {
            None => true,
            Some((best, _)) => footing.holds() && !best.holds(),
        };
        if better {
            first = Some((footing, found));
        }
    }
    first
}

/// Takes a discount that the platform states for the whole order off the rows, by largest
/// remainder over their worth, and the tax that it saves off their taxes.
pub(crate) fn spread_discount(
    rows: &mut [RowMoney],
    discount: Money,
    tax: Money,
    currency: Currency,
) {
    let unit = currency.minor_unit();
    let worths: Vec<Money> = rows.iter().map(|row| row.in_rows().at_least_zero()).collect();
    let taxes: Vec<Money> = rows.iter().map(|row| row.tax.at_least_zero()).collect();
    let (all, all_taxes): (Money, Money) =
        (worths.iter().copied().sum(), taxes.iter().copied().sum());
    let shares = discount.min(all).split(&worths, unit);
    let relief = tax.min(all_taxes).split(&taxes, unit);
    for ((row, share), relief) in rows.iter_mut().zip(shares).zip(relief) {
        row.discounts += share;
        row.tax -= relief;
    }
}

/// Turns rows of negative worth into a discount on the others: a plugin that sells a discount as a
/// product lowers what the buyer pays for the rest.
pub(crate) fn absorb_negative_rows(rows: &mut [RowMoney], currency: Currency) {
    let (mut discount, mut tax) = (Money::ZERO, Money::ZERO);
    for row in rows.iter_mut().filter(|row| row.net().is_negative()) {
        discount -= row.net();
        tax -= row.tax;
        *row = RowMoney { tax_in_list: row.tax_in_list, ..RowMoney::default() };
    }
    if discount.is_positive() {
        spread_discount(rows, discount, tax.at_least_zero(), currency);
    }
}

/// One row of a refund.
#[derive(Debug, Clone)]
pub(crate) struct RefundRow {
    /// The order line.
    pub(crate) line: LineId,
    /// Units taken back.
    pub(crate) quantity: Decimal,
    /// The money taken back.
    pub(crate) money: RowMoney,
    /// What these units are worth on the order, if the refund says; zero for a free item.
    pub(crate) worth: Option<Money>,
}

/// What was really paid back, against what the rows of the refund say.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paid {
    /// Not known: the rows count as they are.
    Unknown,
    /// At least this much: more than the rows is money without a line; less proves nothing, a part
    /// may be under way.
    AtLeast(Money),
    /// Exactly this much, by the platform's own statement.
    Exactly(Money),
}

/// What a refund takes from each line, and the money that no line accounts for. `beside` is what it
/// pays back for shipping, duties and fees: it takes nothing.
///
/// - More money than the rows: a row of 0.00 whose units are worth something is meant, so the money
///   goes against it; without such a row it is loose.
/// - Less money than the rows: the rows give way, pro rata to their gross, and their net by the
///   same share. So commission follows the money, not the parcel.
pub(crate) fn settle_refund(
    rows: Vec<RefundRow>,
    beside: Money,
    paid: Paid,
    unit: Money,
) -> (Vec<RefundLine>, Vec<LooseMoney>) {
    let tolerance = units(rows.len(), unit);
    let (mut lines, meant) = merge(rows);
    let by_rows: Money = lines.iter().map(|line| line.gross).sum();
    let difference = match paid {
        Paid::Unknown => Money::ZERO,
        Paid::AtLeast(paid) => (paid - by_rows - beside).at_least_zero(),
        Paid::Exactly(paid) => paid - by_rows - beside,
    };
    let mut loose = Vec::new();
    if difference.abs() <= tolerance && !by_rows.is_zero() {
        return (lines, loose);
    }
    if difference.is_positive() {
        loose = place_loose(difference, &meant, unit);
    } else if difference.is_negative() {
        shrink(&mut lines, (by_rows + difference).at_least_zero(), unit);
    }
    (lines, loose)
}

/// Merges the rows of one line, and finds the rows of 0.00 that are worth something.
fn merge(rows: Vec<RefundRow>) -> (Vec<RefundLine>, Vec<(LineId, Money)>) {
    let mut lines: Vec<RefundLine> = Vec::with_capacity(rows.len());
    let mut places: BTreeMap<LineId, usize> = BTreeMap::new();
    let mut meant = Vec::new();
    for row in rows {
        let net = row.money.net().at_least_zero();
        let gross = row.money.gross().at_least_zero();
        if gross.is_zero() && row.worth != Some(Money::ZERO) {
            meant.push((row.line.clone(), row.worth.unwrap_or_default()));
        }
        let end = lines.len();
        let place = *places.entry(row.line.clone()).or_insert(end);
        match lines.get_mut(place) {
            Some(line) => {
                line.quantity = line.quantity.saturating_add(row.quantity);
                line.net += net;
                line.gross += gross;
            }
            None => {
                lines.push(RefundLine { line: row.line, quantity: row.quantity, net, gross });
            }
        }
    }
    (lines, meant)
}

fn place_loose(amount: Money, meant: &[(LineId, Money)], unit: Money) -> Vec<LooseMoney> {
    match meant {
        [] => vec![LooseMoney { gross: amount, against: None }],
        [(line, _)] => vec![LooseMoney { gross: amount, against: Some(line.clone()) }],
        several => {
            let weights: Vec<Money> = several.iter().map(|(_, worth)| *worth).collect();
            if weights.iter().any(|w| !w.is_positive()) {
                return vec![LooseMoney { gross: amount, against: None }];
            }
            let shares = amount.split(&weights, unit);
            let placed = several.iter().zip(shares).filter(|(_, share)| share.is_positive());
            placed
                .map(|((line, _), gross)| LooseMoney { gross, against: Some(line.clone()) })
                .collect()
        }
    }
}

/// Brings the gross of the lines down to `target` in all.
fn shrink(lines: &mut [RefundLine], target: Money, unit: Money) {
    let weights: Vec<Money> = lines.iter().map(|line| line.gross).collect();
    let shares = target.split(&weights, unit);
    for (line, share) in lines.iter_mut().zip(shares) {
        line.net = line.net.proportion(share, line.gross);
        line.gross = share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn row(id: &str, net: &str, tax: &str, worth: Option<&str>) -> RefundRow {
        RefundRow {
            line: LineId::parse(id).unwrap(),
            quantity: Decimal::ONE,
            money: RowMoney { list: money(net), tax: money(tax), ..RowMoney::default() },
            worth: worth.map(money),
        }
    }

    fn cent() -> Money {
        money("0.01")
    }

    #[test]
    fn tax_in_the_price_is_not_net() {
        let included = RowMoney {
            list: money("39.98"),
            discounts: money("4.00"),
            tax: money("5.74"),
            tax_in_list: true,
        };
        assert_eq!((included.net(), included.gross()), (money("30.24"), money("35.98")));
        let on_top = RowMoney { tax_in_list: false, ..included };
        assert_eq!((on_top.net(), on_top.gross()), (money("35.98"), money("41.72")));
    }

    #[test]
    fn a_refund_as_calculated_is_taken_as_it_is() {
        let rows = vec![row("1", "195.66", "3.98", None), row("2", "195.67", "3.98", None)];
        let (lines, loose) = settle_refund(rows, Money::ZERO, Paid::AtLeast(money("209")), cent());
        assert_eq!(lines.iter().map(|l| l.net).sum::<Money>(), money("391.33"));
        assert_eq!(loose, []);
    }

    #[test]
    fn more_money_than_the_rows_is_loose() {
        let rows = vec![row("1", "20", "0", None)];
        let (_, loose) = settle_refund(rows, money("5"), Paid::AtLeast(money("32.50")), cent());
        assert_eq!(loose, [LooseMoney { gross: money("7.50"), against: None }]);
    }

    #[test]
    fn money_behind_a_row_of_nothing_is_against_that_row() {
        let rows = vec![row("7", "0", "0", Some("41.90"))];
        let (_, loose) = settle_refund(rows, Money::ZERO, Paid::AtLeast(money("41.90")), cent());
        let against = Some(LineId::parse("7").unwrap());
        assert_eq!(loose, [LooseMoney { gross: money("41.90"), against }]);
        let free = vec![row("7", "0", "0", Some("0"))];
        let (_, loose) = settle_refund(free, Money::ZERO, Paid::AtLeast(money("3")), cent());
        assert_eq!(loose, [LooseMoney { gross: money("3"), against: None }]);
    }

    #[test]
    fn less_money_than_the_rows_shrinks_them() {
        let rows = vec![row("1", "30", "3", None), row("2", "60", "6", None)];
        let (lines, loose) = settle_refund(rows, money("5"), Paid::Exactly(money("71")), cent());
        assert_eq!(loose, []);
        let figures: Vec<_> = lines.iter().map(|l| (l.net, l.gross)).collect();
        assert_eq!(figures, [(money("20"), money("22")), (money("40"), money("44"))]);
    }

    #[test]
    fn a_cent_of_rounding_is_no_difference() {
        let rows = vec![row("1", "33.33", "0", None)];
        let (lines, loose) =
            settle_refund(rows, Money::ZERO, Paid::Exactly(money("33.34")), cent());
        assert_eq!((lines[0].net, loose), (money("33.33"), vec![]));
    }

    #[test]
    fn a_footing_has_the_minor_unit_of_its_currency() {
        let kwd = Currency::parse("KWD").unwrap();
        let footing = foot([money("10.001"), money("1.5")], money("11.503"), 2, kwd);
        assert!(footing.holds());
        assert!(!foot([money("10")], money("10.002"), 1, kwd).holds());
        let jpy = Currency::parse("JPY").unwrap();
        assert!(foot([money("1000")], money("1001"), 1, jpy).holds());
    }

    #[test]
    fn a_discount_of_the_order_is_spread_to_the_cent() {
        let mut rows = [RowMoney { list: money("199"), ..RowMoney::default() }; 3];
        spread_discount(&mut rows, money("10"), Money::ZERO, Currency::parse("USD").unwrap());
        assert_eq!(rows.map(|r| r.net()), [money("195.66"), money("195.67"), money("195.67")]);
    }
}
