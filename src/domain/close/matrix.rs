//! The earnings of a forced matrix: volume pays the positions above it, level by level.
//!
//! Conservation: for each level of each order (or of the period, where that is the line), pool = paid +
//! breakage. The pool of a level is its rate of the volume, whether somebody stands there or not, so
//! with lines of orders paid + breakage is the same under every compression. Volume is linear, so a
//! return is the same volume with the opposite sign, in the line that the original has.

use serde::{Deserialize, Serialize};

use super::super::{
    money::{Currency, Money, Rounding},
    placement::Position,
    plan::pairs::{Matrix, MatrixCompression},
    volume::Volume,
};

/// The position above the top.
const NOBODY: u32 = u32::MAX;

/// Why the money of a level is breakage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unclaimed {
    /// Nobody stands there: the matrix ends below.
    NoUpline,
    /// Who stands there has no level unlocked: not active, or of a rank without levels.
    Inactive,
    /// Who stands there has fewer levels unlocked.
    Locked,
}

impl Unclaimed {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoUpline => "no_upline",
            Self::Inactive => "inactive",
            Self::Locked => "locked",
        }
    }
}

/// What a level is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who stands there.
    pub position: Option<Position>,
    /// The level, from 1.
    pub level: u8,
    /// The volume below that pays.
    pub volume: Volume,
    /// What the owner of the position gets.
    pub paid: Money,
    /// What the company keeps.
    pub breakage: Money,
    /// Why; `None` if the owner gets it.
    pub unclaimed: Option<Unclaimed>,
}

/// Why a matrix cannot be closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
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
}

/// A matrix at a close: the rules, and for each position the next one above that takes a level.
#[derive(Debug, Clone)]
pub struct Climb<'a> {
    plan: &'a Matrix,
    rounding: Rounding,
    currency: Currency,
    /// The next above that uses up a level; [`NOBODY`] at the top.
    above: Vec<u32>,
    reach: &'a [u8],
}

fn index(position: u32) -> usize {
    Position(position).index()
}

impl<'a> Climb<'a> {
    /// Looks at a tree: `parents` by position (`placement::MatrixTree::parents`), and how many levels
    /// each has unlocked (`plan::pairs::Unlocks::reach`).
    ///
    /// With compression who takes no level is passed by here, once, from the top down: parents have
    /// lower numbers.
    pub fn new(
        plan: &'a Matrix,
        rounding: Rounding,
        currency: Currency,
        parents: impl IntoIterator<Item = u32>,
        reach: &'a [u8],
    ) -> Result<Self, MatrixError> {
        let parents = parents.into_iter();
        let mut above = Vec::with_capacity(reach.len());
        for parent in parents {
            let passed = plan.compression == MatrixCompression::RollUp
                && reach.get(index(parent)).is_some_and(|levels| *levels == 0);
            let next = if passed { above.get(index(parent)).copied() } else { Some(parent) };
            above.push(next.unwrap_or(NOBODY));
        }
        if above.len() != reach.len() {
            let (found, positions) = (reach.len(), above.len());
            return Err(MatrixError::Length { column: "reach", found, positions });
        }
        Ok(Self { plan, rounding, currency, above, reach })
    }

    /// The lines of one order: one for each level, nearest first.
    pub fn order(&self, position: Position, volume: Volume) -> Vec<Line> {
        let mut at = position.0;
        let mut lines = Vec::with_capacity(self.plan.rates.len());
        for level in 1..=self.plan.height {
            at = self.above.get(index(at)).copied().unwrap_or(NOBODY);
            lines.push(self.line(at, level, volume));
        }
        lines
    }

    /// The lines of a period, by level and position; `volume` has what each position brought.
    ///
    /// All volume climbs one level at a time, so that each pass adds it up by who stands there.
    pub fn period(&self, volume: &[Volume]) -> Result<Vec<Line>, MatrixError> {
        let (found, positions) = (volume.len(), self.above.len());
        if found != positions {
            return Err(MatrixError::Length { column: "volume", found, positions });
        }
        let mut lines = Vec::new();
        let mut climbing = volume.to_vec();
        let mut next = vec![Volume::ZERO; positions];
        let mut beyond = Volume::ZERO;
        for level in 1..=self.plan.height {
            for (volume, above) in climbing.iter().zip(&self.above) {
                if *volume == Volume::ZERO {
                    continue;
                }
                match next.get_mut(index(*above)) {
                    Some(sum) => *sum += *volume,
                    None => beyond += *volume,
                }
            }
            for (position, volume) in (0_u32..).zip(&next) {
                if *volume != Volume::ZERO {
                    lines.push(self.line(position, level, *volume));
                }
            }
            if beyond != Volume::ZERO {
                lines.push(self.line(NOBODY, level, beyond));
            }
            std::mem::swap(&mut climbing, &mut next);
            next.fill(Volume::ZERO);
        }
        Ok(lines)
    }

    fn line(&self, at: u32, level: u8, volume: Volume) -> Line {
        let rate = usize::from(level).checked_sub(1).and_then(|index| self.plan.rates.get(index));
        let amount = rate.map_or(Money::ZERO, |rate| {
            volume.earning(self.plan.conversion, *rate, self.rounding, self.currency)
        });
        let unclaimed = match self.reach.get(index(at)) {
            None => Some(Unclaimed::NoUpline),
            Some(0) => Some(Unclaimed::Inactive),
            Some(levels) if *levels < level => Some(Unclaimed::Locked),
            Some(_) => None,
        };
        let position = (at != NOBODY).then_some(Position(at));
        let (paid, breakage) =
            if unclaimed.is_some() { (Money::ZERO, amount) } else { (amount, Money::ZERO) };
        Line { position, level, volume, paid, breakage, unclaimed }
    }
}

#[cfg(test)]
mod tests;
