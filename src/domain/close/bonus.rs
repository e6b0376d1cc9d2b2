//! Fixed amounts for ranks, and pools.
//!
//! The pool of a rank bonus is the amounts of the ranks that members hold and were not paid for
//! before; what the inactive among them do not get is breakage. A bonus paid once is not offered to them:
//! it stays due until they are active. The pool of a pool is its size and
//! what was carried from the period before.

use serde::Serialize;

use super::{
    PaidRank, Population, Scene,
    line::{Base, ComponentClose, Earning, Title, Unpaid},
    share::split,
    table::ByRank,
    withheld::{Ear, Instead, Withheld, keep},
};
use crate::domain::{
    id::ComponentId,
    money::{Money, Rate},
    plan::{
        close::{Nobody, Passed, Pays, Pool, PoolSize, RankBonus},
        rank::RankLevel,
        volume::Measure,
    },
};

/// The ranks that bonuses were paid for before, sorted by position.
#[derive(Debug, Default)]
pub(super) struct Paid(Vec<(u32, RankLevel)>);

impl Paid {
    /// Those of one component.
    pub(super) fn of_component(
        component: &ComponentId,
        population: &Population,
        paid: &[PaidRank],
    ) -> Self {
        let paid = paid.iter().filter(|paid| paid.component == *component);
        let place = |p: &PaidRank| Some((population.position(p.member)?, p.rank));
        let mut paid: Vec<_> = paid.filter_map(place).collect();
        paid.sort_unstable();
        Self(paid)
    }

    fn of(&self, position: u32) -> &[(u32, RankLevel)] {
        let start = self.0.partition_point(|(who, _)| *who < position);
        let rest = self.0.get(start..).unwrap_or_default();
        let end = rest.partition_point(|(who, _)| *who == position);
        rest.get(..end).unwrap_or_default()
    }
}

/// The rows of a bonus that a member has to get now.
fn due<'r>(
    plan: &'r RankBonus,
    rows: &'r ByRank<Money>,
    rank: RankLevel,
    paid: &'r [(u32, RankLevel)],
) -> impl Iterator<Item = (RankLevel, Money)> + 'r {
    let held = rows.rows.iter().filter(move |(from, _)| *from <= rank);
    let highest = held.clone().next_back().map(|(from, _)| *from);
    let before = paid.iter().map(|(_, rank)| *rank).max();
    held.copied().filter(move |(from, _)| {
        let passed = plan.passed == Passed::Highest;
        let new = match plan.pays {
            Pays::EveryPeriod => true,
            Pays::Once if passed => before.is_none_or(|before| before < *from),
            Pays::Once => paid.iter().all(|(_, rank)| rank != from),
        };
        new && (!passed || Some(*from) == highest)
    })
}

pub(super) fn rank_bonus<E: Ear>(
    plan: &RankBonus,
    scene: &Scene<'_>,
    paid: &Paid,
    ear: &mut E,
) -> ComponentClose {
    let rows = ByRank::amounts(&plan.amounts, scene.ladder);
    let mut close = ComponentClose::new(&plan.id, scene.population.len());
    let lowest = rows.rows.first().map(|(rank, _)| *rank).unwrap_or_default();
    for member in scene.population.positions() {
        let rank = scene.ranking.rank(plan.rank, member);
        let waits = plan.pays == Pays::Once && !scene.ranking.is_active(member);
        if rank < lowest {
            continue;
        }
        if E::LISTENS {
            had_before(plan, &rows, rank, (member, paid.of(member)), ear);
        }
        for (from, amount) in due(plan, &rows, rank, paid.of(member)) {
            let (source, level, base) = (None, u32::from(from.0), Base::Money(amount));
            let not = |to| {
                let reason = Unpaid::NotActive;
                Withheld { source, level, reason, base, amount, to }
            };
            if waits {
                ear.hear(member, not(Instead::Later));
                continue;
            }
            close.offer(amount);
            if !scene.ranking.is_active(member) {
                keep(&mut close, ear, member, not(Instead::Company));
            } else if amount.is_positive() {
                let (rate, title) = (Rate::WHOLE, Title::Rank);
                close.earn(Earning { member, source, title, level, base, rate, amount });
            }
        }
    }
    close
}

/// Tells of the bonuses for ranks that a member holds and has had.
fn had_before<E: Ear>(
    plan: &RankBonus,
    rows: &ByRank<Money>,
    rank: RankLevel,
    (member, paid): (u32, &[(u32, RankLevel)]),
    ear: &mut E,
) {
    let held = rows.rows.iter().filter(|(from, _)| *from <= rank);
    let had = held.filter(|(from, _)| paid.iter().any(|(_, rank)| rank == from));
    for (from, amount) in had.filter(|_| plan.pays == Pays::Once) {
        let (source, level, base) = (None, u32::from(from.0), Base::Money(*amount));
        let (reason, to) = (Unpaid::AlreadyPaid, Instead::Earlier);
        ear.hear(member, Withheld { source, level, reason, base, amount: *amount, to });
    }
}

/// Why a member who got no bonus did not.
pub(super) fn why_no_bonus(plan: &RankBonus, scene: &Scene<'_>, member: u32) -> Unpaid {
    let rows = ByRank::amounts(&plan.amounts, scene.ladder);
    if rows.get(scene.ranking.rank(plan.rank, member)).is_none() {
        Unpaid::RankTooLow
    } else if !scene.ranking.is_active(member) {
        Unpaid::NotActive
    } else {
        Unpaid::AlreadyPaid
    }
}

/// The shares of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PoolStanding {
    /// What is shared: the pool of the period and what was carried into it.
    pub size: Money,
    /// The shares of the member; 0 of who has none.
    pub shares: u32,
    /// The shares of all.
    pub of: u64,
    /// How many members have any.
    pub holders: u64,
}

/// Where a member stands in a pool of this size.
pub(super) fn standing(plan: &Pool, scene: &Scene<'_>, member: u32, size: Money) -> PoolStanding {
    let mut standing = PoolStanding { size, shares: 0, of: 0, holders: 0 };
    for (holder, shares) in holders(plan, scene) {
        standing.of = standing.of.saturating_add(shares.into());
        standing.holders = standing.holders.saturating_add(1);
        if holder == member {
            standing.shares = shares;
        }
    }
    standing
}

/// Who has shares in a pool, and how many.
fn holders<'s>(plan: &Pool, scene: &'s Scene<'_>) -> impl Iterator<Item = (u32, u32)> + use<'s> {
    let (rows, rank) = (ByRank::shares(&plan.shares, scene.ladder), plan.rank);
    let active = scene.population.positions().filter(|member| scene.ranking.is_active(*member));
    active.filter_map(move |member| Some((member, rows.get(scene.ranking.rank(rank, member))?)))
}

pub(super) fn pool(plan: &Pool, scene: &Scene<'_>, carried: Money) -> ComponentClose {
    let population = scene.population;
    let mut close = ComponentClose::new(&plan.id, population.len());
    let size = match plan.size {
        PoolSize::Fixed { amount } => amount,
        PoolSize::ShareOfCv { rate } => {
            let total: crate::domain::volume::Volume =
                population.volume(Measure::Cv).iter().copied().sum();
            scene.earning(total.at_least_zero(), plan.conversion, rate)
        }
    };
    let size = size + carried;
    close.offer(size);
    let mut shares: Vec<(u32, u32)> = holders(plan, scene).collect();
    // Of equal remainders the lowest member number gets the odd unit, not the place in the tree.
    shares.sort_unstable_by_key(|(member, _)| population.member(*member));
    if shares.is_empty() {
        match plan.nobody {
            Nobody::Breakage => close.breakage(Unpaid::NobodyQualified, size),
            Nobody::Carry => close.totals.carried = size,
        }
        return close;
    }
    let weights: Vec<i128> = shares.iter().map(|(_, count)| i128::from(*count)).collect();
    let amounts = split(size, &weights, scene.currency);
    for ((member, level), amount) in shares.iter().copied().zip(amounts) {
        if amount.is_positive() {
            let (base, rate) = (Base::Money(size), Rate::WHOLE);
            let title = Title::Shares;
            close.earn(Earning { member, source: None, title, level, base, rate, amount });
        }
    }
    close
}

/// Why a member who got no share did not.
pub(super) fn why_no_share(plan: &Pool, scene: &Scene<'_>, member: u32) -> Unpaid {
    let rows = ByRank::shares(&plan.shares, scene.ladder);
    if rows.get(scene.ranking.rank(plan.rank, member)).is_none() {
        Unpaid::RankTooLow
    } else if !scene.ranking.is_active(member) {
        Unpaid::NotActive
    } else {
        Unpaid::NoVolume
    }
}
