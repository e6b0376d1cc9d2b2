//! Why a member got what they got, and why nothing where they got nothing.
//!
//! Nothing of it is stored: the components are computed once more with somebody who listens for what is
//! withheld. A story of one member passes over the lines once; the stories of all are linear together.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    ActivityStory, BelowZero, BracketStanding, Close, ClosePlan, PoolStanding, Population, Scene,
    Totals, bonus, bracket, breakaway,
    column::{at, index, update},
    levels,
    line::{ComponentClose, Earning, Unpaid},
    matching,
    ranking::{ForcedRank, Shortfall},
    withheld::{Ear, LevelSource, Listener, Sources, Whose, Withheld},
};
use crate::domain::{
    id::{ComponentId, RankId},
    money::Money,
    plan::{
        close::{CloseComponent, Matching},
        rank::RankLevel,
        volume::Measure,
    },
    volume::{Conversion, Volume},
};

/// A period from one member's side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberStory {
    /// The member, by the caller's number.
    pub member: u32,
    /// Whether they were active.
    pub active: bool,
    /// What that rests on.
    pub activity: ActivityStory,
    /// Personal volume.
    pub pv: Volume,
    /// Qualifying volume.
    pub qv: Volume,
    /// Commissionable volume.
    pub cv: Volume,
    /// What of these is below zero and counts as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_zero: Option<BelowZero>,
    /// Volume of the lifetime.
    pub accumulated: Volume,
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

/// What a component gave a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentStory {
    /// The component.
    pub component: ComponentId,
    /// The money for a point, where it pays on volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// The lines.
    pub lines: Vec<Earning>,
    /// What caps took, each with its cap.
    pub cuts: Vec<(ComponentId, Money)>,
    /// What the member gets; below zero where more is taken back.
    pub paid: Money,
    /// What of it the close posts: not what orders earned, which stands in the ledger already.
    pub posted: Money,
    /// Why it is nothing, if it is.
    pub unpaid: Option<Unpaid>,
    /// The levels or generations that the member did not hold a rate for, each with the reason: also of who
    /// is paid on others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<(u32, Unpaid)>,
    /// The money that the member did not get, with the reason and who has it instead: also of who is paid
    /// other money.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Where the member stands in the table of a bracket component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bracket: Option<BracketStanding>,
    /// The shares of a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolStanding>,
    /// Where the money of the component went, of all members.
    pub totals: Totals,
}

/// The stories of a close.
pub struct Stories<'a> {
    close: &'a Close,
    plan: &'a ClosePlan,
    population: &'a Population,
    /// By component, in the order of the plan.
    told: Vec<Told>,
}

impl std::fmt::Debug for Stories<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stories").finish_non_exhaustive()
    }
}

/// What is whose of a component.
struct Told {
    lines: Whose,
    cuts: Whose,
    withheld: Vec<Withheld>,
    withheld_from: Whose,
}

impl Close {
    /// Tells the period from a member's side; `None` if there is no such member.
    pub fn explain(
        &self,
        plan: &ClosePlan,
        population: &Population,
        member: u32,
    ) -> Option<MemberStory> {
        let only = population.position(member)?;
        Stories::new(self, plan, population, Some(only)).of(member)
    }

    /// Whose volume stands at the levels of a member in a unilevel on volumes, whether the member earns on
    /// it or not; nothing for other components.
    pub fn level_sources(
        &self,
        plan: &ClosePlan,
        population: &Population,
        component: &ComponentId,
        member: u32,
    ) -> Vec<LevelSource> {
        let parts = &plan.parts.components;
        let part = parts.iter().find(|part| part.id() == component);
        let (Some(part @ CloseComponent::UnilevelVolume(_)), Some(position)) =
            (part, population.position(member))
        else {
            return Vec::new();
        };
        let mut ear = Sources::new(population, position);
        self.tell(plan, part, &Scene::new(plan, population, &self.ranking), &mut ear);
        ear.rows
    }

    /// The stories of everybody, for whoever asks for many.
    pub fn stories<'a>(&'a self, plan: &'a ClosePlan, population: &'a Population) -> Stories<'a> {
        Stories::new(self, plan, population, None)
    }

    /// Computes a component once more, for a listener.
    fn tell<E: Ear>(
        &self,
        plan: &ClosePlan,
        part: &CloseComponent,
        scene: &Scene<'_>,
        ear: &mut E,
    ) {
        match part {
            // What is given was told elsewhere, and nobody in particular misses a share of a pool.
            CloseComponent::Given(_) | CloseComponent::Pool(_) => {}
            CloseComponent::UnilevelVolume(part) => drop(levels::compute(part, scene, ear)),
            CloseComponent::Bracket(part) => drop(bracket::compute(part, scene, ear)),
            CloseComponent::Breakaway(part) => {
                let groups = self.component(&part.bracket).and_then(|c| c.groups.as_deref());
                if let Some(groups) = groups {
                    drop(breakaway::compute(part, scene, groups, ear));
                }
            }
            CloseComponent::Matching(part) => {
                let earned = self.earned_by_then(plan, part, scene.population.len());
                drop(matching::compute(part, scene, &earned, ear));
            }
            CloseComponent::RankBonus(part) => {
                let paid = bonus::Paid::of_component(&part.id, scene.population, &self.paid_ranks);
                drop(bonus::rank_bonus(part, scene, &paid, ear));
            }
        }
    }

    /// What a matching saw: what the matched components paid before the caps that came after it.
    fn earned_by_then(&self, plan: &ClosePlan, part: &Matching, len: usize) -> Vec<Money> {
        let mut earned = matching::earned(part, &self.components, len);
        let place =
            |id: &ComponentId| self.components.iter().position(|component| component.id == *id);
        let then = place(&part.id);
        let came_after = |cap: u16| {
            let cap = plan.parts.caps.get(usize::from(cap));
            cap.is_some_and(|cap| place(&cap.after) >= then)
        };
        let matched = self.components.iter().filter(|component| part.on.contains(&component.id));
        for cut in matched.flat_map(|component| &component.cuts).filter(|cut| came_after(cut.cap)) {
            update(&mut earned, cut.member, |sum| *sum += cut.amount);
        }
        earned
    }
}

impl<'a> Stories<'a> {
    fn new(
        close: &'a Close,
        plan: &'a ClosePlan,
        population: &'a Population,
        only: Option<u32>,
    ) -> Self {
        let scene = Scene::new(plan, population, &close.ranking);
        let parts = plan.parts.components.iter().zip(&close.components);
        let told = parts.map(|(part, component)| {
            let mut ear = Listener::new(population, only);
            close.tell(plan, part, &scene, &mut ear);
            let lines = component.lines.member.iter().copied();
            let cuts = component.cuts.iter().map(|cut| cut.member);
            let Listener { member, rows: withheld, .. } = ear;
            Told {
                lines: whose(lines, only, population),
                cuts: whose(cuts, only, population),
                withheld_from: whose(member.iter().copied(), only, population),
                withheld,
            }
        });
        Self { close, plan, population, told: told.collect() }
    }

    /// The story of a member; `None` if there is no such member.
    pub fn of(&self, member: u32) -> Option<MemberStory> {
        let Self { close, plan, population, .. } = *self;
        let position = population.position(member)?;
        let ranking = &close.ranking;
        let paid_as = at(&ranking.paid_as, position);
        let next = RankLevel(paid_as.0.saturating_add(1));
        let scene = Scene::new(plan, population, ranking);
        let parts = plan.parts.components.iter().zip(&close.components).zip(&self.told);
        let volume = |measure| at(population.volume(measure), position);
        let below_zero = population.below_zero();
        let below = below_zero.binary_search_by_key(&member, |below| below.member).ok();
        Some(MemberStory {
            member,
            active: ranking.is_active(position),
            activity: plan.ranks.activity(population, position),
            pv: volume(Measure::Pv),
            qv: volume(Measure::Qv),
            cv: volume(Measure::Cv),
            below_zero: below.and_then(|row| below_zero.get(row).copied()),
            accumulated: at(population.accumulated(), position),
            gv: at(&ranking.gv, position),
            pgv: at(&ranking.pgv, position),
            active_legs: at(&ranking.active_legs, position),
            paid_as: plan.ladder.rank(paid_as).cloned(),
            forced: close.forced.iter().filter(|f| f.member == member).cloned().collect(),
            achieved: plan.ladder.rank(at(&ranking.achieved, position)).cloned(),
            next: plan.ladder.rank(next).cloned(),
            missing: plan.ranks.missing(population, ranking, position, next),
            components: parts
                .map(|((part, component), told)| {
                    self.component(&scene, (part, component, told), position)
                })
                .collect(),
        })
    }

    fn component(
        &self,
        scene: &Scene<'_>,
        (part, close, told): (&CloseComponent, &ComponentClose, &Told),
        position: u32,
    ) -> ComponentStory {
        let Self { plan, population, .. } = *self;
        let name = |place| population.member(place);
        let lines = told.lines.of(position).iter();
        let lines: Vec<Earning> = lines.filter_map(|row| close.lines.get(*row, name)).collect();
        let cap = |number: u16| plan.parts.caps.get(usize::from(number)).map(|cap| cap.id.clone());
        let cuts = told.cuts.of(position).iter();
        let cuts = cuts.filter_map(|row| close.cuts.get(index(*row)));
        let cuts: Vec<_> = cuts.filter_map(|cut| Some((cap(cut.cap)?, cut.amount))).collect();
        let withheld = told.withheld_from.of(position).iter();
        let withheld = withheld.filter_map(|row| told.withheld.get(index(*row)));
        let withheld: Vec<Withheld> = withheld.copied().collect();
        let paid = close.paid_to(position);
        let unpaid = if !paid.is_zero() {
            None
        } else if cuts.is_empty() {
            Some(self.why_not(scene, (part, close), position, (!lines.is_empty(), &withheld)))
        } else {
            Some(Unpaid::Capped)
        };
        let bracket = match (part, &close.groups) {
            (CloseComponent::Bracket(plan), Some(groups)) => {
                Some(bracket::standing(plan, scene, groups, position))
            }
            _ => None,
        };
        let pool = if let CloseComponent::Pool(plan) = part {
            Some(bonus::standing(plan, scene, position, close.totals.pool))
        } else {
            None
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
        let (component, totals) = (close.id.clone(), close.totals.clone());
        let conversion = conversion(part, scene);
        ComponentStory {
            component,
            conversion,
            lines,
            cuts,
            paid,
            posted: close.posted_to(position),
            unpaid,
            closed,
            withheld,
            bracket,
            pool,
            totals,
        }
    }

    fn why_not(
        &self,
        scene: &Scene<'_>,
        (part, close): (&CloseComponent, &ComponentClose),
        position: u32,
        (has_lines, withheld): (bool, &[Withheld]),
    ) -> Unpaid {
        let groups = |id: &ComponentId| self.close.component(id).and_then(|c| c.groups.as_deref());
        match part {
            CloseComponent::Given(_) => Unpaid::NothingGiven,
            CloseComponent::UnilevelVolume(plan) => {
                most(withheld).unwrap_or_else(|| levels::why_not(plan, scene, position))
            }
            CloseComponent::Matching(plan) => {
                most(withheld).unwrap_or_else(|| matching::why_not(plan, scene, position))
            }
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

fn whose(
    members: impl Iterator<Item = u32> + Clone,
    only: Option<u32>,
    population: &Population,
) -> Whose {
    match only {
        Some(only) => Whose::one(members, only),
        None => Whose::all(members, population.len()),
    }
}

/// The reason for which most was withheld.
fn most(withheld: &[Withheld]) -> Option<Unpaid> {
    let mut by_reason: BTreeMap<Unpaid, Money> = BTreeMap::new();
    for part in withheld {
        *by_reason.entry(part.reason).or_default() += part.amount;
    }
    let most = by_reason.into_iter().min_by_key(|(_, amount)| Reverse(amount.abs()));
    most.map(|(reason, _)| reason)
}

/// The money for a point, of a component that pays on volume.
fn conversion(part: &CloseComponent, scene: &Scene<'_>) -> Option<Conversion> {
    let own = match part {
        CloseComponent::UnilevelVolume(part) => part.conversion,
        CloseComponent::Bracket(part) => part.conversion,
        CloseComponent::Breakaway(part) => part.conversion,
        CloseComponent::Pool(part) => part.conversion,
        CloseComponent::Given(_) | CloseComponent::Matching(_) | CloseComponent::RankBonus(_) => {
            return None;
        }
    };
    Some(own.unwrap_or(scene.conversion))
}
