//! The stair-step with group volume.
//!
//! The pool is the gross of every group that is in no other: those at the top of the tree and those
//! that broke away. To it comes what the company adds where the frontline's groups are owed more than
//! the gross above them, which rounding and returns can bring about; nobody owes for their people.

use serde::{Deserialize, Serialize};

use super::{
    Scene,
    column::{NOBODY, at, set, update},
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    withheld::{Ear, Instead, Withheld, at_or_nobody, keep},
};
use crate::domain::{
    money::{Money, Rate},
    plan::{
        close::{Bracket, BracketStep, Breaks, InactiveGroup},
        volume::Measure,
    },
    volume::Volume,
};

/// The own groups of a bracket component, by position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Groups {
    /// The volume that picks the bracket.
    pub(super) picks: Vec<Volume>,
    /// The volume that carries the money.
    pub(super) cv: Vec<Volume>,
    /// What the member above owes: the gross of the group, or what its own groups are owed.
    pub(super) owed: Vec<Money>,
    /// What the groups of the frontline are owed together.
    pub(super) frontline: Vec<Money>,
    /// Whether the group has left the one above.
    pub(super) broken: Vec<bool>,
}

/// Where a member stands in the table: shows the cliff, where a small order lifts the bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BracketStanding {
    /// The volume of the own group that picks the bracket.
    pub group: Volume,
    /// The bracket reached; `None` below the first.
    pub bracket: Option<BracketStep>,
    /// The next bracket; `None` at the top.
    pub next: Option<BracketStep>,
    /// The volume of the own group that carries the money.
    pub cv: Volume,
    /// The gross: the bracket's rate of it.
    pub gross: Money,
    /// What the groups of the frontline are owed of the gross.
    pub owed: Money,
    /// Whether the group has left the one above.
    pub broken: bool,
}

/// The bracket of a group.
fn reached(table: &[BracketStep], group: Volume) -> Option<&BracketStep> {
    let above = table.partition_point(|step| step.from <= group);
    table.get(above.checked_sub(1)?)
}

/// Where a member stands in the table of a bracket component.
pub(super) fn standing(
    plan: &Bracket,
    scene: &Scene<'_>,
    groups: &Groups,
    position: u32,
) -> BracketStanding {
    let (group, cv) = (at(&groups.picks, position), at(&groups.cv, position));
    BracketStanding {
        group,
        bracket: reached(&plan.table, group).copied(),
        next: plan.table.iter().find(|step| step.from > group).copied(),
        cv,
        gross: gross(plan, scene, group, cv).1,
        owed: at(&groups.frontline, position),
        broken: at(&groups.broken, position),
    }
}

/// The bracket's rate of a group and the money that it is.
fn gross(plan: &Bracket, scene: &Scene<'_>, picks: Volume, cv: Volume) -> (Rate, Money) {
    let rate = reached(&plan.table, picks).map_or(Rate::ZERO, |step| step.rate);
    (rate, scene.earning(cv.at_least_zero(), plan.conversion, rate))
}

pub(super) fn compute<E: Ear>(plan: &Bracket, scene: &Scene<'_>, ear: &mut E) -> ComponentClose {
    let population = scene.population;
    let len = population.len();
    let mut close = ComponentClose::new(&plan.id, len);
    let mut groups = Groups {
        picks: population.volume(plan.picks).to_vec(),
        cv: population.volume(Measure::Cv).to_vec(),
        owed: vec![Money::ZERO; len],
        frontline: vec![Money::ZERO; len],
        broken: vec![false; len],
    };
    let mut given_up: Vec<(u32, Withheld)> = Vec::new();
    let top = plan.table.last().map(|step| step.from);
    for position in population.positions().rev() {
        let (picks, cv) = (at(&groups.picks, position), at(&groups.cv, position));
        let (rate, gross) = gross(plan, scene, picks, cv);
        let frontline = at(&groups.frontline, position);
        let active = scene.ranking.is_active(position);
        let broken =
            plan.breakaway == Breaks::TopBracket && top.is_some_and(|threshold| picks >= threshold);
        let sponsor = population.sponsor(position);
        // Nobody keeps what a group in no other group would pass up: it is offered and is breakage.
        let outermost = broken || sponsor == NOBODY;
        let passes = !active && plan.inactive == InactiveGroup::PassUp && !outermost;
        let owed = if passes { frontline } else { gross };
        set(&mut groups.owed, position, owed);
        set(&mut groups.broken, position, broken);
        if outermost {
            close.offer(owed);
        } else {
            update(&mut groups.picks, sponsor, |group| *group += picks);
            update(&mut groups.cv, sponsor, |group| *group += cv);
            update(&mut groups.frontline, sponsor, |sum| *sum += owed);
        }
        let (source, level, base) = (None, 0, Base::Volume(cv));
        let not = |amount, to| {
            let reason = Unpaid::NotActive;
            Withheld { source, level, reason, base, amount, to }
        };
        if E::LISTENS && passes && gross > frontline {
            given_up.push((position, not(gross - frontline, Instead::Nobody)));
        }
        let keeps = owed - frontline;
        if keeps.is_negative() {
            close.offer(-keeps);
        } else if keeps.is_positive() && !active {
            keep(&mut close, ear, position, not(keeps, Instead::Company));
        } else if keeps.is_positive() {
            let title = Title::Share;
            let line =
                Earning { member: position, source, title, level, base, rate, amount: gross };
            close.earn(line);
            if !frontline.is_zero() {
                let base = Base::Money(frontline);
                let (title, rate, amount) = (Title::OwedToFrontline, Rate::WHOLE, -frontline);
                close.earn(Earning { title, base, rate, amount, ..line });
            }
        }
    }
    if E::LISTENS {
        tell(scene, &groups, &given_up, ear);
    }
    close.groups = Some(Box::new(groups));
    close
}

/// Tells who has what the gross of a group does not leave its member: the groups of the frontline, and
/// of who passes up the next above who does not.
fn tell<E: Ear>(scene: &Scene<'_>, groups: &Groups, given_up: &[(u32, Withheld)], ear: &mut E) {
    let population = scene.population;
    for group in population.positions().filter(|group| !at(&groups.broken, *group)) {
        let (owed, sponsor) = (at(&groups.owed, group), population.sponsor(group));
        if sponsor != NOBODY && owed.is_positive() {
            let (source, level, base) = (Some(group), 0, Base::Volume(at(&groups.cv, group)));
            let (reason, to) = (Unpaid::OwedToFrontline, Instead::Member(group));
            ear.hear(sponsor, Withheld { source, level, reason, base, amount: owed, to });
        }
    }
    let mut passes = vec![false; population.len()];
    for (member, _) in given_up {
        set(&mut passes, *member, true);
    }
    let above = population.next_above(|member| !at(&passes, member));
    for (member, withheld) in given_up {
        let to = match at_or_nobody(&above, *member) {
            NOBODY => Instead::Nobody,
            holder if scene.ranking.is_active(holder) => Instead::Member(holder),
            holder => Instead::Rose(holder),
        };
        ear.hear(*member, Withheld { to, ..*withheld });
    }
}

/// Why a member who earned nothing did not.
pub(super) fn why_not(plan: &Bracket, scene: &Scene<'_>, groups: &Groups, member: u32) -> Unpaid {
    if !scene.ranking.is_active(member) {
        return Unpaid::NotActive;
    }
    if reached(&plan.table, at(&groups.picks, member)).is_none() {
        return Unpaid::BelowFirstBracket;
    }
    if at(&groups.owed, member).is_positive() { Unpaid::OwedToFrontline } else { Unpaid::NoVolume }
}
