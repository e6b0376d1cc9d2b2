//! A placement tree with the names that the company gives its positions: what an import writes into.
//!
//! Invariant: what was entered is never entered differently. The same row again changes nothing, another
//! place for a position that is there is refused, and time does not run backwards.

use std::collections::{HashMap, hash_map};

use jiff::Timestamp;

use super::{
    AnyTree, Chained, Owner, Placed, PlacementError, PlacementVersion, Position, Shape, Spot,
};
use crate::domain::id::{DistributorId, PositionId};

/// A row that says who is to be placed where.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What the company calls the position.
    pub name: PositionId,
    /// Whose it is.
    pub distributor: DistributorId,
    /// Their number.
    pub owner: Owner,
    /// The position above; none to spill below the sponsor, or for the first position.
    pub parent: Option<PositionId>,
    /// The place below the parent, from 0; without it, in a matrix, the next free one.
    pub side: Option<u8>,
    /// The number of who enrolled them.
    pub sponsor: Option<Owner>,
    /// When; without it, as the position placed last.
    pub placed_at: Option<Timestamp>,
}

/// What came of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entered {
    /// It is placed now.
    Placed(Spot),
    /// It was there before, as the row says.
    Unchanged,
}

/// Why a row cannot be entered. Each names the column and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnterError {
    /// Nobody is placed yet.
    #[error("parent {0} is not placed: the first position of a tree has neither parent nor side")]
    First(PositionId),
    /// A binary does not guess.
    #[error(
        "parent is empty: in a binary every position but the first names its parent and its side"
    )]
    NoParent,
    /// The parent is not there.
    #[error("parent {0} is not placed: place it in a line before this one")]
    UnknownParent(PositionId),
    /// A binary does not guess.
    #[error("side is empty: write left or right")]
    NoSide,
    /// A side of nobody.
    #[error(
        "side {0} is of no parent: name the parent, or leave side empty for who spills or is the first"
    )]
    StraySide(u8),
    /// Somebody sits there.
    #[error("side {side} below parent {parent} is taken: nothing placed moves, name a free one")]
    Taken {
        /// The parent.
        parent: PositionId,
        /// The place.
        side: String,
    },
    /// A matrix is filled from the left.
    #[error(
        "side {side} below parent {parent} cannot be filled before {next}: a matrix is filled from the \
         left, leave side empty"
    )]
    NotNext {
        /// The parent.
        parent: PositionId,
        /// The place.
        side: u8,
        /// The next free one.
        next: u8,
    },
    /// All places are taken.
    #[error(
        "parent {parent} has {width} below already: name another, or leave parent and side empty to \
         spill below the sponsor"
    )]
    Full {
        /// The parent.
        parent: PositionId,
        /// The width of the matrix.
        width: u8,
    },
    /// There is nobody to spill below.
    #[error("distributor {0} has no sponsor to spill below: name the parent")]
    NoSponsor(DistributorId),
    /// The sponsor is not placed.
    #[error(
        "the sponsor of distributor {0} has no position in this tree to spill below: place the sponsor \
         in a line before this one, or name the parent"
    )]
    SponsorNotPlaced(DistributorId),
    /// Nothing moves.
    #[error(
        "position {name} is placed already, {known}: a position never moves, give a new one a new id"
    )]
    Moved {
        /// The position.
        name: PositionId,
        /// Where and whose it is.
        known: String,
    },
    /// Time runs backwards.
    #[error(
        "placed_at is {found}, before that of the position placed last ({last}): sort the file by it, or \
         leave it empty to mean the same time"
    )]
    Before {
        /// In the row.
        found: Timestamp,
        /// Of the position placed last.
        last: Timestamp,
    },
    /// The tree does not take it.
    #[error(transparent)]
    Tree(#[from] PlacementError),
}

/// A tree with its names.
#[derive(Debug, Clone)]
pub struct Register {
    shape: Shape,
    chain: Chained<AnyTree>,
    by_name: HashMap<PositionId, Position>,
    names: Vec<PositionId>,
    owners: Vec<Owner>,
    below: Vec<Option<(Position, u8)>>,
    /// The lowest position of each owner.
    first: HashMap<Owner, Position>,
}

impl Register {
    /// An empty tree.
    pub fn new(shape: Shape) -> Result<Self, PlacementError> {
        Ok(Self {
            shape,
            chain: Chained::new(shape.empty()?),
            by_name: HashMap::new(),
            names: Vec::new(),
            owners: Vec::new(),
            below: Vec::new(),
            first: HashMap::new(),
        })
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
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
        self.first.get(&owner).copied()
    }

    /// The owners, by position.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// What the company calls a position.
    pub fn name(&self, position: Position) -> Option<&PositionId> {
        self.names.get(position.index())
    }

    /// Applies the next event of the chain after checking it. `owner` is the number of the distributor
    /// that it names.
    pub fn apply(&mut self, event: &Placed, owner: Owner) -> Result<Position, PlacementError> {
        let hash_map::Entry::Vacant(name) = self.by_name.entry(event.spot.name.clone()) else {
            return Err(PlacementError::Named(event.spot.name.clone()));
        };
        let position = self.chain.apply(event, owner)?;
        name.insert(position);
        self.names.push(event.spot.name.clone());
        self.owners.push(owner);
        self.below.push(event.spot.below);
        self.first.entry(owner).or_insert(position);
        Ok(position)
    }

    /// Finds the place of a row and places it here, as the books will when it is written.
    pub fn enter(&mut self, wish: &Wish) -> Result<Entered, EnterError> {
        if let Some(position) = self.by_name.get(&wish.name).copied() {
            return self.known(position, wish);
        }
        let below = self.place_of(wish)?;
        let last = self.chain.placed_at();
        let placed_at = match wish.placed_at {
            Some(found) if found < last => return Err(EnterError::Before { found, last }),
            Some(found) => found,
            None => last.max(Timestamp::UNIX_EPOCH),
        };
        let (name, owner) = (wish.name.clone(), wish.distributor.clone());
        let spot = Spot { name, owner, below, placed_at };
        // The books date and hash it anew.
        let event = self.chain.next(spot, placed_at);
        self.apply(&event, wish.owner)?;
        Ok(Entered::Placed(event.spot))
    }

    /// Where a row is to be placed.
    fn place_of(&self, wish: &Wish) -> Result<Option<(Position, u8)>, EnterError> {
        let Some(parent) = &wish.parent else {
            return match (wish.side, self.chain.tree()) {
                (Some(side), _) => Err(EnterError::StraySide(side)),
                (None, _) if self.is_empty() => Ok(None),
                (None, AnyTree::Binary(_)) => Err(EnterError::NoParent),
                (None, AnyTree::Matrix(tree)) => {
                    let who = || wish.distributor.clone();
                    let sponsor = wish.sponsor.ok_or_else(|| EnterError::NoSponsor(who()))?;
                    let under = self.first_of(sponsor);
                    let under = under.ok_or_else(|| EnterError::SponsorNotPlaced(who()))?;
                    let parent = tree.spilled(under)?;
                    Ok(Some((parent, tree.filled(parent).unwrap_or_default())))
                }
            };
        };
        let Some(above) = self.by_name.get(parent).copied() else {
            let parent = parent.clone();
            return Err(if self.is_empty() {
                EnterError::First(parent)
            } else {
                EnterError::UnknownParent(parent)
            });
        };
        let taken = |side: u8| {
            let side = self.shape.side_name(side);
            EnterError::Taken { parent: parent.clone(), side }
        };
        match (self.chain.tree(), wish.side) {
            (AnyTree::Binary(_), None) => Err(EnterError::NoSide),
            (AnyTree::Binary(tree), Some(number)) => {
                let side = super::Side::from_index(number);
                let no_place = PlacementError::NoPlace { parent: above, side: number };
                let side = side.ok_or(EnterError::Tree(no_place))?;
                let free = tree.outer_end(above, side)? == above;
                if free { Ok(Some((above, number))) } else { Err(taken(number)) }
            }
            (AnyTree::Matrix(tree), side) => {
                let next = tree.filled(above).unwrap_or_default();
                let (parent, width) = (parent.clone(), self.shape.width());
                match side {
                    Some(side) if side < next => Err(taken(side)),
                    _ if next >= width => Err(EnterError::Full { parent, width }),
                    Some(side) if side > next => Err(EnterError::NotNext { parent, side, next }),
                    Some(_) | None => Ok(Some((above, next))),
                }
            }
        }
    }

    /// Whether a row says what is known of a position. What it leaves open it does not contradict.
    fn known(&self, position: Position, wish: &Wish) -> Result<Entered, EnterError> {
        let below = self.below.get(position.index()).copied().flatten();
        let parent = below.and_then(|(parent, _)| self.name(parent));
        let spills = matches!(self.shape, Shape::Matrix { .. }) && wish.parent.is_none();
        let same = self.owners.get(position.index()) == Some(&wish.owner)
            && (spills || wish.parent.as_ref() == parent)
            && wish.side.is_none_or(|side| below.is_some_and(|(_, known)| known == side));
        if same {
            return Ok(Entered::Unchanged);
        }
        let place = match below.zip(parent) {
            Some(((_, side), parent)) => {
                format!("at side {} below {parent}", self.shape.side_name(side))
            }
            None => "at the top".to_owned(),
        };
        let owner = if self.owners.get(position.index()) == Some(&wish.owner) {
            String::new()
        } else {
            ", of another distributor".to_owned()
        };
        let known = format!("{place}{owner}");
        Err(EnterError::Moved { name: wish.name.clone(), known })
    }
}

#[cfg(test)]
mod tests;
