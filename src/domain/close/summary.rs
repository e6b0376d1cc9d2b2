//! A close in a few figures: what somebody looks at before they commit it.

use std::{cmp::Reverse, collections::BTreeMap};

use rust_decimal::Decimal;
use serde::Serialize;

use super::{Close, ClosePlan, Population, Totals, column::at};
use crate::domain::{
    id::{ComponentId, RankId},
    money::{Money, Rate},
    plan::volume::Measure,
    volume::Volume,
};

/// The figures of a close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Members in the population.
    pub members: usize,
    /// Active ones.
    pub active: usize,
    /// Members who get something.
    pub paid_members: usize,
    /// All commissionable volume that counts.
    pub cv: Volume,
    /// The commissionable volume below zero of members who gave back more than they bought: it counts in
    /// their next period or is forgiven, as the plan says.
    pub below_zero: Volume,
    /// What all members get.
    pub paid: Money,
    /// What they get as a share of the money that all commissionable volume is at the plan's own
    /// conversion, to four decimal places; `None` without volume.
    pub payout_ratio: Option<Decimal>,
    /// How many are paid as each rank, lowest first.
    pub ranks: Vec<(RankId, usize)>,
    /// Where the money of each component went, in the order of the plan.
    pub components: Vec<(ComponentId, Totals)>,
}

/// A member whose pay differs from that of the period before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mover {
    /// The member, by the caller's number.
    pub member: u32,
    /// What they got in the period before.
    pub before: Money,
    /// What they get now.
    pub now: Money,
}

impl Mover {
    fn change(&self) -> Money {
        (self.now - self.before).abs()
    }
}

impl Close {
    /// What a position gets over all components.
    fn total(&self, position: u32) -> Money {
        self.components().iter().map(|component| component.paid_to(position)).sum()
    }

    /// What each member gets over all components, by the caller's number.
    pub fn totals(&self, population: &Population) -> Vec<Money> {
        let place = |member| population.position(member).map(|position| self.total(position));
        population.positions().map(|member| place(member).unwrap_or_default()).collect()
    }

    /// The figures of the close.
    pub fn summary(&self, plan: &ClosePlan, population: &Population) -> Summary {
        let mut ranks = vec![0usize; plan.ladder.len()];
        for rank in &self.ranking.paid_as {
            let held = usize::from(rank.0).checked_sub(1).and_then(|index| ranks.get_mut(index));
            if let Some(held) = held {
                *held = held.saturating_add(1);
            }
        }
        let named = |(level, count)| {
            Some((plan.ladder.rank(crate::domain::plan::rank::RankLevel(level))?.clone(), count))
        };
        let cv: Volume = population.volume(Measure::Cv).iter().copied().sum();
        let paid: Money = self.components().iter().map(|component| component.totals.paid).sum();
        let conversion = plan.parts.volumes.conversion;
        let worth = cv.earning(conversion, Rate::WHOLE, plan.rounding, plan.currency);
        let ratio = paid.as_decimal().checked_div(worth.as_decimal());
        Summary {
            members: population.len(),
            active: self.ranking.active.iter().filter(|active| **active).count(),
            paid_members: population.positions().filter(|p| self.total(*p).is_positive()).count(),
            cv,
            below_zero: population.below_zero().iter().map(|below| below.cv).sum(),
            paid,
            payout_ratio: ratio.map(|ratio| ratio.round_dp(4).normalize()),
            ranks: (1u8..).zip(ranks).filter_map(named).collect(),
            components: self
                .components()
                .iter()
                .map(|component| (component.id.clone(), component.totals.clone()))
                .collect(),
        }
    }

    /// The members whose pay changed most against `before` (by the caller's number; who is not there
    /// had nothing), at most `most` of them, the largest change first, equal ones by number.
    pub fn movers(&self, population: &Population, before: &[Money], most: usize) -> Vec<Mover> {
        let now = self.totals(population);
        let mover = |member| {
            let mover = Mover { member, before: at(before, member), now: at(&now, member) };
            Some(mover).filter(|mover| !mover.change().is_zero())
        };
        let mut kept: BTreeMap<(Reverse<Money>, u32), Mover> = BTreeMap::new();
        for mover in population.positions().filter_map(mover) {
            kept.insert((Reverse(mover.change()), mover.member), mover);
            if kept.len() > most {
                kept.pop_last();
            }
        }
        kept.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        close::{evaluate, random},
        money::{Currency, Rounding},
    };

    fn cents(amount: u32) -> Money {
        Money::from_decimal(Decimal::new(amount.into(), 2)).unwrap()
    }

    proptest! {
        #[test]
        fn the_figures_agree_with_the_members(
            (columns, parts, inputs) in random::worlds(),
            before in prop::collection::vec(0u32..3, 0..20),
        ) {
            let eur = Currency::parse("EUR").unwrap();
            let plan = ClosePlan::new(parts, Rounding::HalfEven, eur).unwrap();
            let population = Population::new(&columns).unwrap();
            let close = evaluate(&plan, &population, &inputs).unwrap();
            let summary = close.summary(&plan, &population);
            let totals = close.totals(&population);
            prop_assert_eq!(summary.paid, totals.iter().copied().sum::<Money>());
            let counted = columns.cv.iter().map(|cv| cv.at_least_zero()).sum::<Volume>();
            prop_assert_eq!(summary.cv, counted);
            prop_assert_eq!(summary.paid_members, totals.iter().filter(|t| t.is_positive()).count());
            let ranked: usize = summary.ranks.iter().map(|(_, count)| count).sum();
            prop_assert!(ranked <= summary.members);

            let before: Vec<Money> = before.into_iter().map(|b| cents(b * 5_000)).collect();
            let mut slow: Vec<(Money, u32)> = (0..)
                .zip(&totals)
                .map(|(member, now)| ((*now - at(&before, member)).abs(), member))
                .filter(|(change, _)| !change.is_zero())
                .collect();
            slow.sort_by_key(|(change, member)| (Reverse(*change), *member));
            let movers = close.movers(&population, &before, 3);
            let found: Vec<u32> = movers.iter().map(|mover| mover.member).collect();
            prop_assert_eq!(found, slow.into_iter().take(3).map(|(_, m)| m).collect::<Vec<_>>());
        }
    }
}
