//! Who earns what on an order: a pure function of the order, the tree and the plan.
//!
//! Invariant: for every component, pool = paid + breakage, to the minor unit. The pool is what the
//! component offers on the order; what nobody qualifies for goes to the account `breakage` with its
//! reason, so no cent disappears.
//!
//! Every amount is in the payout currency of the order: rates apply to the base of a line after its
//! conversion (`fx::LockedRate::convert`), or to its CV where the plan says so. Only `Money::scaled` and
//! `Volume::earning` round. A line is its rate of the base, rounded once; where several share one rate (a differential; a rate by rank and what it leaves of the highest)
//! each share is the difference of two such amounts, so that together they are the whole to the minor unit.
//!
//! What one order costs does not grow with the depth of the tree: a component ends at its last level, or
//! after as many distributors as the plan states (`plan::WalkLimit`). Without a stated limit only runs of
//! inactive distributors are passed over, by `roll_up`.

mod differential;
mod direct;
mod fast_start;
mod generation;
mod infinity;
mod line;
mod order;
mod ranks;
mod source;
mod unilevel;
mod volume;
mod walk;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::{fast_start::Excluded, walk::Slot};
pub use self::{
    line::{Account, Breakage, CommissionLine, Idle, PaidVolume, Passed, Step, Totals},
    order::{
        Attribution, Candidate, DecidedChargeback, Locks, MappedLine, MappedOrder, VolumeBasis,
        WonBy, ZeroReason,
    },
    ranks::{
        RankBook, RankBooks, RankError, RankFact, RankLine, RankRecord, RankSource, RankVersion,
        RanksAsOf, Span, Standing, held_from, standings,
    },
    source::EarningSource,
    volume::{VolumeLine, VolumeSource},
};
use super::{
    digest::Digest,
    genealogy::{AsOf, Genealogy, GenealogyVersion, Member},
    id::{ComponentId, DistributorId},
    money::{Money, Rate},
    plan::{Component, FirstLevel, PayBase, Plan, PlanRef, rank::RankLevel},
};

/// The identity of the rules in this module and in `ledger`. It changes when the same inputs would
/// give other lines or entries, and stands on every run.
pub const ENGINE: &str = "upline-2";

/// The calculation of one order revision: inputs by hash, path and result. It is the snapshot that
/// explains every entry in the ledger, and it holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The rules that computed it ([`ENGINE`]).
    pub engine: Box<str>,
    /// SHA-256 of the order as JSON.
    pub order_hash: Digest,
    /// The order that was computed.
    pub order: MappedOrder,
    /// The upline walked for each component.
    pub walks: BTreeMap<ComponentId, Vec<Step>>,
    /// The lines.
    pub lines: Vec<CommissionLine>,
    /// The totals for each component.
    pub totals: BTreeMap<ComponentId, Totals>,
    /// Components that did not look for earners, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub idle: BTreeMap<ComponentId, Idle>,
    /// Whose volume the earning lines count for; absent in a plan without volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<VolumeLine>>,
}

/// Why an order cannot be computed yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLoaded {
    /// The order is locked to a genealogy that is not loaded yet.
    #[error("genealogy version {wanted} is not loaded, the last is {loaded}")]
    Genealogy {
        /// The version that the order is locked to.
        wanted: u64,
        /// The last version loaded.
        loaded: u64,
    },
    /// The order is locked to ranks that are not loaded yet.
    #[error("version {wanted} of the ranks is not loaded, the last is {loaded}")]
    Ranks {
        /// The version that the order is locked to.
        wanted: u64,
        /// The last version loaded.
        loaded: u64,
    },
    /// The order is locked to other facts about ranks than are loaded under the same number.
    #[error("rank fact {0} is not the one that the order is locked to: the chain was altered")]
    OtherRanks(u64),
    /// The order is locked to a plan that is not loaded.
    #[error("plan {} version {} is not loaded", .0.id, .0.version)]
    Plan(PlanRef),
}

/// What a component sees while it computes.
struct Context<'a> {
    plan: &'a Plan,
    order: &'a MappedOrder,
    tree: &'a Genealogy,
    as_of: AsOf<'a>,
    /// `None` in a plan without ranks: nobody has one.
    ranks: Option<RanksAsOf<'a>>,
    referrer: Option<Member>,
    /// The distributor who bought for themselves.
    own_buyer: Option<Member>,
    /// What a fast start takes from other components.
    excluded: Vec<Excluded<'a>>,
}

impl<'a> Context<'a> {
    fn rank(&self, member: Member) -> RankLevel {
        self.ranks.as_ref().map_or(RankLevel(0), |ranks| ranks.rank(member))
    }

    fn earning(&self) -> impl Iterator<Item = &'a MappedLine> {
        self.order.lines.iter().filter(|line| line.base.is_positive())
    }

    /// The earning lines that a component may pay for.
    fn earning_in<'c>(&'c self, id: &'c ComponentId) -> impl Iterator<Item = &'a MappedLine> + 'c {
        self.earning().filter(|line| !self.excluded.iter().any(|other| other.covers(id, line)))
    }

    /// The upline of the order, nearest first; `None` if no distributor stands behind it.
    fn upline(&self, first: FirstLevel) -> Option<impl Iterator<Item = Member> + 'a> {
        let (start, first) = match (self.referrer, self.own_buyer) {
            (Some(referrer), _) if first == FirstLevel::Referrer => (referrer, Some(referrer)),
            (Some(member), _) | (None, Some(member)) => (member, None),
            (None, None) => return None,
        };
        Some(first.into_iter().chain(self.as_of.upline(start)))
    }

    /// The points that a component pays on; none where it pays on the net amount.
    fn points(&self, base: PayBase, line: &MappedLine) -> Option<PaidVolume> {
        let conversion = base.conversion()?;
        // A plan that was read has volumes where a component pays on them.
        let cv = self.plan.volumes.as_ref().map(|volumes| volume::cv_of(line, volumes));
        Some(PaidVolume { cv: cv.unwrap_or_default(), conversion })
    }

    /// So much of what a component takes its rates of.
    fn share(&self, base: PayBase, line: &MappedLine, rate: Rate) -> Money {
        let (rounding, currency) = (self.plan.rounding, self.order.payout_currency());
        match self.points(base, line) {
            None => line.commissionable().scaled(rate, rounding, currency),
            Some(points) => points.cv.earning(points.conversion, rate, rounding, currency),
        }
    }

    /// The line for a rate of the base, to whoever stands there.
    fn line(
        &self,
        payer: Payer<'_>,
        line: &MappedLine,
        level: u16,
        rate: Rate,
        slot: Slot,
    ) -> CommissionLine {
        let earner = slot.to.ok().and_then(|member| self.tree.id(member));
        CommissionLine {
            line: line.id.clone(),
            component: payer.id.clone(),
            level,
            account: earner.map_or(Account::Breakage, Account::Distributor),
            base: match payer.base {
                PayBase::Net => line.commissionable(),
                PayBase::Cv(_) => self.share(payer.base, line, Rate::WHOLE),
            },
            rate,
            amount: self.share(payer.base, line, rate),
            breakage: slot.to.err(),
            rank: self.plan.ranks.rank(slot.rank).cloned(),
            own: None,
            volume: self.points(payer.base, line),
        }
    }

    /// The lines for a rate of which the earner's rank may have only a part: that part, and the rest
    /// as breakage. `own` is `None` if the rank has nothing here.
    fn part(
        &self,
        payer: Payer<'_>,
        line: &MappedLine,
        level: u16,
        (offered, own): (Rate, Option<Rate>),
        slot: Slot,
    ) -> (CommissionLine, Option<CommissionLine>) {
        let Some(own) = own else {
            let to = slot.to.and(Err(Breakage::NotUnlocked));
            return (self.line(payer, line, level, offered, Slot { to, ..slot }), None);
        };
        if slot.to.is_err() || own == offered {
            return (self.line(payer, line, level, offered, slot), None);
        }
        let earned = self.line(payer, line, level, own, slot);
        let lost = Slot { to: Err(Breakage::LowerRate), ..slot };
        let rest = CommissionLine {
            amount: self.share(payer.base, line, offered) - earned.amount,
            ..self.line(payer, line, level, offered.above(own), lost)
        };
        (earned, Some(rest))
    }
}

/// Which component pays, and what it takes its rates of.
#[derive(Clone, Copy)]
struct Payer<'p> {
    id: &'p ComponentId,
    base: PayBase,
}

/// What a component adds to a run.
#[derive(Default)]
struct Share {
    walk: Vec<Step>,
    lines: Vec<CommissionLine>,
}

/// Computes the lines that an order should have produced.
///
/// Tree and ranks must hold at least the versions that the order is locked to; later ones give the
/// same lines, because only events and facts of the locked versions count.
pub fn run(
    order: MappedOrder,
    tree: &Genealogy,
    ranks: &RankBook,
    plan: &Plan,
) -> Result<Run, NotLoaded> {
    let locked = order.locks.genealogy.seq;
    if tree.version().seq < locked {
        return Err(NotLoaded::Genealogy { wanted: locked, loaded: tree.version().seq });
    }
    let of_ranks = order.locks.ranks.unwrap_or_default();
    if ranks.version() < of_ranks {
        return Err(NotLoaded::Ranks { wanted: of_ranks, loaded: ranks.version() });
    }
    if order.locks.ranks_hash.as_ref().is_some_and(|hash| !ranks.holds(of_ranks, hash)) {
        return Err(NotLoaded::OtherRanks(of_ranks));
    }
    if plan.reference != order.locks.plan {
        return Err(NotLoaded::Plan(order.locks.plan.clone()));
    }
    let find = |id: &Option<DistributorId>| id.as_ref().and_then(|id| tree.find(id));
    let referrer = find(&order.attribution.referrer);
    let own_buyer = find(&order.attribution.own_purchase);
    let as_of = tree.as_of(order.placed_at, locked);
    let held = || ranks.as_of(order.placed_at, of_ranks, &plan.ranks);
    let ranks = (!plan.ranks.is_empty() && of_ranks > 0).then(held);
    let excluded = Vec::new();
    let mut context =
        Context { plan, order: &order, tree, as_of, ranks, referrer, own_buyer, excluded };

    let mut walks = BTreeMap::new();
    let mut lines = Vec::new();
    let mut totals = BTreeMap::new();
    let idle = fast_start::idle(&mut context);
    for component in &plan.components {
        let share = match component {
            Component::Direct(direct) => direct::compute(direct, &context),
            Component::Unilevel(unilevel) => unilevel::compute(unilevel, &context),
            Component::Differential(part) => differential::compute(part, &context),
            Component::Infinity(infinity) => infinity::compute(infinity, &context),
            Component::Generation(generation) => generation::compute(generation, &context),
            Component::FastStart(part) if idle.contains_key(&part.id) => Share::default(),
            Component::FastStart(part) => fast_start::compute(part, &context),
            // The close of the period computes these.
            Component::Binary(_) | Component::Matrix(_) | Component::Close(_) => continue,
        };
        if !share.lines.is_empty() {
            totals.insert(component.id().clone(), total(&share.lines));
            walks.insert(component.id().clone(), share.walk);
            lines.extend(share.lines);
        }
    }
    let volumes = plan.volumes.as_ref().map(|volumes| volume::of_order(&order, volumes));
    let (engine, order_hash) = (ENGINE.into(), order.hash());
    Ok(Run { engine, order_hash, order, walks, lines, totals, idle, volumes })
}

fn total(lines: &[CommissionLine]) -> Totals {
    let mut totals = Totals::default();
    for line in lines {
        totals.pool += line.amount;
        match line.account {
            Account::Distributor(_) => totals.paid += line.amount,
            Account::Breakage => totals.breakage += line.amount,
        }
    }
    totals
}

impl Run {
    /// The genealogy version that the lines were computed from.
    pub fn genealogy(&self) -> GenealogyVersion {
        self.order.locks.genealogy
    }

    /// What distributors get on the order.
    pub fn paid(&self) -> Money {
        self.totals.values().map(|t| t.paid).sum()
    }

    /// What the company keeps because nobody qualified.
    pub fn breakage(&self) -> Money {
        self.totals.values().map(|t| t.breakage).sum()
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
