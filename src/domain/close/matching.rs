//! Matching: a share of what people below earned, by generation of enrolment.
//!
//! The pool is, for each person with earnings and each generation above, the highest rate of that
//! generation in the plan, each rounded once. Where the plan matches earnings below zero, their part of
//! the pool is below zero too, and so are lines and breakage.

use super::{
    Scene,
    column::{NOBODY, index},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    table::Rates,
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

pub(super) fn compute(
    plan: &Matching,
    scene: &Scene<'_>,
    before: &[ComponentClose],
) -> ComponentClose {
    let population = scene.population;
    let rates = Rates::new(&plan.rates, scene.ladder);
    let mut close = ComponentClose::new(&plan.id, population.len());
    let matched: Vec<_> = before.iter().filter(|c| plan.on.contains(&c.id)).collect();
    let earners = population.positions().filter_map(|member| {
        let earned: Money = matched.iter().map(|component| component.paid_to(member)).sum();
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
    for (generation, top) in rates.top() {
        if plan.compression == VolumeCompression::Dynamic {
            // 0 % holds no generation that pays somebody.
            let pays = |own: Rate| own > Rate::ZERO || top == Rate::ZERO;
            above =
                population.next_above(|m| rate(plan, scene, &rates, m, generation).is_ok_and(pays));
        }
        for source in &mut sources {
            // Nobody stands above nobody: the number is outside of every column.
            source.holder = above.get(index(source.holder)).copied().unwrap_or(NOBODY);
            let offered = source.earned.scaled(top, scene.rounding, scene.currency);
            close.offer(offered);
            if source.holder == NOBODY {
                close.breakage(Unpaid::EndOfUpline, offered);
                continue;
            }
            let rate = match rate(plan, scene, &rates, source.holder, generation) {
                Ok(rate) => rate,
                Err(reason) => {
                    close.breakage(reason, offered);
                    continue;
                }
            };
            let amount = source.earned.scaled(rate, scene.rounding, scene.currency);
            close.breakage(Unpaid::LowerRate, offered - amount);
            if !amount.is_zero() {
                close.earn(Earning {
                    member: source.holder,
                    source: Some(source.member),
                    title: Title::Share,
                    level: u32::try_from(generation).unwrap_or(u32::MAX),
                    base: Base::Money(source.earned),
                    rate,
                    amount,
                });
            }
        }
    }
    close
}

/// Why a member who earned nothing did not.
pub(super) fn why_not(plan: &Matching, scene: &Scene<'_>, member: u32) -> Unpaid {
    let rates = Rates::new(&plan.rates, scene.ladder);
    match rate(plan, scene, &rates, member, 1) {
        Ok(_) => Unpaid::NothingBelow,
        Err(reason) => reason,
    }
}

/// The generations that are closed to a member, and why.
pub(super) fn closed(plan: &Matching, scene: &Scene<'_>, member: u32) -> Vec<(u32, Unpaid)> {
    let rates = Rates::new(&plan.rates, scene.ladder);
    let why = |generation| rate(plan, scene, &rates, member, generation).err();
    (1u32..).zip(rates.top()).filter_map(|(n, (level, _))| Some((n, why(level)?))).collect()
}

fn rate(
    plan: &Matching,
    scene: &Scene<'_>,
    rates: &Rates<'_>,
    member: u32,
    generation: usize,
) -> Result<Rate, Unpaid> {
    if !scene.ranking.is_active(member) {
        return Err(Unpaid::NotActive);
    }
    let rank = scene.ranking.rank(plan.rank, member);
    rates.rate(rank, generation).ok_or(Unpaid::RankTooLow)
}
