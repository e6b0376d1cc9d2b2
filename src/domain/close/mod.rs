//! The close of a period: who earned what on the volumes of everybody, as a pure function of the
//! plan, the population and the inputs.
//!
//! Invariant: for every component pool = paid + breakage + capped + carried, to the minor unit. Each
//! module says what its pool is. Every line is rounded once; caps and pools share by largest
//! remainder and round nothing.
//!
//! The components run in the order of the plan, and after each the caps that the plan places there:
//! base, caps, matching, caps. What stands later sees what stands before, and nothing else.
//!
//! Why a member got nothing is not stored but answered on demand ([`Close::explain`]).

pub mod binary;
mod bonus;
mod bracket;
mod breakaway;
mod brought;
mod cap;
mod column;
mod entry;
mod explain;
pub mod gather;
mod levels;
mod line;
mod matching;
pub mod matrix;
pub mod placed;
mod population;
mod ranking;
mod record;
pub mod returns;
mod share;
mod summary;
mod table;
mod withheld;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    bonus::PoolStanding,
    bracket::BracketStanding,
    brought::{CarryLine, CarryVersion},
    column::NOBODY,
    entry::{Beneficiary, CloseEntry, CloseKey},
    explain::{ComponentStory, MemberStory, Stories},
    line::{Base, ComponentClose, Earning, Title, Totals, Unpaid},
    population::{BelowZero, Columns, Population, PopulationError},
    ranking::{ActivityStory, ForcedRank, Hold, RankChange, RankRules, Ranking, Shortfall},
    record::{Basis, CarryRecord, ENGINE, MemberRecord, PlacedTree, RankBonusRecord},
    summary::{Mover, Summary},
    withheld::{Instead, LevelSource, Withheld},
};
use self::{column::set, withheld::Deaf};
use super::{
    id::ComponentId,
    money::{Currency, Money, Rate, Rounding},
    plan::{
        close::{CloseComponent, CloseParts, ClosePlanError},
        rank::{Ladder, RankLevel},
        volume::NegativeVolume,
    },
    volume::{Conversion, Volume},
};

/// The parts of a plan that a close uses, checked and resolved.
#[derive(Debug, Clone)]
pub struct ClosePlan {
    parts: CloseParts,
    ladder: Ladder,
    ranks: RankRules,
    rounding: Rounding,
    currency: Currency,
}

impl ClosePlan {
    /// Checks the parts. `rounding` is the plan's; `currency` is what the close pays in.
    pub fn new(
        parts: CloseParts,
        rounding: Rounding,
        currency: Currency,
    ) -> Result<Self, ClosePlanError> {
        let ladder = parts.check()?;
        parts.check_amounts(currency)?;
        let ranks = RankRules::new(&parts, &ladder);
        Ok(Self { parts, ladder, ranks, rounding, currency })
    }

    /// The ranks, lowest first.
    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    /// The components whose earnings must come in as columns ([`Inputs::given`]).
    pub fn given(&self) -> impl Iterator<Item = &ComponentId> {
        self.parts.components.iter().filter_map(|component| match component {
            CloseComponent::Given(given) => Some(&given.id),
            CloseComponent::UnilevelVolume(_)
            | CloseComponent::Bracket(_)
            | CloseComponent::Breakaway(_)
            | CloseComponent::Matching(_)
            | CloseComponent::RankBonus(_)
            | CloseComponent::Pool(_) => None,
        })
    }

    /// The plan's own money for a point.
    pub fn conversion(&self) -> Conversion {
        self.parts.volumes.conversion
    }

    /// The rules of activity and ranks.
    pub fn ranks(&self) -> &RankRules {
        &self.ranks
    }
}

/// What comes into a close beside the population. Members are named by the caller's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inputs {
    /// Ranks decided by hand.
    pub forced: Vec<ForcedRank>,
    /// The earnings of the components that are computed elsewhere.
    pub given: Vec<GivenEarnings>,
    /// The ranks for which a bonus was paid in an earlier period.
    pub paid_ranks: Vec<PaidRank>,
    /// What pools carried out of the period before.
    pub carried: Vec<Carried>,
}

/// The earnings of a component that is computed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenEarnings {
    /// The component.
    pub component: ComponentId,
    /// What each member earned, by member number; below zero where more was taken back than earned.
    pub earned: Vec<Money>,
    /// Of a binary or a matrix, which are closed with the rest: what nobody gets. None of a component of
    /// orders: what it earned is posted with them, and the close posts only what caps take of it.
    #[serde(default)]
    pub unearned: Option<Unearned>,
}

/// What of a binary or a matrix is posted, but as nobody's earnings of this period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unearned {
    /// What the company keeps of positions that may not earn, by reason.
    pub breakage: BTreeMap<Unpaid, Money>,
    /// What the component's own caps take.
    pub capped: Money,
    /// The part of `earned` that corrects closed periods, by member number: matching and caps count it, and
    /// it is posted by itself, with the period that it corrects.
    pub corrected: Vec<(u32, Money)>,
}

/// A rank for which a bonus was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidRank {
    /// The component.
    pub component: ComponentId,
    /// The member.
    pub member: u32,
    /// The rank.
    pub rank: RankLevel,
}

/// What a pool carried out of the period before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The component.
    pub component: ComponentId,
    /// The amount; not negative.
    pub amount: Money,
}

/// Why a period cannot be closed with these inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// An input names a member that the population does not have.
    #[error("{what} names member {member}, who is not in the population")]
    Member {
        /// The input.
        what: &'static str,
        /// The member.
        member: u32,
    },
    /// An input names a rank above the ladder.
    #[error("{what} names rank number {rank}, the plan has {ranks} ranks")]
    Rank {
        /// The input.
        what: &'static str,
        /// The rank.
        rank: u8,
        /// The ranks that there are.
        ranks: usize,
    },
    /// An input names a component that is not of its kind, or names one twice.
    #[error("{what} names {component}: no component of that kind, or named before")]
    Component {
        /// The input.
        what: &'static str,
        /// The component.
        component: ComponentId,
    },
    /// The earnings of a component that is computed elsewhere are missing.
    #[error("the earnings of {0} are missing: compute it first and hand them in as `given`")]
    NotGiven(ComponentId),
    /// A column of given earnings has another length than the population.
    #[error("the earnings of {component} are {found}, the population has {expected} members")]
    Length {
        /// The component.
        component: ComponentId,
        /// The length found.
        found: usize,
        /// The members.
        expected: usize,
    },
    /// The activity looks back further than the columns go.
    #[error(
        "`earlier_pv` has {found} periods, `look_back` needs {needs}: give one without volume for \
             each before the first"
    )]
    Earlier {
        /// The columns that the look-back needs.
        needs: usize,
        /// The columns that there are.
        found: usize,
    },
    /// An amount is finer than the minor unit, or one that is carried is negative.
    #[error(
        "{what} of {component} has the amount {amount}: give whole minor units, carried not negative"
    )]
    Amount {
        /// The input.
        what: &'static str,
        /// The component.
        component: ComponentId,
        /// The amount.
        amount: Money,
    },
}

/// What a close gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Activity, volumes and ranks, by position.
    pub ranking: Ranking,
    /// The ranks that were decided by hand, with who and why.
    pub forced: Vec<ForcedRank>,
    /// The ranks for which a bonus was paid before.
    pub paid_ranks: Vec<PaidRank>,
    /// The personal volume below zero that is part of the next period, by member number: it goes into
    /// [`Columns::carry_in`]. Empty where the plan forgives it.
    pub carried_volume: Vec<BelowZero>,
    components: Vec<ComponentClose>,
}

impl Close {
    /// The components in the order of the plan.
    pub fn components(&self) -> &[ComponentClose] {
        &self.components
    }

    /// The component with this id.
    pub fn component(&self, id: &ComponentId) -> Option<&ComponentClose> {
        self.components.iter().find(|component| component.id == *id)
    }

    /// What a component pays a member after all caps; nothing for who is no member.
    pub fn paid(&self, component: &ComponentId, population: &Population, member: u32) -> Money {
        let found = self.component(component).zip(population.position(member));
        found.map(|(component, position)| component.paid_to(position)).unwrap_or_default()
    }

    /// The lines of a component, with the caller's member numbers.
    pub fn lines<'a>(
        &'a self,
        component: &ComponentId,
        population: &'a Population,
    ) -> impl Iterator<Item = Earning> + use<'a> {
        let found = self.component(component).into_iter();
        found.flat_map(|c| c.lines.iter(|position| population.member(position)))
    }
}

/// What the components see.
struct Scene<'a> {
    population: &'a Population,
    ranking: &'a Ranking,
    ladder: &'a Ladder,
    conversion: Conversion,
    rounding: Rounding,
    currency: Currency,
}

impl<'a> Scene<'a> {
    fn new(plan: &'a ClosePlan, population: &'a Population, ranking: &'a Ranking) -> Self {
        Self {
            population,
            ranking,
            ladder: &plan.ladder,
            conversion: plan.parts.volumes.conversion,
            rounding: plan.rounding,
            currency: plan.currency,
        }
    }

    /// The positions in the order of the caller's member numbers.
    fn by_member(&self) -> impl Iterator<Item = u32> {
        self.population.positions().filter_map(|member| self.population.position(member))
    }

    /// The money of a volume, with the conversion of the component or that of the plan.
    fn earning(&self, volume: Volume, conversion: Option<Conversion>, rate: Rate) -> Money {
        volume.earning(conversion.unwrap_or(self.conversion), rate, self.rounding, self.currency)
    }
}

/// Closes a period: ranks everybody and computes the components in the order of the plan.
pub fn evaluate(
    plan: &ClosePlan,
    population: &Population,
    inputs: &Inputs,
) -> Result<Close, CloseError> {
    check(plan, population, inputs)?;
    let ranking = plan.ranks.rank(population, &inputs.forced);
    let scene = Scene::new(plan, population, &ranking);
    let mut components: Vec<ComponentClose> = Vec::with_capacity(plan.parts.components.len());
    for component in &plan.parts.components {
        let close = match component {
            CloseComponent::Given(given) => self::given(&given.id, &scene, inputs)?,
            CloseComponent::UnilevelVolume(unilevel) => {
                levels::compute(unilevel, &scene, &mut Deaf)
            }
            CloseComponent::Bracket(bracket) => bracket::compute(bracket, &scene, &mut Deaf),
            CloseComponent::Breakaway(breakaway) => {
                let of = components.iter().find(|c| c.id == breakaway.bracket);
                let Some(groups) = of.and_then(|component| component.groups.as_ref()) else {
                    let component = breakaway.bracket.clone();
                    return Err(CloseError::Component { what: "breakaway", component });
                };
                breakaway::compute(breakaway, &scene, groups, &mut Deaf)
            }
            CloseComponent::Matching(matching) => {
                let earned = matching::earned(matching, &components, population.len());
                matching::compute(matching, &scene, &earned, &mut Deaf)
            }
            CloseComponent::RankBonus(bonus) => {
                let paid = bonus::Paid::of_component(&bonus.id, population, &inputs.paid_ranks);
                bonus::rank_bonus(bonus, &scene, &paid, &mut Deaf)
            }
            CloseComponent::Pool(pool) => {
                let carried = inputs.carried.iter().find(|carried| carried.component == pool.id);
                let carried = carried.map(|carried| carried.amount).unwrap_or_default();
                bonus::pool(pool, &scene, carried)
            }
        };
        components.push(close);
        for (number, cap) in (0..).zip(&plan.parts.caps) {
            if cap.after == *component.id() {
                cap::apply(number, cap, &scene, &mut components);
            }
        }
    }
    let carried_volume = match plan.parts.volumes.negative_volume {
        NegativeVolume::Carry => population.below_zero().to_vec(),
        NegativeVolume::Forgive => Vec::new(),
    };
    let (forced, paid_ranks) = (inputs.forced.clone(), inputs.paid_ranks.clone());
    Ok(Close { ranking, forced, paid_ranks, carried_volume, components })
}

fn given(
    id: &ComponentId,
    scene: &Scene<'_>,
    inputs: &Inputs,
) -> Result<ComponentClose, CloseError> {
    let found = inputs.given.iter().find(|given| given.component == *id);
    let given = found.ok_or_else(|| CloseError::NotGiven(id.clone()))?;
    let population = scene.population;
    let mut close = ComponentClose::new(id, population.len());
    if given.unearned.is_none() {
        close.elsewhere = vec![Money::ZERO; population.len()];
    }
    for (member, amount) in (0..).zip(&given.earned) {
        if let Some(member) = population.position(member).filter(|_| !amount.is_zero()) {
            close.offer(*amount);
            let (base, rate) = (Base::Money(*amount), Rate::WHOLE);
            let (source, level, title) = (None, 0, Title::Share);
            close.earn(Earning { member, source, title, level, base, rate, amount: *amount });
            set(&mut close.elsewhere, member, *amount);
        }
    }
    if let Some(unearned) = &given.unearned {
        close.leave(unearned, population);
    }
    Ok(close)
}

fn check(plan: &ClosePlan, population: &Population, inputs: &Inputs) -> Result<(), CloseError> {
    let needs = usize::from(plan.parts.activity.look_back).saturating_sub(1);
    let found = population.earlier_pv().len();
    if found < needs {
        return Err(CloseError::Earlier { needs, found });
    }
    let ranks = plan.ladder.len();
    let forced = inputs.forced.iter().map(|f| ("a forced rank", f.member, f.rank));
    let paid = inputs.paid_ranks.iter().map(|p| ("a paid rank", p.member, p.rank));
    for (what, member, RankLevel(rank)) in forced.chain(paid) {
        if population.position(member).is_none() {
            return Err(CloseError::Member { what, member });
        }
        if usize::from(rank) > ranks {
            return Err(CloseError::Rank { what, rank, ranks });
        }
    }
    let exact = |amount: &Money| amount.is_whole_in(plan.currency);
    for (index, given) in inputs.given.iter().enumerate() {
        let (component, what) = (given.component.clone(), "`given`");
        let kind = |c: &CloseComponent| matches!(c, CloseComponent::Given(g) if g.id == component);
        let twice = inputs.given.iter().take(index).any(|other| other.component == component);
        if twice || !plan.parts.components.iter().any(kind) {
            return Err(CloseError::Component { what, component });
        }
        let (found, expected) = (given.earned.len(), population.len());
        if found != expected {
            return Err(CloseError::Length { component, found, expected });
        }
        let unearned = given.unearned.iter().flat_map(|unearned| {
            let corrected = unearned.corrected.iter().map(|(_, amount)| amount);
            unearned.breakage.values().chain([&unearned.capped]).chain(corrected)
        });
        let all = given.earned.iter().chain(unearned);
        if let Some(amount) = all.copied().find(|amount| !exact(amount)) {
            return Err(CloseError::Amount { what, component, amount });
        }
    }
    for (index, carried) in inputs.carried.iter().enumerate() {
        let (component, what) = (carried.component.clone(), "`carried`");
        let kind = |c: &CloseComponent| matches!(c, CloseComponent::Pool(p) if p.id == component);
        let twice = inputs.carried.iter().take(index).any(|other| other.component == component);
        if twice || !plan.parts.components.iter().any(kind) {
            return Err(CloseError::Component { what, component });
        }
        if carried.amount.is_negative() || !exact(&carried.amount) {
            return Err(CloseError::Amount { what, component, amount: carried.amount });
        }
    }
    Ok(())
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;
