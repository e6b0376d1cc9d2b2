//! Binaries and matrices at a close: where people sit, what they brought, what was carried, what came back.
//!
//! The carry of a binary is what the close before kept of each position. It follows from the journal too,
//! but only by doing every close again since the first; and what was kept is sealed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    ClosingError, Prepared,
    corrections::Backs,
    note::{Because, Note},
    returns,
};
use crate::{
    domain::{
        close::{
            Basis, ClosePlan, GivenEarnings, Population, Ranking,
            binary::{Input, Legs, Rules, standings},
            gather::Volumes,
            matrix::Climb,
            placed::{self, MatrixClose, Placed, PlacedRecords},
            returns::Closes,
        },
        genealogy::{Genealogy, Member},
        id::{ComponentId, DistributorId, TreeId},
        placement::{AnyTree, Owner, Position, Seats, Spans},
        plan::{
            Component, Plan, PlanBook,
            pairs::{Binary, Matrix, MatrixLine},
            volume::Measure,
        },
        volume::Volume,
    },
    store::{JournalRange, postgres::Postgres},
};

/// What binaries and matrices are closed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) store: &'a Postgres,
    pub(super) basis: &'a Basis,
    pub(super) plan: &'a Plan,
    /// Every version, as earlier closes were under earlier ones.
    pub(super) plans: &'a PlanBook,
    pub(super) tree: &'a Genealogy,
    pub(super) close_plan: &'a ClosePlan,
    pub(super) population: &'a Population,
    pub(super) ranking: &'a Ranking,
    /// What counts in the period, without what came back of others: that is taken where it was counted.
    pub(super) volumes: &'a Volumes,
    /// The open closes before this one, computed and not written.
    pub(super) earlier: &'a [Prepared],
    /// The closes up to the open one.
    pub(super) before: &'a Before,
    pub(super) backs: &'a Backs,
    /// The number of this close.
    pub(super) close: usize,
}

/// What the positions of a binary brought along from an earlier system, together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BroughtSum {
    /// The component.
    pub component: ComponentId,
    /// How many positions.
    pub positions: usize,
    /// What waited on their left.
    pub left: Volume,
    /// What waited on their right.
    pub right: Volume,
}

/// Volume in a component that rests on a placement tree, of people without a position in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    /// The component.
    pub component: ComponentId,
    /// Its tree.
    pub tree: TreeId,
    /// How many distributors.
    pub distributors: usize,
    /// Their volume; it pays nobody here.
    pub volume: Volume,
}

/// What binaries and matrices come to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) given: Vec<GivenEarnings>,
    pub(super) records: PlacedRecords,
    pub(super) unplaced: Vec<Unplaced>,
    pub(super) notes: Vec<Note>,
    pub(super) brought: Vec<BroughtSum>,
}

/// The closes of the plan up to this one, which is the last.
#[derive(Debug)]
pub(super) struct Before {
    /// Those that are closed.
    pub(super) bases: Vec<Basis>,
    pub(super) closes: Closes,
    /// What came back in any of them, this one included.
    pub(super) entries: Vec<crate::store::postgres::ReturnedEntry>,
}

impl Before {
    pub(super) async fn read(
        store: &Postgres,
        basis: &Basis,
        earlier: &[Prepared],
    ) -> Result<Self, ClosingError> {
        let mut past = store.closed_bases(&basis.plan.id).await?;
        past.retain(|other| other.period.start < basis.period.start);
        past.extend(earlier.iter().map(|close| close.basis.clone()));
        let mut closes = Closes::default();
        for other in past.iter().chain([basis]) {
            closes.push(&other.period, other.counted);
        }
        let mut entries = Vec::new();
        if let Some(first) = past.first() {
            let placed = (basis.counted.since, basis.period.end);
            let range = (first.counted.upto, basis.counted.upto);
            entries = store.returned_entries(placed, range).await?;
        }
        Ok(Self { bases: past, closes, entries })
    }

    /// The number of the open close.
    pub(super) fn open(&self) -> usize {
        self.bases.len()
    }

    /// The closes up to the last one, without gaps, in which the plan of then had the same binary on the
    /// same tree and volume, paid in the same currency: those whose carry it goes on from. And why it goes on
    /// from none before.
    fn of(
        &self,
        scene: &Scene<'_>,
        binary: &Binary,
    ) -> Result<(Vec<Past>, Option<Because>), ClosingError> {
        let (mut pasts, mut because) = (Vec::new(), None);
        for (close, basis) in self.bases.iter().enumerate().rev() {
            let plan = scene.plans.get(&basis.plan).ok_or_else(|| {
                let (id, version) = (&basis.plan.id, basis.plan.version);
                ClosingError::Plan(format!("version {version} of plan {id} is not in the books"))
            })?;
            let then = match Because::of(plan, binary, basis.currency == scene.basis.currency) {
                Ok(then) => then,
                Err(why) => {
                    because = Some(why);
                    break;
                }
            };
            let placed = basis.placements.iter().find(|placed| placed.tree == binary.tree);
            pasts.push(Past {
                close,
                rules: Rules::new(then.clone(), plan.rounding, basis.currency),
                binary: then,
                positions: placed.map_or(0, |placed| placed.version.seq),
            });
        }
        pasts.reverse();
        Ok((pasts, because))
    }

    /// What is to be told of a binary that begins anew after these closes.
    async fn begun(
        &self,
        scene: &Scene<'_>,
        (plan, because): (&Binary, Because),
        first: usize,
        backs: &[returns::Back],
    ) -> Result<Vec<Note>, ClosingError> {
        let mut notes = Vec::new();
        let last = first.checked_sub(1).and_then(|last| self.bases.get(last));
        let Some(last) = last else { return Ok(notes) };
        let component = || plan.id.clone();
        if first == self.open() {
            let (positions, volume) = scene.store.carried_sum(&last.key(), &plan.id).await?;
            let after = last.period.id.clone();
            let component = component();
            notes.push(Note::BeginsAnew { component, after, because, positions, volume });
        }
        // What no binary counted has no pairs.
        let counted = backs.iter().filter(|_| because != Because::Absent);
        let old = counted.filter(|back| back.take.at == self.open() && back.take.from < first);
        let volume: Volume = old.map(|back| back.take.volume).sum();
        if volume != Volume::ZERO {
            let upto = last.period.id.clone();
            notes.push(Note::NotUnpaired { component: component(), upto, volume });
        }
        Ok(notes)
    }
}

/// A closed period of a binary.
#[derive(Debug)]
pub(super) struct Past {
    /// The number of the close.
    pub(super) close: usize,
    /// The binary of then.
    pub(super) binary: Binary,
    pub(super) rules: Rules,
    /// How many positions the tree had.
    pub(super) positions: u64,
}

impl Past {
    /// Whether a position was there.
    pub(super) fn has(&self, position: Position) -> bool {
        u64::from(position.0) < self.positions
    }
}

/// Closes the components of the plan that rest on placement.
pub(super) async fn close(scene: &Scene<'_>) -> Result<Outcome, ClosingError> {
    let shapes = scene.plan.trees();
    let mut outcome = Outcome::default();
    if shapes.is_empty() {
        return Ok(outcome);
    }
    let mut trees: BTreeMap<&TreeId, Seats> = BTreeMap::new();
    for placed in &scene.basis.placements {
        let Some(shape) = shapes.get(&placed.tree) else { continue };
        let (tree, version) = (&placed.tree, placed.version);
        let register = scene.store.placements(tree, *shape, version, scene.tree).await?;
        trees.insert(tree, register);
    }
    for component in &scene.plan.components {
        let Some((tree, _)) = component.tree() else { continue };
        let missing = || ClosingError::NoTree(component.id().clone(), tree.clone());
        let register = trees.get(tree).ok_or_else(missing)?;
        let (placed, unplaced) = match (component, register.tree()) {
            (Component::Binary(plan), AnyTree::Binary(_)) => {
                let brought = brought(scene, plan, register).await?;
                let sum = sum(&plan.id, &brought).filter(|_| scene.before.bases.is_empty());
                outcome.brought.extend(sum);
                binary(scene, plan, register, (brought, &mut outcome.notes)).await?
            }
            (Component::Matrix(plan), AnyTree::Matrix(tree)) => {
                let parents: Vec<u32> = tree.parents().collect();
                matrix(scene, plan, (register, parents)).await?
            }
            _ => return Err(missing()),
        };
        if unplaced.distributors > 0 {
            outcome.unplaced.push(unplaced);
        }
        let unearned = Some(placed.unearned);
        let (component, earned) = (component.id().clone(), placed.earned);
        outcome.given.push(GivenEarnings { component, earned, unearned });
        outcome.records.extend(placed.records);
    }
    Ok(outcome)
}

/// Who is active, by member number.
fn active(scene: &Scene<'_>) -> Vec<bool> {
    let population = scene.population;
    let is = |position| scene.ranking.is_active(position);
    population.positions().map(|member| population.position(member).is_some_and(is)).collect()
}

/// The volumes of the period by member number.
fn own(volumes: &Volumes, measure: Measure) -> &[Volume] {
    match measure {
        Measure::Pv => &volumes.pv,
        Measure::Qv => &volumes.qv,
        Measure::Cv => &volumes.cv,
    }
}

fn update(column: &mut [Volume], member: u32, change: impl FnOnce(&mut Volume)) {
    if let Some(slot) = column.get_mut(Position(member).index()) {
        change(slot);
    }
}

/// Puts the volume of each member on their first position, if that is among the first so many.
fn seat(
    register: &Seats,
    own: &[Volume],
    known: impl Fn(Position) -> bool,
    column: &mut [Volume],
) -> (usize, Volume) {
    let (mut distributors, mut volume) = (0_usize, Volume::ZERO);
    for (member, own) in (0..).zip(own).filter(|(_, own)| **own != Volume::ZERO) {
        let seat = register.first_of(Owner(member)).filter(|position| known(*position));
        if let Some(position) = seat {
            update(column, position.0, |sum| *sum += *own);
        } else {
            distributors = distributors.saturating_add(1);
            volume += *own;
        }
    }
    (distributors, volume)
}

/// What the positions of a binary brought along into the first close of the plan.
async fn brought(
    scene: &Scene<'_>,
    plan: &Binary,
    register: &Seats,
) -> Result<BTreeMap<Position, Legs>, ClosingError> {
    if !scene.before.bases.is_empty() {
        return Ok(BTreeMap::new());
    }
    let brought = scene.store.brought_legs(scene.basis, &plan.id).await?;
    let beyond = brought.keys().filter(|position| position.index() >= register.len()).count();
    if beyond > 0 {
        let (component, at) = (plan.id.clone(), scene.basis.period.snapshot);
        return Err(ClosingError::BroughtTooEarly { component, positions: beyond, at });
    }
    Ok(brought)
}

/// What was brought along, together; nothing if nothing was.
fn sum(component: &ComponentId, brought: &BTreeMap<Position, Legs>) -> Option<BroughtSum> {
    (!brought.is_empty()).then(|| BroughtSum {
        component: component.clone(),
        positions: brought.len(),
        left: brought.values().map(|legs| legs.left).sum(),
        right: brought.values().map(|legs| legs.right).sum(),
    })
}

/// Legs by position, as a column of so many.
fn column(legs: &BTreeMap<Position, Legs>, positions: usize) -> Vec<Legs> {
    let mut column = vec![Legs::ZERO; positions];
    for (position, legs) in legs {
        if let Some(slot) = column.get_mut(position.index()) {
            *slot = *legs;
        }
    }
    column
}

async fn binary(
    scene: &Scene<'_>,
    plan: &Binary,
    register: &Seats,
    (brought, notes): (BTreeMap<Position, Legs>, &mut Vec<Note>),
) -> Result<(Placed, Unplaced), ClosingError> {
    let AnyTree::Binary(tree) = register.tree() else {
        return Err(ClosingError::NoTree(plan.id.clone(), plan.tree.clone()));
    };
    let columns = tree.columns();
    let rules = Rules::new(plan.clone(), scene.plan.rounding, scene.basis.currency);
    let before = scene.before;
    let (pasts, because) = before.of(scene, plan)?;
    let backs = scene.backs.of(plan.volume);
    let own = own(scene.volumes, plan.volume);
    let mut volume = vec![Volume::ZERO; columns.len()];
    let (distributors, left_out) = seat(register, own, |_| true, &mut volume);
    let (mut carry, mut corrections) = (Vec::new(), Vec::new());
    if let Some(because) = because {
        let first = before.open().saturating_sub(pasts.len());
        notes.extend(before.begun(scene, (plan, because), first, backs).await?);
    }
    if let Some(last) = pasts.last().and_then(|past| before.bases.get(past.close)) {
        carry = match scene.earlier.last() {
            Some(close) => column(&close.carried_legs(&plan.id), columns.len()),
            None => scene.store.carried_legs(&last.key(), &plan.id, columns.len()).await?,
        };
        let case = returns::Case { plan, register, columns, before, pasts: &pasts, backs };
        let corrected = returns::correct(scene, &case, &mut carry).await?;
        notes.extend(corrected.notes);
        corrections = corrected.records;
    } else if before.bases.is_empty() {
        carry = column(&brought, columns.len());
    }
    let recent = recent(scene, register, before, (&rules, &pasts, backs)).await?;
    let (sponsors, _) =
        scene.tree.as_of(scene.basis.period.snapshot, scene.basis.genealogy.seq).columns();
    let standing = standings(columns, &Spans::of(columns), &sponsors, &active(scene));
    let recent = recent.as_deref();
    let input = Input { tree: columns, volume: &volume, recent, standing: &standing };
    let mut placed = placed::binary(&rules, &input, &carry, own.len())?;
    placed.records.corrections = corrections;
    let (component, tree) = (plan.id.clone(), plan.tree.clone());
    Ok((placed, Unplaced { component, tree, distributors, volume: left_out }))
}

/// What each position brought in the periods whose volume still lives, after all returns; only where volume
/// expires.
async fn recent(
    scene: &Scene<'_>,
    register: &Seats,
    before: &Before,
    (rules, pasts, backs): (&Rules, &[Past], &[returns::Back]),
) -> Result<Option<Vec<Volume>>, ClosingError> {
    let Some(periods) = rules.expires_after() else { return Ok(None) };
    let mut recent = vec![Volume::ZERO; register.len()];
    let living = usize::from(periods.saturating_sub(1)).min(pasts.len());
    let pasts = pasts.get(pasts.len().saturating_sub(living)..).unwrap_or_default();
    if pasts.is_empty() {
        return Ok(Some(recent));
    }
    let members = scene.tree.len();
    let mut counted: BTreeMap<usize, Vec<Volume>> =
        pasts.iter().map(|past| (past.close, vec![Volume::ZERO; members])).collect();
    let number = |id: &str| {
        let found = DistributorId::parse(id).ok().and_then(|id| scene.tree.find(&id));
        found.map_or(u32::MAX, Member::number)
    };
    let (upto, end) = (scene.basis.counted.upto, scene.basis.period.end);
    let measure = pasts.first().map_or(Measure::Cv, |past| past.binary.volume);
    let range = JournalRange { after: 0, upto, before: end };
    scene
        .store
        .volume_journal(range, number, |page| {
            let column = match measure {
                Measure::Pv => &page.pv,
                Measure::Qv => &page.qv,
                Measure::Cv => &page.cv,
            };
            let entries = page.seq.iter().zip(&page.member).zip(&page.placed_at).zip(column);
            for (((seq, member), placed_at), volume) in entries {
                let close = before.closes.of(*seq, *placed_at);
                if let Some(own) = close.and_then(|close| counted.get_mut(&close)) {
                    update(own, *member, |sum| *sum += *volume);
                }
            }
        })
        .await?;
    for back in backs {
        let (member, take) = (back.member, back.take);
        if let Some(own) = counted.get_mut(&take.from) {
            update(own, member, |sum| *sum -= take.volume);
        }
        if let Some(own) = counted.get_mut(&take.at) {
            update(own, member, |sum| *sum += take.volume);
        }
    }
    for past in pasts {
        let own = counted.get(&past.close).map_or(&[][..], Vec::as_slice);
        seat(register, own, |position| past.has(position), &mut recent);
    }
    Ok(Some(recent))
}

pub(super) async fn matrix(
    scene: &Scene<'_>,
    plan: &Matrix,
    (register, parents): (&Seats, Vec<u32>),
) -> Result<(Placed, Unplaced), ClosingError> {
    let active = active(scene);
    let rank = |member: u32| {
        let position = scene.population.position(member)?;
        let level = scene.ranking.paid_as.get(Position(position).index()).copied()?;
        scene.close_plan.ladder().rank(level)
    };
    let reach = register.owners().iter().map(|Owner(member)| {
        let active = active.get(Position(*member).index()).copied().unwrap_or_default();
        plan.unlocks.reach(active, rank(*member), plan.height)
    });
    let reach: Vec<u8> = reach.collect();
    let (rounding, currency) = (scene.plan.rounding, scene.basis.currency);
    let climb = Climb::new(plan, rounding, currency, parents, &reach)?;
    let own = own(scene.volumes, plan.volume);
    // What came back of an order is taken from the close that counted it, and from no other.
    let mut moved: HashMap<(&str, u32), Volume> = HashMap::new();
    for back in scene.backs.of(plan.volume) {
        let order = scene.before.entries.get(back.entry).map_or("", |entry| entry.order.as_str());
        if back.take.at == scene.close {
            *moved.entry((order, back.member)).or_default() += back.take.volume;
        } else if back.take.from == scene.close {
            *moved.entry((order, back.member)).or_default() += -back.take.volume;
        }
    }
    let mut volume = vec![Volume::ZERO; register.len()];
    let (distributors, left_out) = seat(register, own, |_| true, &mut volume);
    let mut close = MatrixClose::new(&plan.id, &climb);
    match plan.line {
        MatrixLine::Period => close.period(&volume)?,
        MatrixLine::Order => {
            let counted = scene.store.counted_orders(scene.basis, |order, id, amount| {
                let member = DistributorId::parse(id).ok().and_then(|id| scene.tree.find(&id));
                let Some(member) = member.map(Member::number) else { return };
                let moved = moved.get(&(order, member)).copied().unwrap_or_default();
                if let Some(position) = register.first_of(Owner(member)) {
                    close.order(position, amount.of(plan.volume) + moved);
                }
            });
            counted.await?;
        }
    }
    let placed = close.finish(register.owners(), own.len());
    let (component, tree) = (plan.id.clone(), plan.tree.clone());
    Ok((placed, Unplaced { component, tree, distributors, volume: left_out }))
}
