//! The binary tree: explicit sides, and spilling down the outer leg in constant time.
//!
//! The outer line on a side is a position, its child on that side, that one's child on the same side
//! and so on. Every position continues one line (the one on its own side) and begins the other. A
//! line only grows at its end and two lines never join, so it is enough to keep, for each position,
//! where the line that it continues begins and where the line that it begins ends.

use super::{Owner, PlacementError, Position, Side};

/// The slot of the top: below nobody.
const TOP: u32 = u32::MAX;
/// The highest number of positions: a slot is twice the parent and the side.
const MOST: u32 = u32::MAX >> 1;

/// Positions of a binary, in the order of placement.
#[derive(Debug, Clone, Default)]
pub struct BinaryTree {
    /// Twice the parent's number, one more on the right: the place that the position takes. As every
    /// place is taken once, it is also where a bottom-up sweep stores what the position hands on.
    slots: Vec<u32>,
    owners: Vec<u32>,
    /// Where the outer line that the position continues begins. The top continues its own left one.
    begins: Vec<u32>,
    /// The last position of the outer line that begins here, on the side that is not its own.
    ends: Vec<u32>,
    /// The last position of the left line of the top, which begins both of its lines.
    outer_left: u32,
}

/// The columns of a binary as of some event.
#[derive(Debug, Clone, Copy)]
pub struct BinaryColumns<'a> {
    /// For each position twice its parent's number, one more on the right; `u32::MAX` for the top.
    pub slots: &'a [u32],
    /// For each position its owner's number.
    pub owners: &'a [u32],
}

fn at(column: &[u32], position: u32) -> Option<u32> {
    column.get(Position(position).index()).copied()
}

/// The parent and the side that a slot means; `None` for the top.
pub(super) fn parent_of(slot: u32) -> Option<(Position, Side)> {
    let side = if slot & 1 == 0 { Side::Left } else { Side::Right };
    (slot != TOP).then_some((Position(slot >> 1), side))
}

impl BinaryTree {
    /// An empty tree with room for so many positions.
    pub fn with_capacity(positions: usize) -> Self {
        let column = || Vec::with_capacity(positions);
        Self { slots: column(), owners: column(), begins: column(), ends: column(), outer_left: 0 }
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The columns of the whole tree.
    pub fn columns(&self) -> BinaryColumns<'_> {
        BinaryColumns { slots: &self.slots, owners: &self.owners }
    }

    /// Places the first position, the top.
    pub fn place_top(&mut self, owner: Owner) -> Result<Position, PlacementError> {
        if !self.is_empty() {
            return Err(PlacementError::Top);
        }
        self.slots.push(TOP);
        self.owners.push(owner.0);
        self.begins.push(0);
        self.ends.push(0);
        self.outer_left = 0;
        Ok(Position(0))
    }

    /// Places somebody directly below a position.
    pub fn place_at(
        &mut self,
        owner: Owner,
        parent: Position,
        side: Side,
    ) -> Result<Position, PlacementError> {
        if self.outer_end(parent, side)? != parent {
            return Err(PlacementError::Taken { parent, side: side.index() });
        }
        let number = u32::try_from(self.slots.len()).ok().filter(|number| *number < MOST);
        let number = number.ok_or(PlacementError::Full(MOST))?;
        let begin = if self.continued(parent)? == side {
            at(&self.begins, parent.0).ok_or(PlacementError::Unknown(parent))?
        } else {
            parent.0
        };
        *self.end_of(begin, side)? = number;
        self.slots.push(parent.0.saturating_mul(2).saturating_add(u32::from(side.index())));
        self.owners.push(owner.0);
        self.begins.push(begin);
        self.ends.push(number);
        Ok(Position(number))
    }

    /// Places somebody at the end of the outer line of a leg: directly below if that place is free,
    /// else it spills.
    pub fn place_below(
        &mut self,
        owner: Owner,
        under: Position,
        side: Side,
    ) -> Result<Position, PlacementError> {
        let parent = self.outer_end(under, side)?;
        self.place_at(owner, parent, side)
    }

    /// The last position of the outer line of a leg; the position itself if nobody is there.
    pub fn outer_end(&self, of: Position, side: Side) -> Result<Position, PlacementError> {
        let unknown = PlacementError::Unknown(of);
        let begin = if self.continued(of)? == side { at(&self.begins, of.0) } else { Some(of.0) };
        let end = begin.and_then(|begin| match (begin, side) {
            (0, Side::Left) => Some(self.outer_left),
            _ => at(&self.ends, begin),
        });
        end.map(Position).ok_or(unknown)
    }

    /// The side of the outer line that a position continues: its own; of the top, by convention, left.
    fn continued(&self, position: Position) -> Result<Side, PlacementError> {
        let slot = at(&self.slots, position.0).ok_or(PlacementError::Unknown(position))?;
        Ok(parent_of(slot).map_or(Side::Left, |(_, side)| side))
    }

    fn end_of(&mut self, begin: u32, side: Side) -> Result<&mut u32, PlacementError> {
        if (begin, side) == (0, Side::Left) {
            return Ok(&mut self.outer_left);
        }
        let position = Position(begin);
        self.ends.get_mut(position.index()).ok_or(PlacementError::Unknown(position))
    }
}

impl<'a> BinaryColumns<'a> {
    /// The tree as of event `seq`: every event places one position.
    #[must_use]
    pub fn as_of(self, seq: u64) -> Self {
        let known = usize::try_from(seq).unwrap_or(usize::MAX).min(self.slots.len());
        let cut = |column: &'a [u32]| column.get(..known).unwrap_or_default();
        Self { slots: cut(self.slots), owners: cut(self.owners) }
    }

    /// How many positions there are.
    pub fn len(self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.slots.is_empty()
    }

    /// The position above and the leg of it; `None` for the top and for who is not there.
    pub fn parent(self, position: Position) -> Option<(Position, Side)> {
        parent_of(*self.slots.get(position.index())?)
    }

    /// The owner of a position.
    pub fn owner(self, position: Position) -> Option<Owner> {
        self.owners.get(position.index()).copied().map(Owner)
    }

    /// The positions above one, nearest first, each with the leg in which the one below it lies: those
    /// whose legs the volume of the position is in.
    pub fn upline(self, position: Position) -> impl Iterator<Item = (Position, Side)> {
        std::iter::successors(self.parent(position), move |(above, _)| self.parent(*above))
    }
}
