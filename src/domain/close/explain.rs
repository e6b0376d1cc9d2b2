//! Why a member got what they got, and why nothing where they got nothing.

use serde::Serialize;

use super::{
    BracketStanding, Close, ClosePlan, Population, Scene, bonus, bracket, breakaway,
    column::at,
    levels,
    line::{ComponentClose, Earning, Unpaid},
    matching,
    ranking::{ForcedRank, Shortfall},
};
use crate::domain::{
    id::{ComponentId, RankId},
    money::Money,
    plan::{close::CloseComponent, rank::RankLevel},
    volume::Volume,
};

/// A period from one member's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberStory {
    /// The member, by the caller's number.
    pub member: u32,
    /// Whether they were active.
    pub active: bool,
    /// Group volume.
    pub gv: Volume,
    /// Volume of the own group.
    pub pgv: Volume,
    /// Active legs.
    pub active_legs: u16,
    /// The rank that they are paid as.
    pub paid_as: Option<RankId>,
    /// What was decided by hand about that rank.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<ForcedRank>,
    /// The highest rank ever reached.
    pub achieved: Option<RankId>,
    /// The next rank above the one that they are paid as; `None` at the top.
    pub next: Option<RankId>,
    /// What they lack for it; empty where a rank in between or a forced rank holds them back.
    pub missing: Vec<Shortfall>,
    /// What each component gave.
    pub components: Vec<ComponentStory>,
}

/// A component from one member's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStory {
    /// The component.
    pub component: ComponentId,
    /// The lines.
    pub lines: Vec<Earning>,
    /// What caps took, each with its cap.
    pub cuts: Vec<(ComponentId, Money)>,
    /// What the member gets; below zero where more is taken back.
    pub paid: Money,
    /// Why it is nothing, if it is.
    pub unpaid: Option<Unpaid>,
    /// The levels or generations that the member did not hold a rate for, each with the reason: also of who
    /// is paid on others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<(u32, Unpaid)>,
    /// Where the member stands in the table of a bracket component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bracket: Option<BracketStanding>,
}

impl Close {
    /// Tells the period from a member's side; `None` if there is no such member.
    pub fn explain(
        &self,
        plan: &ClosePlan,
        population: &Population,
        member: u32,
    ) -> Option<MemberStory> {
        let position = population.position(member)?;
        let ranking = &self.ranking;
        let paid_as = at(&ranking.paid_as, position);
        let next = RankLevel(paid_as.0.saturating_add(1));
        let scene = Scene::new(plan, population, ranking);
        let parts = plan.parts.components.iter().zip(&self.components);
        Some(MemberStory {
            member,
            active: ranking.is_active(position),
            gv: at(&ranking.gv, position),
            pgv: at(&ranking.pgv, position),
            active_legs: at(&ranking.active_legs, position),
            paid_as: plan.ladder.rank(paid_as).cloned(),
            forced: self.forced.iter().filter(|f| f.member == member).cloned().collect(),
            achieved: plan.ladder.rank(at(&ranking.achieved, position)).cloned(),
            next: plan.ladder.rank(next).cloned(),
            missing: plan.ranks.missing(population, ranking, position, next),
            components: parts
                .map(|(part, close)| self.story(plan, part, close, &scene, position))
                .collect(),
        })
    }

    fn story(
        &self,
        plan: &ClosePlan,
        part: &CloseComponent,
        close: &ComponentClose,
        scene: &Scene<'_>,
        position: u32,
    ) -> ComponentStory {
        let population = scene.population;
        let member = population.member(position);
        let lines = close.lines.iter(|place| population.member(place));
        let lines: Vec<Earning> = lines.filter(|line| line.member == member).collect();
        let cap = |number: u16| plan.parts.caps.get(usize::from(number)).map(|cap| cap.id.clone());
        let cuts = close.cuts.iter().filter(|cut| cut.member == position);
        let cuts: Vec<_> = cuts.filter_map(|cut| Some((cap(cut.cap)?, cut.amount))).collect();
        let paid = close.paid_to(position);
        let unpaid = if !paid.is_zero() {
            None
        } else if cuts.is_empty() {
            Some(self.why_not(part, close, scene, position, !lines.is_empty()))
        } else {
            Some(Unpaid::Capped)
        };
        let bracket = match (part, &close.groups) {
            (CloseComponent::Bracket(plan), Some(groups)) => {
                Some(bracket::standing(plan, groups, position))
            }
            _ => None,
        };
        let closed = match part {
            CloseComponent::UnilevelVolume(plan) => levels::closed(plan, scene, position),
            CloseComponent::Matching(plan) => matching::closed(plan, scene, position),
            CloseComponent::Given(_)
            | CloseComponent::Bracket(_)
            | CloseComponent::Breakaway(_)
            | CloseComponent::RankBonus(_)
            | CloseComponent::Pool(_) => Vec::new(),
        };
        let component = close.id.clone();
        ComponentStory { component, lines, cuts, paid, unpaid, closed, bracket }
    }

    fn why_not(
        &self,
        part: &CloseComponent,
        close: &ComponentClose,
        scene: &Scene<'_>,
        position: u32,
        has_lines: bool,
    ) -> Unpaid {
        let groups = |id: &ComponentId| self.component(id).and_then(|c| c.groups.as_deref());
        match part {
            CloseComponent::Given(_) => Unpaid::NothingGiven,
            CloseComponent::UnilevelVolume(plan) => levels::why_not(plan, scene, position),
            CloseComponent::Matching(plan) => matching::why_not(plan, scene, position),
            CloseComponent::RankBonus(plan) => bonus::why_no_bonus(plan, scene, position),
            CloseComponent::Pool(plan) => bonus::why_no_share(plan, scene, position),
            CloseComponent::Bracket(plan) => match groups(&close.id) {
                Some(groups) => bracket::why_not(plan, scene, groups, position),
                None => Unpaid::NoVolume,
            },
            CloseComponent::Breakaway(plan) => match groups(&plan.bracket) {
                Some(groups) => breakaway::why_not(plan, scene, groups, position, has_lines),
                None => Unpaid::NoLegBrokeAway,
            },
        }
    }
}
