//! The close of a whole binary: one sweep for the legs, one for the positions.

use serde::{Deserialize, Serialize};

use super::{Legs, Rules, Settled, Standing, Unpaid, owner};
use crate::domain::{
    money::Money,
    placement::{BinaryColumns, Position},
    volume::Volume,
};

/// Why a binary cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// A column is of another tree.
    #[error("{column} has {found} entries for {positions} positions, give one for each")]
    Length {
        /// The column.
        column: &'static str,
        /// Its entries.
        found: usize,
        /// The positions of the tree.
        positions: usize,
    },
    /// The volume of a position is below zero.
    #[error(
        "the volume of position {position} in the period is {volume}: a return belongs to the period of its order"
    )]
    Negative {
        /// The position.
        position: Position,
        /// Its volume.
        volume: Volume,
    },
    /// The volumes add up to more than a volume holds.
    #[error(
        "volume and the largest carry together are out of range: at most 922337203685477 points"
    )]
    TooMuch,
    /// Volume expires, and nothing says how old it is.
    #[error("carry expires, so `recent` must hold the volume of the {0} periods before")]
    Recent(u16),
}

/// What a binary is closed from. All columns are by position.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The tree as of the end of the period.
    pub tree: BinaryColumns<'a>,
    /// The volume that each position itself brought in the period, less what was returned of it.
    pub volume: &'a [Volume],
    /// The volume that each brought in the `expires_after - 1` periods before, as it stands after
    /// returns; only where carry expires.
    pub recent: Option<&'a [Volume]>,
    /// What speaks for each.
    pub standing: &'a [Standing],
}

/// The volumes of both legs of every position, in ten-thousandths of a point: left and right of
/// position 0, of 1, ..
#[derive(Debug, Clone, Default)]
pub struct LegVolumes(Vec<i64>);

impl LegVolumes {
    /// Sums up the legs: each position hands what it brought and what is in its legs to the place that
    /// it takes below its parent. Parents have lower numbers, so one pass from the last to the first is enough.
    pub fn of(tree: BinaryColumns<'_>, own: &[Volume]) -> Self {
        // Plain numbers, because the allocator has zeros ready.
        let mut legs = vec![0_i64; tree.len().saturating_mul(2)];
        for (position, (slot, own)) in tree.slots.iter().zip(own).enumerate().rev() {
            let Legs { left, right } = pair(&legs, position);
            let total = (*own + left + right).parts();
            if total != 0
                && let Some(leg) = usize::try_from(*slot).ok().and_then(|slot| legs.get_mut(slot))
            {
                *leg = total;
            }
        }
        Self(legs)
    }

    /// The legs of a position.
    pub fn legs(&self, position: Position) -> Legs {
        pair(&self.0, position.index())
    }

    /// The legs of all positions.
    pub fn iter(&self) -> impl Iterator<Item = Legs> {
        self.0.as_chunks::<2>().0.iter().map(both)
    }
}

fn both([left, right]: &[i64; 2]) -> Legs {
    Legs { left: Volume::from_parts(*left), right: Volume::from_parts(*right) }
}

fn pair(legs: &[i64], position: usize) -> Legs {
    legs.as_chunks::<2>().0.get(position).map_or(Legs::ZERO, both)
}

/// What the pairs of a position earn. A position without a line earned nothing;
/// [`Rules::settle`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The position.
    pub position: Position,
    /// What was paired.
    pub paired: Legs,
    /// What the pairs earn by the plan: paid + breakage + capped.
    pub pool: Money,
    /// What the owner gets.
    pub paid: Money,
    /// What the company keeps because the position may not earn.
    pub breakage: Money,
    /// What the company keeps because of a cap.
    pub capped: Money,
    /// Why the owner gets nothing; `None` if they get something.
    pub unpaid: Option<Unpaid>,
}

/// Sums over all positions, in ten-thousandths of a point (the legs of all positions together hold
/// each order once for each of its ancestors) and in money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Carried before.
    pub opening: i128,
    /// Arrived in the period.
    pub arrived: i128,
    /// Found a partner.
    pub paired: i128,
    /// Was too old.
    pub expired: i128,
    /// Was emptied by a rule.
    pub flushed: i128,
    /// Waits for the next period.
    pub carried: i128,
    /// What pairs earn by the plan.
    pub pool: Money,
    /// What owners get.
    pub paid: Money,
    /// What the company keeps of positions that may not earn.
    pub breakage: Money,
    /// What the company keeps because of caps.
    pub capped: Money,
}

/// What came of a close.
#[derive(Debug, Clone)]
pub struct Closed {
    /// What pairs earn, by position, where they earn anything.
    pub lines: Vec<Line>,
    /// The sums over all positions.
    pub totals: Totals,
    /// The volume of the period in the legs of every position.
    pub arrived: LegVolumes,
}

/// Closes a period. `carry` is what each position carried before, in the order of placement (shorter if
/// positions are new since), and afterwards what it carries now.
pub fn close(
    rules: &Rules,
    input: &Input<'_>,
    carry: &mut Vec<Legs>,
) -> Result<Closed, CloseError> {
    let recent = check(rules, input, carry)?;
    carry.resize(input.tree.len(), Legs::ZERO);
    let arrived = LegVolumes::of(input.tree, input.volume);
    let recent = recent.map(|recent| LegVolumes::of(input.tree, recent));
    let mut lines = Vec::new();
    let mut totals = Totals::default();
    let plain = rules.only_carries();
    for (((position, carry), arrived), standing) in
        (0_u32..).map(Position).zip(carry.iter_mut()).zip(arrived.iter()).zip(input.standing)
    {
        let opening = *carry;
        let available = opening.plus(arrived);
        if available == Legs::ZERO {
            continue;
        }
        totals.opening = plus(totals.opening, opening);
        totals.arrived = plus(totals.arrived, arrived);
        if plain && (available.left == Volume::ZERO || available.right == Volume::ZERO) {
            totals.carried = plus(totals.carried, available);
            *carry = available;
            continue;
        }
        let recent = recent.as_ref().map_or(Legs::ZERO, |recent| recent.legs(position));
        let settled = rules.settle(opening, arrived, recent, *standing);
        totals.volumes(&settled);
        *carry = settled.carried();
        if settled.pool.is_positive() {
            lines.push(Line::of(position, &settled));
        }
    }
    owner::share(rules, input.tree, &mut lines);
    for line in &lines {
        totals.money(line);
    }
    Ok(Closed { lines, totals, arrived })
}

/// Checks that the columns belong together. Says which recent volume is asked for.
fn check<'a>(
    rules: &Rules,
    input: &Input<'a>,
    carry: &[Legs],
) -> Result<Option<&'a [Volume]>, CloseError> {
    let positions = input.tree.len();
    let recent = match (rules.expires_after(), input.recent) {
        (None | Some(..=1), _) => None,
        (Some(_), Some(recent)) => Some(recent),
        (Some(periods), None) => return Err(CloseError::Recent(periods.saturating_sub(1))),
    };
    let same = |column, found| {
        let wrong = CloseError::Length { column, found, positions };
        if found == positions { Ok(()) } else { Err(wrong) }
    };
    same("volume", input.volume.len())?;
    same("standing", input.standing.len())?;
    same("recent", recent.map_or(positions, <[Volume]>::len))?;
    same("carry", carry.len().max(positions))?;
    let lowest = |volumes: &[Volume]| volumes.iter().copied().min().unwrap_or_default();
    for volumes in [Some(input.volume), recent].into_iter().flatten() {
        if lowest(volumes) < Volume::ZERO {
            let mut numbered = (0_u32..).map(Position).zip(volumes.iter().copied());
            let (position, volume) =
                numbered.find(|(_, volume)| *volume < Volume::ZERO).unwrap_or_default();
            return Err(CloseError::Negative { position, volume });
        }
    }
    // A leg holds at most all that arrived and what was carried; sums saturate without a word.
    let carried = carry.iter().map(|legs| legs.left.max(legs.right)).max();
    let carried = carried.unwrap_or_default();
    let arrived = input.volume.iter().chain(recent.unwrap_or_default()).copied();
    if !Volume::fits(arrived.chain([carried])) {
        return Err(CloseError::TooMuch);
    }
    Ok(recent)
}

fn plus(sum: i128, legs: Legs) -> i128 {
    sum.saturating_add(i128::from(legs.left.parts())).saturating_add(legs.right.parts().into())
}

impl Totals {
    fn volumes(&mut self, settled: &Settled) {
        let Settled { left, right, .. } = settled;
        let legs = |left, right| Legs { left, right };
        self.paired = plus(self.paired, legs(left.paired, right.paired));
        self.expired = plus(self.expired, legs(left.expired, right.expired));
        self.flushed = plus(self.flushed, legs(left.flushed, right.flushed));
        self.carried = plus(self.carried, legs(left.carried, right.carried));
    }

    fn money(&mut self, line: &Line) {
        self.pool += line.pool;
        self.paid += line.paid;
        self.breakage += line.breakage;
        self.capped += line.capped;
    }
}

impl Line {
    fn of(position: Position, settled: &Settled) -> Self {
        Self {
            position,
            paired: settled.paired(),
            pool: settled.pool,
            paid: settled.paid,
            breakage: settled.breakage,
            capped: settled.capped,
            unpaid: settled.unpaid,
        }
    }
}
