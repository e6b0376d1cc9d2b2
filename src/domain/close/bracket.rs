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
}

/// The bracket of a group.
fn reached(table: &[BracketStep], group: Volume) -> Option<&BracketStep> {
    let above = table.partition_point(|step| step.from <= group);
    table.get(above.checked_sub(1)?)
}

/// Where a member stands in the table of a bracket component.
pub(super) fn standing(plan: &Bracket, groups: &Groups, position: u32) -> BracketStanding {
    let group = at(&groups.picks, position);
    let next = plan.table.iter().find(|step| step.from > group).copied();
    BracketStanding { group, bracket: reached(&plan.table, group).copied(), next }
}

pub(super) fn compute(plan: &Bracket, scene: &Scene<'_>) -> ComponentClose {
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
    let top = plan.table.last().map(|step| step.from);
    for position in population.positions().rev() {
        let (picks, cv) = (at(&groups.picks, position), at(&groups.cv, position));
        let rate = reached(&plan.table, picks).map_or(Rate::ZERO, |step| step.rate);
        let gross = scene.earning(cv.at_least_zero(), plan.conversion, rate);
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
        let keeps = owed - frontline;
        if keeps.is_negative() {
            close.offer(-keeps);
        } else if keeps.is_positive() && !active {
            close.breakage(Unpaid::NotActive, keeps);
        } else if keeps.is_positive() {
            let (source, level, base) = (None, 0, Base::Volume(cv));
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
    close.groups = Some(Box::new(groups));
    close
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
