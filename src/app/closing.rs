//! The close of a period: gathers what it is computed from, and computes it.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    domain::{
        close::{
            self, Basis, Carried, Close, CloseEntry, CloseError, CloseKey, ClosePlan, Columns,
            GivenEarnings, Inputs, MemberRecord, Mover, PaidRank, Population, PopulationError,
            RankBonusRecord, Summary,
            gather::{Counted, Gather, Late},
        },
        genealogy::{Genealogy, GenealogyVersion, Member},
        id::{ComponentId, DistributorId},
        money::{Currency, Money},
        plan::{
            Component, Plan,
            close::ClosePlanError,
            period::{Calendar, Period, PeriodError, PeriodId},
            rank::RankLevel,
            volume::{LineVolumes, Measure},
        },
        volume::Volume,
    },
    stage::map::Company,
    store::{
        JournalRange,
        postgres::{Closed, CompanyReader, Postgres},
    },
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
    /// The plan has a component whose basis is not in the books yet.
    #[error(
        "component {0} rests on the placement tree, which the books do not hold yet: this plan cannot \
         be closed"
    )]
    Placement(ComponentId),
    /// The tree cannot be a population.
    #[error("the genealogy cannot be closed on")]
    Population(#[from] PopulationError),
    /// The inputs do not fit.
    #[error("the period cannot be computed")]
    Close(#[from] CloseError),
    /// The journal names somebody who is not in the genealogy.
    #[error("{0} journal entries count for distributors who are not in the genealogy")]
    Unknown(u64),
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
    plan: ClosePlan,
    population: Population,
    close: Close,
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
}

impl Prepared {
    /// The entries.
    pub fn entries(&self) -> Vec<CloseEntry> {
        let (key, currency) = (self.basis.key(), self.basis.currency);
        let name = |member| self.tree.by_number(member);
        self.close.entries(&key, currency, &self.population, name).collect()
    }

    /// What is kept of the members.
    pub fn members(&self) -> Vec<MemberRecord> {
        let name = |member| self.tree.by_number(member);
        self.close.records(&self.plan, &self.population, name).collect()
    }

    /// The bonuses for ranks.
    pub fn rank_bonuses(&self) -> Vec<RankBonusRecord> {
        let name = |member| self.tree.by_number(member);
        self.close.rank_bonuses(&self.plan, &self.population, name).collect()
    }

    /// The figures as they are kept.
    pub fn kept(&self) -> Kept<'_> {
        Kept { summary: &self.summary, late: self.late }
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
fn plan_of(company: &Company, at: Timestamp) -> Result<&Plan, ClosingError> {
    let closing = company.plans.iter().filter(|plan| plan.is_closed());
    let mut ids: Vec<&str> = closing.map(|plan| &*plan.reference.id).collect();
    ids.dedup();
    let found = match ids.as_slice() {
        [only] => company.plans.in_force(only, at).filter(|plan| plan.is_closed()),
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

/// Computes the close of a period from the books as they are now, or finds that it is closed.
pub async fn prepare(
    store: &Postgres,
    id: &PeriodId,
    now: Timestamp,
    movers: usize,
) -> Result<Found, ClosingError> {
    let mut company = Company::default();
    CompanyReader::new(store.clone()).catch_up(&mut company).await?;
    let current = plan_of(&company, now)?;
    // The plan of a period is the one in force when it begins.
    let start = calendar(current)?.period(id)?.start;
    let plan = company.plans.in_force(&current.reference.id, start).unwrap_or(current);
    let period = calendar(plan)?.period(id)?;
    let key = CloseKey { plan: plan.reference.id.clone(), period: id.clone() };
    if let Some(closed) = store.close_of(&key).await? {
        return Ok(Found::Closed(Box::new(closed)));
    }
    let parts = plan.close().map_err(|source| ClosingError::ClosePlan {
        plan: plan.reference.id.clone(),
        version: plan.reference.version,
        source,
    })?;
    let (Some(close_plan), Some(currency), Some(volumes)) = (parts, plan.currency, &plan.volumes)
    else {
        return Err(ClosingError::Plan(format!("plan {} does not close periods", key.plan)));
    };
    let version = company.genealogy.version();
    let basis = basis(store, plan, period, currency, version).await?;
    let tree = company.genealogy.clone();
    let gathered = gather(store, &basis, &tree, volumes.group).await?;
    let history = History::read(store, &basis, plan, &tree).await?;
    let (sponsor, status) = tree.as_of(basis.period.snapshot, version.seq).columns();
    let population = Population::new(&Columns {
        sponsor,
        status,
        pv: gathered.0.pv,
        qv: gathered.0.qv,
        cv: gathered.0.cv,
        accumulated: gathered.0.accumulated,
        earlier_pv: history.earlier_pv,
        achieved: history.achieved,
    })?;
    let inputs = Inputs {
        given: given(store, &basis, plan, &tree).await?,
        paid_ranks: history.paid_ranks,
        carried: history.carried,
        ..Inputs::default()
    };
    let close = close::evaluate(&close_plan, &population, &inputs)?;
    let moved = close.movers(&population, &history.paid, movers);
    let named = moved.into_iter().filter_map(|mover| Some((tree.by_number(mover.member)?, mover)));
    Ok(Found::Open(Box::new(Prepared {
        summary: close.summary(&close_plan, &population),
        late: gathered.1,
        movers: named.collect(),
        plan: close_plan,
        basis,
        population,
        close,
        tree,
    })))
}

/// What the close of a period is computed from, as the books are now. Periods are closed in their
/// order.
async fn basis(
    store: &Postgres,
    plan: &Plan,
    period: Period,
    currency: Currency,
    genealogy: GenealogyVersion,
) -> Result<Basis, ClosingError> {
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
    Ok(Basis {
        engine: close::ENGINE.into(),
        plan: plan.reference.clone(),
        currency,
        genealogy,
        previous: last.as_ref().map(|last| last.basis.period.id.clone()),
        before,
        counted: Counted { since: before.map_or(period.start, |before| before.since), upto },
        ledger_before: last.as_ref().map_or(0, |last| last.basis.ledger),
        ledger: store.last_entry().await?,
        period,
    })
}

async fn gather(
    store: &Postgres,
    basis: &Basis,
    tree: &Genealogy,
    group: Measure,
) -> Result<(close::gather::Volumes, Late), ClosingError> {
    let (before, upto) = (basis.before, basis.counted.upto);
    let mut gather = Gather::new(&basis.period, before, upto, group, tree.len());
    let range = JournalRange { after: 0, upto, before: basis.period.end };
    let number = |id: &str| {
        let found = DistributorId::parse(id).ok().and_then(|id| tree.find(&id));
        found.map_or(u32::MAX, Member::number)
    };
    store
        .volume_journal(range, number, |page| {
            let who = page.seq.iter().zip(&page.member).zip(&page.placed_at);
            let what = page.pv.iter().zip(&page.qv).zip(&page.cv);
            for (((seq, member), placed_at), ((pv, qv), cv)) in who.zip(what) {
                let amount = LineVolumes { pv: *pv, qv: *qv, cv: *cv };
                gather.take(*seq, *member, *placed_at, amount);
            }
        })
        .await?;
    match gather.finish() {
        (volumes, late, 0) => Ok((volumes, late)),
        (_, _, unknown) => Err(ClosingError::Unknown(unknown)),
    }
}

/// What earlier closes say.
#[derive(Debug, Default)]
struct History {
    earlier_pv: Vec<Vec<Volume>>,
    achieved: Vec<RankLevel>,
    paid: Vec<Money>,
    carried: Vec<Carried>,
    paid_ranks: Vec<PaidRank>,
}

impl History {
    async fn read(
        store: &Postgres,
        basis: &Basis,
        plan: &Plan,
        tree: &Genealogy,
    ) -> Result<Self, ClosingError> {
        let number = |id: &str| tree.find(&DistributorId::parse(id).ok()?).map(Member::number);
        let place = |id: &str| number(id).and_then(|number| usize::try_from(number).ok());
        let mut history =
            Self { achieved: vec![RankLevel::default(); tree.len()], ..Self::default() };
        let look_back = plan.activity.as_ref().map_or(1, |activity| activity.look_back);
        let mut period = basis.period.clone();
        for back in 1..look_back.max(2) {
            // Before the first period of the calendar there is nothing.
            let Ok(before) = calendar(plan)?.previous(&period) else { break };
            period = before;
            let key = CloseKey { plan: basis.plan.id.clone(), period: period.id.clone() };
            let mut pv = vec![Volume::ZERO; tree.len()];
            let achieved = &mut history.achieved;
            store
                .period_members(&key, |id, volume, rank| {
                    let Some(place) = place(id) else { return };
                    if let Some(known) = pv.get_mut(place) {
                        *known = volume;
                    }
                    let level = rank.and_then(|rank| plan.ranks.level(&rank));
                    if back == 1
                        && let (Some(known), Some(level)) = (achieved.get_mut(place), level)
                    {
                        *known = level;
                    }
                })
                .await?;
            if back < look_back {
                history.earlier_pv.push(pv);
            }
        }
        if let Some(previous) = &basis.previous {
            let key = CloseKey { plan: basis.plan.id.clone(), period: previous.clone() };
            let (paid, carried) = store.period_money(&key).await?;
            history.paid = by_member(paid, tree);
            let carry = |(component, amount)| Carried { component, amount };
            history.carried = carried.into_iter().map(carry).collect();
        }
        for RankBonusRecord { component, distributor, rank } in
            store.rank_bonuses(&basis.plan.id).await?
        {
            // A rank or a component that the plan no longer has can be paid no second time.
            let kept = plan.components.iter().any(|known| *known.id() == component);
            if let (Some(member), Some(rank), true) =
                (number(distributor.as_str()), plan.ranks.level(&rank), kept)
            {
                history.paid_ranks.push(PaidRank { component, member, rank });
            }
        }
        Ok(history)
    }
}

fn by_member(amounts: HashMap<String, Money>, tree: &Genealogy) -> Vec<Money> {
    let mut column = vec![Money::ZERO; tree.len()];
    for (id, amount) in amounts {
        let member = DistributorId::parse(&id).ok().and_then(|id| tree.find(&id));
        let place = member.and_then(|member| usize::try_from(member.number()).ok());
        if let Some(known) = place.and_then(|place| column.get_mut(place)) {
            *known = amount;
        }
    }
    column
}

/// The earnings of the components that others count and the close does not compute: those of orders.
async fn given(
    store: &Postgres,
    basis: &Basis,
    plan: &Plan,
    tree: &Genealogy,
) -> Result<Vec<GivenEarnings>, ClosingError> {
    let placed =
        |component: &&Component| matches!(component, Component::Binary(_) | Component::Matrix(_));
    if let Some(component) = plan.components.iter().find(placed) {
        return Err(ClosingError::Placement(component.id().clone()));
    }
    let mut given = Vec::new();
    for component in plan.given() {
        let earned = store.order_earnings(basis, &component).await?.into_iter().collect();
        given.push(GivenEarnings { component, earned: by_member(earned, tree) });
    }
    Ok(given)
}
