//! What is kept of a close: what it came from, and what everybody's period was.

use serde::{Deserialize, Serialize};

use super::{
    BelowZero, CarryVersion, Close, CloseEntry, CloseKey, ClosePlan, Population, Title, column::at,
    gather::Counted, placed::PlacedRecords,
};
use crate::domain::{
    commission::RankVersion,
    digest::Digest,
    genealogy::GenealogyVersion,
    id::{ComponentId, DistributorId, RankId, TreeId},
    money::Currency,
    placement::PlacementVersion,
    plan::{
        PlanRef,
        period::{Period, PeriodId},
        rank::RankLevel,
        volume::Measure,
    },
    volume::Volume,
};

/// The identity of the rules of this module and its neighbours. It changes when the same basis would
/// give other lines.
pub const ENGINE: &str = "upline-close-3";

/// All that a close was computed from. The same basis over the same books gives the same close, to the
/// cent and to the byte, whenever it is computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The rules ([`ENGINE`]).
    pub engine: Box<str>,
    /// The plan that was in force when the period began.
    pub plan: PlanRef,
    /// The period.
    pub period: Period,
    /// What it pays in.
    pub currency: Currency,
    /// The genealogy that was known.
    pub genealogy: GenealogyVersion,
    /// The facts about ranks that were known, of which the forced ones count; none where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RankVersion>,
    /// The close before it; none for the first of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PeriodId>,
    /// What the closes before had counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Counted>,
    /// What is counted with this one.
    pub counted: Counted,
    /// The last ledger entry that the close before had counted for components of orders.
    pub ledger_before: u64,
    /// The last ledger entry that this one counts.
    pub ledger: u64,
    /// The placement trees that the plan pays on, as they were at the snapshot instant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placements: Vec<PlacedTree>,
    /// What positions of binaries brought along from an earlier system: of the first close of a plan, where
    /// there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carries: Option<CarryVersion>,
}

/// A placement tree that a close was computed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedTree {
    /// Its name.
    pub tree: TreeId,
    /// Its version.
    #[serde(flatten)]
    pub version: PlacementVersion,
}

impl Basis {
    /// Which close it is.
    pub fn key(&self) -> CloseKey {
        CloseKey { plan: self.plan.id.clone(), period: self.period.id.clone() }
    }

    /// The leaves of a close in its block's Merkle tree: `text` is the basis as it is stored.
    pub fn leaves(
        &self,
        text: &str,
        members: &[MemberRecord],
        carries: &[CarryRecord],
        entries: &[CloseEntry],
        placed: &PlacedRecords,
    ) -> Vec<Digest> {
        let key = self.key();
        let mut leaves = vec![Self::leaf(text)];
        leaves.extend(members.iter().map(|member| member.leaf(&key)));
        leaves.extend(carries.iter().map(|carry| carry.leaf(&key)));
        leaves.extend(entries.iter().map(|entry| entry.leaf(&key, self.currency)));
        leaves.extend(placed.leaves(&key));
        leaves
    }

    /// The leaf of the close in its block's Merkle tree: `basis` is the text that is stored.
    pub fn leaf(basis: &str) -> Digest {
        Digest::of_fields([b"close-basis".as_slice(), basis.as_bytes()])
    }
}

/// A member's period, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The member.
    pub distributor: DistributorId,
    /// Whether they were active.
    pub active: bool,
    /// Personal volume.
    pub pv: Volume,
    /// Qualifying volume.
    pub qv: Volume,
    /// Commissionable volume.
    pub cv: Volume,
    /// Group volume.
    pub gv: Volume,
    /// Volume of the own group.
    pub pgv: Volume,
    /// The rank that the period's figures support.
    pub paid_as: Option<RankId>,
    /// The highest rank ever reached.
    pub achieved: Option<RankId>,
}

impl MemberRecord {
    /// Whether there is anything to keep: somebody without volume, activity or rank has no record.
    fn says_something(&self) -> bool {
        let volumes = [self.pv, self.qv, self.cv, self.gv, self.pgv];
        let ranked = self.paid_as.is_some() || self.achieved.is_some();
        self.active || ranked || volumes.iter().any(|v| *v != Volume::ZERO)
    }

    /// The leaf of the record in its block's Merkle tree: everything that it says.
    pub fn leaf(&self, key: &CloseKey) -> Digest {
        let rank = |rank: &Option<RankId>| rank.as_ref().map_or("", RankId::as_str).to_owned();
        let (paid_as, achieved) = (rank(&self.paid_as), rank(&self.achieved));
        Digest::of_fields([
            b"close-member".as_slice(),
            key.to_string().as_bytes(),
            self.distributor.as_str().as_bytes(),
            &[u8::from(self.active)],
            &self.pv.parts().to_be_bytes(),
            &self.qv.parts().to_be_bytes(),
            &self.cv.parts().to_be_bytes(),
            &self.gv.parts().to_be_bytes(),
            &self.pgv.parts().to_be_bytes(),
            paid_as.as_bytes(),
            achieved.as_bytes(),
        ])
    }
}

/// Volume below zero that goes into the next period of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CarryRecord {
    /// The member.
    pub distributor: DistributorId,
    /// Personal volume; not above zero, as the others.
    pub pv: Volume,
    /// Qualifying volume.
    pub qv: Volume,
    /// Commissionable volume.
    pub cv: Volume,
}

impl CarryRecord {
    /// The leaf of the record in its block's Merkle tree: everything that it says.
    pub fn leaf(&self, key: &CloseKey) -> Digest {
        Digest::of_fields([
            b"close-carry".as_slice(),
            key.to_string().as_bytes(),
            self.distributor.as_str().as_bytes(),
            &self.pv.parts().to_be_bytes(),
            &self.qv.parts().to_be_bytes(),
            &self.cv.parts().to_be_bytes(),
        ])
    }
}

/// A bonus for a rank that somebody has had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RankBonusRecord {
    /// The component.
    pub component: ComponentId,
    /// The member.
    pub distributor: DistributorId,
    /// The rank.
    pub rank: RankId,
}

impl Close {
    /// The bonuses for ranks that this close pays.
    pub fn rank_bonuses<'a>(
        &'a self,
        plan: &'a ClosePlan,
        population: &'a Population,
        name: impl Fn(u32) -> Option<DistributorId> + Copy + 'a,
    ) -> impl Iterator<Item = RankBonusRecord> + 'a {
        self.components().iter().flat_map(move |component| {
            let lines = component.lines.iter(|position| population.member(position));
            lines.filter(|line| line.title == Title::Rank).filter_map(move |line| {
                let level = RankLevel(u8::try_from(line.level).ok()?);
                Some(RankBonusRecord {
                    component: component.id.clone(),
                    distributor: name(line.member)?,
                    rank: plan.ladder.rank(level)?.clone(),
                })
            })
        })
    }

    /// The volume that goes into the next period. `name` knows all.
    pub fn carries(
        &self,
        name: impl Fn(u32) -> Option<DistributorId>,
    ) -> impl Iterator<Item = CarryRecord> {
        self.carried_volume.iter().filter_map(move |below| {
            let BelowZero { member, pv, qv, cv } = *below;
            Some(CarryRecord { distributor: name(member)?, pv, qv, cv })
        })
    }

    /// What is kept of each member of whom there is something to say, by number. `name` knows all.
    pub fn records<'a>(
        &'a self,
        plan: &'a ClosePlan,
        population: &'a Population,
        name: impl Fn(u32) -> Option<DistributorId> + 'a,
    ) -> impl Iterator<Item = MemberRecord> + 'a {
        let ranking = &self.ranking;
        population.positions().filter_map(move |member| {
            let position = population.position(member)?;
            let volume = |measure| at(population.volume(measure), position);
            let record = MemberRecord {
                distributor: name(member)?,
                active: ranking.is_active(position),
                pv: volume(Measure::Pv),
                qv: volume(Measure::Qv),
                cv: volume(Measure::Cv),
                gv: at(&ranking.gv, position),
                pgv: at(&ranking.pgv, position),
                paid_as: plan.ladder.rank(at(&ranking.paid_as, position)).cloned(),
                achieved: plan.ladder.rank(at(&ranking.achieved, position)).cloned(),
            };
            Some(record).filter(MemberRecord::says_something)
        })
    }
}
