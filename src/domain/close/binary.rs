//! The close of a binary: pairs of the two legs of every position, their pay, and what is carried.
//!
//! # The algebra of carry
//!
//! Carry is a queue of lots in the order in which orders arrived, oldest first. Keeping the queue
//! would put every order into the lists of all its ancestors. It is not kept, because three facts
//! make it a function of two integers for each position, the carry of each leg:
//!
//! 1. Positions never move, so the volume of a leg in a period is the sum of the journal over the leg:
//!    linear in the orders, the same whenever it is computed.
//! 2. Volume enters a leg at the back of its queue, and whatever leaves (paired, expired, flushed)
//!    leaves at the front. So after any close the queue is exactly the last `carry` points of the
//!    leg's journal: the amount alone says which orders they are.
//! 3. Hence what is left of the periods up to `j` after the close of `k` is
//!    `max(0, carry - arrived(j + 1 ..= k))`. With volume that lives for `n` further closes, what
//!    expires at the close of `k` is that for `j = k - n`; the sum over the window is one more sweep
//!    of the same kind, not a state.
//!
//! Which orders were paired, expired or flushed in which period is computed when somebody asks
//! ([`trace`]): the leg's orders are one run of a journal sorted by the Euler tour
//! ([`super::super::placement::Spans`]), and the figures of its closes cut that run in order.
//!
//! A return is the journal with less volume in the order's period. The closes from that period on are
//! computed again for the positions above the order, for nobody else, and what differs from what was
//! posted is posted now, pointing to the original ([`unpair`]). So closing with an order and
//! returning it leaves the same money and the same carry as closing without it, under every rule of
//! cap, carry and expiry. What it leaves alone is the judgement of the closed period: who was
//! active then stays so, even if it was the returned order that made them so.
//!
//! # Conservation
//!
//! For each leg and close, exactly: carried before + arrived = paired + expired + flushed + carried
//! after. For each position, to the minor unit: pool = paid + breakage + capped, where the pool is what
//! the paired volume earns by the plan, before caps, qualification and the owner's cap. Volume that
//! `volume_cap` leaves unpaired is in no pool: it can still earn.
//!
//! Rounding: once for each position and close, the pool, in the plan's mode; volumes are exact, and a
//! payable share that is no whole number of ten-thousandths of a point is cut off there.

pub mod lost;
mod owner;
mod rules;
mod standing;
mod sweep;
pub mod told;
pub mod trace;
pub mod unpair;

use serde::{Deserialize, Serialize};

pub use self::{
    rules::Rules,
    standing::{Standing, standings},
    sweep::{CloseError, Closed, Input, LegVolumes, Line, Totals, close},
};
use crate::domain::{money::Money, placement::Side, volume::Volume};

/// A volume for each leg of a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Legs {
    /// Of the left leg.
    pub left: Volume,
    /// Of the right leg.
    pub right: Volume,
}

impl Legs {
    /// Nothing in either leg.
    pub const ZERO: Self = Self { left: Volume::ZERO, right: Volume::ZERO };

    /// A volume in one leg.
    pub fn only(side: Side, volume: Volume) -> Self {
        match side {
            Side::Left => Self { left: volume, right: Volume::ZERO },
            Side::Right => Self { left: Volume::ZERO, right: volume },
        }
    }

    /// The volume of one leg.
    pub fn of(self, side: Side) -> Volume {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    /// The sum, leg by leg.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { left: self.left + other.left, right: self.right + other.right }
    }

    /// The difference, leg by leg.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { left: self.left - other.left, right: self.right - other.right }
    }
}

/// What became of the volume of a leg at a close: what was carried before and what arrived, in the
/// order in which it leaves the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Leg {
    /// Found a partner.
    pub paired: Volume,
    /// Was too old.
    pub expired: Volume,
    /// Was emptied by the rule of carry, of the cap or of who may not earn.
    pub flushed: Volume,
    /// Waits for the next period.
    pub carried: Volume,
}

/// Why a position is paid nothing, or why what its pairs would have paid is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unpaid {
    /// The owner was not active.
    Inactive,
    /// The left leg holds no active distributor whom the owner enrolled.
    NoneEnrolledLeft,
    /// The right leg holds no active distributor whom the owner enrolled.
    NoneEnrolledRight,
    /// Neither leg has volume.
    NoVolume,
    /// One leg has none, so there is no pair.
    OneLegEmpty,
    /// Both have some, but less than a lot or a cycle takes.
    BelowOnePair,
    /// Pairs were made, but reach no tier or no minor unit.
    BelowOneUnit,
    /// The cap of the position leaves nothing.
    Cap,
    /// The cap of the owner leaves nothing.
    OwnerCap,
}

impl Unpaid {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::NoneEnrolledLeft => "none_enrolled_left",
            Self::NoneEnrolledRight => "none_enrolled_right",
            Self::NoVolume => "no_volume",
            Self::OneLegEmpty => "one_leg_empty",
            Self::BelowOnePair => "below_one_pair",
            Self::BelowOneUnit => "below_one_unit",
            Self::Cap => "cap",
            Self::OwnerCap => "owner_cap",
        }
    }
}

/// The close of one position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Settled {
    /// The left leg.
    pub left: Leg,
    /// The right leg.
    pub right: Leg,
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

impl Settled {
    /// What waits for the next period.
    pub fn carried(&self) -> Legs {
        Legs { left: self.left.carried, right: self.right.carried }
    }

    /// What was paired.
    pub fn paired(&self) -> Legs {
        Legs { left: self.left.paired, right: self.right.paired }
    }

    /// What became of a leg.
    pub fn leg(&self, side: Side) -> Leg {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
