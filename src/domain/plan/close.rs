//! The components that a period's close computes, and the caps.
//!
//! Only who is active by the section `[activity]` earns. Wherever the field knows two readings, the
//! file must say which one holds: such a field has no default.

mod check;
mod deeper;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::{
    check::ClosePlanError,
    deeper::{Deeper, Leader},
};
use super::{
    rank::{Activity, LadderRules, Rank, Standing},
    volume::{Measure, Volumes},
};
use crate::domain::{
    id::{ComponentId, RankId},
    money::{Money, Rate},
    volume::{Conversion, Volume},
};

/// Everything that a close takes from a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloseParts {
    /// The section `[volumes]`.
    pub volumes: Volumes,
    /// The section `[activity]`.
    pub activity: Activity,
    /// The section `[ladder]`.
    pub ladder: LadderRules,
    /// The entries `[[rank]]`, lowest first.
    #[serde(default, rename = "rank")]
    pub ranks: Vec<Rank>,
    /// The components in their order of evaluation.
    #[serde(rename = "component")]
    pub components: Vec<CloseComponent>,
    /// The caps; those after one component in the order of the file.
    #[serde(default, rename = "cap")]
    pub caps: Vec<Cap>,
}

/// One way to earn at a close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CloseComponent {
    /// Computed elsewhere (binary, matrix, the order-time lines of the period): its earnings come in
    /// as a column, so that matching and caps can count them.
    Given(Given),
    /// A rate of the volume of each level of the downline.
    UnilevelVolume(UnilevelVolume),
    /// The stair-step with group volume.
    Bracket(Bracket),
    /// The override on legs that have broken away.
    Breakaway(Breakaway),
    /// A share of the earnings of the people below.
    Matching(Matching),
    /// A fixed amount for a rank.
    RankBonus(RankBonus),
    /// A sum that those who qualify share.
    Pool(Pool),
}

impl CloseComponent {
    /// The id that the plan file gives it.
    pub fn id(&self) -> &ComponentId {
        match self {
            Self::Given(given) => &given.id,
            Self::UnilevelVolume(unilevel) => &unilevel.id,
            Self::Bracket(bracket) => &bracket.id,
            Self::Breakaway(breakaway) => &breakaway.id,
            Self::Matching(matching) => &matching.id,
            Self::RankBonus(bonus) => &bonus.id,
            Self::Pool(pool) => &pool.id,
        }
    }
}

/// A component whose earnings come in as a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// The id of the component.
    pub id: ComponentId,
}

/// Unilevel on the commissionable volume of a period: one line for each member and level, over the
/// volume of all who stand there.
///
/// ```
/// use upline::domain::plan::close::{CloseComponent, VolumeCompression};
/// let component: CloseComponent = toml::from_str(r#"
///     kind = "unilevel_volume"
///     id = "levels"
///     rank = "paid_as"
///     compression = "dynamic"
///     rates = [{ rates = ["8 %", "5 %"] }, { from = "gold", rates = ["8 %", "5 %", "4 %"] }]
///     unlock = [{ active_legs = 2, levels = 2 }, { active_legs = 4, levels = 3 }]
/// "#).unwrap();
/// let CloseComponent::UnilevelVolume(levels) = component else { panic!() };
/// assert_eq!(levels.compression, VolumeCompression::Dynamic);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnilevelVolume {
    /// The id of the component.
    pub id: ComponentId,
    /// The rates from level 1 on, by rank, lowest rank first.
    pub rates: Vec<RateRow>,
    /// Which rank picks the rates.
    pub rank: Standing,
    /// What becomes of the level of a member who does not earn on it.
    pub compression: VolumeCompression,
    /// How many active legs open how many levels, ascending. Without an entry all are open; with
    /// fewer legs than the first entry asks for, none is.
    #[serde(default)]
    pub unlock: Vec<Unlock>,
    /// The money for a point, if not that of the plan.
    #[serde(default)]
    pub conversion: Option<Conversion>,
}

/// The rates of those who have at least a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateRow {
    /// The lowest rank that has them; absent: everybody, with or without a rank.
    #[serde(default)]
    pub from: Option<RankId>,
    /// The rates from level or generation 1 on.
    pub rates: Vec<Rate>,
}

/// What becomes of the level of a member who does not earn on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeCompression {
    /// Everybody holds the level; what the inactive does not earn is breakage.
    None,
    /// The inactive hold none; the active hold one even where they have no rate for it.
    RollUp,
    /// Only who is active and has the level open holds it; the others are passed over, and so is a rank
    /// of 0 % where another has more.
    Dynamic,
}

/// A tier of active legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// From so many active legs on
    pub active_legs: u16,
    /// so many levels are open.
    pub levels: u16,
}

/// The stair-step with group volume: a person's gross is the bracket's share of the group's CV, and
/// they keep it less the gross of the groups of the frontline.
///
/// ```
/// let component: upline::domain::plan::close::CloseComponent = toml::from_str(r#"
///     kind = "bracket"
///     id = "performance"
///     picks = "pv"
///     breakaway = "top_bracket"
///     inactive = "breakage"
///     table = [{ from = "200", rate = "3 %" }, { from = "600", rate = "6 %" }]
/// "#).unwrap();
/// assert_eq!(component.id().as_str(), "performance");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bracket {
    /// The id of the component.
    pub id: ComponentId,
    /// Which volume of the group picks the bracket. CV carries the money.
    pub picks: Measure,
    /// The brackets, ascending: each goes up to the start of the next, so there is no gap.
    pub table: Vec<BracketStep>,
    /// Whether a leg leaves the group above it.
    pub breakaway: Breaks,
    /// What becomes of what an inactive member would keep.
    pub inactive: InactiveGroup,
    /// The money for a point, if not that of the plan.
    #[serde(default)]
    pub conversion: Option<Conversion>,
}

/// A bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BracketStep {
    /// The least group volume.
    pub from: Volume,
    /// The share of the group's CV.
    pub rate: Rate,
}

/// Whether a leg leaves the group above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Breaks {
    /// Never: all of the downline is the group.
    Never,
    /// When its own group reaches the top bracket.
    TopBracket,
}

/// What becomes of what an inactive member would keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InactiveGroup {
    /// The company keeps it.
    Breakage,
    /// It is part of what the members above keep; of a group that is in no other the company keeps it.
    PassUp,
}

/// The leadership override on legs that broke away by a bracket component.
///
/// ```
/// use upline::domain::plan::close::{Breakaway, Guarantee};
/// let breakaway: Breakaway = toml::from_str(r#"
///     id = "leadership"
///     bracket = "performance"
///     rate = "4 %"
///     own_group = "10000"
///     unqualified = "roll_up"
///     guarantee = { kind = "passed_up", threshold = "20000" }
/// "#).unwrap();
/// assert!(matches!(breakaway.guarantee, Guarantee::PassedUp { .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breakaway {
    /// The id of the component.
    pub id: ComponentId,
    /// The bracket component whose top bracket makes a leg break away.
    pub bracket: ComponentId,
    /// The share of the CV of the own group of the leg that broke away.
    pub rate: Rate,
    /// The least volume of the own group, in what picks the bracket, of who may receive it.
    pub own_group: Volume,
    /// What happens where the sponsor may not receive it.
    pub unqualified: Unqualified,
    /// Whether the leg's sponsor has a least amount.
    pub guarantee: Guarantee,
    /// What leaders further up earn on the leg; without it the override has one generation.
    #[serde(default)]
    pub deeper: Option<Deeper>,
    /// The money for a point, if not that of the plan.
    #[serde(default)]
    pub conversion: Option<Conversion>,
}

/// What happens where the sponsor of a leg may not receive the override on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unqualified {
    /// The next above who may receives it.
    RollUp,
    /// The company keeps it.
    Breakage,
}

/// Whether a leg that broke away brings its sponsor a least amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Guarantee {
    /// It does not.
    None,
    /// The rate on the threshold: what the leg's own group does not generate is taken from what the
    /// leader of the leg receives from further down, as far as that goes.
    PassedUp {
        /// The CV that the guaranteed amount is computed from.
        threshold: Volume,
    },
}

/// A share of what people below earned, by generation of enrolment.
///
/// ```
/// let matching: upline::domain::plan::close::Matching = toml::from_str(r#"
///     id = "matching"
///     on = ["binary"]
///     rank = "paid_as"
///     compression = "roll_up"
///     negative_earnings = "match"
///     rates = [{ from = "gold", rates = ["10 %", "7 %"] }]
/// "#).unwrap();
/// assert_eq!(matching.on.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// The id of the component.
    pub id: ComponentId,
    /// The components whose earnings are matched: what they pay after the caps so far.
    pub on: Vec<ComponentId>,
    /// The rates from generation 1 on, by rank, lowest rank first.
    pub rates: Vec<RateRow>,
    /// Which rank picks the rates.
    pub rank: Standing,
    /// What becomes of the generation of a member who does not earn on it.
    pub compression: VolumeCompression,
    /// What those above get of somebody whose matched earnings are below zero, as a golden case may state them; a
    /// close from the books has none.
    pub negative_earnings: NegativeEarnings,
}

/// What those above get of somebody whose matched earnings are below zero together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NegativeEarnings {
    /// The same rates of it: what was matched before is taken back.
    Match,
    /// Nothing: what was matched before stays.
    Ignore,
}

/// A fixed amount for a rank.
///
/// ```
/// let bonus: upline::domain::plan::close::RankBonus = toml::from_str(r#"
///     id = "advancement"
///     pays = "once"
///     passed = "all"
///     rank = "paid_as"
///     amounts = [{ from = "gold", amount = "500.00" }]
/// "#).unwrap();
/// assert_eq!(bonus.amounts.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankBonus {
    /// The id of the component.
    pub id: ComponentId,
    /// The amounts, lowest rank first.
    pub amounts: Vec<RankAmount>,
    /// Which rank counts.
    pub rank: Standing,
    /// How often it is paid.
    pub pays: Pays,
    /// What a member gets who stands above several of the ranks.
    pub passed: Passed,
}

/// The amount of a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankAmount {
    /// The rank; who stands higher has it too.
    pub from: RankId,
    /// The amount in the currency of the close.
    pub amount: Money,
}

/// How often a rank bonus is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pays {
    /// Once for each member and rank: who qualifies again is not paid again. Who is not active waits for
    /// it: it is due in the first period in which they are and still have the rank.
    Once,
    /// In every period that the rank is held.
    EveryPeriod,
}

/// What a member gets who stands above several of the ranks of a bonus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// The amount of each of them.
    All,
    /// The amount of the highest; of a bonus paid once only if it is above all that were paid.
    Highest,
}

/// A sum that those who qualify share, to the last minor unit.
///
/// ```
/// let pool: upline::domain::plan::close::Pool = toml::from_str(r#"
///     id = "global"
///     size = { kind = "share_of_cv", rate = "1 %" }
///     rank = "paid_as"
///     shares = [{ from = "gold", shares = 1 }, { from = "platinum", shares = 3 }]
///     nobody = "breakage"
/// "#).unwrap();
/// assert_eq!(pool.shares.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The id of the component.
    pub id: ComponentId,
    /// What is shared.
    pub size: PoolSize,
    /// The shares by rank, lowest first: each member has those of the highest rank not above theirs.
    pub shares: Vec<RankShares>,
    /// Which rank counts.
    pub rank: Standing,
    /// What becomes of it if nobody qualifies.
    pub nobody: Nobody,
    /// The money for a point, if not that of the plan.
    #[serde(default)]
    pub conversion: Option<Conversion>,
}

/// What a pool shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum PoolSize {
    /// A share of the CV of the whole company.
    ShareOfCv {
        /// The share.
        rate: Rate,
    },
    /// A fixed amount.
    Fixed {
        /// The amount in the currency of the close.
        amount: Money,
    },
}

/// The shares of a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankShares {
    /// The rank.
    pub from: RankId,
    /// Its shares.
    pub shares: u32,
}

/// What becomes of a pool for which nobody qualifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nobody {
    /// The company keeps it.
    Breakage,
    /// It is added to the pool of the next period.
    Carry,
}

/// An entry `[[cap]]`: a limit on earnings, applied right after one of the components.
///
/// ```
/// let cap: upline::domain::plan::close::Cap = toml::from_str(r#"
///     id = "company"
///     after = "matching"
///     counts = ["binary", "matching"]
///     limit = { per = "company", share_of_cv = "55 %", method = "pro_rata" }
/// "#).unwrap();
/// assert_eq!(cap.counts.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Its id.
    pub id: ComponentId,
    /// The component after which it is applied.
    pub after: ComponentId,
    /// The components whose earnings count and are cut.
    pub counts: Vec<ComponentId>,
    /// The limit.
    pub limit: Limit,
}

/// What a cap limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "per", rename_all = "snake_case", deny_unknown_fields)]
pub enum Limit {
    /// What one distributor earns. The excess is taken from the components in proportion.
    Distributor {
        /// The limit of who has none of the ranks.
        amount: Money,
        /// Other limits from a rank on, lowest first.
        #[serde(default)]
        by_rank: Vec<RankAmount>,
        /// Which rank counts.
        rank: Standing,
    },
    /// What all earn together, as a share of the CV of the whole company.
    Company {
        /// The highest share.
        share_of_cv: Rate,
        /// Who bears the excess.
        method: CapMethod,
    },
}

/// Who bears what is above a limit of the company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapMethod {
    /// All in proportion to what they earned.
    ProRata,
    /// The paid-as ranks are served from the highest down; the first that the rest does not suffice
    /// for shares it in proportion, those below get nothing.
    RankPriority,
    /// Components in the order of the plan, in each the members in their order, until it is used up;
    /// who is met last gets what is left.
    HardStop,
}
