//! The close of a period: gathers what it is computed from, and computes it.

mod corrections;
mod inputs;
mod note;
mod open;
mod ordered;
pub mod placement;
mod ranks;
mod returns;
mod story;
mod told;
mod traced;
mod verify;
mod whole;

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde::Serialize;

use self::{
    corrections::Backs,
    inputs::{History, Watch, gather, given},
    open::{asked, key_of, preview},
    placement::{Before, BroughtSum, Unplaced},
};
pub use self::{
    note::{Because, Note},
    ordered::{CountedIn, counted_in},
    story::story,
    told::{
        AssumedTold, Became, BinaryTold, CameBack, ClosedBy, ComponentTold, CorrectedTold, CutTold,
        ForcedTold, LegTold, LineTold, LockedLevel, LotTold, MatrixLevelTold, MatrixPositionTold,
        MatrixTold, Missing, OrderTold, OrdersTold, OwnEntry, OwnVolumes, PeriodStory,
        PositionTold, RankTold, SourceTold, To, WithheldTold,
    },
    verify::{Difference, Part, Verified, verify},
    whole::{CarriedLegs, Whole, whole},
};
use crate::{
    domain::{
        close::{
            self, Basis, Beneficiary, Carried, CarryRecord, CarryVersion, Close, CloseEntry,
            CloseError, ClosePlan, Columns, Inputs, MemberRecord, Mover, Population,
            PopulationError, RankBonusRecord, RankChange, Summary,
            binary::{self, Legs, unpair::UnpairError},
            correct::Correction,
            gather::{Late, Volumes},
            matrix::MatrixError,
            placed::PlacedRecords,
        },
        commission::RankVersion,
        genealogy::{Genealogy, GenealogyVersion},
        id::{ComponentId, DistributorId, TreeId},
        money::Money,
        placement::Position,
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
    /// The period lies before what was brought along from an earlier system.
    #[error(
        "period {period} was closed elsewhere: ranks are imported as of {at}, so the first period to close \
         is the one that begins then or contains it"
    )]
    Elsewhere {
        /// The period.
        period: PeriodId,
        /// When the imported ranks begin.
        at: Timestamp,
    },
    /// Volume was brought along for positions that the tree of the period does not have.
    #[error(
        "volume is imported for {positions} positions of component {component} that are placed after {at}, \
         as of when the period's tree is read: they must be placed before"
    )]
    BroughtTooEarly {
        /// The binary.
        component: ComponentId,
        /// How many.
        positions: usize,
        /// The snapshot instant.
        at: Timestamp,
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
    /// The periods before it that are still open: it is computed as if they closed as the books are now, and
    /// cannot be closed before them.
    pub assumes: Vec<Period>,
    /// Entries of the journal of orders placed before the first period of the plan: they count in none.
    pub uncounted: u64,
    plan: ClosePlan,
    population: Population,
    close: Close,
    placed: PlacedRecords,
    unplaced: Vec<Unplaced>,
    notes: Vec<Note>,
    corrections: Vec<Correction>,
    /// The components of the plan that rest on placement.
    on_trees: Vec<ComponentId>,
    brought: Vec<BroughtSum>,
    /// The components of orders that others count.
    of_orders: Vec<ComponentId>,
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
    /// What positions of binaries brought along from an earlier system.
    #[serde(skip_serializing_if = "<[BroughtSum]>::is_empty")]
    pub brought: &'a [BroughtSum],
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

    /// What it pays each distributor, without corrections of closed periods, and what its components carry on.
    fn money(&self) -> (HashMap<String, Money>, Vec<(ComponentId, Money)>) {
        let (mut paid, mut carried) = (HashMap::<String, Money>::new(), Vec::new());
        for entry in self.entries().into_iter().filter(|entry| entry.corrects.is_none()) {
            match entry.to {
                Beneficiary::Distributor(id) => {
                    *paid.entry(id.to_string()).or_default() += entry.amount;
                }
                Beneficiary::Carried => carried.push((entry.component, entry.amount)),
                Beneficiary::Breakage(_) | Beneficiary::Capped(_) => {}
            }
        }
        (paid, carried)
    }

    /// What components of orders earned in the period, which stands in the ledger already, by component.
    pub fn of_orders(&self) -> Vec<(ComponentId, Money)> {
        let components = self.close.components().iter();
        let orders = components.filter(|part| self.of_orders.contains(&part.id));
        let earned = orders.map(|part| (part.id.clone(), part.totals.pool));
        earned.filter(|(_, amount)| !amount.is_zero()).collect()
    }

    /// What each position of a binary carries out of it.
    fn carried_legs(&self, component: &ComponentId) -> BTreeMap<Position, Legs> {
        let positions = self.placed.positions.iter();
        let own = positions.filter(|record| *record.component == *component);
        own.map(|record| (record.position, record.carried())).collect()
    }

    /// The bonuses for ranks.
    pub fn rank_bonuses(&self) -> Vec<RankBonusRecord> {
        let name = |member| self.tree.by_number(member);
        self.close.rank_bonuses(&self.plan, &self.population, name).collect()
    }

    /// What distributors get less, or more, in closed periods because volume came back, if any did.
    pub fn corrected(&self) -> Option<Money> {
        let corrected = self.corrections.iter().map(Correction::to_member).sum();
        Some(corrected).filter(|_| !self.corrections.is_empty())
    }

    /// The figures as they are kept.
    pub fn kept(&self) -> Kept<'_> {
        let corrected = self.corrected();
        let (summary, late) = (&self.summary, self.late);
        let (unplaced, brought, notes) = (&*self.unplaced, &*self.brought, &*self.notes);
        Kept { summary, late, unplaced, brought, corrected, notes }
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

fn calendar(plan: &Plan) -> Result<&Calendar, ClosingError> {
    let id = &plan.reference.id;
    plan.period.as_ref().ok_or_else(|| ClosingError::Plan(format!("plan {id} has no [period]")))
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
    if let Some(closed) = store.close_of(&key_of(&company.plans, id, now)?).await? {
        return Ok(Found::Closed(Box::new(closed)));
    }
    let (_, prepared) = preview(store, &company, id, now, (movers, None)).await?;
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
    if let Some(CarryVersion { seq, hash }) = basis.carries
        && store.carry_version(&basis.plan.id, seq).await? != basis.carries
    {
        return Err(in_the_way(format!(
            "the volume brought along up to fact {seq} has not the hash {hash}"
        )));
    }
    let mut prepared = compute(store, &tree, (plan, plans), basis.clone(), &[], 0, watch).await?;
    prepared.rank_changes = prepared.changed_ranks(&ranks, plan, &[]);
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
        ordered: std::mem::take(&mut volumes.ordered),
        achieved: std::mem::take(&mut history.achieved),
    };
    columns.carry_in(&history.below_zero)?;
    Ok(Population::new(&columns)?)
}

/// Computes a close from its basis over the books, after open ones that were computed before it.
async fn compute(
    store: &Postgres,
    tree: &Genealogy,
    (plan, plans): (&Plan, &PlanBook),
    basis: Basis,
    earlier: &[Prepared],
    movers: usize,
    watch: Option<&mut Watch>,
) -> Result<Prepared, ClosingError> {
    let parts = plan.close().map_err(|source| ClosingError::ClosePlan {
        plan: plan.reference.id.clone(),
        version: plan.reference.version,
        source,
    })?;
    let Some(close_plan) = parts else { return Err(unclosed(plan)) };
    let (mut volumes, late) = gather(store, &basis, tree, (plan, earlier), watch).await?;
    let before = Before::read(store, &basis, earlier).await?;
    let backs = Backs::read(store, &basis, plans, (tree, &before)).await?;
    backs.leave_out(&mut volumes, before.open());
    let mut history = History::read(store, &basis, plan, tree, earlier).await?;
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
        earlier,
    };
    let placed = placement::close(&scene).await?;
    let corrections = corrections::of_closed(&scene, &placed.records.corrections).await?;
    corrections::carry_in(&mut inputs.carried, &basis, &corrections);
    let mut notes = placed.notes;
    let gone = corrections::lapsed(&mut inputs.carried, plan).into_iter();
    notes.extend(gone.map(|Carried { component, amount }| Note::PoolLapses { component, amount }));
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
        assumes: Vec::new(),
        uncounted: 0,
        plan: close_plan,
        basis,
        population,
        close,
        placed: placed.records,
        unplaced: placed.unplaced,
        notes,
        corrections,
        on_trees: on_trees.map(|component| component.id().clone()).collect(),
        brought: placed.brought,
        of_orders: plan.given().into_iter().collect(),
        tree: tree.clone(),
    })
}
