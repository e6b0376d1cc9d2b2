//! The tables of a plan with the names of ranks resolved.

use crate::domain::{
    money::{Money, Rate},
    plan::{
        close::{RankAmount, RankShares, RateRow, Unlock},
        rank::{Ladder, RankLevel},
    },
};

/// Rates by rank and level.
#[derive(Debug)]
pub(super) struct Rates<'a> {
    /// For each rank, from below the first on, its rates.
    by_rank: Vec<&'a [Rate]>,
    /// The highest rate of each level.
    top: Vec<Rate>,
}

impl<'a> Rates<'a> {
    pub(super) fn new(rows: &'a [RateRow], ladder: &Ladder) -> Self {
        let level = |row: &RateRow| row.from.as_ref().and_then(|rank| ladder.level(rank));
        let of_rank = |step: usize| {
            let has = |row: &&RateRow| usize::from(level(row).unwrap_or_default().0) <= step;
            rows.iter().rev().find(has).map(|row| row.rates.as_slice()).unwrap_or_default()
        };
        let longest = rows.iter().map(|row| row.rates.len()).max().unwrap_or_default();
        let highest = |index: usize| {
            rows.iter().filter_map(|row| row.rates.get(index)).max().copied().unwrap_or(Rate::ZERO)
        };
        Self {
            by_rank: (0..=ladder.len()).map(of_rank).collect(),
            top: (0..longest).map(highest).collect(),
        }
    }

    /// The rate of a rank at a level, counted from 1.
    pub(super) fn rate(&self, rank: RankLevel, level: usize) -> Option<Rate> {
        self.by_rank.get(usize::from(rank.0))?.get(level.checked_sub(1)?).copied()
    }

    /// The levels from 1 on, each with its highest rate.
    pub(super) fn top(&self) -> impl Iterator<Item = (usize, Rate)> {
        (1..).zip(self.top.iter().copied())
    }
}

/// How many levels so many active legs open.
pub(super) fn open_levels(tiers: &[Unlock], active_legs: u16) -> usize {
    if tiers.is_empty() {
        return usize::MAX;
    }
    let reached = tiers.iter().rev().find(|tier| tier.active_legs <= active_legs);
    reached.map_or(0, |tier| usize::from(tier.levels))
}

/// Something for each rank, where the highest entry not above a rank holds.
#[derive(Debug)]
pub(super) struct ByRank<T> {
    /// The ranks of the entries, ascending.
    pub(super) rows: Vec<(RankLevel, T)>,
}

impl<T: Copy> ByRank<T> {
    pub(super) fn get(&self, rank: RankLevel) -> Option<T> {
        self.rows.iter().rev().find(|(from, _)| *from <= rank).map(|(_, value)| *value)
    }
}

impl ByRank<Money> {
    pub(super) fn amounts(rows: &[RankAmount], ladder: &Ladder) -> Self {
        let resolved = rows.iter().filter_map(|row| Some((ladder.level(&row.from)?, row.amount)));
        Self { rows: resolved.collect() }
    }
}

impl ByRank<u32> {
    pub(super) fn shares(rows: &[RankShares], ladder: &Ladder) -> Self {
        let resolved = rows.iter().filter_map(|row| Some((ladder.level(&row.from)?, row.shares)));
        Self { rows: resolved.collect() }
    }
}
