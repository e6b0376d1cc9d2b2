//! What is left of an order for commission, after everything that took back.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{Line, LineKind, OrderState, RefundLine, Status, WithoutLines};
use crate::domain::{id::LineId, money::Money};

impl OrderState {
    /// What is left of each line for commission; empty while no snapshot is known.
    ///
    /// Per line, what was taken back is the larger of what the snapshot says and what the refunds
    /// say, never both, and never more than the line. Money without lines is then spread over what
    /// is left, at its gross value, by largest remainder; the net of a line falls by the same share
    /// as its gross, so all of the gross takes exactly all of the net. A refund of a line that the
    /// snapshot does not have is money without lines, as far as anybody can tell.
    pub fn effective(&self) -> Vec<EffectiveLine<'_>> {
        let Some(snapshot) = self.snapshot.as_deref() else { return Vec::new() };
        let earns = self.status() == Some(Status::Paid);
        let mut left: Vec<Remainder> = snapshot.lines.iter().map(Remainder::of).collect();
        let mut index: BTreeMap<&LineId, usize> = BTreeMap::new();
        for (at, line) in snapshot.lines.iter().enumerate() {
            index.insert(&line.id, at);
        }
        let mut spread = Money::ZERO;
        let mut against: BTreeMap<usize, Money> = BTreeMap::new();
        let spreads = snapshot.refund_policy.without_lines == WithoutLines::ProRata;
        for refund in self.standing_refunds() {
            for line in &refund.lines {
                if let Some(left) = index.get(&line.line).and_then(|at| left.get_mut(*at)) {
                    left.by_refunds_net += line.net;
                    left.by_refunds_gross += line.gross;
                    left.take_units(line);
                } else if spreads && !snapshot.folded.contains(&line.line) {
                    spread += line.gross;
                }
            }
            let loose = if spreads { refund.loose.as_slice() } else { &[] };
            for money in loose {
                match money.against.as_ref().and_then(|line| index.get(line)) {
                    Some(at) => *against.entry(*at).or_default() += money.gross,
                    None => spread += money.gross,
                }
            }
        }
        spread += self.charged_back();
        let unit = snapshot.currency.minor_unit();
        for left in &mut left {
            left.settle_lines(unit);
        }
        for (at, gross) in against {
            if let Some(left) = left.get_mut(at) {
                left.take_gross(gross);
            }
        }
        if spread.is_positive() {
            let weights: Vec<Money> = left.iter().map(Remainder::spreadable).collect();
            let all: Money = weights.iter().copied().sum();
            let shares = if spread >= all { weights } else { spread.split(&weights, unit) };
            for (left, share) in left.iter_mut().zip(shares) {
                left.take_gross(share);
            }
        }
        let lines = snapshot.lines.iter().zip(left);
        lines
            .map(|(line, left)| EffectiveLine {
                line,
                refunded: line.net - left.net,
                units: left.units.max(Decimal::ZERO),
                units_net: left.units_net,
                net: if earns && line.kind == LineKind::Merchandise {
                    left.net
                } else {
                    Money::ZERO
                },
            })
            .collect()
    }
}

/// A line with what is left of it for commission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveLine<'a> {
    /// The line as the snapshot has it.
    pub line: &'a Line,
    /// Net taken back by refunds.
    pub refunded: Money,
    /// What earns now: zero unless the order is paid and the line is merchandise.
    pub net: Money,
    /// Units that no refund names with money for them.
    pub units: Decimal,
    /// The net of these units, before money was taken back that names no units.
    pub units_net: Money,
}

/// What is left of a line while refunds are taken from it.
struct Remainder {
    merchandise: bool,
    refunded: Money,
    by_refunds_net: Money,
    by_refunds_gross: Money,
    net: Money,
    gross: Money,
    units: Decimal,
    by_units_net: Money,
    units_net: Money,
}

impl Remainder {
    fn of(line: &Line) -> Self {
        Self {
            merchandise: line.kind == LineKind::Merchandise,
            refunded: line.refunded,
            by_refunds_net: Money::ZERO,
            by_refunds_gross: Money::ZERO,
            net: line.net,
            gross: line.gross,
            units: line.quantity,
            by_units_net: Money::ZERO,
            units_net: line.net,
        }
    }

    /// Takes the units that a refund names, if it takes money for them: units that come back without
    /// any are an exchange, which leaves the sale as it is.
    fn take_units(&mut self, line: &RefundLine) {
        if line.quantity > Decimal::ZERO && line.net.is_positive() {
            self.units = self.units.saturating_sub(line.quantity);
            self.by_units_net += line.net;
        }
    }

    /// Takes what the lines of refunds name: the larger of the two accounts of it. Where only the
    /// snapshot knows, the gross falls by the same share as the net.
    fn settle_lines(&mut self, unit: Money) {
        let (net, gross) = (self.net, self.gross);
        let taken = self.refunded.max(self.by_refunds_net).min(net).at_least_zero();
        let taken_gross = if self.by_refunds_net >= self.refunded {
            self.by_refunds_gross
        } else {
            gross.proportion(taken, net).rounded_to(unit)
        };
        self.net -= taken;
        self.units_net = net - self.by_units_net.min(taken);
        self.gross -= taken_gross.min(gross).at_least_zero();
        if self.gross.is_zero() && gross.is_positive() {
            self.net = Money::ZERO;
        }
    }

    /// Takes an amount of gross; the net falls by the same share.
    fn take_gross(&mut self, amount: Money) {
        let amount = amount.min(self.gross).at_least_zero();
        if !amount.is_positive() {
            return;
        }
        self.net -= self.net.proportion(amount, self.gross);
        self.gross -= amount;
    }

    fn spreadable(&self) -> Money {
        if self.merchandise && self.net.is_positive() { self.gross } else { Money::ZERO }
    }
}
