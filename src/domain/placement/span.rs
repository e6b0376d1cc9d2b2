//! Who lies below whom, answered by numbers: an Euler tour of a binary.
//!
//! A depth-first walk, left before right, numbers the positions anew. Then everybody in a leg has
//! the numbers of one range, so a leg's orders are one run of a journal that is sorted by them, and
//! whether somebody sits in a leg is a comparison. Computed in two sweeps, without recursion, when asked for.

use std::ops::Range;

use super::{BinaryColumns, Position, Side, binary::parent_of};

/// The numbers of a depth-first walk.
#[derive(Debug, Clone)]
pub struct Spans {
    /// Where each position stands in the walk.
    starts: Vec<u32>,
    /// How many positions are in each leg; by slot, so left and right of position 0, of 1, ..
    sizes: Vec<u32>,
}

fn slot_index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

impl Spans {
    /// Walks a tree.
    pub fn of(tree: BinaryColumns<'_>) -> Self {
        let mut sizes = vec![0_u32; tree.len().saturating_mul(2)];
        for (position, slot) in tree.slots.iter().enumerate().rev() {
            let below: u32 = leg_sizes(&sizes, position).iter().sum();
            if let Some(size) = sizes.get_mut(slot_index(*slot)) {
                *size = below.saturating_add(1);
            }
        }
        let mut starts = Vec::with_capacity(tree.len());
        for slot in tree.slots {
            let start = match parent_of(*slot) {
                None => 0,
                Some((parent, side)) => {
                    let above: u32 = starts.get(parent.index()).copied().unwrap_or_default();
                    let [left, _] = leg_sizes(&sizes, parent.index());
                    let before = if side == Side::Left { 0 } else { left };
                    above.saturating_add(1).saturating_add(before)
                }
            };
            starts.push(start);
        }
        Self { starts, sizes }
    }

    /// Where a position stands in the walk.
    pub fn start(&self, position: Position) -> Option<u32> {
        self.starts.get(position.index()).copied()
    }

    /// Where those in a leg stand in the walk.
    pub fn leg(&self, position: Position, side: Side) -> Range<u32> {
        let Some(start) = self.start(position) else { return 0..0 };
        let [left, right] = leg_sizes(&self.sizes, position.index());
        let begin = start.saturating_add(1);
        let middle = begin.saturating_add(left);
        match side {
            Side::Left => begin..middle,
            Side::Right => middle..middle.saturating_add(right),
        }
    }

    /// The leg of `position` in which `below` sits, if any.
    pub fn side_of(&self, position: Position, below: Position) -> Option<Side> {
        let start = self.start(below)?;
        Side::BOTH.into_iter().find(|side| self.leg(position, *side).contains(&start))
    }
}

fn leg_sizes(sizes: &[u32], position: usize) -> [u32; 2] {
    let pair = sizes.get(position.saturating_mul(2)..).and_then(|rest| rest.first_chunk::<2>());
    pair.copied().unwrap_or_default()
}
