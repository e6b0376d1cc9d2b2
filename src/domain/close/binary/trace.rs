//! Which orders a figure of a leg is made of, computed when somebody asks.

use super::Leg;
use crate::domain::{
    placement::{Position, Side, Spans},
    volume::Volume,
};

/// The volume of an order, as the journal has it: after its returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered<O> {
    /// The order.
    pub order: O,
    /// The position that brought it.
    pub position: Position,
    /// The period, counted from any beginning.
    pub period: u32,
    /// Its place in the order of time, over all orders.
    pub seq: u64,
    /// Its volume.
    pub volume: Volume,
}

/// The orders of a binary, sorted so that those of a leg are one run.
#[derive(Debug, Clone)]
pub struct Journal<O>(Vec<(u32, Ordered<O>)>);

impl<O: Copy> Journal<O> {
    /// Sorts the orders of a tree. Those of positions that are not in it are left out.
    pub fn new(spans: &Spans, orders: impl IntoIterator<Item = Ordered<O>>) -> Self {
        let numbered = orders.into_iter().filter_map(|o| Some((spans.start(o.position)?, o)));
        let mut sorted: Vec<_> = numbered.collect();
        sorted.sort_unstable_by_key(|(start, order)| (*start, order.seq));
        Self(sorted)
    }

    /// The orders of a leg, first in first.
    pub fn leg(&self, spans: &Spans, position: Position, side: Side) -> Vec<Ordered<O>> {
        let range = spans.leg(position, side);
        let begin = self.0.partition_point(|(start, _)| *start < range.start);
        let end = self.0.partition_point(|(start, _)| *start < range.end);
        let run = self.0.get(begin..end).unwrap_or_default();
        let mut orders: Vec<_> = run.iter().map(|(_, order)| *order).collect();
        orders.sort_unstable_by_key(|order| (order.period, order.seq));
        orders
    }
}

/// What became of volume in a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It found a partner at the close of this period.
    Paired(u32),
    /// It was too old at the close of this period.
    Expired(u32),
    /// It was emptied at the close of this period.
    Flushed(u32),
    /// It waits.
    Carried,
}

/// A part of an order that had one fate in a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot<O> {
    /// The order.
    pub order: O,
    /// How much of it.
    pub volume: Volume,
    /// What became of it.
    pub fate: Fate,
}

/// Cuts the orders of a leg into lots. `closes` has what became of the leg at the close of each
/// period, from the first in which it had volume, with the period's number.
///
/// Volume leaves at the front: at each close first what is paired, then what expires, then what is
/// flushed. A period has only orders of its own and earlier ones in its queue.
pub fn lots<O: Copy>(orders: &[Ordered<O>], closes: &[(u32, Leg)]) -> Vec<Lot<O>> {
    let leaving = closes.iter().flat_map(|(period, leg)| {
        [
            (leg.paired, Fate::Paired(*period)),
            (leg.expired, Fate::Expired(*period)),
            (leg.flushed, Fate::Flushed(*period)),
        ]
    });
    let mut leaving = leaving.filter(|(volume, _)| volume.is_positive());
    let mut next = leaving.next();
    let mut lots = Vec::new();
    for order in orders {
        let mut left = order.volume;
        while left.is_positive() {
            let (volume, fate) = match &mut next {
                None => (left, Fate::Carried),
                Some((volume, fate)) => {
                    let (part, fate) = (left.min(*volume), *fate);
                    *volume -= part;
                    if !volume.is_positive() {
                        next = leaving.next();
                    }
                    (part, fate)
                }
            };
            lots.push(Lot { order: order.order, volume, fate });
            left -= volume;
        }
    }
    lots
}
