//! Who may earn on pairs: active, with an active personal enrolment in each leg.

use super::Unpaid;
use crate::domain::{
    placement::{BinaryColumns, Owner, Position, Side, Spans},
    plan::pairs::Qualification,
};

/// What is known of a position when it is judged whether it may earn: one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Standing(u8);

impl Standing {
    /// Nothing speaks for the position.
    pub const NONE: Self = Self(0);
    /// The owner is active, and each leg holds an active distributor whom they enrolled.
    pub const FULL: Self = Self(7);

    const ACTIVE: u8 = 4;

    fn bit(side: Side) -> u8 {
        match side {
            Side::Left => 1,
            Side::Right => 2,
        }
    }

    /// The standing as it is kept: 4 the owner is active, 1 and 2 the left and the right leg hold an active
    /// distributor whom the owner enrolled.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The standing that was kept so.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::FULL.0)
    }

    /// The standing, with the owner active.
    #[must_use]
    pub fn active(self) -> Self {
        Self(self.0 | Self::ACTIVE)
    }

    /// The standing, with an active distributor whom the owner enrolled in this leg.
    #[must_use]
    pub fn enrolled(self, side: Side) -> Self {
        Self(self.0 | Self::bit(side))
    }

    /// Why the position may not earn, if so; the first reason in this order.
    pub fn refusal(self, wants: Qualification) -> Option<Unpaid> {
        let lacks = |bit: u8| self.0 & bit == 0;
        if wants.own_active && lacks(Self::ACTIVE) {
            return Some(Unpaid::Inactive);
        }
        if !wants.enrolled_each_side {
            return None;
        }
        let left = lacks(Self::bit(Side::Left)).then_some(Unpaid::NoneEnrolledLeft);
        left.or_else(|| lacks(Self::bit(Side::Right)).then_some(Unpaid::NoneEnrolledRight))
    }
}

/// The standing of every position.
///
/// `sponsors` has for each owner's number that of who enrolled them, or `u32::MAX`; `active` has who is
/// active. Any position of an enrolled distributor counts for the leg that it sits in; the owner's own
/// further positions do not, as nobody enrols themselves.
pub fn standings(
    tree: BinaryColumns<'_>,
    spans: &Spans,
    sponsors: &[u32],
    active: &[bool],
) -> Vec<Standing> {
    let by_owner = ByOwner::of(tree, sponsors.len());
    let is_active = |owner: u32| active.get(Position(owner).index()).copied().unwrap_or(false);
    let mut standing: Vec<Standing> = tree
        .owners
        .iter()
        .map(|owner| if is_active(*owner) { Standing::NONE.active() } else { Standing::NONE })
        .collect();
    for (position, owner) in (0_u32..).map(Position).zip(tree.owners) {
        let sponsor = sponsors.get(Position(*owner).index()).copied();
        let Some(sponsor) = sponsor.filter(|sponsor| is_active(*owner) && sponsor != owner) else {
            continue;
        };
        for above in by_owner.positions(Owner(sponsor)) {
            if let Some(side) = spans.side_of(Position(*above), position)
                && let Some(standing) = standing.get_mut(Position(*above).index())
            {
                *standing = standing.enrolled(side);
            }
        }
    }
    standing
}

/// The positions of each owner, one owner after the other.
struct ByOwner {
    starts: Vec<usize>,
    positions: Vec<u32>,
}

impl ByOwner {
    fn of(tree: BinaryColumns<'_>, owners: usize) -> Self {
        let mut starts = vec![0_usize; owners.saturating_add(1)];
        for owner in tree.owners {
            if let Some(count) = starts.get_mut(Position(*owner).index().saturating_add(1)) {
                *count = count.saturating_add(1);
            }
        }
        let mut total = 0_usize;
        for start in &mut starts {
            total = total.saturating_add(*start);
            *start = total;
        }
        let mut free = starts.clone();
        let mut positions = vec![0; total];
        for (position, owner) in (0_u32..).zip(tree.owners) {
            let Some(next) = free.get_mut(Position(*owner).index()) else { continue };
            if let Some(place) = positions.get_mut(*next) {
                *place = position;
                *next = next.saturating_add(1);
            }
        }
        Self { starts, positions }
    }

    fn positions(&self, owner: Owner) -> &[u32] {
        let begin = Position(owner.0).index();
        let range = self.starts.get(begin).zip(self.starts.get(begin.saturating_add(1)));
        range.and_then(|(begin, end)| self.positions.get(*begin..*end)).unwrap_or_default()
    }
}
