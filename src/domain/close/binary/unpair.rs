//! A return of volume that may have been paired already.
//!
//! The journal of the order's period loses the volume, and the closes from then on are computed
//! again, with what was known and the rules that held at each: which pairs come apart, what other
//! volume takes the partner that became free, what no longer expires or is flushed, all follow. Closed
//! results stay as they are; what a position should have and what was posted for it differ by a
//! correction, which is posted now and names the period that it corrects.
//!
//! Invariant: what is posted afterwards (originals and corrections), and what is carried, is what the
//! closes without the returned volume would have left. So returns commute, and a part at a time is the
//! same as all at once.
//!
//! An owner's positions are taken together, because a cap of the owner ties their pay together, and
//! because an order may lie in the legs of several of them.

use serde::{Deserialize, Serialize};

use super::{Legs, Rules, Settled, Standing, owner};
use crate::domain::{money::Money, placement::Side, volume::Volume};

/// What is posted for a position and a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Posted {
    /// To the owner.
    pub paid: Money,
    /// To breakage.
    pub breakage: Money,
    /// To what caps cut off.
    pub capped: Money,
}

impl Posted {
    /// The sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            paid: self.paid + other.paid,
            breakage: self.breakage + other.breakage,
            capped: self.capped + other.capped,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            paid: self.paid - other.paid,
            breakage: self.breakage - other.breakage,
            capped: self.capped - other.capped,
        }
    }
}

/// A closed period of a position.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// The rules that held.
    pub rules: &'a Rules,
    /// The volume of the period in the legs, after the returns up to now.
    pub arrived: Legs,
    /// What spoke for the position. A return does not judge it anew.
    pub standing: Standing,
    /// What is posted, with the corrections up to now.
    pub posted: Posted,
}

/// The closed periods of a position from the one of the returned order on, without gaps.
#[derive(Debug, Clone)]
pub struct History<'a> {
    /// What was carried before the first of them.
    pub opening: Legs,
    /// What arrived in the periods before, the latest last; as many as volume lives, none where it
    /// does not expire.
    pub before: Vec<Legs>,
    /// The periods.
    pub periods: Vec<Past<'a>>,
}

/// Volume that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returned {
    /// The owner's position above it, as an index into their histories.
    pub position: usize,
    /// The period of its order, as an index into the periods.
    pub period: usize,
    /// The leg in which it arrived.
    pub side: Side,
    /// How much.
    pub volume: Volume,
}

/// What is to be posted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// The position, as an index into the histories.
    pub position: usize,
    /// The period whose lines it corrects, as an index into the periods.
    pub period: usize,
    /// The difference to what was posted.
    pub difference: Posted,
}

/// What a return leads to.
#[derive(Debug, Clone)]
pub struct Unpaired<'a> {
    /// What is to be posted, by period and position; what stays the same is not in it.
    pub corrections: Vec<Correction>,
    /// What each position carries into the open period now.
    pub carry: Vec<Legs>,
    /// The histories as they stand when the corrections are posted.
    pub histories: Vec<History<'a>>,
}

/// Why volume cannot be returned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnpairError {
    /// There is no such position or period.
    #[error(
        "the history has no position {position} with a period {period}: begin it at the period of the order"
    )]
    Unknown {
        /// The position.
        position: usize,
        /// The period.
        period: usize,
    },
    /// More came back than ever arrived.
    #[error("{returned} points come back of the {arrived} that arrived in that leg and period")]
    TooMuch {
        /// What comes back.
        returned: Volume,
        /// What arrived, after earlier returns.
        arrived: Volume,
    },
    /// The positions of the owner do not have the same periods.
    #[error(
        "the histories of an owner's positions end with different periods: give a position that was placed later empty ones"
    )]
    Uneven,
}

/// Takes volume back out of the closed periods of an owner's positions, given in the order of
/// placement.
pub fn unpair<'a>(
    histories: &[History<'a>],
    returned: &[Returned],
) -> Result<Unpaired<'a>, UnpairError> {
    let mut histories = histories.to_vec();
    let periods = histories.first().map_or(0, |history| history.periods.len());
    if histories.iter().any(|history| history.periods.len() != periods) {
        return Err(UnpairError::Uneven);
    }
    for back in returned {
        take_back(&mut histories, *back)?;
    }
    let mut settled: Vec<Vec<Settled>> = histories.iter().map(History::settle).collect();
    let mut corrections = Vec::new();
    for period in 0..periods {
        share(&histories, &mut settled, period);
        for (position, (history, settled)) in histories.iter_mut().zip(&settled).enumerate() {
            let Some((past, settled)) = history.periods.get_mut(period).zip(settled.get(period))
            else {
                continue;
            };
            let target =
                Posted { paid: settled.paid, breakage: settled.breakage, capped: settled.capped };
            let difference = target.minus(past.posted);
            if difference != Posted::default() {
                corrections.push(Correction { position, period, difference });
                past.posted = target;
            }
        }
    }
    let carried = |(history, settled): (&History<'_>, &Vec<Settled>)| {
        settled.last().map_or(history.opening, Settled::carried)
    };
    let carry = histories.iter().zip(&settled).map(carried).collect();
    Ok(Unpaired { corrections, carry, histories })
}

fn take_back(histories: &mut [History<'_>], back: Returned) -> Result<(), UnpairError> {
    let Returned { position, period, side, volume } = back;
    let past = histories.get_mut(position).and_then(|history| history.periods.get_mut(period));
    let past = past.ok_or(UnpairError::Unknown { position, period })?;
    let arrived = past.arrived.of(side);
    if volume > arrived || volume < Volume::ZERO {
        return Err(UnpairError::TooMuch { returned: volume, arrived });
    }
    past.arrived = past.arrived.minus(Legs::only(side, volume));
    Ok(())
}

/// Applies the cap of the owner to a period.
fn share(histories: &[History<'_>], settled: &mut [Vec<Settled>], period: usize) {
    let rules = histories.first().and_then(|history| history.periods.get(period));
    let Some(rules) = rules.map(|past| past.rules) else { return };
    let Some(cap) = rules.owner_cap else { return };
    let mut all: Vec<&mut Settled> =
        settled.iter_mut().filter_map(|periods| periods.get_mut(period)).collect();
    let paid: Vec<Money> = all.iter().map(|settled| settled.paid).collect();
    let Some(shares) = owner::shares(&paid, cap, rules.currency) else { return };
    for (settled, share) in all.iter_mut().zip(shares) {
        settled.capped += settled.paid - share;
        settled.paid = share;
    }
}

impl History<'_> {
    /// The closes of all periods, one after the other, before the cap of the owner.
    pub fn settle(&self) -> Vec<Settled> {
        let mut carry = self.opening;
        let mut all = Vec::with_capacity(self.periods.len());
        for (index, past) in self.periods.iter().enumerate() {
            let earlier = self.periods.iter().take(index).rev().map(|past| past.arrived);
            let earlier = earlier.chain(self.before.iter().rev().copied());
            let living = past.rules.expires_after().unwrap_or_default().saturating_sub(1);
            let mut recent = Legs::ZERO;
            for arrived in earlier.take(living.into()) {
                recent = recent.plus(arrived);
            }
            let settled = past.rules.settle(carry, past.arrived, recent, past.standing);
            carry = settled.carried();
            all.push(settled);
        }
        all
    }
}
