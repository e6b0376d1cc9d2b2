//! The ranks of a plan, lowest first.

use crate::domain::id::RankId;

/// A step on the ladder of a plan's ranks: 0 is below the first rank, 1 the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RankLevel(pub u8);

/// The names of a plan's ranks, lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ladder(Vec<RankId>);

impl Ladder {
    /// A ladder of these ranks, lowest first; the names are distinct and at most 255.
    pub fn new(ranks: Vec<RankId>) -> Self {
        Self(ranks)
    }

    /// The step of a rank; `None` if the plan has no such rank.
    pub fn level(&self, rank: &RankId) -> Option<RankLevel> {
        let index = self.0.iter().position(|known| known == rank)?;
        u8::try_from(index.saturating_add(1)).ok().map(RankLevel)
    }

    /// The rank on a step; `None` below the first.
    pub fn rank(&self, level: RankLevel) -> Option<&RankId> {
        self.0.get(usize::from(level.0).checked_sub(1)?)
    }

    /// How many ranks there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
