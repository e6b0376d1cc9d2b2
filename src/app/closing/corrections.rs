//! What came back of closed periods: it counts where it was counted and nowhere else, and a period of which
//! something came back is closed once more without it.
//!
//! What that close rests on is what was sealed: who was active, of which rank and with which volume stands in
//! the records of the members, what pairs earned in those of the positions, and what is posted in the entries.
//! Periods are taken one after the other, because what a pool carries on goes from one into the next.

use std::collections::BTreeSet;

use serde::{
    Deserialize,
    de::value::{Error, StrDeserializer},
};

use super::{
    ClosingError,
    inputs::{self, paid_ranks},
    placement::{self, Before, Scene},
    returns::{self, Back},
};
use crate::{
    domain::{
        close::{
            Basis, Carried, ClosePlan, Columns, GivenEarnings, Inputs, Population, Unearned,
            Unpaid,
            binary::unpair,
            correct::{Correction, Held, Posted, Whose, corrections, restate},
            gather::{Counted, Volumes},
            placed::{CorrectionRecord, reason},
            returns::{Closes, Take, takes},
        },
        genealogy::{Genealogy, Member},
        id::{ComponentId, DistributorId, RankId},
        money::Money,
        placement::{AnyTree, Position},
        plan::{Component, Plan, PlanBook, close::CloseComponent, pairs::Binary, volume::Measure},
        volume::Volume,
    },
    store::postgres::{Postgres, ReversedEntry},
};

/// What came back up to the open close, of each kind of volume and of the earnings of orders.
#[derive(Debug, Default)]
pub(super) struct Backs {
    pv: Vec<Back>,
    qv: Vec<Back>,
    cv: Vec<Back>,
    earned: Vec<EarnedBack>,
}

/// Earnings of an order that were taken back.
#[derive(Debug)]
struct EarnedBack {
    component: ComponentId,
    member: u32,
    from: usize,
    at: usize,
    amount: Money,
}

fn number(tree: &Genealogy, id: &str) -> Option<u32> {
    tree.find(&DistributorId::parse(id).ok()?).map(Member::number)
}

fn add(column: &mut [Volume], member: u32, amount: Volume) {
    if let Some(slot) = column.get_mut(Position(member).index()) {
        *slot += amount;
    }
}

fn pay(column: &mut [Money], member: u32, amount: Money) {
    if let Some(slot) = column.get_mut(Position(member).index()) {
        *slot += amount;
    }
}

impl Backs {
    /// Reads them; the last of the closes is the one of `basis`.
    pub(super) async fn read(
        store: &Postgres,
        basis: &Basis,
        plans: &PlanBook,
        (tree, before): (&Genealogy, &Before),
    ) -> Result<Self, ClosingError> {
        let of = |measure| returns::backs(tree, before, measure);
        let (pv, qv, cv) = (of(Measure::Pv), of(Measure::Qv), of(Measure::Cv));
        let mut backs = Self { pv, qv, cv, earned: Vec::new() };
        let counts = |basis: &Basis| plans.get(&basis.plan).is_some_and(|p| !p.given().is_empty());
        let any = before.bases.iter().chain([basis]).any(counts);
        if let Some(first) = before.bases.first().filter(|_| any) {
            let entries = store.reversed_entries(basis, first.ledger).await?;
            backs.earned = earned(basis, (tree, before), &entries);
        }
        Ok(backs)
    }

    pub(super) fn of(&self, measure: Measure) -> &[Back] {
        match measure {
            Measure::Pv => &self.pv,
            Measure::Qv => &self.qv,
            Measure::Cv => &self.cv,
        }
    }

    /// The closes of which something came back in this one.
    fn concerned(&self, close: usize) -> BTreeSet<usize> {
        let volumes = self.pv.iter().chain(&self.qv).chain(&self.cv).map(|back| back.take);
        let volumes = volumes.map(|take| (take.from, take.at));
        let all = volumes.chain(self.earned.iter().map(|back| (back.from, back.at)));
        all.filter(|(_, at)| *at == close).map(|(from, _)| from).collect()
    }

    /// Leaves what came back of closed periods out of the volumes of the open one.
    pub(super) fn leave_out(&self, volumes: &mut Volumes, open: usize) {
        let columns =
            [(&self.pv, &mut volumes.pv), (&self.qv, &mut volumes.qv), (&self.cv, &mut volumes.cv)];
        for (backs, column) in columns {
            for back in backs.iter().filter(|back| back.take.at == open) {
                add(column, back.member, back.take.volume);
            }
        }
    }

    /// Takes what came back of a closed period off its volumes.
    fn take_off(&self, volumes: &mut Volumes, close: usize) {
        let columns =
            [(&self.pv, &mut volumes.pv), (&self.qv, &mut volumes.qv), (&self.cv, &mut volumes.cv)];
        for (backs, column) in columns {
            for back in backs.iter().filter(|back| back.take.from == close) {
                add(column, back.member, -back.take.volume);
            }
        }
    }

    /// Brings the earnings of orders of a close to what they are: what was taken back in it of others is
    /// theirs, and what was taken back of it since is its own.
    pub(super) fn settle(&self, given: &mut [GivenEarnings], close: usize) {
        for given in given {
            for back in self.earned.iter().filter(|back| back.component == given.component) {
                if back.at == close {
                    pay(&mut given.earned, back.member, back.amount);
                } else if back.from == close {
                    pay(&mut given.earned, back.member, -back.amount);
                }
            }
        }
    }
}

/// What was taken back of earnings, by the close that counted them. Amounts are whole minor units.
fn earned(
    basis: &Basis,
    (tree, before): (&Genealogy, &Before),
    entries: &[ReversedEntry],
) -> Vec<EarnedBack> {
    let mut closes = Closes::default();
    for other in before.bases.iter().chain([basis]) {
        let counted = Counted { since: other.counted.since, upto: other.ledger };
        closes.push(&other.period, counted);
    }
    let same = |a: &ReversedEntry, b: &ReversedEntry| {
        (&a.component, &a.order, &a.distributor) == (&b.component, &b.order, &b.distributor)
    };
    let mut backs = Vec::new();
    for entries in entries.chunk_by(same) {
        let Some(first) = entries.first() else { continue };
        let Some(member) = number(tree, &first.distributor) else { continue };
        let mut counted: Vec<(usize, Volume)> = Vec::new();
        for entry in entries {
            let Some(close) = closes.of(entry.seq, entry.placed_at) else { continue };
            let units = entry.amount.minor_units(basis.currency);
            counted.push((close, Volume::from_parts(units)));
        }
        let sums = counted.chunk_by(|a, b| a.0 == b.0).filter_map(|of_close| {
            Some((of_close.first()?.0, of_close.iter().map(|(_, units)| *units).sum()))
        });
        for Take { from, at, volume } in takes(&sums.collect::<Vec<_>>()) {
            let amount = Money::of_minor_units(volume.parts(), basis.currency);
            let component = first.component.clone();
            backs.push(EarnedBack { component, member, from, at, amount });
        }
    }
    backs
}

/// What is posted with the open close to correct closed ones. `records` is what it changes of positions.
pub(super) async fn of_closed(
    scene: &Scene<'_>,
    records: &[CorrectionRecord],
) -> Result<Vec<Correction>, ClosingError> {
    let bases = &scene.before.bases;
    let mut concerned = scene.backs.concerned(scene.close);
    let of_period = |record: &CorrectionRecord| {
        bases.iter().position(|basis| basis.period.id == record.corrects)
    };
    concerned.extend(records.iter().filter_map(of_period));
    let (mut all, mut carried) = (Vec::new(), Vec::new());
    // What is open and only computed needs no correction: it counts what came back of it itself.
    let closed = bases.len().saturating_sub(scene.earlier.len());
    for (close, basis) in bases.iter().enumerate().take(closed) {
        // A pool that had less to carry on leaves less to the pool after it.
        if (concerned.contains(&close) || !carried.is_empty())
            && basis.currency == scene.basis.currency
        {
            let closed = Closed::of(scene, close, basis)?;
            let found = closed.corrections(&carried, records).await?;
            carried = carries(&found);
            all.extend(found);
        } else {
            carried.clear();
        }
    }
    Ok(all)
}

/// What corrections change of what pools carried out of a period.
fn carries(corrections: &[Correction]) -> Vec<(ComponentId, Money)> {
    let carried = corrections.iter().filter(|correction| correction.whose == Whose::Carried);
    carried.map(|correction| (correction.component.clone(), correction.amount)).collect()
}

/// Brings what pools carry into the open period to what is left of it after these corrections.
pub(super) fn carry_in(carried: &mut Vec<Carried>, basis: &Basis, corrections: &[Correction]) {
    let of_last = |correction: &&Correction| Some(&correction.corrects) == basis.previous.as_ref();
    let of_last: Vec<Correction> = corrections.iter().filter(of_last).cloned().collect();
    adjust(carried, &carries(&of_last));
}

/// Takes out what pools carried that a plan does not have, for which nobody can get it.
pub(super) fn lapsed(carried: &mut Vec<Carried>, plan: &Plan) -> Vec<Carried> {
    let is_pool = |id: &ComponentId| {
        let pools = plan.components.iter().filter(|component| component.id() == id);
        pools.into_iter().any(|of| matches!(of, Component::Close(CloseComponent::Pool(_))))
    };
    let (kept, gone) = std::mem::take(carried).into_iter().partition(|c| is_pool(&c.component));
    *carried = kept;
    gone
}

fn adjust(carried: &mut Vec<Carried>, changes: &[(ComponentId, Money)]) {
    for (component, change) in changes {
        match carried.iter_mut().find(|carried| carried.component == *component) {
            Some(carried) => carried.amount += *change,
            None => carried.push(Carried { component: component.clone(), amount: *change }),
        }
    }
    carried.retain(|carried| !carried.amount.is_zero());
}

/// A closed period of which something came back.
struct Closed<'a> {
    scene: &'a Scene<'a>,
    /// Its number.
    close: usize,
    basis: &'a Basis,
    plan: &'a Plan,
    close_plan: ClosePlan,
    /// The closes that may have corrected it.
    since: Vec<&'a str>,
}

impl<'a> Closed<'a> {
    fn of(scene: &'a Scene<'a>, close: usize, basis: &'a Basis) -> Result<Self, ClosingError> {
        let missing = || {
            let (id, version) = (&basis.plan.id, basis.plan.version);
            ClosingError::Plan(format!("version {version} of plan {id} is not in the books"))
        };
        let plan = scene.plans.get(&basis.plan).ok_or_else(missing)?;
        let parts = plan.close().map_err(|source| ClosingError::ClosePlan {
            plan: plan.reference.id.clone(),
            version: plan.reference.version,
            source,
        })?;
        let close_plan = parts.ok_or_else(missing)?;
        let since = scene.before.bases.iter().skip(close).map(|basis| basis.period.id.as_str());
        Ok(Self { scene, close, basis, plan, close_plan, since: since.collect() })
    }

    fn wrong(&self, why: String) -> ClosingError {
        ClosingError::Again { period: self.basis.period.id.clone(), why }
    }

    /// What is to be posted of it. `carried` is what the corrections of the period before change of what it
    /// carried into this one.
    async fn corrections(
        &self,
        carried: &[(ComponentId, Money)],
        records: &[CorrectionRecord],
    ) -> Result<Vec<Correction>, ClosingError> {
        let scene = self.scene;
        let (held, volumes) = self.members().await?;
        let basis = self.basis;
        let (sponsor, status) =
            scene.tree.as_of(basis.period.snapshot, basis.genealogy.seq).columns();
        let population = Population::new(&Columns {
            sponsor,
            status,
            pv: volumes.pv.clone(),
            qv: volumes.qv.clone(),
            cv: volumes.cv.clone(),
            accumulated: volumes.accumulated.clone(),
            earlier_pv: Vec::new(),
            // Who was active is held as it was found.
            ordered: volumes.ordered.clone(),
            achieved: held.achieved.clone(),
        })?;
        let mut given = inputs::given(scene.store, basis, self.plan, scene.tree).await?;
        scene.backs.settle(&mut given, self.close);
        for component in &self.plan.components {
            match component {
                Component::Binary(plan) => given.push(self.binary(plan, records).await?),
                Component::Matrix(_) => {
                    given.push(self.matrix(component, (&population, &held), &volumes).await?);
                }
                Component::Direct(_)
                | Component::Unilevel(_)
                | Component::Differential(_)
                | Component::Infinity(_)
                | Component::Generation(_)
                | Component::FastStart(_)
                | Component::Close(_) => {}
            }
        }
        let inputs = Inputs {
            forced: Vec::new(),
            given,
            paid_ranks: paid_ranks(scene.store, basis, self.plan, scene.tree, &[]).await?,
            carried: self.carried_in(carried).await?,
        };
        let close = restate(&self.close_plan, &population, &held, &inputs)?;
        let posted = self.posted().await?;
        Ok(corrections(&close, &population, &posted, &basis.period.id))
    }

    /// What was found about the members, and their volumes without what came back.
    async fn members(&self) -> Result<(Held, Volumes), ClosingError> {
        let members = self.scene.tree.len();
        let mut held = Held::new(members);
        let none = || vec![Volume::ZERO; members];
        let ordered = vec![true; members];
        let mut volumes =
            Volumes { pv: none(), qv: none(), cv: none(), accumulated: none(), ordered };
        let level = |rank: Option<&str>| {
            let rank = rank.and_then(|rank| RankId::parse(rank).ok());
            rank.and_then(|rank| self.plan.ranks.level(&rank)).unwrap_or_default()
        };
        let mut unknown = None;
        self.scene
            .store
            .stored_members(&self.basis.key(), |row| {
                let Some(member) = number(self.scene.tree, row.distributor) else {
                    unknown.get_or_insert_with(|| row.distributor.to_owned());
                    return;
                };
                held.set(member, row.active, level(row.paid_as), level(row.achieved));
                let [pv, qv, cv, _, _] = row.volumes;
                add(&mut volumes.pv, member, pv);
                add(&mut volumes.qv, member, qv);
                add(&mut volumes.cv, member, cv);
            })
            .await?;
        if let Some(id) = unknown {
            return Err(self.wrong(format!("its member {id} is not in the genealogy")));
        }
        self.scene.backs.take_off(&mut volumes, self.close);
        Ok((held, volumes))
    }

    /// What the pairs of a binary earned before caps of the plan, with what the open close changes of it.
    async fn binary(
        &self,
        plan: &Binary,
        records: &[CorrectionRecord],
    ) -> Result<GivenEarnings, ClosingError> {
        let mut earned = vec![Money::ZERO; self.scene.tree.len()];
        let mut unearned = Unearned::default();
        let mut unknown = None;
        let of = (&plan.id, &plan.tree);
        let take = |owner: &str, posted: unpair::Posted, why: Option<&str>| {
            match number(self.scene.tree, owner) {
                Some(member) => pay(&mut earned, member, posted.paid),
                None => drop(unknown.get_or_insert_with(|| owner.to_owned())),
            }
            let why = why.and_then(word).map_or_else(|| reason(None), |why| reason(Some(why)));
            *unearned.breakage.entry(why).or_default() += posted.breakage;
            unearned.capped += posted.capped;
        };
        self.scene.store.standing_pairs(&self.basis.key(), of, &self.since, take).await?;
        if let Some(id) = unknown {
            return Err(self.wrong(format!("{id}, who owned a position, is not in the genealogy")));
        }
        let own = records.iter().filter(|record| record.component == plan.id);
        for record in own.filter(|record| record.corrects == self.basis.period.id) {
            pay(&mut earned, record.owner.0, record.paid);
            *unearned.breakage.entry(reason(record.refused)).or_default() += record.breakage;
            unearned.capped += record.capped;
        }
        unearned.breakage.retain(|_, amount| !amount.is_zero());
        let component = plan.id.clone();
        Ok(GivenEarnings { component, earned, unearned: Some(unearned) })
    }

    /// A matrix, closed once more with the levels that were unlocked then.
    async fn matrix(
        &self,
        component: &Component,
        (population, held): (&Population, &Held),
        volumes: &Volumes,
    ) -> Result<GivenEarnings, ClosingError> {
        let Component::Matrix(plan) = component else {
            return Err(self.wrong(format!("component {} is no matrix", component.id())));
        };
        let scene = self.scene;
        let missing = || ClosingError::NoTree(plan.id.clone(), plan.tree.clone());
        let placed = self.basis.placements.iter().find(|placed| placed.tree == plan.tree);
        let shape = self.plan.trees().get(&plan.tree).copied();
        let (placed, shape) = placed.zip(shape).ok_or_else(missing)?;
        let register =
            scene.store.placements(&plan.tree, shape, placed.version, scene.tree).await?;
        let AnyTree::Matrix(tree) = register.tree() else { return Err(missing()) };
        let parents: Vec<u32> = tree.parents().collect();
        let ranking = self.close_plan.ranks().held(population, held);
        let then = Scene {
            basis: self.basis,
            plan: self.plan,
            close_plan: &self.close_plan,
            population,
            ranking: &ranking,
            volumes,
            close: self.close,
            ..*scene
        };
        let (placed, _) = placement::matrix(&then, plan, (&register, parents)).await?;
        let (component, earned) = (plan.id.clone(), placed.earned);
        Ok(GivenEarnings { component, earned, unearned: Some(placed.unearned) })
    }

    /// What pools had carried into it, as it stands.
    async fn carried_in(
        &self,
        changes: &[(ComponentId, Money)],
    ) -> Result<Vec<Carried>, ClosingError> {
        let before = self.close.checked_sub(1).and_then(|last| self.scene.before.bases.get(last));
        let Some(before) = before else { return Ok(Vec::new()) };
        let carried = self.scene.store.standing_carries(&before.key(), &self.since).await?;
        let carried = carried.into_iter().map(|(component, amount)| Carried { component, amount });
        let mut carried: Vec<Carried> = carried.collect();
        adjust(&mut carried, changes);
        lapsed(&mut carried, self.plan);
        Ok(carried)
    }

    /// What is posted for it.
    async fn posted(&self) -> Result<Posted, ClosingError> {
        let mut posted = Posted::new(self.scene.tree.len());
        let mut unknown = None;
        let take = |component: &str, account: &str, why: Option<&str>, amount: Money| {
            let whose = self.whose(account, why);
            match ComponentId::parse(component).ok().zip(whose) {
                Some((component, whose)) => posted.add(&component, whose, amount),
                None => drop(unknown.get_or_insert_with(|| format!("{component} {account}"))),
            }
        };
        self.scene.store.standing_entries(&self.basis.key(), &self.since, take).await?;
        match unknown {
            Some(entry) => {
                Err(self.wrong(format!("its entry of {entry} is none that a close knows")))
            }
            None => Ok(posted),
        }
    }

    fn whose(&self, account: &str, why: Option<&str>) -> Option<Whose> {
        match account.split_once(':') {
            Some(("distributor", id)) => number(self.scene.tree, id).map(Whose::Member),
            Some(("capped", cap)) => ComponentId::parse(cap).ok().map(Whose::Capped),
            None if account == "carried" => Some(Whose::Carried),
            None if account == "breakage" => word::<Unpaid>(why?).map(Whose::Breakage),
            _ => None,
        }
    }
}

/// A reason as it is written.
fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    T::deserialize(StrDeserializer::<Error>::new(text)).ok()
}
