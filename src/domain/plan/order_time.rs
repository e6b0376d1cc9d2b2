//! The components that are computed for each order.
//!
//! Where the field knows two readings, the plan says which one holds: such a field has no default.
//! Every table by rank names every rank and `unranked`. Ranks are the paid-as ranks of the versions
//! that an order is locked to.
//!
//! Deliberately absent: permanent compression. Whoever takes a terminated distributor out of the tree
//! moves the downline by events of the genealogy (`sponsored`); they are dated, so they change later
//! orders only. Tiers by active legs ask what a leg did in a period: they belong to the period's close.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    by_rank::{ByRank, Threshold},
    pay_base::PayBase,
    rank::RankLevel,
};
use crate::domain::{
    id::{CommissionClass, ComponentId},
    money::Rate,
};

/// The rates of each class from level (or generation) 1 on.
pub type Levels = BTreeMap<CommissionClass, Vec<Rate>>;

/// The rate of each rank, for each class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<CommissionClass, ByRank<Rate>>")]
pub struct RankRates {
    pub(super) by_class: BTreeMap<CommissionClass, ByRank<Rate>>,
    /// Whether a rank has a rate above zero in any class, by its step.
    pub(super) rated: Vec<bool>,
    /// The lowest rank that has the highest rate in every class.
    pub(super) top: RankLevel,
}

impl From<BTreeMap<CommissionClass, ByRank<Rate>>> for RankRates {
    fn from(by_class: BTreeMap<CommissionClass, ByRank<Rate>>) -> Self {
        Self { by_class, rated: Vec::new(), top: RankLevel(u8::MAX) }
    }
}

impl RankRates {
    /// The rates of a class; `None` if it earns nothing here.
    pub fn get(&self, class: &CommissionClass) -> Option<&ByRank<Rate>> {
        self.by_class.get(class)
    }

    /// Whether a rank has a rate above zero in any class.
    pub fn rated(&self, rank: RankLevel) -> bool {
        self.rated.get(usize::from(rank.0)).copied().unwrap_or_default()
    }

    /// How many ranks have a rate above zero in any class.
    pub fn rated_count(&self) -> usize {
        self.rated.iter().filter(|rated| **rated).count()
    }

    /// The highest rank that has a rate above zero in any class.
    pub fn highest_rated(&self) -> RankLevel {
        let last = self.rated.iter().rposition(|rated| *rated).unwrap_or_default();
        RankLevel(u8::try_from(last).unwrap_or(u8::MAX))
    }

    /// The lowest rank that has the highest rate in every class: in a differential nothing is left
    /// above somebody of it.
    pub fn top(&self) -> RankLevel {
        self.top
    }
}

/// Direct (retail) commission: the referrer of an order earns a share of its net amount.
///
/// Pool: the rate of the class, with rates by rank the highest of any rank; what the earner's rank
/// does not reach of it is breakage.
///
/// ```toml
/// kind = "direct"
/// id = "retail"
/// inactive_referrer = "roll_up"
/// rates = { book = "10 %" }
/// rates_by_rank = { kit = { unranked = "20 %", gold = "25 %" } }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Direct {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// The rate for each class; a class that is not named earns nothing here. Once the plan is read,
    /// the classes of `rates_by_rank` stand here too, with the highest rate of any rank.
    #[serde(default)]
    pub rates: BTreeMap<CommissionClass, Rate>,
    /// The rate of the earner's rank, for classes where it counts.
    #[serde(default)]
    pub rates_by_rank: BTreeMap<CommissionClass, ByRank<Rate>>,
    /// What happens if the referrer was not active at the order's time.
    pub inactive_referrer: InactiveReferrer,
}

/// What happens to direct commission of a referrer who was not active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InactiveReferrer {
    /// The company keeps it.
    Breakage,
    /// The nearest active distributor above gets it.
    RollUp,
}

/// Unilevel commission: each level of the upline earns a rate of the net amount.
///
/// Pool: the sum of the levels' rates, with rates by rank the highest of any rank at each level. It is
/// the same under every compression.
///
/// ```toml
/// kind = "unilevel"
/// id = "unilevel"
/// compression = { dynamic = { walk_limit = 1000 } }
/// unlocked = { unranked = 1, silver = 2, gold = 4 }
/// rates = { kit = ["2 %", "3 %", "5 %", "5 %"] }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unilevel {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// The rates for each class from level 1 on; a class that is not named earns nothing here. Once
    /// the plan is read, the classes of `rates_by_rank` stand here too, with the highest rate of any
    /// rank at each level.
    #[serde(default)]
    pub rates: Levels,
    /// The rates of the earner's rank from level 1 on: a level without a rate is not unlocked.
    #[serde(default)]
    pub rates_by_rank: BTreeMap<CommissionClass, ByRank<Vec<Rate>>>,
    /// Up to which level each rank may earn; without it, and without rates by rank, all may.
    pub unlocked: Option<ByRank<u16>>,
    /// What becomes of the level of a distributor who does not qualify.
    pub compression: Compression,
    /// Who stands at level 1.
    #[serde(default)]
    pub first_level: FirstLevel,
    /// How many levels each rank may earn; empty if ranks do not matter.
    #[serde(skip)]
    pub(super) reach: Vec<usize>,
}

/// What becomes of the level of a distributor who does not qualify for it at the order's time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// The distributor keeps the level and its money is breakage.
    None,
    /// Who is not active uses no level up: the next active distributor above takes it. Who is active
    /// but whose rank has not unlocked the level keeps it, and its money is breakage.
    RollUp,
    /// Only a rank from the threshold on holds a level.
    SkipBelowRank(SkipBelowRank),
    /// Who holds a level qualifies for it: active, and the level unlocked by rank. Whoever does not is
    /// passed over, and the next who does takes it.
    Dynamic(Dynamic),
}

/// The parameters of [`Compression::SkipBelowRank`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SkipBelowRank {
    /// The lowest rank that holds a level.
    pub threshold: Threshold,
    /// What becomes of somebody of that rank who is not active.
    pub inactive: WhenInactive,
    /// How far up it looks.
    pub walk_limit: WalkLimit,
}

/// The parameters of [`Compression::Dynamic`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dynamic {
    /// How far up it looks.
    pub walk_limit: WalkLimit,
}

/// Who stands first in the upline of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirstLevel {
    /// The sponsor of the referrer, or of the buyer when a distributor buys.
    #[default]
    Sponsor,
    /// The referrer; when a distributor buys, still the buyer's sponsor.
    Referrer,
}

/// What becomes of a place that somebody who is not active would hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenInactive {
    /// They are passed over as if they were not there: the next who qualifies takes the place.
    PassedOver,
    /// They hold it, it blocks as if it were paid, and its money is breakage.
    KeepsPlace,
}

/// How many distributors above an order are looked at, from 1 to 10,000. What is not placed by then is
/// breakage (`walk_limit`).
///
/// Rules that look for ranks pass over everybody else, and a leg can be hundreds of thousands deep:
/// the limit is what bounds the cost of one order, by a rule that the plan states and every replay
/// repeats. A thousand is far above the depth of real uplines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct WalkLimit(u16);

impl WalkLimit {
    const MAX: u16 = 10_000;

    /// The number of distributors.
    pub fn people(self) -> usize {
        self.0.into()
    }
}

impl TryFrom<u32> for WalkLimit {
    type Error = String;
    fn try_from(people: u32) -> Result<Self, String> {
        let limit = u16::try_from(people).ok().filter(|n| (1..=Self::MAX).contains(n));
        limit
            .map(Self)
            .ok_or_else(|| format!("walk_limit = {people} is not between 1 and {}", Self::MAX))
    }
}

/// Differential (stair-step) commission: an upline earns the rate of the own rank less what was paid
/// below, so all together never get more than the highest rate.
///
/// Pool: the highest rate of the class. A share is the difference of two rounded amounts (the own rate
/// of the base less what was paid of it below), so the shares add up to the pool to the minor unit.
///
/// ```toml
/// kind = "differential"
/// id = "stairs"
/// starts_at = "referrer"
/// inactive = "passed_over"
/// equal_rank = { minimum_override = { rate = "0.5 %", times = 1 } }
/// walk_limit = 1000
/// rates = { kit = { unranked = "0 %", silver = "5 %", gold = "9 %" } }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Differential {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// The own rate of each rank, for each class; it does not fall with the rank.
    pub rates: RankRates,
    /// What somebody of the same rank as the highest below earns.
    pub equal_rank: EqualRank,
    /// What becomes of the share of who is not active.
    pub inactive: WhenInactive,
    /// Who stands first.
    pub starts_at: FirstLevel,
    /// How far up it looks.
    pub walk_limit: WalkLimit,
}

/// What an upline of the same rank as the highest below earns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EqualRank {
    /// Nothing.
    Nothing,
    /// A minimum override, as long as the highest rate leaves something.
    MinimumOverride(MinimumOverride),
}

/// The parameters of [`EqualRank::MinimumOverride`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinimumOverride {
    /// The rate; it counts as paid for everybody above.
    pub rate: Rate,
    /// How many distributors of one rank get it on one order, from 1 on.
    pub times: u16,
}

/// Infinity bonus: leaders earn without a limit of levels.
///
/// ```toml
/// kind = "infinity"
/// id = "infinity"
/// starts_at = "sponsor"
/// inactive = "passed_over"
/// walk_limit = 1000
/// model = { generational = { threshold = "gold", rates = { kit = ["3 %", "1 %"] } } }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Infinity {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// Which of the three things that are called so.
    pub model: InfinityModel,
    /// What becomes of the place of who is not active.
    pub inactive: WhenInactive,
    /// Who stands first.
    pub starts_at: FirstLevel,
    /// How far up it looks.
    pub walk_limit: WalkLimit,
}

/// The three models of an infinity bonus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InfinityModel {
    /// Each rank has a rate of its own for one leader, until a leader below blocks it.
    /// Pool: the sum of the rates of all ranks.
    PureOverride(PureOverride),
    /// The first, second, .. leader above the order, whoever is no leader passed over.
    /// Pool: the sum of the rates.
    Generational(Generational),
    /// As [`Differential`].
    Differential(Stairs),
}

/// The parameters of [`InfinityModel::PureOverride`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PureOverride {
    /// The rate of each rank, for each class; 0 % for a rank that has no override.
    pub rates: RankRates,
    /// Which leader below ends the override.
    pub blocked_by: BlockedBy,
}

/// Which leader below ends a pure override.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BlockedBy {
    /// One of the same rank.
    SameRank,
    /// One of the same or a higher rank.
    SameOrHigherRank,
}

/// The parameters of [`InfinityModel::Generational`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generational {
    /// The lowest rank of a leader.
    pub threshold: Threshold,
    /// The rates for each class from the first leader on.
    pub rates: Levels,
}

/// The parameters of [`InfinityModel::Differential`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stairs {
    /// The own rate of each rank, for each class; it does not fall with the rank.
    pub rates: RankRates,
    /// What somebody of the same rank as the highest below earns.
    pub equal_rank: EqualRank,
}

/// Generation bonus: leaders earn by how many leaders stand between them and the order.
///
/// Pool with a fixed rank: the sum of the rates. With the earner's own rank each rank counts its own
/// generations, several leaders can have the same one, and there is no fixed maximum: the pool is the
/// rates of the leaders that the order has.
///
/// ```toml
/// kind = "generation"
/// id = "generation"
/// boundary = { fixed_rank = "director" }
/// empty_generation = "uses_no_number"
/// ineligible_leader = "boundary"
/// starts_at = "referrer"
/// walk_limit = 1000
/// rates = { kit = ["10 %", "7 %", "5 %"] }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// The rates for each class from generation 1 on.
    pub rates: Levels,
    /// Who begins a generation.
    pub boundary: Boundary,
    /// Up to which generation each rank may earn; without it all leaders may.
    pub unlocked: Option<ByRank<u16>>,
    /// Whether a generation whose leader has not unlocked its number uses it up.
    pub empty_generation: EmptyGeneration,
    /// Whether a leader who is not active begins a generation.
    pub ineligible_leader: IneligibleLeader,
    /// Who stands first.
    pub starts_at: FirstLevel,
    /// How far up it looks.
    pub walk_limit: WalkLimit,
}

/// Who begins a generation, and so who earns.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Everybody of this rank or a higher one, the same for all earners.
    FixedRank(Threshold),
    /// For each earner everybody of the earner's own rank or a higher one; this is the lowest rank
    /// that earns.
    OwnRank(Threshold),
}

impl Boundary {
    /// The lowest rank that earns.
    pub fn threshold(&self) -> RankLevel {
        match self {
            Self::FixedRank(threshold) | Self::OwnRank(threshold) => threshold.level(),
        }
    }
}

/// Whether a generation whose leader is active and has not unlocked its number uses it up. Without
/// `unlocked` there is none. (A leader who is not active: [`IneligibleLeader`].)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmptyGeneration {
    /// It does, and its money is breakage.
    UsesNumber,
    /// It does not: the next leader has the number.
    UsesNoNumber,
}

/// Whether a leader who is not active begins a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IneligibleLeader {
    /// Yes: it has its number, and its money is breakage.
    Boundary,
    /// No: the group counts for the next leader above.
    NoBoundary,
}

/// Fast start: those above a new distributor earn on what the new one orders in the first days.
///
/// Pool: the sum of the rates, on an order within the time.
///
/// ```toml
/// kind = "fast_start"
/// id = "fast-start"
/// days = 30
/// orders = "own"
/// inactive = "passed_over"
/// walk_limit = 1000
/// rates = { kit = ["25 %", "10 %", "5 %"] }
/// excludes = { components = ["unilevel"], lines = "paid_here" }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FastStart {
    /// The id of the component.
    pub id: ComponentId,
    /// What the rates are taken of: the net amount, or CV.
    #[serde(default)]
    pub base: PayBase,
    /// The rates for each class, of the enroller first, then of the enroller's enroller and so on.
    pub rates: Levels,
    /// For so many days of 24 hours after the enrolment, and for one day before it: a shop may know of
    /// the order with which somebody enrols before it knows that they do.
    pub days: u16,
    /// Which orders count as the new distributor's.
    pub orders: FastStartOrders,
    /// What becomes of the level of an enroller who is not active.
    pub inactive: WhenInactive,
    /// How far up it looks.
    pub walk_limit: WalkLimit,
    /// From which unilevels these orders are left out.
    pub excludes: Option<Excludes>,
}

/// Which orders count as those of a new distributor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FastStartOrders {
    /// What the new distributor buys.
    Own,
    /// That, and what customers buy whom the new distributor referred.
    OwnAndReferred,
}

/// What a fast start takes the place of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Excludes {
    /// The ids of the unilevels.
    pub components: Vec<ComponentId>,
    /// Which lines of the order.
    pub lines: ExcludedLines,
}

/// Which lines of an order a fast start takes from a unilevel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExcludedLines {
    /// Those whose class has a rate in the fast start.
    PaidHere,
    /// All lines of the order.
    All,
}

impl Unilevel {
    /// How many levels a rank may earn at most.
    pub(in crate::domain) fn reach(&self, rank: RankLevel) -> usize {
        if self.reach.is_empty() {
            return usize::MAX;
        }
        self.reach.get(usize::from(rank.0)).copied().unwrap_or_default()
    }

    /// Whether the ranks of the upline matter.
    pub(in crate::domain) fn asks_ranks(&self) -> bool {
        !self.reach.is_empty()
            || !self.rates_by_rank.is_empty()
            || matches!(self.compression, Compression::SkipBelowRank(_))
    }
}
