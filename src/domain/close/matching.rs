//! Matching: a share of what people below earned, by generation of enrolment.
//!
//! The pool is, for each person with earnings and each generation above, the highest rate of that
//! generation in the plan, each rounded once. Where the plan matches earnings below zero, their part of
//! the pool is below zero too, and so are lines and breakage.

use super::{
    Scene,
    column::{NOBODY, index, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    table::Rates,
    withheld::{Ear, Instead, Withheld, at_or_nobody, keep, passing},
};
use crate::domain::{
    money::{Money, Rate},
    plan::close::{Matching, NegativeEarnings, VolumeCompression},
};

/// Somebody whose earnings are matched.
struct Source {
    member: u32,
    earned: Money,
    /// Who holds the generation before; at first the member.
    holder: u32,
}

/// What each member earned in the matched components, by position. `before` are the components before
/// the matching.
pub(super) fn earned(plan: &Matching, before: &[ComponentClose], len: usize) -> Vec<Money> {
    let mut earned = vec![Money::ZERO; len];
    for component in before.iter().filter(|component| plan.on.contains(&component.id)) {
        for (sum, paid) in earned.iter_mut().zip(&component.paid) {
            *sum += *paid;
        }
    }
    earned
}

/// `earned` is what the matched components pay each member after the caps so far.
pub(super) fn compute<E: Ear>(
    plan: &Matching,
    scene: &Scene<'_>,
    earned: &[Money],
    ear: &mut E,
) -> ComponentClose {
    let population = scene.population;
    let matching = Generations { plan, scene, rates: Rates::new(&plan.rates, scene.ladder) };
    let mut close = ComponentClose::new(&plan.id, population.len());
    let earners = population.positions().zip(earned).filter_map(|(member, earned)| {
        let earned = *earned;
        let counts = match plan.negative_earnings {
            NegativeEarnings::Match => !earned.is_zero(),
            NegativeEarnings::Ignore => earned.is_positive(),
        };
        counts.then_some(Source { member, earned, holder: member })
    });
    let mut sources: Vec<Source> = earners.collect();
    let mut above = match plan.compression {
        VolumeCompression::None => population.sponsors().to_vec(),
        VolumeCompression::RollUp => population.next_above(|m| scene.ranking.is_active(m)),
        VolumeCompression::Dynamic => Vec::new(),
    };
    for (generation, top) in matching.rates.top() {
        if plan.compression == VolumeCompression::Dynamic {
            // 0 % holds no generation that pays somebody.
            let pays = |own: Rate| own > Rate::ZERO || top == Rate::ZERO;
            above = population.next_above(|m| matching.rate(m, generation).is_ok_and(pays));
        }
        if E::LISTENS {
            matching.passed_over((generation, top), &above, &sources, ear);
        }
        for source in &mut sources {
            // Nobody stands above nobody: the number is outside of every column.
            source.holder = above.get(index(source.holder)).copied().unwrap_or(NOBODY);
            matching.pay(&mut close, ear, (generation, top), source);
        }
    }
    close
}

/// The component at work.
struct Generations<'a> {
    plan: &'a Matching,
    scene: &'a Scene<'a>,
    rates: Rates<'a>,
}

impl Generations<'_> {
    /// The rate of a member in a generation, or why there is none.
    fn rate(&self, member: u32, generation: usize) -> Result<Rate, Unpaid> {
        if !self.scene.ranking.is_active(member) {
            return Err(Unpaid::NotActive);
        }
        let rank = self.scene.ranking.rank(self.plan.rank, member);
        self.rates.rate(rank, generation).ok_or(Unpaid::RankTooLow)
    }

    fn money(&self, earned: Money, rate: Rate) -> Money {
        earned.scaled(rate, self.scene.rounding, self.scene.currency)
    }

    /// Pays who holds a generation above a source.
    fn pay<E: Ear>(
        &self,
        close: &mut ComponentClose,
        ear: &mut E,
        (generation, top): (usize, Rate),
        source: &Source,
    ) {
        let Source { member: below, earned, holder } = *source;
        let offered = self.money(earned, top);
        close.offer(offered);
        if holder == NOBODY {
            return close.breakage(Unpaid::EndOfUpline, offered);
        }
        let (source, base) = (Some(below), Base::Money(earned));
        let level = u32::try_from(generation).unwrap_or(u32::MAX);
        let to = Instead::Company;
        let kept = |reason, amount| Withheld { source, level, reason, base, amount, to };
        let rate = match self.rate(holder, generation) {
            Ok(rate) => rate,
            Err(reason) => return keep(close, ear, holder, kept(reason, offered)),
        };
        let amount = self.money(earned, rate);
        keep(close, ear, holder, kept(Unpaid::LowerRate, offered - amount));
        if !amount.is_zero() {
            let (member, title) = (holder, Title::Share);
            close.earn(Earning { member, source, title, level, base, rate, amount });
        }
    }

    /// Tells those who were passed over in a generation what rose past them, and to whom. The sources
    /// still say who holds the generation before.
    fn passed_over<E: Ear>(
        &self,
        (generation, top): (usize, Rate),
        above: &[u32],
        sources: &[Source],
        ear: &mut E,
    ) {
        let population = self.scene.population;
        let rate = |holder| self.rate(holder, generation).unwrap_or(top);
        let mut earned = vec![Money::ZERO; population.len()];
        let mut amounts = earned.clone();
        for source in sources {
            let amount = self.money(source.earned, rate(at_or_nobody(above, source.holder)));
            update(&mut earned, source.holder, |sum| *sum += source.earned);
            update(&mut amounts, source.holder, |sum| *sum += amount);
        }
        let earned = passing(population, above, &earned);
        let amounts = passing(population, above, &amounts);
        for ((member, earned), amount) in population.positions().zip(earned).zip(amounts) {
            let to = match at_or_nobody(above, member) {
                NOBODY => Instead::Nobody,
                holder if self.rate(holder, generation).is_ok() => Instead::Member(holder),
                holder => Instead::Rose(holder),
            };
            ear.hear(
                member,
                Withheld {
                    source: None,
                    level: u32::try_from(generation).unwrap_or(u32::MAX),
                    reason: self.rate(member, generation).err().unwrap_or(Unpaid::LowerRate),
                    base: Base::Money(earned),
                    amount,
                    to,
                },
            );
        }
    }
}

/// Why a member from whom nothing was withheld earned nothing.
pub(super) fn why_not(plan: &Matching, scene: &Scene<'_>, member: u32) -> Unpaid {
    let matching = Generations { plan, scene, rates: Rates::new(&plan.rates, scene.ladder) };
    matching.rate(member, 1).err().unwrap_or(Unpaid::NothingBelow)
}

/// The generations that are closed to a member, and why.
pub(super) fn closed(plan: &Matching, scene: &Scene<'_>, member: u32) -> Vec<(u32, Unpaid)> {
    let matching = Generations { plan, scene, rates: Rates::new(&plan.rates, scene.ladder) };
    let why = |generation| matching.rate(member, generation).err();
    let generations = (1u32..).zip(matching.rates.top());
    generations.filter_map(|(n, (level, _))| Some((n, why(level)?))).collect()
}
