//! The override on legs that broke away, with the guaranteed minimum.
//!
//! The pool is the rate of each generation of the own group of every leg that broke away and stands
//! under a sponsor, each rounded once. What fills up a guaranteed amount moves between members and adds
//! nothing.

use super::{
    Scene,
    bracket::Groups,
    column::{NOBODY, at, index, set, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    withheld::{Ear, Instead, Withheld, at_or_nobody, keep, passing},
};
use crate::domain::{
    money::{Money, Rate},
    plan::close::{Breakaway, Deeper, Guarantee, Leader, Unqualified},
    volume::Volume,
};

pub(super) fn compute<E: Ear>(
    plan: &Breakaway,
    scene: &Scene<'_>,
    groups: &Groups,
    ear: &mut E,
) -> ComponentClose {
    let population = scene.population;
    let mut close = ComponentClose::new(&plan.id, population.len());
    let may_receive = |member| refusal(plan, scene, groups, member).is_none();
    let receivers = match plan.unqualified {
        Unqualified::RollUp => population.next_above(may_receive),
        Unqualified::Breakage => population.sponsors().to_vec(),
    };
    let money = |volume: Volume| scene.earning(volume, plan.conversion, plan.rate);
    let least = match plan.guarantee {
        Guarantee::None => Money::ZERO,
        Guarantee::PassedUp { threshold } => money(threshold),
    };
    // What each member holds of the legs below, which are settled before the member.
    let mut held = vec![Money::ZERO; population.len()];
    for leg in population.positions().rev().filter(|leg| at(&groups.broken, *leg)) {
        let cv = at(&groups.cv, leg).at_least_zero();
        let own = money(cv);
        if population.sponsor(leg) == NOBODY {
            continue;
        }
        close.offer(own);
        let receiver = receivers.get(index(leg)).copied().unwrap_or(NOBODY);
        let (source, title, level) = (Some(leg), Title::Share, first(plan));
        let (base, rate) = (Base::Volume(cv), plan.rate);
        if receiver == NOBODY {
            close.breakage(Unpaid::EndOfUpline, own);
            continue;
        }
        if let Some(reason) = refusal(plan, scene, groups, receiver) {
            let (amount, to) = (own, Instead::Company);
            keep(&mut close, ear, receiver, Withheld { source, level, reason, base, amount, to });
            continue;
        }
        let line = Earning { member: receiver, source, title, level, base, rate, amount: own };
        if own.is_positive() {
            close.earn(line);
        }
        let moved = (least - own).at_least_zero().min(at(&held, leg));
        if moved.is_positive() {
            let (base, rate) = (Base::Money(moved), Rate::WHOLE);
            let amount = -moved;
            let title = Title::Guarantee;
            close.earn(Earning { member: leg, source: None, title, base, rate, amount, ..line });
            let title = Title::Guaranteed;
            close.earn(Earning { title, base, rate, amount: moved, ..line });
            update(&mut held, leg, |held| *held -= moved);
            if E::LISTENS {
                let (reason, to) = (Unpaid::PassedUp, Instead::Member(receiver));
                let (source, amount) = (None, moved);
                ear.hear(leg, Withheld { source, level, reason, base, amount, to });
            }
        }
        update(&mut held, receiver, |held| *held += own + moved);
    }
    if E::LISTENS {
        passed_over(plan, scene, groups, &receivers, ear);
    }
    if let Some(deeper) = &plan.deeper {
        Generations { plan, deeper, scene, groups }.pay(&mut close, receivers, ear);
    }
    close
}

/// The number of the first generation on a line; an override without deeper ones counts none.
fn first(plan: &Breakaway) -> u32 {
    u32::from(plan.deeper.is_some())
}

/// The generations above the first.
struct Generations<'a> {
    plan: &'a Breakaway,
    deeper: &'a Deeper,
    scene: &'a Scene<'a>,
    groups: &'a Groups,
}

impl Generations<'_> {
    /// Pays them; `holders` are those of the first, by leg.
    fn pay<E: Ear>(&self, close: &mut ComponentClose, mut holders: Vec<u32>, ear: &mut E) {
        let population = self.scene.population;
        let above = population.next_above(|member| self.holds(member));
        for (level, rate) in (2u32..).zip(&self.deeper.rates) {
            if E::LISTENS {
                self.passed_over((level, *rate), &holders, &above, ear);
            }
            for leg in population.positions().filter(|leg| self.counts(*leg)) {
                let holder = match at_or_nobody(&holders, leg) {
                    NOBODY => NOBODY,
                    below => at_or_nobody(&above, below),
                };
                set(&mut holders, leg, holder);
                self.give(close, (level, *rate), (leg, holder), ear);
            }
        }
    }

    /// Gives a generation of a leg to who holds it.
    fn give<E: Ear>(
        &self,
        close: &mut ComponentClose,
        (level, rate): (u32, Rate),
        (leg, holder): (u32, u32),
        ear: &mut E,
    ) {
        let (cv, amount) = self.worth(leg, rate);
        close.offer(amount);
        if holder == NOBODY {
            close.breakage(Unpaid::EndOfUpline, amount);
            return;
        }
        let (source, base) = (Some(leg), Base::Volume(cv));
        if let Some(reason) = refusal(self.plan, self.scene, self.groups, holder) {
            let to = Instead::Company;
            keep(close, ear, holder, Withheld { source, level, reason, base, amount, to });
        } else if amount.is_positive() {
            let (member, title) = (holder, Title::Share);
            close.earn(Earning { member, source, title, level, base, rate, amount });
        }
    }

    /// Whether a leg pays an override.
    fn counts(&self, leg: u32) -> bool {
        at(&self.groups.broken, leg) && self.scene.population.sponsor(leg) != NOBODY
    }

    /// The CV of the own group of a leg, and what a rate of it is.
    fn worth(&self, leg: u32, rate: Rate) -> (Volume, Money) {
        let cv = at(&self.groups.cv, leg).at_least_zero();
        (cv, self.scene.earning(cv, self.plan.conversion, rate))
    }

    /// Whether a member could hold a generation, if they may receive it.
    fn leads(&self, member: u32) -> bool {
        match self.deeper.leader {
            Leader::Qualified => true,
            Leader::BrokeAway => at(&self.groups.broken, member),
        }
    }

    fn holds(&self, member: u32) -> bool {
        let keeps = self.deeper.leader == Leader::BrokeAway
            && self.plan.unqualified == Unqualified::Breakage;
        let may = || refusal(self.plan, self.scene, self.groups, member).is_none();
        self.leads(member) && (keeps || may())
    }

    /// Tells those who may not receive a generation to whom it rose past them.
    fn passed_over<E: Ear>(
        &self,
        (level, rate): (u32, Rate),
        holders: &[u32],
        above: &[u32],
        ear: &mut E,
    ) {
        let population = self.scene.population;
        let mut volumes = vec![Volume::ZERO; population.len()];
        let mut amounts = vec![Money::ZERO; population.len()];
        for leg in population.positions().filter(|leg| self.counts(*leg)) {
            let (cv, amount) = self.worth(leg, rate);
            let below = at_or_nobody(holders, leg);
            update(&mut volumes, below, |sum| *sum += cv);
            update(&mut amounts, below, |sum| *sum += amount);
        }
        let volumes = passing(population, above, &volumes);
        let amounts = passing(population, above, &amounts);
        for ((member, volume), amount) in population.positions().zip(volumes).zip(amounts) {
            let reason = refusal(self.plan, self.scene, self.groups, member);
            let Some(reason) = reason.filter(|_| self.leads(member)) else { continue };
            let to = match at_or_nobody(above, member) {
                NOBODY => Instead::Nobody,
                holder => Instead::Member(holder),
            };
            let (source, base) = (None, Base::Volume(volume));
            ear.hear(member, Withheld { source, level, reason, base, amount, to });
        }
    }
}

/// Tells those who may not receive the override on legs below them to whom it rose.
fn passed_over<E: Ear>(
    plan: &Breakaway,
    scene: &Scene<'_>,
    groups: &Groups,
    receivers: &[u32],
    ear: &mut E,
) {
    let population = scene.population;
    let mut volumes = vec![Volume::ZERO; population.len()];
    let mut amounts = vec![Money::ZERO; population.len()];
    for leg in population.positions().filter(|leg| at(&groups.broken, *leg)) {
        let cv = at(&groups.cv, leg).at_least_zero();
        set(&mut volumes, leg, cv);
        set(&mut amounts, leg, scene.earning(cv, plan.conversion, plan.rate));
    }
    let volumes = passing(population, receivers, &volumes);
    let amounts = passing(population, receivers, &amounts);
    for ((member, volume), amount) in population.positions().zip(volumes).zip(amounts) {
        let Some(reason) = refusal(plan, scene, groups, member) else { continue };
        let to = match at_or_nobody(receivers, member) {
            NOBODY => Instead::Nobody,
            receiver => Instead::Member(receiver),
        };
        let (source, level, base) = (None, first(plan), Base::Volume(volume));
        ear.hear(member, Withheld { source, level, reason, base, amount, to });
    }
}

/// Why a member may not receive the override.
fn refusal(plan: &Breakaway, scene: &Scene<'_>, groups: &Groups, member: u32) -> Option<Unpaid> {
    if !scene.ranking.is_active(member) {
        return Some(Unpaid::NotActive);
    }
    (at(&groups.picks, member) < plan.own_group).then_some(Unpaid::OwnGroupTooSmall)
}

/// Why a member who earned nothing did not.
pub(super) fn why_not(
    plan: &Breakaway,
    scene: &Scene<'_>,
    groups: &Groups,
    member: u32,
    has_lines: bool,
) -> Unpaid {
    let given_on = if has_lines { Unpaid::PassedUp } else { Unpaid::NoLegBrokeAway };
    refusal(plan, scene, groups, member).unwrap_or(given_on)
}
