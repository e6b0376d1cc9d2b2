//! Compensation plans as data.
//!
//! A plan is a file: who earns, on which commission class, at which rate. It is immutable once an
//! order has used it; a change is a new version with a later `effective_from`. The hash of a plan is
//! the SHA-256 of its file, so an outsider checks it with any tool.
//!
//! One file holds all of a plan: the components that are computed for each order, those that the close
//! of a period computes, and the sections that a close needs. A plan that pays by orders alone has none
//! of these sections.

mod by_rank;
pub mod case;
pub mod close;
mod closing;
pub mod lint;
mod order_time;
pub mod pairs;
mod pay_base;
pub mod period;
mod placed;
pub mod rank;
mod read;
mod resolve;
mod schema;
pub mod volume;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::{
    by_rank::{ByRank, Needed, Problem, Threshold, UNRANKED},
    order_time::{
        BlockedBy, Boundary, Compression, Differential, Direct, Dynamic, EmptyGeneration,
        EqualRank, ExcludedLines, Excludes, FastStart, FastStartOrders, FirstLevel, Generation,
        Generational, InactiveReferrer, IneligibleLeader, Infinity, InfinityModel, Levels,
        MinimumOverride, PureOverride, RankRates, SkipBelowRank, Stairs, Unilevel, WalkLimit,
        WhenInactive,
    },
    pay_base::{CvBase, PayBase},
    read::{Place, PlanError},
    schema::schema,
};
use self::{
    close::{Cap, CloseComponent},
    pairs::{Binary, Matrix},
    period::Calendar,
    rank::{Activity, Ladder, LadderRules, Rank},
    volume::Volumes,
};
use super::{
    digest::Digest,
    id::{CommissionClass, ComponentId},
    money::{Currency, Rounding},
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
    /// What each rank requires, in their order; empty where the file states names alone.
    pub requirements: Vec<Rank>,
    /// What the close pays in; amounts in the file are in it. A plan that is closed states it.
    pub currency: Option<Currency>,
    /// The section `[volumes]`.
    pub volumes: Option<Volumes>,
    /// The section `[activity]`.
    pub activity: Option<Activity>,
    /// The section `[ladder]`.
    pub ladder: Option<LadderRules>,
    /// The section `[period]`.
    pub period: Option<Calendar>,
    /// The components in their order of evaluation. Those of orders do not see each other; what the
    /// close computes sees what stands before it.
    pub components: Vec<Component>,
    /// The entries `[[cap]]`; those after one component in the order of the file.
    pub caps: Vec<Cap>,
    /// The entries `[[case]]`, as they stand in the file.
    pub cases: Vec<serde_json::Value>,
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
    /// The paired legs of the placement tree, at the close.
    Binary(Binary),
    /// The levels of the placement tree, at the close.
    Matrix(Matrix),
    /// What a close computes on volumes, ranks and earnings; never [`CloseComponent::Given`].
    Close(CloseComponent),
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
            Self::Binary(binary) => &binary.id,
            Self::Matrix(matrix) => &matrix.id,
            Self::Close(close) => close.id(),
        }
    }

    /// The word for what it is, as the plan file writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Unilevel(_) => "unilevel",
            Self::Differential(_) => "differential",
            Self::Infinity(_) => "infinity",
            Self::Generation(_) => "generation",
            Self::FastStart(_) => "fast_start",
            Self::Binary(_) => "binary",
            Self::Matrix(_) => "matrix",
            Self::Close(close) => match close {
                CloseComponent::Given(_) => "given",
                CloseComponent::UnilevelVolume(_) => "unilevel_volume",
                CloseComponent::Bracket(_) => "bracket",
                CloseComponent::Breakaway(_) => "breakaway",
                CloseComponent::Matching(_) => "matching",
                CloseComponent::RankBonus(_) => "rank_bonus",
                CloseComponent::Pool(_) => "pool",
            },
        }
    }

    /// Whether it is computed for each order, and not at the close of a period.
    pub fn of_orders(&self) -> bool {
        match self {
            Self::Direct(_)
            | Self::Unilevel(_)
            | Self::Differential(_)
            | Self::Infinity(_)
            | Self::Generation(_)
            | Self::FastStart(_) => true,
            Self::Binary(_) | Self::Matrix(_) | Self::Close(_) => false,
        }
    }

    /// Whether it is computed for each order and asks for ranks.
    fn asks_ranks(&self) -> bool {
        match self {
            Self::Direct(direct) => !direct.rates_by_rank.is_empty(),
            Self::Unilevel(unilevel) => unilevel.asks_ranks(),
            Self::Differential(_) | Self::Infinity(_) | Self::Generation(_) => true,
            Self::FastStart(_) | Self::Binary(_) | Self::Matrix(_) | Self::Close(_) => false,
        }
    }

    /// Whether it has a rate for this class, or pays on the volume of every class.
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
            Self::Binary(_) | Self::Matrix(_) => true,
            Self::Close(close) => match close {
                CloseComponent::UnilevelVolume(_)
                | CloseComponent::Bracket(_)
                | CloseComponent::Breakaway(_) => true,
                // They pay on what others earn, on a rank, or on what the whole company sold.
                CloseComponent::Given(_)
                | CloseComponent::Matching(_)
                | CloseComponent::RankBonus(_)
                | CloseComponent::Pool(_) => false,
            },
        }
    }
}

impl Plan {
    /// Whether a component of the plan has a rate for this class.
    pub fn pays_for(&self, class: &CommissionClass) -> bool {
        self.components.iter().any(|component| component.pays_for(class))
    }

    /// Whether what an order pays depends on anybody's rank.
    pub fn asks_ranks(&self) -> bool {
        self.components.iter().any(Component::asks_ranks)
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
