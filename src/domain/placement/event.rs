//! What the placement tree is made of: a chain of events, each of which places one position.

use jiff::Timestamp;

use serde::{Deserialize, Serialize};

use super::{BinaryTree, MatrixTree, Owner, PlacementError, Position, Side};
use crate::domain::{
    digest::Digest,
    id::{DistributorId, PositionId},
};

/// A version of a placement tree: the last event and the hash of the chain up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementVersion {
    /// Sequence number of the last event, 0 for none; as many positions are placed.
    pub seq: u64,
    /// Hash of the chain up to that event.
    pub hash: Digest,
}

/// What is placed, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// What the company calls the position.
    pub name: PositionId,
    /// Whose it is.
    pub owner: DistributorId,
    /// The position above and which of its places from the left, from 0; `None` for the top.
    pub below: Option<(Position, u8)>,
    /// When it was placed; not before the position that was placed before it. So the tree of an instant
    /// is the tree of an event.
    pub placed_at: Timestamp,
}

/// A position was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Position in the chain, from 1, without gaps.
    pub seq: u64,
    /// The new position: `seq - 1`.
    pub position: Position,
    /// What is placed where.
    pub spot: Spot,
    /// When it became known.
    pub recorded_at: Timestamp,
    /// Hash of the chain up to and including this event.
    pub hash: Digest,
}

impl Placed {
    /// The hash that the event must carry after `previous`: SHA-256 of the previous hash and of the
    /// fields as lines of text, times in microseconds since 1970.
    pub fn chained(&self, previous: &Digest) -> Digest {
        let Spot { name, owner, below, placed_at } = &self.spot;
        let (parent, side) = match below {
            Some((parent, side)) => (parent.to_string(), side.to_string()),
            None => (String::new(), String::new()),
        };
        let (placed, at) = (placed_at.as_microsecond(), self.recorded_at.as_microsecond());
        let (seq, position) = (self.seq, self.position);
        Digest::of_text(
            previous.as_bytes(),
            format_args!("{seq}\n{position}\n{name}\n{owner}\n{parent}\n{side}\n{placed}\n{at}"),
        )
    }
}

/// A tree into which events place positions.
pub trait Tree {
    /// How many positions there are.
    fn positions(&self) -> usize;

    /// Places the next position at a place that must be free.
    fn place(
        &mut self,
        owner: Owner,
        below: Option<(Position, u8)>,
    ) -> Result<Position, PlacementError>;
}

impl Tree for BinaryTree {
    fn positions(&self) -> usize {
        self.len()
    }

    fn place(
        &mut self,
        owner: Owner,
        below: Option<(Position, u8)>,
    ) -> Result<Position, PlacementError> {
        let Some((parent, side)) = below else { return self.place_top(owner) };
        let leg = Side::from_index(side).ok_or(PlacementError::NoPlace { parent, side })?;
        self.place_at(owner, parent, leg)
    }
}

impl Tree for MatrixTree {
    fn positions(&self) -> usize {
        self.len()
    }

    fn place(
        &mut self,
        owner: Owner,
        below: Option<(Position, u8)>,
    ) -> Result<Position, PlacementError> {
        match below {
            None => self.place_top(owner),
            Some((parent, side)) => self.place_at(owner, parent, side),
        }
    }
}

/// A tree and the chain of the events that made it.
#[derive(Debug, Clone)]
pub struct Chained<T> {
    tree: T,
    version: PlacementVersion,
    placed_at: Timestamp,
}

impl<T: Tree> Chained<T> {
    /// A chain that begins with an empty tree.
    pub fn new(empty: T) -> Self {
        let version = PlacementVersion { seq: 0, hash: Digest::ZERO };
        Self { tree: empty, version, placed_at: Timestamp::MIN }
    }

    /// The tree.
    pub fn tree(&self) -> &T {
        &self.tree
    }

    /// The version: all events up to it are in.
    pub fn version(&self) -> PlacementVersion {
        self.version
    }

    /// When the last position was placed; the beginning of time for none.
    pub fn placed_at(&self) -> Timestamp {
        self.placed_at
    }

    /// The event that would place somebody next. Whether the place is free shows when it is applied.
    pub fn next(&self, spot: Spot, recorded_at: Timestamp) -> Placed {
        let seq = self.version.seq.saturating_add(1);
        let position = self.next_position();
        let mut event = Placed { seq, position, spot, recorded_at, hash: Digest::ZERO };
        event.hash = event.chained(&self.version.hash);
        event
    }

    /// Applies the next event of the chain after checking its number, its hash and its place. `owner`
    /// is the number of the distributor that the event names.
    pub fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError> {
        if Some(event.seq) != self.version.seq.checked_add(1) {
            return Err(PlacementError::Sequence { last: self.version.seq, found: event.seq });
        }
        if event.chained(&self.version.hash) != event.hash {
            return Err(PlacementError::Hash(event.seq));
        }
        let next = self.next_position();
        if event.position != next {
            return Err(PlacementError::Numbering { seq: event.seq, found: event.position, next });
        }
        if event.spot.placed_at < self.placed_at {
            return Err(PlacementError::Before { seq: event.seq, last: self.placed_at });
        }
        let position = self.tree.place(owner, event.spot.below)?;
        self.version = PlacementVersion { seq: event.seq, hash: event.hash };
        self.placed_at = event.spot.placed_at;
        Ok(position)
    }

    fn next_position(&self) -> Position {
        Position(u32::try_from(self.tree.positions()).unwrap_or(u32::MAX))
    }
}
