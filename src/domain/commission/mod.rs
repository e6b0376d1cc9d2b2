//! Who earns what on an order: a pure function of the order, the tree and the plan.
//!
//! Invariant: for every component, pool = paid + breakage, to the minor unit. The pool is what the
//! component offers on the order; what nobody qualifies for goes to the account `breakage` with its
//! reason, so no cent disappears.
//!
//! Every amount is in the payout currency of the order: rates apply to the base of a line after its
//! conversion (`fx::LockedRate::convert`). Each line is rounded once, on its own (`Money::scaled`); nothing is rounded after that.

mod direct;
mod order;
mod unilevel;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub use self::order::{
    Attribution, Candidate, DecidedChargeback, Locks, MappedLine, MappedOrder, WonBy, ZeroReason,
};
use super::{
    digest::Digest,
    genealogy::{AsOf, DistributorStatus, Genealogy, GenealogyVersion, Member},
    id::{ComponentId, DistributorId, LineId},
    money::{Money, Rate},
    plan::{Component, Plan, PlanRef},
};

/// The identity of the rules in this module and in `ledger`. It changes when the same inputs would
/// give other lines or entries, and stands on every run.
pub const ENGINE: &str = "upline-2";

/// Who gets the money of a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Account {
    /// A distributor.
    Distributor(DistributorId),
    /// Commission that nobody qualified for: the company keeps it.
    Breakage,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distributor(id) => write!(f, "distributor:{id}"),
            Self::Breakage => f.write_str("breakage"),
        }
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

impl TryFrom<String> for Account {
    type Error = super::id::IdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("distributor:") {
            Some(id) => DistributorId::parse(id).map(Self::Distributor),
            None if text == "breakage" => Ok(Self::Breakage),
            None => Err(super::id::IdError::Unknown {
                kind: "account",
                found: text.chars().take(80).collect(),
                known: "breakage, distributor:ID",
            }),
        }
    }
}

/// Why the money of a line is breakage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    /// The distributor who would have earned was not active at the order's time.
    Inactive,
    /// The upline ended before this level.
    EndOfUpline,
}

impl Breakage {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::EndOfUpline => "end_of_upline",
        }
    }
}

/// One commission line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommissionLine {
    /// The order line that it comes from: no commission without one.
    pub line: LineId,
    /// The component of the plan.
    pub component: ComponentId,
    /// The level, 0 for direct commission.
    pub level: u16,
    /// Who gets it.
    pub account: Account,
    /// What the rate is taken of.
    pub base: Money,
    /// The rate.
    pub rate: Rate,
    /// The money, rounded to the minor unit.
    pub amount: Money,
    /// Why it is breakage, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakage: Option<Breakage>,
}

/// A distributor met on the way up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The distributor.
    pub distributor: DistributorId,
    /// Their status at the order's time.
    pub status: DistributorStatus,
    /// The level that they take; `None` if they were passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u16>,
}

/// What a component offered and where it went. `pool = paid + breakage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What the component offered.
    pub pool: Money,
    /// What distributors get.
    pub paid: Money,
    /// What the company keeps because nobody qualified.
    pub breakage: Money,
}

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
    referrer: Option<Member>,
    /// The distributor who bought for themselves.
    own_buyer: Option<Member>,
}

impl Context<'_> {
    fn step(&self, member: Member, level: Option<u16>) -> Option<Step> {
        let distributor = self.tree.id(member)?;
        Some(Step { distributor, status: self.as_of.status(member), level })
    }

    fn is_active(&self, member: Member) -> bool {
        self.as_of.status(member) == DistributorStatus::Active
    }

    fn earning(&self) -> impl Iterator<Item = &MappedLine> {
        self.order.lines.iter().filter(|line| line.base.is_positive())
    }

    fn line(
        &self,
        component: &ComponentId,
        line: &MappedLine,
        level: u16,
        rate: Rate,
        to: Result<Member, Breakage>,
    ) -> CommissionLine {
        let earner = to.ok().and_then(|member| self.tree.id(member));
        CommissionLine {
            line: line.id.clone(),
            component: component.clone(),
            level,
            account: earner.map_or(Account::Breakage, Account::Distributor),
            base: line.commissionable(),
            rate,
            amount: line.commissionable().scaled(
                rate,
                self.plan.rounding,
                self.order.payout_currency(),
            ),
            breakage: to.err(),
        }
    }
}

/// What a component adds to a run.
struct Share {
    walk: Vec<Step>,
    lines: Vec<CommissionLine>,
}

/// Computes the lines that an order should have produced.
///
/// The tree must hold at least the version that the order is locked to; a later one gives the same
/// lines, because only events of the locked version count.
pub fn run(order: MappedOrder, tree: &Genealogy, plan: &Plan) -> Result<Run, NotLoaded> {
    let locked = order.locks.genealogy.seq;
    if tree.version().seq < locked {
        return Err(NotLoaded::Genealogy { wanted: locked, loaded: tree.version().seq });
    }
    if plan.reference != order.locks.plan {
        return Err(NotLoaded::Plan(order.locks.plan.clone()));
    }
    let find = |id: &Option<DistributorId>| id.as_ref().and_then(|id| tree.find(id));
    let referrer = find(&order.attribution.referrer);
    let own_buyer = find(&order.attribution.own_purchase);
    let as_of = tree.as_of(order.placed_at, locked);
    let context = Context { plan, order: &order, tree, as_of, referrer, own_buyer };

    let mut walks = BTreeMap::new();
    let mut lines = Vec::new();
    let mut totals = BTreeMap::new();
    for component in &plan.components {
        let share = match component {
            Component::Direct(direct) => direct::compute(direct, &context),
            Component::Unilevel(unilevel) => unilevel::compute(unilevel, &context),
        };
        if !share.lines.is_empty() {
            totals.insert(component.id().clone(), total(&share.lines));
            walks.insert(component.id().clone(), share.walk);
            lines.extend(share.lines);
        }
    }
    Ok(Run { engine: ENGINE.into(), order_hash: order.hash(), order, walks, lines, totals })
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
mod tests;
