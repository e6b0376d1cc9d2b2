//! The positions of one distributor in a period, down to the orders that their legs are made of.
//!
//! Which orders a leg holds is not kept. After any close a leg's queue is the last points of its journal
//! ([`crate::domain::close::binary`]), so what it held when it closed is the last `opening + arrived` points
//! of the orders below it, the oldest first; what no order accounts for came from an earlier system.

mod levels;
mod returned;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    ClosingError, Prepared,
    told::{Became, BinaryTold, CameBack, LegTold, LotTold, MatrixTold, PositionTold},
};
use crate::{
    domain::{
        close::{
            Basis,
            binary::{
                Leg, Legs,
                told::{Earned, position_cap},
                trace::{Fate, Journal, Lot, Ordered, lots},
            },
            placed::PositionRecord,
            returns::{Closes, takes},
        },
        genealogy::Member,
        id::{ComponentId, DistributorId, PositionId, TreeId},
        money::Money,
        placement::{AnyTree, BinaryColumns, Owner, Position, Seats, Side, Spans},
        plan::{
            Component,
            pairs::{Binary, Cap, Unqualified},
            period::PeriodId,
            volume::Measure,
        },
        volume::Volume,
    },
    store::{
        JournalRange,
        postgres::{Postgres, ReturnedEntry},
    },
};

/// Lots of a leg that are looked up; more are counted.
const LOTS: usize = 10_000;
/// Entries that are looked up at once.
const AT_ONCE: usize = 1_000;

/// What is told of the placed components of a distributor.
#[derive(Debug, Default)]
pub(super) struct PlacedStories {
    pub(super) binaries: BTreeMap<ComponentId, BinaryTold>,
    pub(super) matrices: BTreeMap<ComponentId, MatrixTold>,
    /// By component and closed period.
    pub(super) came_back: BTreeMap<(ComponentId, PeriodId), Vec<CameBack>>,
    /// Of the sponsor line, for components without a tree of their own, by closed period.
    pub(super) below: BTreeMap<PeriodId, Vec<CameBack>>,
}

impl PlacedStories {
    /// The orders whose volume came back of a closed period.
    pub(super) fn took_back(&mut self, component: &ComponentId, of: &PeriodId) -> Vec<CameBack> {
        let placed = self.came_back.remove(&(component.clone(), of.clone()));
        placed.or_else(|| self.below.get(of).cloned()).unwrap_or_default()
    }
}

/// The closes up to that of the period, which is the last, and what came back in any.
struct Past {
    bases: Vec<Basis>,
    closes: Closes,
    returned: Vec<ReturnedEntry>,
}

/// A part of an order in one close.
#[derive(Debug, Clone, Copy)]
struct Piece {
    close: usize,
    /// The entry by which its order is found.
    seq: u64,
    member: u32,
    placed_at: Timestamp,
    volume: Volume,
}

/// Tells the positions of a member.
pub(super) async fn trace(
    store: &Postgres,
    components: &[Component],
    (earlier, prepared): (&[Prepared], &Prepared),
    member: u32,
) -> Result<PlacedStories, ClosingError> {
    let mut stories = PlacedStories::default();
    let past = Past::read(store, earlier, prepared).await?;
    let tree = &prepared.tree;
    let now = tree.as_of(prepared.basis.period.snapshot, prepared.basis.genealogy.seq);
    stories.below = past.came_back(tree, Measure::Cv, |who, _| {
        who.number() == member || now.upline(who).any(|above| above.number() == member)
    });
    for component in components {
        let Some((tree, shape)) = component.tree() else { continue };
        let placed = prepared.basis.placements.iter().find(|placed| placed.tree == *tree);
        let Some(version) = placed.map(|placed| placed.version) else { continue };
        let register = store.placements(tree, shape, version, &prepared.tree).await?;
        let owned = (0..).map(Position).zip(register.owners());
        let owned = owned.filter(|(_, owner)| **owner == Owner(member)).map(|(p, _)| p);
        let owned: Vec<Position> = owned.collect();
        let (past, register, owned) = (&past, &register, &*owned);
        let names = &store.position_names(tree, owned).await?;
        let case = Case { store, prepared, past, tree, register, owned, names };
        match (component, register.tree()) {
            (Component::Binary(plan), AnyTree::Binary(tree)) => {
                let told = case.binary(plan, tree.columns(), &mut stories.came_back).await?;
                stories.binaries.insert(plan.id.clone(), told);
            }
            (Component::Matrix(plan), AnyTree::Matrix(tree)) => {
                let parents: Vec<u32> = tree.parents().collect();
                stories.matrices.insert(plan.id.clone(), case.matrix(plan, &parents));
            }
            _ => {}
        }
    }
    Ok(stories)
}

impl Past {
    /// `earlier` are the open periods that are assumed to be closed.
    async fn read(
        store: &Postgres,
        earlier: &[Prepared],
        prepared: &Prepared,
    ) -> Result<Self, ClosingError> {
        let basis = &prepared.basis;
        let mut past = store.closed_bases(&basis.plan.id).await?;
        past.retain(|other| other.period.start < basis.period.start);
        past.extend(earlier.iter().map(|earlier| earlier.basis.clone()));
        past.push(basis.clone());
        let mut closes = Closes::default();
        for other in &past {
            closes.push(&other.period, other.counted);
        }
        let placed = (basis.counted.since, basis.period.end);
        let returned = store.returned_entries(placed, (0, basis.counted.upto)).await?;
        Ok(Self { bases: past, closes, returned })
    }

    fn last(&self) -> usize {
        self.bases.len().saturating_sub(1)
    }

    /// The entries of one order of one distributor at a time.
    fn orders(&self) -> impl Iterator<Item = (&ReturnedEntry, &[ReturnedEntry])> {
        let same = |a: &ReturnedEntry, b: &ReturnedEntry| {
            (&a.order, &a.distributor, a.placed_at) == (&b.order, &b.distributor, b.placed_at)
        };
        let orders = self.returned.chunk_by(same);
        orders.filter_map(|entries| Some((entries.first()?, entries)))
    }

    /// What each close counted of an order.
    fn counted(&self, entries: &[ReturnedEntry], measure: Measure) -> Vec<(usize, Volume)> {
        let mut counted: Vec<(usize, Volume)> = Vec::new();
        for entry in entries {
            let Some(close) = self.closes.of(entry.seq, entry.placed_at) else { continue };
            let volume = entry.amount.of(measure);
            match counted.last_mut() {
                Some((last, sum)) if *last == close => *sum += volume,
                _ => counted.push((close, volume)),
            }
        }
        counted
    }
}

/// A placed component of a distributor.
struct Case<'a> {
    store: &'a Postgres,
    prepared: &'a Prepared,
    past: &'a Past,
    tree: &'a TreeId,
    register: &'a Seats,
    owned: &'a [Position],
    /// What the company calls these.
    names: &'a BTreeMap<Position, PositionId>,
}

impl Case<'_> {
    fn number(&self, id: &str) -> Option<u32> {
        let id = DistributorId::parse(id).ok()?;
        self.prepared.tree.find(&id).map(Member::number)
    }

    /// Where the volume of a member goes in at a close: nowhere if they were not placed then.
    fn seat(&self, member: u32, close: usize) -> Option<Position> {
        let seat = self.register.first_of(Owner(member))?;
        if close == self.past.last() {
            return Some(seat);
        }
        let mut then = self.past.bases.get(close)?.placements.iter();
        let then = then.find(|placed| placed.tree == *self.tree)?;
        (u64::from(seat.0) < then.version.seq).then_some(seat)
    }

    async fn binary(
        &self,
        plan: &Binary,
        columns: BinaryColumns<'_>,
        came_back: &mut BTreeMap<(ComponentId, PeriodId), Vec<CameBack>>,
    ) -> Result<BinaryTold, ClosingError> {
        let spans = Spans::of(columns);
        let below = |seat: Position| {
            self.owned.iter().any(|position| spans.side_of(*position, seat).is_some())
        };
        let pieces = self.pieces(plan.volume, below).await?;
        let journal = self.journal(&pieces, &spans);
        let records = self.prepared.placed.positions.iter();
        let of: Vec<&PositionRecord> = records.filter(|r| *r.component == plan.id).collect();
        let mut positions = Vec::new();
        for position in self.owned {
            let Some(name) = self.names.get(position) else { continue };
            let record = of.iter().find(|record| record.position == *position).copied();
            let mut legs = Vec::new();
            for side in Side::BOTH {
                let orders = journal.leg(&spans, *position, side);
                let leg = record.map(|record| record.leg(side)).unwrap_or_default();
                legs.push(self.leg(leg, orders, &pieces).await?);
            }
            let mut legs = legs.into_iter();
            let (left, right) = (legs.next().unwrap_or_default(), legs.next().unwrap_or_default());
            positions.push(told(plan, name.clone(), record, (left, right)));
        }
        let concerns = |who: Member, close| self.seat(who.number(), close).is_some_and(&below);
        let found = self.past.came_back(&self.prepared.tree, plan.volume, concerns);
        for (corrects, orders) in found {
            came_back.insert((plan.id.clone(), corrects), orders);
        }
        Ok(BinaryTold {
            tree: plan.tree.clone(),
            cap: match plan.cap {
                Cap::None {} => "none",
                Cap::PayCap { .. } => "pay_cap",
                Cap::VolumeCap { .. } => "volume_cap",
                Cap::FlushOnCap { .. } => "flush_on_cap",
            },
            cap_limit: plan.cap.limit(),
            owner_cap: plan.owner_cap.at(),
            unqualified: match plan.unqualified {
                Unqualified::Breakage => "breakage",
                Unqualified::Hold => "hold",
                Unqualified::Flush => "flush",
            },
            positions,
        })
    }

    /// What orders brought to positions that are asked for, after all returns up to this close.
    async fn pieces(
        &self,
        measure: Measure,
        below: impl Fn(Position) -> bool,
    ) -> Result<Vec<Piece>, ClosingError> {
        let basis = &self.prepared.basis;
        let mut pieces = self.of_returned(measure);
        let returned: BTreeSet<u64> = self.past.returned.iter().map(|entry| entry.seq).collect();
        let range = JournalRange { after: 0, upto: basis.counted.upto, before: basis.period.end };
        let number = |id: &str| self.number(id).unwrap_or(u32::MAX);
        let read = self.store.volume_journal(range, number, |page| {
            let column = match measure {
                Measure::Pv => &page.pv,
                Measure::Qv => &page.qv,
                Measure::Cv => &page.cv,
            };
            let entries = page.seq.iter().zip(&page.member).zip(&page.placed_at).zip(column);
            for (((seq, member), placed_at), volume) in entries {
                let Some(close) = self.past.closes.of(*seq, *placed_at) else { continue };
                let (seq, member, placed_at, volume) = (*seq, *member, *placed_at, *volume);
                if volume.is_positive() && !returned.contains(&seq) {
                    let piece = Piece { close, seq, member, placed_at, volume };
                    if self.seat(member, close).is_some_and(&below) {
                        pieces.push(piece);
                    }
                }
            }
        });
        read.await?;
        pieces.retain(|piece| self.seat(piece.member, piece.close).is_some_and(&below));
        Ok(pieces)
    }

    /// What is left of orders of which something came back.
    fn of_returned(&self, measure: Measure) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (first, entries) in self.past.orders() {
            let Some(member) = self.number(&first.distributor) else { continue };
            let mut left: BTreeMap<usize, Volume> = BTreeMap::new();
            let counted = self.past.counted(entries, measure);
            for (close, volume) in &counted {
                *left.entry(*close).or_default() += *volume;
            }
            for take in takes(&counted) {
                *left.entry(take.at).or_default() += take.volume;
                *left.entry(take.from).or_default() -= take.volume;
            }
            let of_close = |close: usize| {
                let mut of = entries.iter();
                of.find(|entry| self.past.closes.of(entry.seq, entry.placed_at) == Some(close))
            };
            pieces.extend(left.into_iter().filter(|(_, volume)| volume.is_positive()).filter_map(
                |(close, volume)| {
                    let seq = of_close(close)?.seq;
                    Some(Piece { close, seq, member, placed_at: first.placed_at, volume })
                },
            ));
        }
        pieces
    }

    fn journal(&self, pieces: &[Piece], spans: &Spans) -> Journal<Option<usize>> {
        let orders = pieces.iter().enumerate().filter_map(|(index, piece)| {
            Some(Ordered {
                order: Some(index),
                position: self.seat(piece.member, piece.close)?,
                period: u32::try_from(piece.close).ok()?,
                seq: piece.seq,
                volume: piece.volume,
            })
        });
        Journal::new(spans, orders)
    }

    /// A leg with its orders. `record` has what was carried before, arrived, was paired, expired, was
    /// flushed and is carried.
    async fn leg(
        &self,
        [opening, arrived, paired, expired, flushed, carried]: [Volume; 6],
        orders: Vec<Ordered<Option<usize>>>,
        pieces: &[Piece],
    ) -> Result<LegTold, ClosingError> {
        let now = self.past.last();
        let queue = queue(orders, opening + arrived);
        let leg = Leg { paired, expired, flushed, carried };
        let found = lots(&queue, &[(u32::try_from(now).unwrap_or(u32::MAX), leg)]);
        let shown = found.get(..LOTS).unwrap_or(&found);
        let keys = self.keys(shown, pieces).await?;
        let mut lots: Vec<LotTold> = Vec::new();
        for lot in shown {
            let told = self.lot(lot, pieces, &keys);
            // The lines of an order stand side by side.
            match lots.last_mut() {
                Some(last)
                    if last.order.is_some()
                        && (&last.order, &last.of, last.became)
                            == (&told.order, &told.of, told.became) =>
                {
                    last.volume += told.volume;
                }
                _ => lots.push(told),
            }
        }
        let more = found.len().saturating_sub(shown.len());
        Ok(LegTold { opening, arrived, paired, expired, flushed, carried, lots, more })
    }

    fn lot(
        &self,
        lot: &Lot<Option<usize>>,
        pieces: &[Piece],
        keys: &BTreeMap<u64, String>,
    ) -> LotTold {
        let piece = lot.order.and_then(|index| pieces.get(index));
        let of = piece.filter(|piece| piece.close < self.past.last());
        let of = of.and_then(|piece| self.past.bases.get(piece.close));
        LotTold {
            order: piece.and_then(|piece| keys.get(&piece.seq).cloned()),
            distributor: piece.and_then(|piece| self.prepared.tree.by_number(piece.member)),
            placed_at: piece.map(|piece| piece.placed_at),
            of: of.map(|basis| basis.period.id.clone()),
            volume: lot.volume,
            became: match lot.fate {
                Fate::Paired(_) => Became::Paired,
                Fate::Expired(_) => Became::Expired,
                Fate::Flushed(_) => Became::Flushed,
                Fate::Carried => Became::Carried,
            },
        }
    }

    /// The orders of entries.
    async fn keys(
        &self,
        lots: &[Lot<Option<usize>>],
        pieces: &[Piece],
    ) -> Result<BTreeMap<u64, String>, ClosingError> {
        let seqs = lots.iter().filter_map(|lot| Some(pieces.get(lot.order?)?.seq));
        let seqs: Vec<u64> = seqs.collect::<BTreeSet<u64>>().into_iter().collect();
        let mut keys = BTreeMap::new();
        for part in seqs.chunks(AT_ONCE) {
            let entries = self.store.own_volumes(part).await?;
            keys.extend(entries.into_iter().map(|entry| (entry.seq, entry.order)));
        }
        Ok(keys)
    }
}

/// What a leg held when it closed: the last orders up to that volume, and first what none of them brought.
fn queue(orders: Vec<Ordered<Option<usize>>>, held: Volume) -> Vec<Ordered<Option<usize>>> {
    let mut queue = Vec::new();
    let mut left = held;
    for order in orders.into_iter().rev() {
        if !left.is_positive() {
            break;
        }
        let volume = order.volume.min(left);
        left -= volume;
        queue.push(Ordered { volume, ..order });
    }
    if left.is_positive() {
        let position = Position(0);
        queue.push(Ordered { order: None, position, period: 0, seq: 0, volume: left });
    }
    queue.reverse();
    queue
}

fn told(
    plan: &Binary,
    position: PositionId,
    record: Option<&PositionRecord>,
    (left, right): (LegTold, LegTold),
) -> PositionTold {
    let paired = Legs { left: left.paired, right: right.paired };
    let earned = Earned::of(plan, paired);
    let money = |of: fn(&PositionRecord) -> Money| record.map(of).unwrap_or_default();
    let (pool, capped) = (money(|record| record.pool), money(|record| record.capped));
    let position_cap = position_cap(plan.cap, pool, capped);
    PositionTold {
        position,
        left,
        right,
        exact: earned.as_ref().and_then(Earned::exact).map(|exact| exact.normalize()),
        earned,
        pool,
        paid: money(|record| record.paid),
        forfeited: money(|record| record.breakage),
        position_cap,
        owner_cap: capped - position_cap,
        refused: record.and_then(|record| record.standing.refusal(plan.qualification)),
        unpaid: record.and_then(|record| record.unpaid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(seq: u64, points: i32) -> Ordered<Option<usize>> {
        let volume = Volume::points(points);
        Ordered { order: Some(0), position: Position(1), period: 0, seq, volume }
    }

    #[test]
    fn a_leg_holds_its_last_orders_and_first_what_none_of_them_brought() {
        let held = |points| {
            let orders = vec![ordered(1, 100), ordered(2, 50), ordered(3, 30)];
            let queue = queue(orders, Volume::points(points));
            queue.iter().map(|part| (part.seq, part.volume)).collect::<Vec<_>>()
        };
        let points = Volume::points;
        assert_eq!(held(60), [(2, points(30)), (3, points(30))]);
        assert_eq!(held(180), [(1, points(100)), (2, points(50)), (3, points(30))]);
        assert_eq!(
            held(200),
            [(0, points(20)), (1, points(100)), (2, points(50)), (3, points(30))]
        );
        assert_eq!(held(0), []);
    }
}
