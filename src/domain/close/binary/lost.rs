//! What came back of closed periods, summed up before it is un-paired: what the legs above lose, and how far
//! back the closes are computed again.
//!
//! A return lies in a leg of every position above it, so one by one they would be returns times depth. Summed
//! up where they came from, one sweep of the tree for each period has the loss of every leg.

use super::{LegVolumes, Legs, Rules, Standing, unpair};
use crate::domain::{
    placement::{BinaryColumns, Position},
    volume::Volume,
};

/// Volume that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The closed period that had counted it, by its number.
    pub period: usize,
    /// The position that had brought it.
    pub position: Position,
    /// How much; above zero.
    pub volume: Volume,
}

/// What the legs of a position lose of a closed period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegLoss {
    /// The position.
    pub position: Position,
    /// The period.
    pub period: usize,
    /// How much of each leg.
    pub legs: Legs,
}

/// What the legs of the positions that are `wanted` lose, by position and period: one entry for each of these
/// that loses something, however many returns lie below.
pub fn of_legs(
    tree: BinaryColumns<'_>,
    mut lost: Vec<Lost>,
    wanted: impl Fn(Position) -> bool,
) -> Vec<LegLoss> {
    lost.sort_unstable_by_key(|lost| lost.period);
    let mut losses = Vec::new();
    for of_period in lost.chunk_by(|a, b| a.period == b.period) {
        let Some(period) = of_period.first().map(|lost| lost.period) else { continue };
        let mut own = vec![Volume::ZERO; tree.len()];
        for Lost { position, volume, .. } in of_period {
            if let Some(sum) = own.get_mut(position.index()) {
                *sum += *volume;
            }
        }
        let sums = LegVolumes::of(tree, &own);
        drop(own);
        let legs = (0..).map(Position).zip(sums.iter());
        let some = legs.filter(|(position, legs)| *legs != Legs::ZERO && wanted(*position));
        losses.extend(some.map(|(position, legs)| LegLoss { position, period, legs }));
    }
    losses.sort_unstable_by_key(|loss| (loss.position, loss.period));
    losses
}

/// The first period that is computed again at the close `open`, whose number is one above that of the last
/// closed one; none if nothing came back. `takes` has from which period something came back, and at which
/// close.
///
/// What a close wrote down of its opening is right to this day, unless a later close took something of an
/// earlier period: then that one is computed again too.
pub fn first(takes: &[(usize, usize)], open: usize) -> Option<usize> {
    let now = takes.iter().filter(|(_, at)| *at == open);
    let mut first = now.map(|(from, _)| *from).min()?;
    loop {
        let passed = takes.iter().filter(|(from, at)| *from < first && first < *at && *at < open);
        let Some(earlier) = passed.map(|(from, _)| *from).min() else { return Some(first) };
        first = earlier;
    }
}

/// What the close of a period wrote down of a position, and closes after it that corrected it. Of a position
/// without volume a close writes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// What was carried before.
    pub opening: Legs,
    /// What arrived.
    pub arrived: Legs,
    /// What spoke for it; none if only a correction is written down.
    pub standing: Option<Standing>,
    /// What is posted, with the corrections up to now.
    pub posted: unpair::Posted,
}

/// The closed periods of a binary, and which of them are computed again.
#[derive(Debug, Clone)]
pub struct Again<'a> {
    /// The rules of each period.
    pub rules: Vec<&'a Rules>,
    /// The first that is computed again.
    pub first: usize,
}

impl<'a> Again<'a> {
    /// The first period of which something must be known: volume of it may still have lived in the first
    /// that is computed again.
    pub fn since(&self) -> usize {
        let again = self.rules.iter().skip(self.first);
        let most = again.filter_map(|rules| rules.expires_after()).max().unwrap_or_default();
        self.first.saturating_sub(usize::from(most.saturating_sub(1)))
    }

    /// The periods to be computed again.
    pub fn periods(&self) -> std::ops::Range<usize> {
        self.first..self.rules.len()
    }

    /// The history of a position. `kept` is what was written down in a period, `back` what the closes before
    /// this one took of its legs, and `standing` what spoke for it where nothing was written down.
    pub fn history(
        &self,
        kept: impl Fn(usize) -> Option<Kept>,
        back: impl Fn(usize) -> Legs,
        standing: impl Fn(usize) -> Standing,
    ) -> unpair::History<'a> {
        let arrived = |period| kept(period).map_or(Legs::ZERO, |k| k.arrived).minus(back(period));
        let periods = self.rules.iter().copied().enumerate().skip(self.first);
        let past = |(period, rules)| {
            let known = kept(period).unwrap_or_default();
            unpair::Past {
                rules,
                arrived: arrived(period),
                standing: known.standing.unwrap_or_else(|| standing(period)),
                posted: known.posted,
            }
        };
        unpair::History {
            opening: kept(self.first).map_or(Legs::ZERO, |known| known.opening),
            before: (self.since()..self.first).map(arrived).collect(),
            periods: periods.map(past).collect(),
        }
    }
}
