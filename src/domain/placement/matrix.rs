//! The forced matrix: everybody has at most `width` directly below, who comes later spills.
//!
//! Breadth-first, left to right: the free place with the fewest levels between, of those the one
//! furthest left. Each position keeps how many levels below it the nearest free place is. All levels
//! above that one are full, so the way down to it is at most log(n) long, and a position's
//! figure only ever grows, at most log(n) times: going up to mend it costs little over any long run.

use serde::{Deserialize, Serialize};

use super::{Owner, PlacementError, Position};

/// No position.
const NONE: u32 = u32::MAX;

/// Where somebody goes whose sponsor has no free place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Spill {
    /// The nearest free place, of several equally near the one furthest left.
    BreadthFirst,
    /// Into the leg with the fewest positions (counted down to the height of the matrix), and so on
    /// down; of several the one furthest left.
    WeakestLeg,
}

/// How many positions a full matrix has below its owner: w + w^2 + .. + w^h.
pub fn capacity(width: u8, height: u8) -> u64 {
    (0..height).fold(0_u64, |sum, _| sum.saturating_add(1).saturating_mul(u64::from(width)))
}

#[derive(Debug, Clone, Copy)]
struct Place {
    parent: u32,
    owner: u32,
    /// The child furthest left.
    first: u32,
    /// The next child of the same parent.
    next: u32,
    /// Positions down to the height of the matrix; kept only for [`Spill::WeakestLeg`].
    below: u32,
    /// Directly below.
    children: u8,
    /// Levels between the position and its nearest free place.
    free: u8,
}

/// Positions of a forced matrix, in the order of placement.
#[derive(Debug, Clone)]
pub struct MatrixTree {
    width: u8,
    height: u8,
    spill: Spill,
    places: Vec<Place>,
}

impl MatrixTree {
    /// An empty matrix.
    pub fn new(width: u8, height: u8, spill: Spill) -> Result<Self, PlacementError> {
        if !(2..=32).contains(&width) || !(1..=32).contains(&height) {
            return Err(PlacementError::Shape { width, height });
        }
        Ok(Self { width, height, spill, places: Vec::new() })
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The position above; `None` for the top and for who is not there.
    pub fn parent(&self, position: Position) -> Option<Position> {
        let place = self.places.get(position.index())?;
        (place.parent != NONE).then_some(Position(place.parent))
    }

    /// The owner of a position.
    pub fn owner(&self, position: Position) -> Option<Owner> {
        self.places.get(position.index()).map(|place| Owner(place.owner))
    }

    /// How many sit directly below a position: the number of its next free place.
    pub fn filled(&self, position: Position) -> Option<u8> {
        self.places.get(position.index()).map(|place| place.children)
    }

    /// The position directly above each position, `u32::MAX` for the top, in the order of placement.
    pub fn parents(&self) -> impl ExactSizeIterator<Item = u32> + DoubleEndedIterator {
        self.places.iter().map(|place| place.parent)
    }

    /// Places the first position, the top.
    pub fn place_top(&mut self, owner: Owner) -> Result<Position, PlacementError> {
        if self.is_empty() { self.add(owner, NONE) } else { Err(PlacementError::Top) }
    }

    /// Places somebody whose sponsor sits at `under`: there, or where it spills.
    pub fn place_below(
        &mut self,
        owner: Owner,
        under: Position,
    ) -> Result<Position, PlacementError> {
        let parent = self.spilled(under)?;
        let side = self.place(parent.0)?.children;
        self.place_at(owner, parent, side)
    }

    /// Places somebody directly below a position, at its leftmost free place, which is `side`.
    pub fn place_at(
        &mut self,
        owner: Owner,
        parent: Position,
        side: u8,
    ) -> Result<Position, PlacementError> {
        let place = self.place(parent.0)?;
        if side < place.children {
            return Err(PlacementError::Taken { parent, side });
        }
        if side > place.children || side >= self.width {
            return Err(PlacementError::NoPlace { parent, side });
        }
        self.add(owner, parent.0)
    }

    /// The position below which the next one sponsored at `under` goes.
    pub fn spilled(&self, under: Position) -> Result<Position, PlacementError> {
        let mut at = under.0;
        loop {
            let place = self.place(at)?;
            if place.children < self.width {
                return Ok(Position(at));
            }
            let rank = |child: &Place| match self.spill {
                Spill::BreadthFirst => u32::from(child.free),
                Spill::WeakestLeg => child.below,
            };
            // The first of several minima is the one furthest left.
            let best = self.children(place).min_by_key(|(_, child)| rank(child));
            (at, _) = best.ok_or(PlacementError::Unknown(Position(at)))?;
        }
    }

    fn place(&self, position: u32) -> Result<Place, PlacementError> {
        let position = Position(position);
        self.places.get(position.index()).copied().ok_or(PlacementError::Unknown(position))
    }

    fn children(&self, of: Place) -> impl Iterator<Item = (u32, Place)> {
        let numbered = |number: u32| Some((number, self.place(number).ok()?));
        std::iter::successors(numbered(of.first), move |(_, child)| numbered(child.next))
    }

    /// Adds a position at the leftmost free place of a parent that has one.
    fn add(&mut self, owner: Owner, parent: u32) -> Result<Position, PlacementError> {
        let number = u32::try_from(self.places.len()).ok().filter(|number| *number < NONE);
        let number = number.ok_or(PlacementError::Full(NONE))?;
        let last = self.place(parent).ok().and_then(|place| self.children(place).last());
        let owner = owner.0;
        let new = Place { parent, owner, first: NONE, next: NONE, below: 0, children: 0, free: 0 };
        self.places.push(new);
        match last {
            Some((last, _)) => self.change(last, |place| place.next = number),
            None => self.change(parent, |place| place.first = number),
        }
        self.change(parent, |place| place.children = place.children.saturating_add(1));
        self.mend(parent);
        Ok(Position(number))
    }

    fn change(&mut self, position: u32, change: impl FnOnce(&mut Place)) {
        if let Some(place) = self.places.get_mut(Position(position).index()) {
            change(place);
        }
    }

    /// Brings the figures above a new position up to date.
    fn mend(&mut self, parent: u32) {
        let mut at = parent;
        while let Ok(place) = self.place(at) {
            let nearest = self.children(place).map(|(_, child)| child.free).min();
            let full = place.children >= self.width;
            let free = if full { nearest.unwrap_or_default().saturating_add(1) } else { 0 };
            if free == place.free {
                break;
            }
            self.change(at, |place| place.free = free);
            at = place.parent;
        }
        if self.spill == Spill::WeakestLeg {
            let mut at = parent;
            for _ in 0..self.height {
                let Ok(place) = self.place(at) else { break };
                self.change(at, |place| place.below = place.below.saturating_add(1));
                at = place.parent;
            }
        }
    }
}
