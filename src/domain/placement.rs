//! The placement tree: where somebody sits in a binary or a matrix, apart from who enrolled whom.
//!
//! A distributor may own several positions. Positions are only ever added, each under one that is
//! there, so their numbers are dense, a parent's number is lower than its children's, a sweep from the
//! last number to the first is bottom-up without any sorting, and the tree as of event `seq` is the
//! first `seq` positions. Nobody moves: the leg in which volume arrived is the leg in which it stays,
//! on which the carry of a binary rests (`close::binary`).
//!
//! In memory: flat columns of four bytes each. Placing somebody is O(1) in a binary, in a matrix
//! O(width * log n) over any long run, whatever the shape of the tree.
//!
//! Deliberately absent: volumes, statuses and money.

mod binary;
mod event;
mod matrix;
mod register;
mod seats;
mod shape;
mod span;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::PositionId;

pub use self::{
    binary::{BinaryColumns, BinaryTree},
    event::{Chained, Placed, PlacementVersion, Spot, Tree},
    matrix::{MatrixTree, Spill, capacity},
    register::{EnterError, Entered, Register, Wish},
    seats::Seats,
    shape::{AnyTree, Shape},
    span::Spans,
};

/// A position: a dense number in the order of placement, from 0, the top.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position(pub u32);

impl Position {
    /// The position as an index into a column.
    pub fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The owner of a position: the dense number that the caller gives a distributor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Owner(pub u32);

/// A leg of a binary position.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The left leg.
    Left,
    /// The right leg.
    Right,
}

impl Side {
    /// Both legs, left first.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// 0 for left, 1 for right: the order of the children.
    pub fn index(self) -> u8 {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    /// The leg with this index.
    pub fn from_index(index: u8) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.index() == index)
    }
}

/// Why somebody cannot be placed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// The parent is not placed yet.
    #[error("position {0} is not placed, place it before those below it")]
    Unknown(Position),
    /// Somebody sits there.
    #[error("position {parent} has somebody at its place {side} already")]
    Taken {
        /// The parent.
        parent: Position,
        /// The place below it, from 0.
        side: u8,
    },
    /// The parent has no such place, or one before it in a matrix is still free.
    #[error(
        "position {parent} has no place {side} to fill now: a binary has 0 and 1, a matrix is filled from the left"
    )]
    NoPlace {
        /// The parent.
        parent: Position,
        /// The place below it, from 0.
        side: u8,
    },
    /// Only the first position is without a parent.
    #[error("a tree has one top: the first position has no parent, every other one has")]
    Top,
    /// More positions than numbers.
    #[error("the placement tree is full at {0} positions")]
    Full(u32),
    /// The width is not one that a matrix can have.
    #[error("a matrix has a width of 2 to 32 and a height of 1 to 32, not {width} x {height}")]
    Shape {
        /// The width.
        width: u8,
        /// The height.
        height: u8,
    },
    /// An event is missing or out of order.
    #[error("placement event {found} does not follow event {last}")]
    Sequence {
        /// The last event that was applied.
        last: u64,
        /// The event that came.
        found: u64,
    },
    /// The event does not carry the hash that its content and its predecessor require.
    #[error("the hash of placement event {0} does not match its content: the chain was altered")]
    Hash(u64),
    /// A position was placed before the one placed last.
    #[error("placement event {seq} is of a time before {last}, when the last position was placed")]
    Before {
        /// The event.
        seq: u64,
        /// When the last position was placed.
        last: Timestamp,
    },
    /// Two positions have one name.
    #[error("two positions are called {0}")]
    Named(PositionId),
    /// The event names another position than the one that comes next.
    #[error("placement event {seq} names position {found}, the next one is {next}")]
    Numbering {
        /// The event.
        seq: u64,
        /// The position in it.
        found: Position,
        /// The position that it must name.
        next: Position,
    },
}

#[cfg(test)]
mod tests;
