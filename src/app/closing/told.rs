//! What a period of a distributor is told with: names instead of numbers, all of it as JSON.

mod placed;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

pub use self::placed::{
    Became, BinaryTold, CameBack, LegTold, LotTold, MatrixLevelTold, MatrixPositionTold,
    MatrixTold, PositionTold,
};
use crate::{
    domain::{
        close::{
            ActivityStory, Base, Basis, BracketStanding, Hold, PoolStanding, Shortfall, Title,
            Totals, Unpaid,
        },
        id::{ComponentId, DistributorId, Operator, RankId, Reason},
        money::{Currency, Money, Rate, Rounding},
        plan::{
            PlanRef,
            period::{Period, PeriodId},
            volume::{LineVolumes, NegativeVolume},
        },
        volume::{Conversion, Volume},
    },
    store::postgres::{CarryTold, OwnVolume},
};

/// A period of a distributor.
#[derive(Debug, Clone, Serialize)]
pub struct PeriodStory {
    /// The distributor.
    pub distributor: DistributorId,
    /// The period.
    pub period: Period,
    /// The plan that closes it.
    pub plan: PlanRef,
    /// What it pays in.
    pub currency: Currency,
    /// How each line is rounded to the minor unit.
    pub rounding: Rounding,
    /// Who closed it; none while it is open.
    pub closed: Option<ClosedBy>,
    /// What it is computed from.
    pub basis: Basis,
    /// What the close posts for the distributor, corrections of closed periods among it.
    pub paid: Money,
    /// What of it corrects closed periods.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub corrected: Vec<CorrectedTold>,
    /// The open periods before it: it is told as if they closed as the books are now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumes: Vec<AssumedTold>,
    /// What their positions brought along from an earlier system, in the first period of a plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub brought: Vec<CarryTold>,
    /// The own volumes.
    pub volumes: OwnVolumes,
    /// Whether they were active, and what that rests on.
    pub activity: ActivityStory,
    /// The periods of the look-back, this one first; none before the first of the calendar.
    pub look_back: Vec<Option<PeriodId>>,
    /// The ranks.
    pub rank: RankTold,
    /// What each component of the close gave.
    pub components: Vec<ComponentTold>,
    /// What the orders of the period earned, by component.
    pub orders: Vec<OrdersTold>,
}

/// An open period that a later one is computed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssumedTold {
    /// The period.
    pub period: PeriodId,
    /// When it ends.
    pub end: Timestamp,
    /// From when on it can be closed: until then payments and refunds change it.
    pub cut_off: Timestamp,
}

impl AssumedTold {
    /// What is told of a period.
    pub fn of(period: &Period) -> Self {
        Self { period: period.id.clone(), end: period.end, cut_off: period.cut_off }
    }
}

/// What a close posts of a component for a closed period: volume of then came back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CorrectedTold {
    /// The component.
    pub component: ComponentId,
    /// The closed period.
    pub corrects: PeriodId,
    /// The amount; below zero where it is taken back.
    pub amount: Money,
    /// The orders that it comes from: their volume came back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<CameBack>,
}

/// How a period was closed.
#[derive(Debug, Clone, Serialize)]
pub struct ClosedBy {
    /// Who closed it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The block that seals it.
    pub block: u64,
    /// Whether what was computed again now is what the block sealed.
    pub sealed: bool,
}

/// The own volumes of a period.
#[derive(Debug, Clone, Serialize)]
pub struct OwnVolumes {
    /// What counts: never below zero.
    #[serde(flatten)]
    pub counted: LineVolumes,
    /// What the period before carried in below zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried_in: Option<LineVolumes>,
    /// What is below zero and counts as none here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below_zero: Option<LineVolumes>,
    /// What becomes of that: it is carried into the next period, or forgiven.
    pub negative_volume: NegativeVolume,
    /// The entries of the journal that it comes from; the largest where there are many.
    pub entries: Vec<OwnEntry>,
    /// Entries that are not told.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

/// An entry of the journal.
#[derive(Debug, Clone, Serialize)]
pub struct OwnEntry {
    /// What it says.
    #[serde(flatten)]
    pub entry: OwnVolume,
    /// The closed period that it belongs to: it came after that was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_for: Option<PeriodId>,
}

/// The ranks of a period, and what they rest on.
#[derive(Debug, Clone, Serialize)]
pub struct RankTold {
    /// The rank that they are paid as.
    pub paid_as: Option<RankId>,
    /// The highest ever reached.
    pub achieved: Option<RankId>,
    /// The next above the one that they are paid as.
    pub next: Option<RankId>,
    /// What they lack for it.
    pub missing: Vec<Missing>,
    /// What was decided by hand.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<ForcedTold>,
    /// Group volume.
    pub gv: Volume,
    /// Volume of the own group.
    pub pgv: Volume,
    /// Volume of the lifetime.
    pub accumulated: Volume,
    /// Active legs.
    pub active_legs: u16,
}

/// What is missing for a rank.
#[derive(Debug, Clone, Serialize)]
pub struct Missing {
    /// What is needed and what is there.
    #[serde(flatten)]
    pub shortfall: Shortfall,
    /// The rank that legs must have, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leg_rank: Option<RankId>,
}

/// A rank that was decided by hand.
#[derive(Debug, Clone, Serialize)]
pub struct ForcedTold {
    /// The rank; none below the first.
    pub rank: Option<RankId>,
    /// How it relates to what the numbers support.
    pub hold: Hold,
    /// Who decided it.
    pub operator: Operator,
    /// Why.
    pub reason: Reason,
}

/// What a component of the close gave.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentTold {
    /// The component.
    pub component: ComponentId,
    /// What it is, as the plan writes it.
    pub kind: &'static str,
    /// The money for a point, where it pays on volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<Conversion>,
    /// What the distributor gets.
    pub paid: Money,
    /// What of it the close posts: not what orders earned, which stands in the ledger already.
    pub posted: Money,
    /// Why it is nothing, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<Unpaid>,
    /// The lines.
    pub lines: Vec<LineTold>,
    /// What caps took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<CutTold>,
    /// What they did not get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<WithheldTold>,
    /// The levels or generations that are closed to them, with or without money.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub locked: Vec<LockedLevel>,
    /// Where they stand in the table of a bracket component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bracket: Option<BracketStanding>,
    /// The shares of a pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolStanding>,
    /// Their positions in a binary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<BinaryTold>,
    /// Their positions in a matrix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<MatrixTold>,
    /// Where the component's money went, of all members.
    pub totals: Totals,
}

/// A line.
#[derive(Debug, Clone, Serialize)]
pub struct LineTold {
    /// Whose volume or earnings it comes from, where that is one distributor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<DistributorId>,
    /// Whose volume stands at the level, most first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceTold>,
    /// What it is.
    pub title: Title,
    /// The level, the generation or the number of shares; 0 where there is none.
    pub level: u32,
    /// The rank, of a bonus for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<RankId>,
    /// What the rate is taken of.
    pub base: Base,
    /// The rate.
    pub rate: Rate,
    /// The amount before it was rounded, where it is a rate of the base.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Decimal>,
    /// The amount.
    pub amount: Money,
}

/// Somebody's volume at a level.
#[derive(Debug, Clone, Serialize)]
pub struct SourceTold {
    /// Whose.
    pub distributor: DistributorId,
    /// How much.
    pub volume: Volume,
}

/// What a cap took.
#[derive(Debug, Clone, Serialize)]
pub struct CutTold {
    /// The cap.
    pub cap: ComponentId,
    /// How much.
    pub amount: Money,
}

/// Money that the distributor did not get.
#[derive(Debug, Clone, Serialize)]
pub struct WithheldTold {
    /// Whose volume or earnings it comes from, where that is one distributor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<DistributorId>,
    /// The level or the generation; 0 where there is none.
    pub level: u32,
    /// The rank, of a bonus for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<RankId>,
    /// Why.
    pub reason: Unpaid,
    /// What it was offered on.
    pub base: Base,
    /// How much.
    pub amount: Money,
    /// Who has it.
    pub to: To,
}

/// Who has money that somebody did not get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum To {
    /// The company keeps it.
    Company,
    /// It went to this distributor.
    Distributor(DistributorId),
    /// It rose to this distributor, who may not have it either: the company keeps it.
    Rose(DistributorId),
    /// Nobody further up could have it, so the company keeps it: once, though each that it passed is told
    /// of it.
    Nobody,
    /// They had it in an earlier period.
    Earlier,
    /// It stays due to them.
    Later,
}

/// A level or generation that is closed to somebody.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LockedLevel {
    /// Which one.
    pub level: u32,
    /// Why.
    pub reason: Unpaid,
}

/// What orders earned in a component.
#[derive(Debug, Clone, Serialize)]
pub struct OrdersTold {
    /// The component.
    pub component: ComponentId,
    /// The currency.
    pub currency: Currency,
    /// The sum.
    pub earned: Money,
    /// The orders; the largest where there are many.
    pub orders: Vec<OrderTold>,
    /// Orders that are not told; what they earned is in the sum.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What one order earned in a component.
#[derive(Debug, Clone, Serialize)]
pub struct OrderTold {
    /// The order, as `upline explain` takes it.
    pub order: String,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// How much; below zero where more was taken back.
    pub amount: Money,
    /// The closed period that it belongs to: this came after that was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub late_for: Option<PeriodId>,
}
