//! Volume of closed periods that came back, and what binaries have to correct.

use std::collections::{BTreeMap, BTreeSet, btree_map};

use super::{
    ClosingError,
    note::Note,
    placement::{Before, Past, Scene},
};
use crate::{
    domain::{
        close::{
            Basis,
            binary::{
                Legs, Standing,
                lost::{self, Again, LegLoss, Lost},
                standings,
                unpair::{Correction, History, Posted, Returned, unpair},
            },
            placed::{CorrectionRecord, spare},
            returns::{Take, takes},
        },
        genealogy::Member,
        id::DistributorId,
        money::Money,
        placement::{BinaryColumns, Owner, Position, Seats, Side, Spans},
        plan::{pairs::Binary, period::PeriodId, volume::Measure},
        volume::Volume,
    },
    store::postgres::Pasts,
};

/// Positions whose closed periods are held at once.
const PART: usize = 10_000;

/// Volume of a member that came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    pub(super) member: u32,
    /// The first entry of the order and member, as an index.
    pub(super) entry: usize,
    pub(super) take: Take,
}

/// What came back of a volume, in every close up to this one.
pub(super) fn backs(scene: &Scene<'_>, before: &Before, measure: Measure) -> Vec<Back> {
    let mut backs = Vec::new();
    let same = |a: &crate::store::postgres::ReturnedEntry,
                b: &crate::store::postgres::ReturnedEntry| {
        (&a.order, &a.distributor, a.placed_at) == (&b.order, &b.distributor, b.placed_at)
    };
    let mut next = 0_usize;
    for entries in before.entries.chunk_by(same) {
        let entry = next;
        next = next.saturating_add(entries.len());
        let Some(first) = entries.first() else { continue };
        let id = DistributorId::parse(&first.distributor).ok();
        let Some(member) = id.and_then(|id| scene.tree.find(&id)).map(Member::number) else {
            continue;
        };
        let mut counted: Vec<(usize, Volume)> = Vec::new();
        for entry in entries {
            let Some(close) = before.closes.of(entry.seq, entry.placed_at) else { continue };
            let volume = entry.amount.of(measure);
            match counted.last_mut() {
                Some((last, sum)) if *last == close => *sum += volume,
                _ => counted.push((close, volume)),
            }
        }
        let takes = takes(&counted).into_iter();
        backs.extend(takes.map(|take| Back { member, entry, take }));
    }
    backs
}

/// A binary to correct.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) plan: &'a Binary,
    pub(super) register: &'a Seats,
    pub(super) columns: BinaryColumns<'a>,
    pub(super) before: &'a Before,
    /// Its closed periods.
    pub(super) pasts: &'a [Past],
    pub(super) backs: &'a [Back],
}

/// What the legs of positions lost, by position and period.
struct Losses {
    /// In the open close.
    now: Vec<LegLoss>,
    /// In the closes before, of the periods that matter.
    earlier: Vec<LegLoss>,
}

fn of_position(losses: &[LegLoss], position: Position) -> &[LegLoss] {
    let begin = losses.partition_point(|loss| loss.position < position);
    let rest = losses.get(begin..).unwrap_or_default();
    rest.get(..rest.partition_point(|loss| loss.position == position)).unwrap_or_default()
}

impl Losses {
    /// The first period of which a position lost something.
    fn first(&self, position: Position) -> Option<usize> {
        let all = [&self.now, &self.earlier].map(|losses| of_position(losses, position).first());
        all.into_iter().flatten().map(|loss| loss.period).min()
    }

    /// What the closes before took of the legs of a position.
    fn earlier(&self, position: Position, period: usize) -> Legs {
        let of = of_position(&self.earlier, position).iter().find(|loss| loss.period == period);
        of.map_or(Legs::ZERO, |loss| loss.legs)
    }
}

impl Case<'_> {
    /// What came back up to the open close, with the number of the close in which it did. Both numbers count
    /// from the first of the closed periods. Who was not placed then brought nothing.
    fn came_back(&self) -> Vec<(usize, Lost)> {
        let base = self.pasts.first().map_or(0, |past| past.close);
        let found = self.backs.iter().filter_map(|Back { member, take, .. }| {
            let period = take.from.checked_sub(base)?;
            let position = self.register.first_of(Owner(*member))?;
            let placed = self.pasts.get(period)?.has(position);
            let lost = Lost { period, position, volume: take.volume };
            placed.then_some((take.at.saturating_sub(base), lost))
        });
        found.collect()
    }

    /// All positions of the owners of whose legs something was lost, by owner.
    fn concerned(&self, losses: &[LegLoss]) -> Vec<(Owner, Position)> {
        let owner = |loss: &LegLoss| self.columns.owner(loss.position);
        let owners: BTreeSet<Owner> = losses.iter().filter_map(owner).collect();
        let all = self.register.owners().iter().copied().zip((0..).map(Position));
        let mut positions: Vec<_> = all.filter(|(owner, _)| owners.contains(owner)).collect();
        positions.sort_unstable();
        positions
    }

    fn record(
        &self,
        (owner, positions): (Owner, &[(Owner, Position)]),
        (first, histories): (usize, &[History<'_>]),
        correction: &Correction,
    ) -> Option<(usize, CorrectionRecord)> {
        let Posted { paid, breakage, capped } = correction.difference;
        let past = histories.get(correction.position)?.periods.get(correction.period)?;
        let period = first.saturating_add(correction.period);
        let refused = past.standing.refusal(self.pasts.get(period)?.binary.qualification);
        let record = CorrectionRecord {
            component: self.plan.id.clone(),
            corrects: self.period(period)?.clone(),
            position: positions.get(correction.position)?.1,
            owner,
            paid,
            breakage,
            capped,
            refused: refused.filter(|_| breakage != Money::ZERO),
            spared: None,
        };
        Some((period, record))
    }

    fn basis(&self, period: usize) -> Option<&Basis> {
        self.before.bases.get(self.pasts.get(period)?.close)
    }

    fn period(&self, period: usize) -> Option<&PeriodId> {
        self.basis(period).map(|basis| &basis.period.id)
    }
}

/// What spoke for positions in closed periods, where nothing was written down of them because they had no
/// volume. Computed from what the period wrote down of its members, when a return first asks for it.
#[derive(Default)]
struct Standings(BTreeMap<usize, Vec<Standing>>);

impl Standings {
    fn of(&self, period: usize, position: Position) -> Standing {
        let known = self.0.get(&period).and_then(|standings| standings.get(position.index()));
        known.copied().unwrap_or_default()
    }

    async fn read(
        &mut self,
        scene: &Scene<'_>,
        case: &Case<'_>,
        period: usize,
    ) -> Result<(), ClosingError> {
        let btree_map::Entry::Vacant(slot) = self.0.entry(period) else { return Ok(()) };
        let (Some(basis), Some(past)) = (case.basis(period), case.pasts.get(period)) else {
            return Ok(());
        };
        let mut active = vec![false; scene.tree.len()];
        let found = |id: &str| scene.tree.find(&DistributorId::parse(id).ok()?).map(Member::number);
        let take = |id: &str| {
            let slot = found(id).and_then(|number| active.get_mut(Position(number).index()));
            if let Some(active) = slot {
                *active = true;
            }
        };
        scene.store.active_members(&basis.key(), take).await?;
        let (sponsors, _) = scene.tree.as_of(basis.period.snapshot, basis.genealogy.seq).columns();
        let columns = case.columns.as_of(past.positions);
        slot.insert(standings(columns, &Spans::of(columns), &sponsors, &active));
        Ok(())
    }
}

/// What returns change in closed periods.
#[derive(Default)]
pub(super) struct Corrected {
    pub(super) records: Vec<CorrectionRecord>,
    pub(super) notes: Vec<Note>,
}

/// Un-pairs what came back in the open close of volume that closed ones had counted. Gives what is to be
/// posted now, and brings what the positions concerned carry up to date.
pub(super) async fn correct(
    scene: &Scene<'_>,
    case: &Case<'_>,
    carry: &mut [Legs],
) -> Result<Corrected, ClosingError> {
    let back = case.came_back();
    let open = case.pasts.len();
    let pairs: BTreeSet<_> = back.iter().map(|(at, lost)| (lost.period, *at)).collect();
    let Some(first) = lost::first(&pairs.into_iter().collect::<Vec<_>>(), open) else {
        return Ok(Corrected::default());
    };
    let again = Again { rules: case.pasts.iter().map(|past| &past.rules).collect(), first };
    let (now, earlier): (Vec<_>, Vec<_>) = back.into_iter().partition(|(at, _)| *at == open);
    let lost = |back: Vec<(usize, Lost)>| {
        let since = again.since();
        back.into_iter().map(|(_, lost)| lost).filter(|lost| lost.period >= since).collect()
    };
    let now = lost::of_legs(case.columns, lost(now), |_| true);
    let concerned = case.concerned(&now);
    let mut wanted = vec![false; case.columns.len()];
    for (_, position) in &concerned {
        if let Some(wanted) = wanted.get_mut(position.index()) {
            *wanted = true;
        }
    }
    let wanted = |position: Position| wanted.get(position.index()).copied().unwrap_or_default();
    let losses = Losses { earlier: lost::of_legs(case.columns, lost(earlier), wanted), now };
    let mut standings = Standings::default();
    let mut corrections = Vec::new();
    let mut rest = concerned.as_slice();
    while !rest.is_empty() {
        // Whole owners, as a cap of the owner ties their positions together.
        let until = rest.get(PART.min(rest.len()).saturating_sub(1)).map(|(owner, _)| *owner);
        let end = rest.partition_point(|(owner, _)| Some(*owner) <= until);
        let (part, left) = rest.split_at_checked(end).unwrap_or((rest, &[]));
        rest = left;
        let part = Part { again: &again, losses: &losses, positions: part };
        corrections.extend(part.correct(scene, case, &mut standings, carry).await?);
    }
    corrections.sort_by_key(|(period, record)| (*period, record.position));
    let records = corrections.into_iter().map(|(_, record)| record).collect();
    let bases = again.periods().filter_map(|period| case.basis(period));
    let others = bases.filter(|basis| basis.engine != scene.basis.engine).map(|basis| {
        let (period, engine) = (basis.period.id.clone(), basis.engine.clone());
        Note::OtherRules { component: case.plan.id.clone(), period, engine }
    });
    Ok(Corrected { records, notes: others.collect() })
}

/// Owners with all their positions, whose closed periods are looked at together.
struct Part<'a> {
    again: &'a Again<'a>,
    losses: &'a Losses,
    positions: &'a [(Owner, Position)],
}

impl Part<'_> {
    async fn correct(
        &self,
        scene: &Scene<'_>,
        case: &Case<'_>,
        standings: &mut Standings,
        carry: &mut [Legs],
    ) -> Result<Vec<(usize, CorrectionRecord)>, ClosingError> {
        let since = self.again.since();
        let closed: Vec<&str> = case.before.bases.iter().map(|b| b.period.id.as_str()).collect();
        let periods = (since..case.pasts.len()).filter_map(|period| case.period(period));
        let periods: Vec<&str> = periods.map(PeriodId::as_str).collect();
        let positions: Vec<Position> = self.positions.iter().map(|(_, at)| *at).collect();
        let (plan, component) = (&*scene.basis.plan.id, &case.plan.id);
        let known =
            scene.store.past_positions(plan, component, &positions, (&periods, &closed)).await?;
        let kept =
            |position, period: usize| known.get(&(position, period.checked_sub(since)?)).copied();
        let written =
            |position, period| kept(position, period).is_some_and(|k| k.standing.is_some());
        for period in self.unwritten(case, written) {
            standings.read(scene, case, period).await?;
        }
        let mut corrections: Vec<(usize, CorrectionRecord)> = Vec::new();
        for positions in self.positions.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((owner, _)) = positions.first().copied() else { continue };
            let history = |(_, position): &(Owner, Position)| {
                self.again.history(
                    |period| kept(*position, period),
                    |period| self.losses.earlier(*position, period),
                    |period| standings.of(period, *position),
                )
            };
            let histories: Vec<History<'_>> = positions.iter().map(history).collect();
            let unpaired = unpair(&histories, &self.returned(positions))?;
            for ((_, position), legs) in positions.iter().zip(unpaired.carry) {
                if let Some(carried) = carry.get_mut(position.index()) {
                    *carried = legs;
                }
            }
            let of = (self.again.first, histories.as_slice());
            let record = |correction: &Correction| case.record((owner, positions), of, correction);
            corrections.extend(unpaired.corrections.iter().filter_map(record));
        }
        spared(scene, case, (since, &known), &mut corrections).await?;
        Ok(corrections)
    }

    /// The periods in which nothing was written down of a position that had lost something before.
    fn unwritten(
        &self,
        case: &Case<'_>,
        written: impl Fn(Position, usize) -> bool,
    ) -> BTreeSet<usize> {
        let mut periods = BTreeSet::new();
        for (_, position) in self.positions {
            let Some(first) = self.losses.first(*position) else { continue };
            let after = self.again.periods().filter(|period| *period > first);
            let there = |period: &usize| case.pasts.get(*period).is_some_and(|p| p.has(*position));
            periods.extend(after.filter(there).filter(|period| !written(*position, *period)));
        }
        periods
    }

    /// What an owner's positions lose now.
    fn returned(&self, positions: &[(Owner, Position)]) -> Vec<Returned> {
        let mut returned = Vec::new();
        for (index, (_, position)) in positions.iter().enumerate() {
            for LegLoss { period, legs, .. } in of_position(&self.losses.now, *position) {
                let period = period.saturating_sub(self.again.first);
                let back = Side::BOTH.map(|side| Returned {
                    position: index,
                    period,
                    side,
                    volume: legs.of(side),
                });
                returned.extend(back.into_iter().filter(|back| back.volume.is_positive()));
            }
        }
        returned
    }
}

/// What caps of the plan had taken of what is taken back is theirs to give.
async fn spared(
    scene: &Scene<'_>,
    case: &Case<'_>,
    (since, known): (usize, &Pasts),
    corrections: &mut [(usize, CorrectionRecord)],
) -> Result<(), ClosingError> {
    let capped = |period: usize| case.pasts.get(period).and_then(|past| past.cap.as_ref());
    let owners: BTreeMap<Owner, DistributorId> = corrections
        .iter()
        .filter(|(period, _)| capped(*period).is_some())
        .filter_map(|(_, record)| Some((record.owner, scene.tree.by_number(record.owner.0)?)))
        .collect();
    if owners.is_empty() {
        return Ok(());
    }
    let closed: Vec<&str> = case.before.bases.iter().map(|b| b.period.id.as_str()).collect();
    let names: Vec<&DistributorId> = owners.values().collect();
    let (plan, component) = (&*scene.basis.plan.id, &case.plan.id);
    let got = scene.store.component_money(plan, component, &names, &closed).await?;
    let mut earned: BTreeMap<(Owner, usize), Money> = BTreeMap::new();
    for ((position, period), past) in known {
        if let Some(owner) = case.columns.owner(*position) {
            let period = since.saturating_add(*period);
            *earned.entry((owner, period)).or_default() += past.posted.paid;
        }
    }
    let mut of_owner: BTreeMap<(usize, Owner), Vec<&mut CorrectionRecord>> = BTreeMap::new();
    for (period, record) in corrections {
        of_owner.entry((*period, record.owner)).or_default().push(record);
    }
    for ((period, owner), mut records) in of_owner {
        let (Some(cap), Some(id)) = (capped(period), owners.get(&owner)) else { continue };
        let Some(closed) = case.period(period) else { continue };
        let earned = earned.get(&(owner, period)).copied().unwrap_or_default();
        let got = got.get(&(closed.clone(), id.clone())).copied().unwrap_or_default();
        spare(&mut records, cap, earned - got);
    }
    Ok(())
}
