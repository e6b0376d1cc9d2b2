//! The override on legs that broke away, with the guaranteed minimum.
//!
//! The pool is the rate of the own group of every leg that broke away and stands under a sponsor,
//! each rounded once. What fills up a guaranteed amount moves between members and adds nothing.

use super::{
    Scene,
    bracket::Groups,
    column::{NOBODY, at, index, set, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    withheld::{Ear, Instead, Withheld, at_or_nobody, keep, passing},
};
use crate::domain::{
    money::{Money, Rate},
    plan::close::{Breakaway, Guarantee, Unqualified},
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
        let (source, title, level) = (Some(leg), Title::Share, 0);
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
    close
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
        let (source, level, base) = (None, 0, Base::Volume(volume));
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
