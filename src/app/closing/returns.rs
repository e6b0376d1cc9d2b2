//! Volume of closed periods that came back, and what binaries have to correct.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ClosingError,
    placement::{Before, Past, Scene},
};
use crate::{
    domain::{
        close::{
            binary::{
                Legs, Standing,
                unpair::{self, Correction, History, Posted, Returned, unpair},
            },
            placed::{CorrectionRecord, spare},
            returns::{Take, takes},
        },
        genealogy::Member,
        id::DistributorId,
        money::Money,
        placement::{BinaryColumns, Owner, Position, Register},
        plan::{pairs::Binary, period::PeriodId, volume::Measure},
        volume::Volume,
    },
    store::postgres::Pasts,
};

/// Volume of a member that came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    pub(super) member: u32,
    pub(super) take: Take,
}

/// What came back of a volume, in every close up to this one.
pub(super) fn backs(scene: &Scene<'_>, before: &Before, measure: Measure) -> Vec<Back> {
    let mut backs = Vec::new();
    let same = |a: &crate::store::postgres::ReturnedEntry,
                b: &crate::store::postgres::ReturnedEntry| {
        (&a.order, &a.distributor, a.placed_at) == (&b.order, &b.distributor, b.placed_at)
    };
    for entries in before.entries.chunk_by(same) {
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
        backs.extend(takes(&counted).into_iter().map(|take| Back { member, take }));
    }
    backs
}

/// A binary to correct.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) plan: &'a Binary,
    pub(super) register: &'a Register,
    pub(super) columns: BinaryColumns<'a>,
    pub(super) before: &'a Before,
    /// Its closed periods.
    pub(super) pasts: &'a [Past],
    pub(super) backs: &'a [Back],
    /// What positions brought along into the first of its periods.
    pub(super) brought: &'a BTreeMap<Position, Legs>,
}

impl Case<'_> {
    /// What came back in a close, or in those before it: the period as an index into the closed ones, the
    /// position that brought it, how much. Who was not placed then brought nothing.
    fn came_back(&self, at: impl Fn(usize) -> bool) -> Vec<(usize, Position, Volume)> {
        let backs = self.backs.iter().filter(|back| at(back.take.at));
        let found = backs.filter_map(|back| {
            let period = self.pasts.iter().position(|past| past.close == back.take.from)?;
            let position = self.register.first_of(Owner(back.member))?;
            let past = self.pasts.get(period)?;
            past.has(position).then_some((period, position, back.take.volume))
        });
        found.collect()
    }

    /// What came back in the open close, for every position above it, by their owners.
    fn returned(&self) -> BTreeMap<Owner, Vec<(Position, Returned)>> {
        let open = self.before.open();
        let mut returned: BTreeMap<Owner, Vec<(Position, Returned)>> = BTreeMap::new();
        for (period, below, volume) in self.came_back(|at| at == open) {
            for (position, side) in self.columns.upline(below) {
                let Some(owner) = self.columns.owner(position) else { continue };
                let back = Returned { position: 0, period, side, volume };
                returned.entry(owner).or_default().push((position, back));
            }
        }
        returned
    }

    /// What the closes before took back of the legs of some positions, by period and position.
    fn earlier(&self, concerned: &BTreeSet<Position>) -> BTreeMap<(usize, Position), Legs> {
        let open = self.before.open();
        let mut earlier: BTreeMap<(usize, Position), Legs> = BTreeMap::new();
        for (period, below, volume) in self.came_back(|at| at < open) {
            let above = self.columns.upline(below).filter(|(above, _)| concerned.contains(above));
            for (position, side) in above {
                let legs = earlier.entry((period, position)).or_default();
                *legs = legs.plus(Legs::only(side, volume));
            }
        }
        earlier
    }

    fn record(
        &self,
        owner: Owner,
        positions: &[Position],
        histories: &[History<'_>],
        correction: &Correction,
    ) -> Option<CorrectionRecord> {
        let Posted { paid, breakage, capped } = correction.difference;
        let past = histories.get(correction.position)?.periods.get(correction.period)?;
        let then = self.pasts.get(correction.period)?;
        let refused = past.standing.refusal(then.binary.qualification);
        Some(CorrectionRecord {
            component: self.plan.id.clone(),
            corrects: self.period(correction.period)?.clone(),
            position: *positions.get(correction.position)?,
            owner,
            paid,
            breakage,
            capped,
            refused: refused.filter(|_| breakage != Money::ZERO),
            spared: None,
        })
    }

    fn period(&self, period: usize) -> Option<&PeriodId> {
        let past = self.pasts.get(period)?;
        self.before.bases.get(past.close).map(|basis| &basis.period.id)
    }

    /// The histories of an owner's positions, after the returns of the closes before.
    fn histories(
        &self,
        positions: &[Position],
        known: &Pasts,
        earlier: &BTreeMap<(usize, Position), Legs>,
    ) -> Vec<History<'_>> {
        let history = |position: &Position| {
            let periods = self.pasts.iter().enumerate().map(|(index, past)| {
                let id = self.period(index);
                let found = id.and_then(|id| known.get(&(id.clone(), *position)));
                let back = earlier.get(&(index, *position)).copied().unwrap_or_default();
                unpair::Past {
                    rules: &past.rules,
                    arrived: found.map_or(Legs::ZERO, |found| found.arrived).minus(back),
                    standing: found.map_or(Standing::NONE, |found| found.standing),
                    posted: found.map_or_else(Posted::default, |found| found.posted),
                }
            });
            let opening = self.brought.get(position).copied().unwrap_or_default();
            History { opening, before: Vec::new(), periods: periods.collect() }
        };
        positions.iter().map(history).collect()
    }
}

/// Un-pairs what came back in the open close of volume that closed ones had counted. Gives what is to be
/// posted now, and brings what the positions concerned carry up to date.
pub(super) async fn correct(
    scene: &Scene<'_>,
    case: &Case<'_>,
    carry: &mut BTreeMap<Position, Legs>,
) -> Result<Vec<CorrectionRecord>, ClosingError> {
    let returned = case.returned();
    if returned.is_empty() {
        return Ok(Vec::new());
    }
    let mut positions: BTreeMap<Owner, Vec<Position>> = BTreeMap::new();
    for (position, owner) in (0..).map(Position).zip(case.register.owners()) {
        if returned.contains_key(owner) {
            positions.entry(*owner).or_default().push(position);
        }
    }
    let concerned: BTreeSet<Position> = positions.values().flatten().copied().collect();
    let earlier = case.earlier(&concerned);
    let closed: Vec<&str> = case.before.bases.iter().map(|b| b.period.id.as_str()).collect();
    let all: Vec<Position> = concerned.into_iter().collect();
    let (plan, component) = (&*scene.basis.plan.id, &case.plan.id);
    let known = scene.store.past_positions(plan, component, &all, &closed).await?;
    let mut corrections: Vec<(usize, CorrectionRecord)> = Vec::new();
    for (owner, positions) in positions {
        let histories = case.histories(&positions, &known, &earlier);
        let backs = returned.get(&owner).into_iter().flatten().filter_map(|(position, back)| {
            let position = positions.binary_search(position).ok()?;
            Some(Returned { position, ..*back })
        });
        let unpaired = unpair(&histories, &backs.collect::<Vec<_>>())?;
        for (position, legs) in positions.iter().zip(unpaired.carry) {
            // Who never had volume in a leg carries none.
            if let Some(carried) = carry.get_mut(position) {
                *carried = legs;
            }
        }
        let record = |correction: &Correction| {
            let record = case.record(owner, &positions, &histories, correction)?;
            Some((correction.period, record))
        };
        corrections.extend(unpaired.corrections.iter().filter_map(record));
    }
    spared(scene, case, &known, &mut corrections).await?;
    corrections.sort_by_key(|(period, record)| (*period, record.position));
    Ok(corrections.into_iter().map(|(_, record)| record).collect())
}

/// What caps of the plan had taken of what is taken back is theirs to give.
async fn spared(
    scene: &Scene<'_>,
    case: &Case<'_>,
    known: &Pasts,
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
    let mut earned: BTreeMap<(Owner, &PeriodId), Money> = BTreeMap::new();
    for ((period, position), past) in known {
        if let Some(owner) = case.columns.owner(*position) {
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
        let earned = earned.get(&(owner, closed)).copied().unwrap_or_default();
        let got = got.get(&(closed.clone(), id.clone())).copied().unwrap_or_default();
        spare(&mut records, cap, earned - got);
    }
    Ok(())
}
