//! The override on legs that broke away, with the guaranteed minimum.
//!
//! The pool is the rate of the own group of every leg that broke away and stands under a sponsor,
//! each rounded once. What fills up a guaranteed amount moves between members and adds nothing.

use super::{
    Scene,
    bracket::Groups,
    column::{NOBODY, at, index, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
};
use crate::domain::{
    money::{Money, Rate},
    plan::close::{Breakaway, Guarantee, Unqualified},
    volume::Volume,
};

pub(super) fn compute(plan: &Breakaway, scene: &Scene<'_>, groups: &Groups) -> ComponentClose {
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
        let refused = match receiver {
            NOBODY => Some(Unpaid::EndOfUpline),
            receiver => refusal(plan, scene, groups, receiver),
        };
        if let Some(reason) = refused {
            close.breakage(reason, own);
            continue;
        }
        let (source, title, level) = (Some(leg), Title::Share, 0);
        let (base, rate) = (Base::Volume(cv), plan.rate);
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
        }
        update(&mut held, receiver, |held| *held += own + moved);
    }
    close
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
