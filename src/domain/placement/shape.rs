//! Of what shape a tree is, and a tree of either shape.

use std::fmt;

use super::{BinaryTree, MatrixTree, Owner, PlacementError, Position, Spill, Tree};

/// The shape of a placement tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Two legs; each position names its place.
    Binary,
    /// At most so many below each, filled from the left; who names no place spills.
    Matrix {
        /// How many sit directly below somebody.
        width: u8,
        /// How many levels pay; the legs of [`Spill::WeakestLeg`] are counted down to there.
        height: u8,
        /// Where somebody goes whose sponsor has no free place.
        spill: Spill,
    },
}

impl Shape {
    /// How many sit directly below somebody.
    pub fn width(self) -> u8 {
        match self {
            Self::Binary => 2,
            Self::Matrix { width, .. } => width,
        }
    }

    /// The word for its kind.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Matrix { .. } => "matrix",
        }
    }

    /// Whether trees of both shapes grow in the same way: with the same places, and spilling alike.
    pub fn grows_as(self, other: Self) -> bool {
        match (self, other) {
            (Self::Binary, Self::Binary) => true,
            (
                Self::Matrix { width, height, spill },
                Self::Matrix { width: wide, height: high, spill: by },
            ) => width == wide && spill == by && (spill == Spill::BreadthFirst || height == high),
            (Self::Binary, Self::Matrix { .. }) | (Self::Matrix { .. }, Self::Binary) => false,
        }
    }

    /// An empty tree of this shape.
    pub fn empty(self) -> Result<AnyTree, PlacementError> {
        match self {
            Self::Binary => Ok(AnyTree::Binary(BinaryTree::default())),
            Self::Matrix { width, height, spill } => {
                MatrixTree::new(width, height, spill).map(AnyTree::Matrix)
            }
        }
    }

    /// A place below a position, by its number from the left: `left` and `right` of a binary, the number
    /// in a matrix.
    pub fn side(self, text: &str) -> Option<u8> {
        match (self, text) {
            (Self::Binary, "left") => Some(0),
            (Self::Binary, "right") => Some(1),
            (Self::Binary | Self::Matrix { .. }, text) => {
                text.parse().ok().filter(|side| *side < self.width())
            }
        }
    }

    /// The words for its places.
    pub fn sides(self) -> String {
        match self {
            Self::Binary => "left or right".to_owned(),
            Self::Matrix { width, .. } => format!("a number from 0 to {}", width.saturating_sub(1)),
        }
    }

    /// The word for a place.
    pub fn side_name(self, side: u8) -> String {
        match (self, side) {
            (Self::Binary, 0) => "left".to_owned(),
            (Self::Binary, 1) => "right".to_owned(),
            (Self::Binary | Self::Matrix { .. }, side) => side.to_string(),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Binary => f.write_str("binary"),
            Self::Matrix { width, spill: Spill::BreadthFirst, .. } => {
                write!(f, "matrix {width} wide that spills breadth-first")
            }
            Self::Matrix { width, height, spill: Spill::WeakestLeg } => {
                write!(f, "matrix {width} wide that spills into the weakest leg of {height} levels")
            }
        }
    }
}

/// A tree of either shape.
#[derive(Debug, Clone)]
pub enum AnyTree {
    /// A binary.
    Binary(BinaryTree),
    /// A forced matrix.
    Matrix(MatrixTree),
}

impl Tree for AnyTree {
    fn positions(&self) -> usize {
        match self {
            Self::Binary(tree) => tree.positions(),
            Self::Matrix(tree) => tree.positions(),
        }
    }

    fn place(
        &mut self,
        owner: Owner,
        below: Option<(Position, u8)>,
    ) -> Result<Position, PlacementError> {
        match self {
            Self::Binary(tree) => tree.place(owner, below),
            Self::Matrix(tree) => tree.place(owner, below),
        }
    }
}
