//! The ranks of a plan, lowest first, what each requires, and who counts as active.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::close::ClosePlanError;
use crate::domain::{id::RankId, money::Rate, volume::Volume};

/// A step on the ladder of a plan's ranks: 0 is below the first rank, 1 the first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct RankLevel(pub u8);

/// The names of a plan's ranks, lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ladder(Vec<RankId>);

impl Ladder {
    /// A ladder of these ranks, lowest first; the names are distinct and at most 255.
    pub fn new(ranks: Vec<RankId>) -> Self {
        Self(ranks)
    }

    /// The step of a rank; `None` if the plan has no such rank.
    pub fn level(&self, rank: &RankId) -> Option<RankLevel> {
        let index = self.0.iter().position(|known| known == rank)?;
        u8::try_from(index.saturating_add(1)).ok().map(RankLevel)
    }

    /// The rank on a step; `None` below the first.
    pub fn rank(&self, level: RankLevel) -> Option<&RankId> {
        self.0.get(usize::from(level.0).checked_sub(1)?)
    }

    /// How many ranks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The section `[activity]`: who counts as active in a period. A distributor whose status is not
/// active never does.
///
/// With `order`, an order counts as long as QV or CV of it is left: one that came back whole is none.
///
/// ```
/// let activity: upline::domain::plan::rank::Activity = toml::from_str(r#"
///     pv = "100"
///     look_back = 2
///     window = "any_period"
///     active_leg = "frontline"
/// "#).unwrap();
/// assert_eq!(activity.look_back, 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    /// The least PV; 0 asks for none.
    pub pv: Volume,
    /// Over how many periods the PV is looked at, with the one that is closed: 1 is that one alone,
    /// and 0 is refused.
    pub look_back: u8,
    /// How the periods of the look-back count.
    pub window: Window,
    /// What makes a leg an active one.
    pub active_leg: ActiveLeg,
    /// Whose order, placed in the periods of the look-back, somebody needs beside the PV; without it no
    /// order is asked for.
    #[serde(default)]
    pub order: Option<ActiveOrder>,
}

/// Which orders make somebody active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActiveOrder {
    /// What the member bought.
    Own,
    /// That, and what customers bought whom the member referred.
    OwnOrReferred,
}

/// How the periods of a look-back count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// One period with the least PV is enough.
    AnyPeriod,
    /// The PV of all of them together must reach it.
    Sum,
}

/// What makes a leg an active one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActiveLeg {
    /// The frontline member is active.
    Frontline,
    /// Anybody in the leg is active.
    Anyone,
}

/// The section `[ladder]`: the rules that hold for all ranks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LadderRules {
    /// How far up a member gets.
    pub reach: Reach,
    /// Which rank of the people in a leg counts.
    pub leg_rank: Standing,
    /// The paid-as rank from which on a person's group is no part of the PGV of those above. Needed
    /// where a rank asks for PGV.
    #[serde(default)]
    pub leader: Option<RankId>,
}

/// How far up the ladder a member gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// To the highest rank whose own requirements are met, whatever lies below.
    HighestMet,
    /// Step by step: to the last before the first rank whose requirements are not met.
    EachStep,
}

/// Which of the two ranks that a member has counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// What the period's numbers support.
    PaidAs,
    /// The highest ever reached, this period included.
    Achieved,
}

/// An entry `[[rank]]`, lowest first. What is not stated is not required; a leg that meets two
/// requirements of legs counts for both.
///
/// ```
/// let silver: upline::domain::plan::rank::Rank = toml::from_str(r#"
///     id = "silver"
///     active = true
///     pv = "100"
///     gv = "10000"
///     pgv = "1000"
///     leg_cap = "60 %"
///     legs = [{ count = 2, gv = "4000" }]
/// "#).unwrap();
/// assert_eq!(silver.legs.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rank {
    /// Its name.
    pub id: RankId,
    /// Whether only the active hold it.
    pub active: bool,
    /// The least personal volume.
    #[serde(default)]
    pub pv: Option<Volume>,
    /// The least personal qualifying volume.
    #[serde(default)]
    pub qv: Option<Volume>,
    /// The least group volume: the person and the whole downline, each leg up to the leg cap.
    #[serde(default)]
    pub gv: Option<Volume>,
    /// The share of the required GV that a single leg may bring (the "40 % rule").
    #[serde(default)]
    pub leg_cap: Option<Rate>,
    /// The least volume of the own group, down to and without the next leaders.
    #[serde(default)]
    pub pgv: Option<Volume>,
    /// The least volume of a lifetime.
    #[serde(default)]
    pub accumulated: Option<Volume>,
    /// Legs of a least volume or with somebody of a least rank.
    #[serde(default)]
    pub legs: Vec<Legs>,
    /// The least number of active legs.
    #[serde(default)]
    pub active_legs: u16,
    /// The least number of personally enrolled people who are active.
    #[serde(default)]
    pub enrolled_active: u16,
}

/// So many legs of a kind. With volume and rank, a leg must have both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Legs {
    /// How many.
    pub count: u16,
    /// The least GV of the frontline member.
    #[serde(default)]
    pub gv: Option<Volume>,
    /// The least rank of somebody in the leg.
    #[serde(default)]
    pub rank: Option<RankId>,
}

/// Checks the ranks of a plan and gives their ladder.
pub fn ladder(ranks: &[Rank], rules: &LadderRules) -> Result<Ladder, ClosePlanError> {
    if ranks.len() > usize::from(u8::MAX) {
        return Err(ClosePlanError::TooMany { what: "ranks", found: ranks.len(), max: 255 });
    }
    let ladder = Ladder::new(ranks.iter().map(|rank| rank.id.clone()).collect());
    let known = |rank: &RankId| match ladder.level(rank) {
        Some(level) => Ok(level),
        None => Err(ClosePlanError::UnknownRank(rank.clone())),
    };
    rules.leader.as_ref().map(known).transpose()?;
    for (index, rank) in ranks.iter().enumerate() {
        if usize::from(known(&rank.id)?.0) != index.saturating_add(1) {
            return Err(ClosePlanError::RepeatedRank(rank.id.clone()));
        }
        if rank.pgv.is_some() && rules.leader.is_none() {
            return Err(ClosePlanError::NoLeader(rank.id.clone()));
        }
        if rank.leg_cap.is_some() && rank.gv.is_none() {
            return Err(ClosePlanError::CapOfNothing(rank.id.clone()));
        }
        if let Some(cap) = rank.leg_cap.filter(|cap| *cap == Rate::ZERO || *cap > Rate::WHOLE) {
            return Err(ClosePlanError::LegCap(rank.id.clone(), cap));
        }
        for legs in &rank.legs {
            legs.rank.as_ref().map(known).transpose()?;
            if legs.count == 0 || (legs.gv.is_none() && legs.rank.is_none()) {
                return Err(ClosePlanError::EmptyLegs(rank.id.clone()));
            }
        }
    }
    Ok(ladder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(id: &str, more: &str) -> Rank {
        toml::from_str(&format!("id = \"{id}\"\nactive = true\n{more}")).unwrap()
    }

    #[test]
    fn a_ladder_that_cannot_be_climbed_is_refused() {
        let rules: LadderRules =
            toml::from_str("reach = \"each_step\"\nleg_rank = \"paid_as\"").unwrap();
        let refused = |ranks: &[Rank]| ladder(ranks, &rules).unwrap_err();
        let (star, gold) = (rank("star", "pv = \"100\""), rank("gold", "gv = \"1000\""));
        assert_eq!(ladder(&[star.clone(), gold.clone()], &rules).unwrap().len(), 2);
        assert!(matches!(refused(&[star.clone(), star.clone()]), ClosePlanError::RepeatedRank(_)));
        assert!(matches!(refused(&[rank("gold", "pgv = \"1\"")]), ClosePlanError::NoLeader(_)));
        assert!(matches!(
            refused(&[rank("gold", "leg_cap = \"40 %\"")]),
            ClosePlanError::CapOfNothing(_)
        ));
        for cap in ["4", "0 %"] {
            let error = refused(&[rank("gold", &format!("gv = \"9\"\nleg_cap = \"{cap}\""))]);
            assert!(matches!(error, ClosePlanError::LegCap(_, _)), "{error}");
        }
        assert!(matches!(
            refused(&[rank("gold", "legs = [{ count = 2 }]")]),
            ClosePlanError::EmptyLegs(_)
        ));
        let crown = rank("crown", "legs = [{ count = 2, rank = \"diamond\" }]");
        let error = refused(&[star, gold, crown]);
        assert_eq!(error.to_string(), "the plan has no rank diamond, add it under `[[rank]]`");
    }
}
