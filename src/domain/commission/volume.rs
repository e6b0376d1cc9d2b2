//! Whose volume an order counts for.
//!
//! An own purchase counts for the buyer, the order of a retail customer for who referred it; whether
//! the latter is personal volume too is for the plan to say. An order of nobody has no volume: its
//! lines earn nothing and say why. Shares of money are taken of the base in the payout currency, so that
//! a point is worth the same in every shop of a company that has one.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::order::{MappedLine, MappedOrder};
use crate::domain::{
    id::{DistributorId, LineId},
    plan::volume::{LineVolumes, Volumes},
    volume::Volume,
};

/// Where volume comes from: the law asks how much is sold to people outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VolumeSource {
    /// A customer who is no distributor bought.
    Retail,
    /// A distributor bought for themselves.
    OwnUse,
}

impl VolumeSource {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retail => "retail",
            Self::OwnUse => "own_use",
        }
    }

    /// The source of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Retail, Self::OwnUse].into_iter().find(|source| source.as_str() == name)
    }
}

impl fmt::Display for VolumeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The volume of an order line, and whom it counts for. It may be zero, where the plan says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeLine {
    /// The order line.
    pub line: LineId,
    /// Whom it counts for.
    pub distributor: DistributorId,
    /// Where it comes from.
    pub source: VolumeSource,
    /// How much.
    #[serde(flatten)]
    pub amount: LineVolumes,
}

/// The volumes of the lines that earn.
pub(super) fn of_order(order: &MappedOrder, plan: &Volumes) -> Vec<VolumeLine> {
    let people = &order.attribution;
    let (distributor, source) = match (&people.own_purchase, &people.referrer) {
        (Some(buyer), _) => (buyer, VolumeSource::OwnUse),
        (None, Some(referrer)) => (referrer, VolumeSource::Retail),
        (None, None) => return Vec::new(),
    };
    let earning = order.lines.iter().filter(|line| line.base.is_positive());
    earning
        .map(|line| VolumeLine {
            line: line.id.clone(),
            distributor: distributor.clone(),
            source,
            amount: of_line(line, source, plan),
        })
        .collect()
}

/// The commissionable volume of a line: whoever buys, it is the same.
pub(super) fn cv_of(line: &MappedLine, plan: &Volumes) -> Volume {
    of_line(line, VolumeSource::OwnUse, plan).cv.at_least_zero()
}

fn of_line(line: &MappedLine, source: VolumeSource, plan: &Volumes) -> LineVolumes {
    let basis = line.volume.as_ref();
    let stated = basis.map(|basis| {
        let stated = |unit| basis.stated(unit, line.base);
        (basis.qv.map(stated), basis.cv.map(stated))
    });
    let retail = source == VolumeSource::Retail;
    plan.of_line(line.commissionable(), stated.unwrap_or_default(), retail)
}
