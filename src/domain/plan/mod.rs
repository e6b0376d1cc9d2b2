//! Compensation plans as data.
//!
//! A plan is a file: who earns, on which commission class, at which rate. It is immutable once an
//! order has used it; a change is a new version with a later `effective_from`. The hash of a plan is
//! the SHA-256 of its file, so an outsider checks it with any tool.

mod by_rank;
pub mod close;
mod order_time;
pub mod pairs;
pub mod period;
pub mod rank;
mod read;
mod resolve;
pub mod volume;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::rank::Ladder;
pub use self::{
    by_rank::{ByRank, Problem, Threshold, UNRANKED},
    order_time::{
        BlockedBy, Boundary, Compression, Differential, Direct, Dynamic, EmptyGeneration,
        EqualRank, ExcludedLines, Excludes, FastStart, FastStartOrders, FirstLevel, Generation,
        Generational, InactiveReferrer, IneligibleLeader, Infinity, InfinityModel, Levels,
        MinimumOverride, PureOverride, RankRates, SkipBelowRank, Stairs, Unilevel, WalkLimit,
        WhenInactive,
    },
    read::{Place, PlanError},
};
use super::{
    digest::Digest,
    id::{CommissionClass, ComponentId},
    money::Rounding,
};

/// The deepest level that a plan may pay.
pub const MAX_LEVELS: usize = 100;

/// The identity of a plan version, as it stands on every run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PlanRef {
    /// The plan's id.
    pub id: Box<str>,
    /// Its version.
    pub version: u32,
    /// SHA-256 of the plan file.
    pub hash: Digest,
}

/// One version of a compensation plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Id, version and hash.
    pub reference: PlanRef,
    /// What people call it.
    pub title: Box<str>,
    /// From when it holds, by the order's time.
    pub effective_from: Timestamp,
    /// How a commission line is rounded to the minor unit.
    pub rounding: Rounding,
    /// The ranks, lowest first; none in a plan that pays without them.
    pub ranks: Ladder,
    /// The components in their order of evaluation.
    pub components: Vec<Component>,
}

/// One way to earn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// The referrer's own commission on a customer's order.
    Direct(Direct),
    /// A rate for each level of the upline.
    Unilevel(Unilevel),
    /// The upline's own rate less what was paid below.
    Differential(Differential),
    /// Leaders without a limit of levels.
    Infinity(Infinity),
    /// Leaders by how many leaders stand below them.
    Generation(Generation),
    /// Those above a new distributor, for the first days.
    FastStart(FastStart),
}

impl Component {
    /// The id that the plan file gives it.
    pub fn id(&self) -> &ComponentId {
        match self {
            Self::Direct(direct) => &direct.id,
            Self::Unilevel(unilevel) => &unilevel.id,
            Self::Differential(differential) => &differential.id,
            Self::Infinity(infinity) => &infinity.id,
            Self::Generation(generation) => &generation.id,
            Self::FastStart(fast_start) => &fast_start.id,
        }
    }

    /// Whether it has a rate for this class.
    pub fn pays_for(&self, class: &CommissionClass) -> bool {
        match self {
            Self::Direct(direct) => direct.rates.contains_key(class),
            Self::Unilevel(unilevel) => unilevel.rates.contains_key(class),
            Self::Differential(differential) => differential.rates.get(class).is_some(),
            Self::Infinity(infinity) => match &infinity.model {
                InfinityModel::PureOverride(model) => model.rates.get(class).is_some(),
                InfinityModel::Generational(model) => model.rates.contains_key(class),
                InfinityModel::Differential(model) => model.rates.get(class).is_some(),
            },
            Self::Generation(generation) => generation.rates.contains_key(class),
            Self::FastStart(fast_start) => fast_start.rates.contains_key(class),
        }
    }
}

impl Plan {
    /// Whether a component of the plan has a rate for this class.
    pub fn pays_for(&self, class: &CommissionClass) -> bool {
        self.components.iter().any(|component| component.pays_for(class))
    }

    /// Reads a plan file.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        read::plan(text)
    }
}

/// Every version of every plan that orders may be locked to.
#[derive(Debug, Clone, Default)]
pub struct PlanBook {
    plans: BTreeMap<(Box<str>, u32), Plan>,
}

impl PlanBook {
    /// Adds a version. Returns the one that it replaces if the id and version were there.
    pub fn add(&mut self, plan: Plan) -> Option<Plan> {
        self.plans.insert((plan.reference.id.clone(), plan.reference.version), plan)
    }

    /// The version that an order is locked to; `None` if it is not loaded or its hash differs.
    pub fn get(&self, reference: &PlanRef) -> Option<&Plan> {
        let plan = self.plans.get(&(reference.id.clone(), reference.version))?;
        (plan.reference.hash == reference.hash).then_some(plan)
    }

    /// The version of a plan in force for an order placed at `at`: the one with the latest
    /// `effective_from` that is not after it, between equals the highest version. An order older
    /// than the plan gets the first version.
    pub fn in_force(&self, id: &str, at: Timestamp) -> Option<&Plan> {
        let versions = || self.plans.values().filter(|plan| &*plan.reference.id == id);
        let order = |plan: &&Plan| (plan.effective_from, plan.reference.version);
        versions()
            .filter(|plan| plan.effective_from <= at)
            .max_by_key(order)
            .or_else(|| versions().min_by_key(order))
    }

    /// All versions.
    pub fn iter(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }
}

#[cfg(test)]
pub(crate) mod tests;
