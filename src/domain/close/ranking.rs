//! Activity, group volumes and ranks of a period.
//!
//! Invariant: whatever a rank asks for, it asks of the member and of people below. So one sweep from
//! the last position to the first finds every rank with all that it depends on settled: the fixpoint,
//! and the only one, for a tree has no circle. A sweep in another order would undercount.

use std::{collections::BTreeSet, ops::Range};

use serde::{Deserialize, Serialize};

use super::{
    Close, ClosePlan,
    column::{at, part, set},
    population::Population,
};
use crate::domain::{
    id::{DistributorId, Operator, RankId, Reason},
    plan::{
        close::CloseParts,
        rank::{ActiveLeg, Activity, Ladder, Rank, RankLevel, Reach, Standing, Window},
        volume::Measure,
    },
    volume::Volume,
};

/// A rank that somebody decided by hand for a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcedRank {
    /// The member, by the caller's number.
    pub member: u32,
    /// The rank.
    pub rank: RankLevel,
    /// How it relates to what the numbers support.
    pub hold: Hold,
    /// Whether it counts as reached for good.
    pub raises_title: bool,
    /// Who decided it.
    pub operator: Operator,
    /// Why.
    pub reason: Reason,
}

/// How a forced rank relates to what the numbers support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// The member is paid as this rank or a higher one.
    AtLeast,
    /// The member is paid as exactly this rank, and the period's numbers raise the highest rank ever
    /// reached no further.
    Exactly,
}

/// A rank that the numbers of a period support and that is not in force yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankChange {
    /// Who.
    pub distributor: DistributorId,
    /// The rank; `None` below the first.
    pub rank: Option<RankId>,
}

impl Close {
    /// Who has another rank by the numbers of the period than the one that is in force after it. A forced
    /// rank of the member's own does not count here: it is in force by itself, as long as somebody decided.
    /// `name` knows all members, `known` what closes before have found.
    pub fn rank_changes<'a>(
        &'a self,
        plan: &'a ClosePlan,
        population: &'a Population,
        name: impl Fn(u32) -> Option<DistributorId> + 'a,
        known: impl Fn(&DistributorId) -> Option<&'a RankId> + 'a,
    ) -> impl Iterator<Item = RankChange> + 'a {
        let forced: BTreeSet<u32> = self.forced.iter().map(|forced| forced.member).collect();
        population.positions().filter_map(move |member| {
            let position = population.position(member)?;
            let level = if forced.contains(&member) {
                plan.ranks.supported(&plan.ranks.facts(population, &self.ranking, position))
            } else {
                at(&self.ranking.paid_as, position)
            };
            let distributor = name(member)?;
            let rank = plan.ladder.rank(level);
            let changed = known(&distributor) != rank;
            changed.then(|| RankChange { distributor, rank: rank.cloned() })
        })
    }
}

/// What a member lacks for a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "requirement", rename_all = "snake_case")]
#[expect(missing_docs, reason = "every variant states what is needed and what is there")]
pub enum Shortfall {
    /// Not active.
    Active,
    /// Personal volume.
    Pv { needs: Volume, has: Volume },
    /// Personal qualifying volume.
    Qv { needs: Volume, has: Volume },
    /// Group volume, each leg counted up to the leg cap.
    Gv { needs: Volume, has: Volume },
    /// Volume of the own group.
    Pgv { needs: Volume, has: Volume },
    /// Volume of a lifetime.
    Accumulated { needs: Volume, has: Volume },
    /// Legs of a least volume, with somebody of a least rank.
    Legs { needs: u16, has: u16, gv: Option<Volume>, rank: Option<RankLevel> },
    /// Active legs.
    ActiveLegs { needs: u16, has: u16 },
    /// Personally enrolled people who are active.
    EnrolledActive { needs: u16, has: u16 },
}

/// What a member's activity rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActivityStory {
    /// Whether they are active.
    pub active: bool,
    /// Whether their status lets them be.
    pub status: bool,
    /// The least PV; nothing where the plan asks for none.
    pub needs: Volume,
    /// How the periods of the look-back count.
    pub window: Window,
    /// The PV of each period of the look-back, this one first.
    pub periods: Vec<Volume>,
    /// What of it counts: the sum, or the most of one period.
    pub has: Volume,
    /// The PV that is missing.
    pub missing: Volume,
    /// Whether there is an order in the look-back; none where the plan asks for no order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<bool>,
}

/// A rank's requirements with the names resolved.
#[derive(Debug, Clone)]
struct Rung {
    rank: Rank,
    /// What a leg may bring at most.
    leg_most: Option<Volume>,
    /// For each requirement of legs the rank that it names.
    legs: Vec<Option<RankLevel>>,
}

/// The rules of a plan about activity and ranks, resolved.
#[derive(Debug, Clone)]
pub struct RankRules {
    activity: Activity,
    group: Measure,
    reach: Reach,
    leg_rank: Standing,
    leader: Option<RankLevel>,
    rungs: Vec<Rung>,
}

impl RankRules {
    /// Resolves the parts; they have been checked, `ladder` is theirs.
    pub(super) fn new(parts: &CloseParts, ladder: &Ladder) -> Self {
        let rung = |rank: &Rank| Rung {
            leg_most: rank.gv.zip(rank.leg_cap).map(|(gv, cap)| gv.portion(cap)),
            legs: rank
                .legs
                .iter()
                .map(|legs| legs.rank.as_ref().and_then(|r| ladder.level(r)))
                .collect(),
            rank: rank.clone(),
        };
        Self {
            activity: parts.activity.clone(),
            group: parts.volumes.group,
            reach: parts.ladder.reach,
            leg_rank: parts.ladder.leg_rank,
            leader: parts.ladder.leader.as_ref().and_then(|rank| ladder.level(rank)),
            rungs: parts.ranks.iter().map(rung).collect(),
        }
    }

    fn is_active(&self, population: &Population, position: u32) -> bool {
        let mut window = self.window(population, position);
        let enough = match self.activity.window {
            // A floor of nothing holds for whoever returned more than they bought, too.
            _ if !self.activity.pv.is_positive() => true,
            Window::AnyPeriod => window.any(|pv| pv >= self.activity.pv),
            Window::Sum => window.sum::<Volume>() >= self.activity.pv,
        };
        enough
            && population.may_earn(position)
            && self.has_order(population, position) != Some(false)
    }

    /// Whether there is an order that makes a member active; none where the plan asks for no order.
    fn has_order(&self, population: &Population, position: u32) -> Option<bool> {
        self.activity.order.map(|_| population.ordered(position))
    }

    /// The PV of the periods of the look-back, this one first.
    fn window<'a>(
        &self,
        population: &'a Population,
        position: u32,
    ) -> impl Iterator<Item = Volume> + use<'a> {
        let own = at(population.volume(Measure::Pv), position);
        let before = usize::from(self.activity.look_back).saturating_sub(1);
        let earlier = population.earlier_pv().iter().take(before);
        std::iter::once(own).chain(earlier.map(move |pv| at(pv, position)))
    }

    /// What a member's activity rests on.
    pub(super) fn activity(&self, population: &Population, position: u32) -> ActivityStory {
        let periods: Vec<Volume> = self.window(population, position).collect();
        let has = match self.activity.window {
            Window::AnyPeriod => periods.iter().copied().max().unwrap_or_default(),
            Window::Sum => periods.iter().copied().sum(),
        };
        let needs = self.activity.pv.at_least_zero();
        ActivityStory {
            active: self.is_active(population, position),
            status: population.may_earn(position),
            needs,
            window: self.activity.window,
            periods,
            has,
            missing: (needs - has).at_least_zero(),
            order: self.has_order(population, position),
        }
    }
}

/// Activity, volumes and ranks of everybody, by position.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranking {
    /// Whether the member is active.
    pub active: Vec<bool>,
    /// Group volume: the member and the whole downline.
    pub gv: Vec<Volume>,
    /// Volume of the own group, down to and without the next leaders.
    pub pgv: Vec<Volume>,
    /// Active legs.
    pub active_legs: Vec<u16>,
    /// The rank that the period's numbers support, or that was forced.
    pub paid_as: Vec<RankLevel>,
    /// The highest rank ever reached, this period included.
    pub achieved: Vec<RankLevel>,
    /// The highest rank, as legs count it, among the member and the downline.
    pub best: Vec<RankLevel>,
    /// Whether the member or anybody below is active.
    any_active: Vec<bool>,
}

impl Ranking {
    /// The rank of a member.
    pub fn rank(&self, standing: Standing, position: u32) -> RankLevel {
        match standing {
            Standing::PaidAs => at(&self.paid_as, position),
            Standing::Achieved => at(&self.achieved, position),
        }
    }

    /// Whether a member is active.
    pub fn is_active(&self, position: u32) -> bool {
        at(&self.active, position)
    }

    fn empty(len: usize) -> Self {
        Self {
            active: vec![false; len],
            gv: vec![Volume::ZERO; len],
            pgv: vec![Volume::ZERO; len],
            active_legs: vec![0; len],
            paid_as: vec![RankLevel(0); len],
            achieved: vec![RankLevel(0); len],
            best: vec![RankLevel(0); len],
            any_active: vec![false; len],
        }
    }
}

/// What the requirements of a member are held against.
struct Facts<'a> {
    active: bool,
    pv: Volume,
    qv: Volume,
    accumulated: Volume,
    own: Volume,
    gv: Volume,
    pgv: Volume,
    active_legs: u16,
    enrolled_active: u16,
    leg_gv: &'a [Volume],
    leg_best: &'a [RankLevel],
}

impl RankRules {
    /// Finds the rank of everybody. `forced` names members by their number; who is no member is left
    /// out by the caller.
    pub fn rank(&self, population: &Population, forced: &[ForcedRank]) -> Ranking {
        let mut ranking = Ranking::empty(population.len());
        let place = |forced: &'_ ForcedRank| population.position(forced.member);
        let mut forced: Vec<_> = forced.iter().filter_map(|f| Some((place(f)?, f))).collect();
        forced.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
        let mut forced = forced.into_iter().peekable();
        for position in population.positions().rev() {
            let facts = self.facts(population, &ranking, position);
            let supported = self.supported(&facts);
            let (active, gv, pgv) = (facts.active, facts.gv, facts.pgv);
            let (active_legs, legs) = (facts.active_legs, population.frontline(position));
            let mut paid_as = supported;
            // What counts as reached in this period: no more than the rank that somebody is held to.
            let mut reached = supported;
            let mut title = at(population.achieved(), position);
            while let Some((_, by_hand)) = forced.next_if(|(who, _)| *who == position) {
                paid_as = match by_hand.hold {
                    Hold::AtLeast => paid_as.max(by_hand.rank),
                    Hold::Exactly => by_hand.rank,
                };
                if by_hand.hold == Hold::Exactly {
                    reached = reached.min(by_hand.rank);
                }
                if by_hand.raises_title {
                    title = title.max(by_hand.rank);
                }
            }
            title = title.max(reached);
            let counted = match self.leg_rank {
                Standing::PaidAs => paid_as,
                Standing::Achieved => title.max(paid_as),
            };
            let best = part(&ranking.best, legs.clone()).iter().copied().max();
            let any = active || part(&ranking.any_active, legs).contains(&true);
            set(&mut ranking.active, position, active);
            set(&mut ranking.gv, position, gv);
            set(&mut ranking.pgv, position, pgv);
            set(&mut ranking.active_legs, position, active_legs);
            set(&mut ranking.paid_as, position, paid_as);
            set(&mut ranking.achieved, position, title);
            set(&mut ranking.best, position, counted.max(best.unwrap_or_default()));
            set(&mut ranking.any_active, position, any);
        }
        ranking
    }

    /// What a member lacks for a rank; empty if nothing is missing or there is no such rank.
    pub fn missing(
        &self,
        population: &Population,
        ranking: &Ranking,
        position: u32,
        rank: RankLevel,
    ) -> Vec<Shortfall> {
        let facts = self.facts(population, ranking, position);
        let rung = usize::from(rank.0).checked_sub(1).and_then(|index| self.rungs.get(index));
        let mut missing = Vec::new();
        if let Some(rung) = rung {
            rung.check(&facts, &mut |shortfall| {
                missing.push(shortfall);
                true
            });
        }
        missing
    }

    /// The facts of a member whose downline is settled.
    fn facts<'a>(&self, population: &Population, ranking: &'a Ranking, position: u32) -> Facts<'a> {
        let legs: Range<u32> = population.frontline(position);
        let own = at(population.volume(self.group), position);
        let leg_gv = part(&ranking.gv, legs.clone());
        let active = part(&ranking.active, legs.clone());
        let leg_active = match self.activity.active_leg {
            ActiveLeg::Frontline => active,
            ActiveLeg::Anyone => part(&ranking.any_active, legs.clone()),
        };
        let below =
            part(&ranking.paid_as, legs.clone()).iter().zip(part(&ranking.pgv, legs.clone()));
        let in_group = below.filter(|(rank, _)| self.leader.is_none_or(|leader| **rank < leader));
        Facts {
            active: self.is_active(population, position),
            pv: at(population.volume(Measure::Pv), position),
            qv: at(population.volume(Measure::Qv), position),
            accumulated: at(population.accumulated(), position),
            own,
            gv: own + leg_gv.iter().copied().sum(),
            pgv: own + in_group.map(|(_, pgv)| *pgv).sum(),
            active_legs: count(leg_active.iter().copied()),
            enrolled_active: count(active.iter().copied()),
            leg_gv,
            leg_best: part(&ranking.best, legs),
        }
    }

    fn supported(&self, facts: &Facts<'_>) -> RankLevel {
        let meets = |rung: &&Rung| rung.check(facts, &mut |_| false);
        let rungs = self.rungs.iter();
        let steps = match self.reach {
            Reach::EachStep => rungs.take_while(meets).count(),
            Reach::HighestMet => {
                let unmet = rungs.rev().take_while(|rung| !meets(rung)).count();
                self.rungs.len().saturating_sub(unmet)
            }
        };
        RankLevel(u8::try_from(steps).unwrap_or(u8::MAX))
    }
}

impl Rung {
    /// Whether the facts meet every requirement. `missing` hears of each that they do not meet and
    /// says whether to look further.
    fn check(&self, facts: &Facts<'_>, missing: &mut impl FnMut(Shortfall) -> bool) -> bool {
        let mut met = true;
        let mut tell = |shortfall: Option<Shortfall>| match shortfall {
            None => true,
            Some(shortfall) => {
                met = false;
                missing(shortfall)
            }
        };
        let _all = tell((self.rank.active && !facts.active).then_some(Shortfall::Active))
            && tell(less(self.rank.pv, facts.pv, |needs, has| Shortfall::Pv { needs, has }))
            && tell(less(self.rank.qv, facts.qv, |needs, has| Shortfall::Qv { needs, has }))
            && tell(less(self.rank.accumulated, facts.accumulated, |needs, has| {
                Shortfall::Accumulated { needs, has }
            }))
            && tell(less(self.rank.pgv, facts.pgv, |needs, has| Shortfall::Pgv { needs, has }))
            && tell(fewer(self.rank.active_legs, facts.active_legs, |needs, has| {
                Shortfall::ActiveLegs { needs, has }
            }))
            && tell(fewer(self.rank.enrolled_active, facts.enrolled_active, |needs, has| {
                Shortfall::EnrolledActive { needs, has }
            }))
            && tell(self.group(facts))
            && self.rank.legs.iter().zip(&self.legs).all(|(legs, rank)| {
                let has = count_legs(facts, legs.gv, *rank);
                tell(fewer(legs.count, has, |needs, has| Shortfall::Legs {
                    needs,
                    has,
                    gv: legs.gv,
                    rank: *rank,
                }))
            });
        met
    }

    fn group(&self, facts: &Facts<'_>) -> Option<Shortfall> {
        let counted = match self.leg_most {
            Some(most) => facts.own + facts.leg_gv.iter().map(|gv| *gv.min(&most)).sum(),
            None => facts.gv,
        };
        less(self.rank.gv, counted, |needs, has| Shortfall::Gv { needs, has })
    }
}

fn less(
    needs: Option<Volume>,
    has: Volume,
    shortfall: fn(Volume, Volume) -> Shortfall,
) -> Option<Shortfall> {
    needs.filter(|needs| has < *needs).map(|needs| shortfall(needs, has))
}

fn fewer(needs: u16, has: u16, shortfall: impl FnOnce(u16, u16) -> Shortfall) -> Option<Shortfall> {
    (has < needs).then(|| shortfall(needs, has))
}

fn count(holds: impl Iterator<Item = bool>) -> u16 {
    u16::try_from(holds.filter(|holds| *holds).count()).unwrap_or(u16::MAX)
}

fn count_legs(facts: &Facts<'_>, gv: Option<Volume>, rank: Option<RankLevel>) -> u16 {
    let legs = facts.leg_gv.iter().zip(facts.leg_best);
    count(legs.map(|(volume, best)| {
        gv.is_none_or(|gv| *volume >= gv) && rank.is_none_or(|rank| *best >= rank)
    }))
}
