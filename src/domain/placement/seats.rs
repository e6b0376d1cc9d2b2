//! A placement tree as a close needs it: who sits where, without what the company calls the positions.

use super::{AnyTree, Chained, Owner, Placed, PlacementError, PlacementVersion, Position, Shape};

/// Nobody sits there.
const NONE: u32 = u32::MAX;

/// A tree with the owners of its positions.
#[derive(Debug, Clone)]
pub struct Seats {
    chain: Chained<AnyTree>,
    owners: Vec<Owner>,
    /// The lowest position of each owner, by their number.
    first: Vec<u32>,
}

impl Seats {
    /// An empty tree.
    pub fn new(shape: Shape) -> Result<Self, PlacementError> {
        let chain = Chained::new(shape.empty()?);
        Ok(Self { chain, owners: Vec::new(), first: Vec::new() })
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// The tree.
    pub fn tree(&self) -> &AnyTree {
        self.chain.tree()
    }

    /// The version: all events up to it are in.
    pub fn version(&self) -> PlacementVersion {
        self.chain.version()
    }

    /// The lowest position of an owner.
    pub fn first_of(&self, owner: Owner) -> Option<Position> {
        let first = self.first.get(Position(owner.0).index()).copied();
        first.filter(|first| *first != NONE).map(Position)
    }

    /// The owners, by position.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// Applies the next event of the chain after checking it. `owner` is the number of the distributor
    /// that it names; numbers are dense.
    pub fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError> {
        let position = self.chain.apply(event, owner)?;
        self.owners.push(owner);
        let number = Position(owner.0).index();
        if number >= self.first.len() {
            self.first.resize(number.saturating_add(1), NONE);
        }
        if let Some(first) = self.first.get_mut(number).filter(|first| **first == NONE) {
            *first = position.0;
        }
        Ok(position)
    }
}
