//! The close of a period: gathers what it is computed from, and computes it.

mod corrections;
mod inputs;
mod note;
pub mod placement;
mod ranks;
mod returns;
mod story;
mod told;
mod verify;

use jiff::Timestamp;
use serde::Serialize;

use self::{
    corrections::Backs,
    inputs::{History, Watch, gather, given},
    placement::{Before, Unplaced},
};
pub use self::{
    note::{Because, Note},
    story::story,
    told::{
        ClosedBy, ComponentTold, CutTold, ForcedTold, LineTold, LockedLevel, Missing, OrderTold,
        OrdersTold, OwnEntry, OwnVolumes, PeriodStory, RankTold, SourceTold, To, WithheldTold,
    },
    verify::{Difference, Part, Verified, verify},
};
use crate::{
    domain::{
        close::{
            self, Basis, CarryRecord, Close, CloseEntry, CloseError, CloseKey, ClosePlan, Columns,
            Inputs, MemberRecord, Mover, PlacedTree, Population, PopulationError, RankBonusRecord,
            RankChange, Summary,
            binary::{self, unpair::UnpairError},
            correct::Correction,
            gather::{Counted, Late, Volumes},
            matrix::MatrixError,
            placed::PlacedRecords,
        },
        commission::RankVersion,
        genealogy::{Genealogy, GenealogyVersion},
        id::{ComponentId, DistributorId, TreeId},
        money::Money,
        plan::{
            Plan, PlanBook, PlanRef,
            close::ClosePlanError,
            period::{Calendar, Period, PeriodError, PeriodId},
        },
    },
    stage::map::Company,
    store::postgres::{Closed, CompanyReader, Postgres},
    stream::ServiceError,
};

/// Why a period cannot be closed.
#[derive(Debug, thiserror::Error)]
pub enum ClosingError {
    /// The books cannot be read.
    #[error("the books cannot be read")]
    Books(#[from] ServiceError),
    /// No plan closes periods, or several do.
    #[error("{0}")]
    Plan(String),
    /// There is no such period.
    #[error("the period is not one of the plan's")]
    Period(#[from] PeriodError),
    /// Periods are closed in their order.
    #[error("period {expected} of plan {plan} is the next to close, after {last}: close it first")]
    Order {
        /// The plan.
        plan: Box<str>,
        /// The last period that is closed.
        last: PeriodId,
        /// The one to close.
        expected: PeriodId,
    },
    /// The plan does not hold.
    #[error("plan {plan} version {version} cannot be closed")]
    ClosePlan {
        /// The plan.
        plan: Box<str>,
        /// Its version.
        version: u32,
        /// Why.
        #[source]
        source: ClosePlanError,
    },
    /// A close was computed without the placement tree of a component.
    #[error(
        "component {0} pays on the placement tree {1}, which the basis of this close does not name"
    )]
    NoTree(ComponentId, TreeId),
    /// A binary does not close.
    #[error("a binary cannot be closed")]
    Binary(#[from] binary::CloseError),
    /// A matrix does not close.
    #[error("a matrix cannot be closed")]
    Matrix(#[from] MatrixError),
    /// What came back does not fit what closed periods counted.
    #[error("what came back of closed periods cannot be taken out of a binary")]
    Unpair(#[from] UnpairError),
    /// The tree cannot be a population.
    #[error("the genealogy cannot be closed on")]
    Population(#[from] PopulationError),
    /// The inputs do not fit.
    #[error("the period cannot be computed")]
    Close(#[from] CloseError),
    /// The journal names somebody who is not in the genealogy.
    #[error("{0} journal entries count for distributors who are not in the genealogy")]
    Unknown(u64),
    /// A closed period cannot be computed again from what it says that it came from.
    #[error("period {period} cannot be computed again: {why}")]
    Again {
        /// The period.
        period: PeriodId,
        /// What is in the way.
        why: String,
    },
    /// Only what is closed can be held against what was written.
    #[error("period {0} is not closed: there is nothing to verify yet")]
    NotClosed(PeriodId),
    /// The period has no such member.
    #[error("the genealogy of period {period} has no distributor {distributor}")]
    NoMember {
        /// The distributor.
        distributor: DistributorId,
        /// The period.
        period: PeriodId,
    },
}

/// A close, computed and not yet written.
#[derive(Debug)]
pub struct Prepared {
    /// What it was computed from.
    pub basis: Basis,
    /// Its figures.
    pub summary: Summary,
    /// What came late for closed periods.
    pub late: Late,
    /// Whose pay changed most against the period before.
    pub movers: Vec<(DistributorId, Mover)>,
    /// The ranks that orders are paid by after the period, where they are others than now.
    pub rank_changes: Vec<RankChange>,
    plan: ClosePlan,
    population: Population,
    close: Close,
    placed: PlacedRecords,
    unplaced: Vec<Unplaced>,
    notes: Vec<Note>,
    corrections: Vec<Correction>,
    /// The components of the plan that rest on placement.
    on_trees: Vec<ComponentId>,
    tree: Genealogy,
}

/// The summary as it is kept.
#[derive(Debug, Serialize)]
pub struct Kept<'a> {
    /// The figures.
    #[serde(flatten)]
    pub summary: &'a Summary,
    /// What came late.
    pub late: Late,
    /// Volume of people without a position in the tree of a component.
    #[serde(skip_serializing_if = "<[Unplaced]>::is_empty")]
    pub unplaced: &'a [Unplaced],
    /// What distributors get less, or more, in closed periods because volume came back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Money>,
    /// What changes of the plan or of the rules mean for its binaries.
    #[serde(skip_serializing_if = "<[Note]>::is_empty")]
    pub notes: &'a [Note],
}

impl Prepared {
    /// The entries: those of the period, then those that correct closed ones.
    pub fn entries(&self) -> Vec<CloseEntry> {
        let (key, currency) = (self.basis.key(), self.basis.currency);
        let name = |member| self.tree.by_number(member);
        let own = self.close.entries(&key, currency, &self.population, name);
        let corrections = self.corrections.iter();
        own.chain(corrections.filter_map(|c| c.entry(&key, currency, name))).collect()
    }

    /// What is kept of the positions of binaries and matrices.
    pub fn placed(&self) -> &PlacedRecords {
        &self.placed
    }

    /// What is kept of the members.
    pub fn members(&self) -> Vec<MemberRecord> {
        let name = |member| self.tree.by_number(member);
        self.close.records(&self.plan, &self.population, name).collect()
    }

    /// The volume below zero that goes into the next period.
    pub fn carries(&self) -> Vec<CarryRecord> {
        self.close.carries(|member| self.tree.by_number(member)).collect()
    }

    /// Whether volume below zero goes into the next period; else it is forgiven.
    pub fn carries_volume(&self) -> bool {
        !self.close.carried_volume.is_empty()
    }

    /// The bonuses for ranks.
    pub fn rank_bonuses(&self) -> Vec<RankBonusRecord> {
        let name = |member| self.tree.by_number(member);
        self.close.rank_bonuses(&self.plan, &self.population, name).collect()
    }

    /// The figures as they are kept.
    pub fn kept(&self) -> Kept<'_> {
        let corrected = self.corrections.iter().map(Correction::to_member).sum();
        let corrected = Some(corrected).filter(|_| !self.corrections.is_empty());
        let (summary, late, unplaced) = (&self.summary, self.late, &*self.unplaced);
        Kept { summary, late, unplaced, corrected, notes: &self.notes }
    }
}

/// What a question about a period comes to.
#[derive(Debug)]
pub enum Found {
    /// It is closed.
    Closed(Box<Closed>),
    /// It is open, and this would be its close now.
    Open(Box<Prepared>),
}

/// The plan that closes periods, in its version of now. The volume journal is one for all plans, so it
/// can be one only.
fn plan_of(plans: &PlanBook, at: Timestamp) -> Result<&Plan, ClosingError> {
    let closing = plans.iter().filter(|plan| plan.is_closed());
    let mut ids: Vec<&str> = closing.map(|plan| &*plan.reference.id).collect();
    ids.dedup();
    let found = match ids.as_slice() {
        [only] => plans.in_force(only, at).filter(|plan| plan.is_closed()),
        [] => None,
        several => {
            let several = several.join(", ");
            return Err(ClosingError::Plan(format!(
                "the volume journal is one for all plans, and {several} all close periods"
            )));
        }
    };
    let none = || ClosingError::Plan("no plan that is in force closes periods".to_owned());
    found.ok_or_else(none)
}

fn calendar(plan: &Plan) -> Result<&Calendar, ClosingError> {
    let id = &plan.reference.id;
    plan.period.as_ref().ok_or_else(|| ClosingError::Plan(format!("plan {id} has no [period]")))
}

/// The plan of a period, which is the one in force when it begins, and the period.
fn asked<'a>(
    plans: &'a PlanBook,
    id: &PeriodId,
    now: Timestamp,
) -> Result<(&'a Plan, Period), ClosingError> {
    let current = plan_of(plans, now)?;
    let start = calendar(current)?.period(id)?.start;
    let plan = plans.in_force(&current.reference.id, start).unwrap_or(current);
    Ok((plan, calendar(plan)?.period(id)?))
}

/// Computes the close of a period from the books as they are now, or finds that it is closed.
pub async fn prepare(
    store: &Postgres,
    id: &PeriodId,
    now: Timestamp,
    movers: usize,
) -> Result<Found, ClosingError> {
    let mut company = Company::default();
    CompanyReader::new(store.clone()).catch_up(&mut company).await?;
    let (plan, period) = asked(&company.plans, id, now)?;
    let key = CloseKey { plan: plan.reference.id.clone(), period: id.clone() };
    if let Some(closed) = store.close_of(&key).await? {
        return Ok(Found::Closed(Box::new(closed)));
    }
    let basis = basis(store, plan, period, &company).await?;
    let (tree, plans) = (&company.genealogy, &company.plans);
    let mut prepared = compute(store, tree, (plan, plans), basis, movers, None).await?;
    prepared.rank_changes = prepared.changed_ranks(&company.ranks, plan);
    Ok(Found::Open(Box::new(prepared)))
}

/// Computes a closed period again from its basis: with the members that it knew, and with what it had read
/// of journal, ledger and earlier closes.
async fn again(
    store: &Postgres,
    plans: &PlanBook,
    basis: &Basis,
    watch: Option<&mut Watch>,
) -> Result<Prepared, ClosingError> {
    let in_the_way = |why| ClosingError::Again { period: basis.period.id.clone(), why };
    if *basis.engine != *close::ENGINE {
        let (was, is) = (&basis.engine, close::ENGINE);
        return Err(in_the_way(format!("it was closed by the rules {was}, these are {is}")));
    }
    let plan = plans.get(&basis.plan).ok_or_else(|| {
        let PlanRef { id, version, hash } = &basis.plan;
        in_the_way(format!("plan {id} version {version} with the hash {hash} is not in the books"))
    })?;
    let reader = CompanyReader::new(store.clone());
    let tree = reader.genealogy_upto(basis.genealogy.seq).await?;
    if tree.version() != basis.genealogy {
        let GenealogyVersion { seq, hash } = basis.genealogy;
        return Err(in_the_way(format!("the genealogy up to event {seq} has not the hash {hash}")));
    }
    let ranks = reader.ranks_upto(basis.ranks.map_or(0, |ranks| ranks.seq), &tree).await?;
    if let Some(RankVersion { seq, hash }) = basis.ranks.filter(|known| *known != ranks.version()) {
        return Err(in_the_way(format!("the ranks up to fact {seq} have not the hash {hash}")));
    }
    let mut prepared = compute(store, &tree, (plan, plans), basis.clone(), 0, watch).await?;
    prepared.rank_changes = prepared.changed_ranks(&ranks, plan);
    Ok(prepared)
}

fn unclosed(plan: &Plan) -> ClosingError {
    ClosingError::Plan(format!("plan {} does not close periods", plan.reference.id))
}

/// The members with their volumes and with what earlier closes say of them.
fn people(
    tree: &Genealogy,
    basis: &Basis,
    volumes: &mut Volumes,
    history: &mut History,
) -> Result<Population, ClosingError> {
    let (sponsor, status) = tree.as_of(basis.period.snapshot, basis.genealogy.seq).columns();
    let mut columns = Columns {
        sponsor,
        status,
        pv: volumes.pv.clone(),
        qv: volumes.qv.clone(),
        cv: volumes.cv.clone(),
        accumulated: std::mem::take(&mut volumes.accumulated),
        earlier_pv: std::mem::take(&mut history.earlier_pv),
        achieved: std::mem::take(&mut history.achieved),
    };
    columns.carry_in(&history.below_zero)?;
    Ok(Population::new(&columns)?)
}

/// Computes a close from its basis over the books.
async fn compute(
    store: &Postgres,
    tree: &Genealogy,
    (plan, plans): (&Plan, &PlanBook),
    basis: Basis,
    movers: usize,
    watch: Option<&mut Watch>,
) -> Result<Prepared, ClosingError> {
    let parts = plan.close().map_err(|source| ClosingError::ClosePlan {
        plan: plan.reference.id.clone(),
        version: plan.reference.version,
        source,
    })?;
    let (Some(close_plan), Some(volumes)) = (parts, &plan.volumes) else {
        return Err(unclosed(plan));
    };
    let (mut volumes, late) = gather(store, &basis, tree, volumes.group, watch).await?;
    let before = Before::read(store, &basis).await?;
    let backs = Backs::read(store, &basis, plans, (tree, &before)).await?;
    backs.leave_out(&mut volumes, before.open());
    let mut history = History::read(store, &basis, plan, tree).await?;
    let population = people(tree, &basis, &mut volumes, &mut history)?;
    let mut inputs = Inputs {
        forced: ranks::forced(store, &basis, plan, tree).await?,
        given: given(store, &basis, plan, tree).await?,
        paid_ranks: history.paid_ranks,
        carried: history.carried,
    };
    let ranking = close_plan.ranks().rank(&population, &inputs.forced);
    let scene = placement::Scene {
        store,
        basis: &basis,
        plan,
        plans,
        tree,
        close_plan: &close_plan,
        population: &population,
        ranking: &ranking,
        volumes: &volumes,
        before: &before,
        backs: &backs,
        close: before.open(),
    };
    let placed = placement::close(&scene).await?;
    let corrections = corrections::of_closed(&scene, &placed.records.corrections).await?;
    corrections::carry_in(&mut inputs.carried, &basis, &corrections);
    backs.settle(&mut inputs.given, before.open());
    let on_trees = plan.components.iter().filter(|component| component.tree().is_some());
    inputs.given.extend(placed.given);
    let close = close::evaluate(&close_plan, &population, &inputs)?;
    let moved = close.movers(&population, &history.paid, movers);
    let named = moved.into_iter().filter_map(|mover| Some((tree.by_number(mover.member)?, mover)));
    Ok(Prepared {
        summary: close.summary(&close_plan, &population),
        late,
        movers: named.collect(),
        rank_changes: Vec::new(),
        plan: close_plan,
        basis,
        population,
        close,
        placed: placed.records,
        unplaced: placed.unplaced,
        notes: placed.notes,
        corrections,
        on_trees: on_trees.map(|component| component.id().clone()).collect(),
        tree: tree.clone(),
    })
}

/// What the close of a period is computed from, as the books are now. Periods are closed in their
/// order.
async fn basis(
    store: &Postgres,
    plan: &Plan,
    period: Period,
    company: &Company,
) -> Result<Basis, ClosingError> {
    let currency = plan.currency.ok_or_else(|| unclosed(plan))?;
    let last = store.last_close(&plan.reference.id).await?;
    if let Some(last) = &last {
        let expected = calendar(plan)?.next(&last.basis.period)?.id;
        if expected != period.id {
            let (plan, last) = (plan.reference.id.clone(), last.basis.period.id.clone());
            return Err(ClosingError::Order { plan, last, expected });
        }
    }
    let before = last.as_ref().map(|last| last.basis.counted);
    let upto = store.last_volume().await?;
    let mut placements = Vec::new();
    for tree in plan.trees().into_keys() {
        let version = store.placement_version(tree, period.snapshot).await?;
        placements.push(PlacedTree { tree: tree.clone(), version });
    }
    Ok(Basis {
        engine: close::ENGINE.into(),
        plan: plan.reference.clone(),
        currency,
        genealogy: company.genealogy.version(),
        ranks: ranks::version(company),
        previous: last.as_ref().map(|last| last.basis.period.id.clone()),
        before,
        counted: Counted { since: before.map_or(period.start, |before| before.since), upto },
        ledger_before: last.as_ref().map_or(0, |last| last.basis.ledger),
        ledger: store.last_entry().await?,
        placements,
        period,
    })
}
