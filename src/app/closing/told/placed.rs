//! What binaries, matrices and pools of a period are told with.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::{
    close::{
        Unpaid,
        binary::{self, told::Earned},
    },
    id::{DistributorId, PositionId, TreeId},
    money::{Money, Rate},
    plan::period::PeriodId,
    volume::{Conversion, Volume},
};

/// The positions of a distributor in a binary.
#[derive(Debug, Clone, Serialize)]
pub struct BinaryTold {
    /// The tree.
    pub tree: TreeId,
    /// What the cap of a position means, as the plan writes it.
    pub cap: &'static str,
    /// The most that a position earns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_limit: Option<Money>,
    /// The most that all positions earn together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_cap: Option<Money>,
    /// What happens to the pairs of a position that may not earn, as the plan writes it.
    pub unqualified: &'static str,
    /// Each that the distributor has.
    pub positions: Vec<PositionTold>,
}

impl BinaryTold {
    /// The position whose pairs earn most, paid or not; of equal ones the first.
    pub fn most(&self) -> Option<&PositionTold> {
        self.positions.iter().rev().max_by_key(|position| position.pool)
    }

    /// Why the owner of these positions, who gets nothing, does not.
    pub fn unpaid(&self) -> Unpaid {
        match self.most().and_then(|most| most.unpaid) {
            Some(binary::Unpaid::Inactive) => Unpaid::NotActive,
            Some(binary::Unpaid::NoneEnrolledLeft) => Unpaid::NoneEnrolledLeft,
            Some(binary::Unpaid::NoneEnrolledRight) => Unpaid::NoneEnrolledRight,
            Some(binary::Unpaid::Cap | binary::Unpaid::OwnerCap) => Unpaid::Capped,
            Some(
                binary::Unpaid::NoVolume
                | binary::Unpaid::OneLegEmpty
                | binary::Unpaid::BelowOnePair
                | binary::Unpaid::BelowOneUnit,
            )
            | None => Unpaid::NoVolume,
        }
    }
}

/// A position of a binary.
#[derive(Debug, Clone, Serialize)]
pub struct PositionTold {
    /// Its name.
    pub position: PositionId,
    /// The left leg.
    pub left: LegTold,
    /// The right leg.
    pub right: LegTold,
    /// How its pairs earn; nothing where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earned: Option<Earned>,
    /// Before that is rounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Decimal>,
    /// What it comes to: paid + forfeited + what the caps take.
    pub pool: Money,
    /// What the owner gets.
    pub paid: Money,
    /// What the company keeps because the position may not earn.
    pub forfeited: Money,
    /// What the cap of the position takes.
    pub position_cap: Money,
    /// What the cap of the owner takes.
    pub owner_cap: Money,
    /// Why the position may not earn, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<binary::Unpaid>,
    /// Why the owner gets nothing, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaid: Option<binary::Unpaid>,
}

/// A leg of a position: `opening + arrived = paired + expired + flushed + carried`.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LegTold {
    /// What was carried in.
    pub opening: Volume,
    /// What arrived in the period.
    pub arrived: Volume,
    /// What found a partner.
    pub paired: Volume,
    /// What was too old.
    pub expired: Volume,
    /// What was emptied.
    pub flushed: Volume,
    /// What waits for the next period.
    pub carried: Volume,
    /// The orders that it is made of, the oldest first, each with what became of it.
    pub lots: Vec<LotTold>,
    /// How many more of these there are.
    pub more: usize,
}

/// What became of an order in a leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LotTold {
    /// The order; none of volume that no order of the journal brought: of an earlier system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Whose volume it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distributor: Option<DistributorId>,
    /// When it was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Timestamp>,
    /// The earlier period that counted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<PeriodId>,
    /// How much of it.
    pub volume: Volume,
    /// What became of that in this period.
    pub became: Became,
}

/// What became of volume in a leg in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Became {
    /// It found a partner.
    Paired,
    /// It was too old.
    Expired,
    /// It was emptied.
    Flushed,
    /// It waits.
    Carried,
}

/// The positions of a distributor in a matrix.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixTold {
    /// The tree.
    pub tree: TreeId,
    /// Money for a point.
    pub conversion: Conversion,
    /// Whether each order is rounded by itself, else the sum of the level.
    pub by_order: bool,
    /// Each that the distributor has.
    pub positions: Vec<MatrixPositionTold>,
}

impl MatrixTold {
    /// The level of which most is forfeited; of equal ones the first.
    pub fn most(&self) -> Option<&MatrixLevelTold> {
        let levels = self.positions.iter().flat_map(|position| &position.levels);
        levels.rev().max_by_key(|level| level.forfeited)
    }

    /// Why the owner of these positions, who gets nothing, does not.
    pub fn unpaid(&self) -> Unpaid {
        match self.most().and_then(|level| level.because) {
            Some("inactive") => Unpaid::NotActive,
            Some("locked") => Unpaid::LevelLocked,
            Some(_) | None => Unpaid::NoVolume,
        }
    }
}

/// A position of a matrix.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixPositionTold {
    /// Its name.
    pub position: PositionId,
    /// The levels below it.
    pub levels: Vec<MatrixLevelTold>,
}

/// A level below a position.
#[derive(Debug, Clone, Serialize)]
pub struct MatrixLevelTold {
    /// The level, from 1.
    pub level: u8,
    /// How many positions are placed so deep below it.
    pub positions: u64,
    /// The volume that pays there.
    pub volume: Volume,
    /// The rate.
    pub rate: Rate,
    /// What that is before it is rounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<Decimal>,
    /// What the owner gets.
    pub paid: Money,
    /// What the company keeps.
    pub forfeited: Money,
    /// Why, as it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'static str>,
}

/// An order whose volume came back after its period was closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CameBack {
    /// The order.
    pub order: String,
    /// Whose volume it was.
    pub distributor: DistributorId,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The entry of the volume journal that took it back.
    pub entry: u64,
    /// How much of the volume that the component counts.
    pub volume: Volume,
}
