//! What a plan says for each rank, and what can be wrong with it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    close::ClosePlanError,
    pairs::PairsError,
    period::PeriodError,
    rank::{Ladder, RankLevel},
};
use crate::domain::id::{CommissionClass, ComponentId, RankId};

/// The name under which a table by rank says what holds for who is below the first rank.
pub const UNRANKED: &str = "unranked";

/// What is wrong with a field of a plan, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A rank is used, but the plan has none.
    #[error("the plan has no ranks: name them lowest first, each as [[rank]] with an `id`")]
    NoRanks,
    /// A rank that the plan does not have.
    #[error("the plan has no rank {found}: its ranks are {known}")]
    UnknownRank {
        /// What stands there.
        found: Box<str>,
        /// The plan's ranks, lowest first.
        known: Box<str>,
    },
    /// A table by rank leaves a rank out.
    #[error("nothing is said for {0}: give every rank and `unranked` a value, also if it is none")]
    RankMissing(Box<str>),
    /// Two ranks have one name, or one has the name for people without a rank.
    #[error("a rank cannot be called {0}: names are distinct, and `unranked` stands for no rank")]
    RankName(Box<str>),
    /// More ranks than a step of the ladder can count.
    #[error("{0} ranks, at most 255 are allowed")]
    TooManyRanks(usize),
    /// There is no rate above zero to be paid.
    #[error("there are no rates: give it at least one class with a rate above 0 %")]
    NoRates,
    /// A class has more levels than the engine walks.
    #[error("{found} levels, at most {max} are allowed: shorten the list")]
    TooDeep {
        /// The levels in the file.
        found: usize,
        /// The levels allowed.
        max: usize,
    },
    /// A class stands under `rates` and under `rates_by_rank`.
    #[error("class {0} stands under `rates` too: leave it in one of the two")]
    TwoTables(CommissionClass),
    /// Levels are unlocked twice, by a table and by the length of the rates.
    #[error("the rates by rank unlock levels already: drop `unlocked`, or state the rates once")]
    UnlockedTwice,
    /// Dynamic compression without a rule for who qualifies for which level.
    #[error(
        "dynamic compression asks who may earn which level: state `unlocked` or `rates_by_rank`"
    )]
    NothingUnlocks,
    /// Dynamic compression fills each level once for all classes.
    #[error(
        "{rank} reaches {found} levels here and {wanted} in another class, but dynamic compression \
         fills a level once for all classes: give it as many, or make two components"
    )]
    Uneven {
        /// The rank.
        rank: Box<str>,
        /// Its levels in this class.
        found: usize,
        /// Its levels, cut off at the class's own.
        wanted: usize,
    },
    /// A differential in which a higher rank has a lower rate.
    #[error("{0} has a lower rate than the rank below it: a differential rises with the rank")]
    Falling(Box<str>),
    /// `excludes` names something that it cannot exclude orders from.
    #[error("{0} is no unilevel of this plan: name the `id` of one")]
    NotAUnilevel(ComponentId),
    /// `excludes` names nothing.
    #[error("no component is named: name one, or drop `excludes`")]
    NothingExcluded,
    /// A component without the word for what it is, or with one that nobody knows.
    #[error("{0}")]
    Kind(Box<str>),
    /// A close has nothing to compute with.
    #[error("{0}")]
    Missing(Needed),
    /// A rank says only its name, in a plan whose closes rank people.
    #[error(
        "rank {0} states its name alone, but the close of this plan decides who holds it: state \
         `active = true` or `false`, and what else it requires"
    )]
    NoRequirements(RankId),
    /// A part of a close does not hold.
    #[error("{0}")]
    Close(ClosePlanError),
    /// A binary or a matrix does not hold.
    #[error("{0}")]
    Pairs(PairsError),
    /// The calendar does not hold.
    #[error("{0}")]
    Period(PeriodError),
    /// A component of orders pays on CV, and nothing says what that is.
    #[error("{}", on_cv(*.0))]
    CvBase(Needed),
}

/// What a component that pays on CV lacks.
fn on_cv(needed: Needed) -> &'static str {
    match needed {
        Needed::Currency => {
            "a point is worth money of one currency: add `currency = \"EUR\"` above the first section"
        }
        Needed::Volumes | Needed::Activity | Needed::Ladder | Needed::Period => {
            "CV is what the plan says that it is: add [volumes] with `qv`, `cv`, `pv`, `group`, \
             `retail_orders`, `conversion` and `negative_volume`"
        }
    }
}

/// A section that a close needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Needed {
    /// What counts as volume.
    #[error(
        "a close computes with volumes: add [volumes] with `qv`, `cv`, `pv`, `group`, \
         `retail_orders`, `conversion` and `negative_volume`"
    )]
    Volumes,
    /// Who is active.
    #[error(
        "only the active earn at a close: add [activity] with `pv`, `look_back`, `window` and \
         `active_leg`"
    )]
    Activity,
    /// How ranks are reached.
    #[error("the close ranks people: add [ladder] with `reach` and `leg_rank`")]
    Ladder,
    /// When periods start and end.
    #[error(
        "a close is of a period: add [period] with `every`, `time_zone`, `day_starts`, `snapshot`, \
         `cut_off_days` and `distribution_days`"
    )]
    Period,
    /// What the close pays in.
    #[error("a close pays in one currency: add `currency = \"EUR\"` above the first section")]
    Currency,
}

impl Needed {
    /// The key of the section in a plan file.
    pub fn key(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Activity => "activity",
            Self::Ladder => "ladder",
            Self::Period => "period",
            Self::Currency => "currency",
        }
    }
}

/// A problem at a field of a component, by its path from the component on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The keys on the way to the field.
    pub(super) path: Vec<Box<str>>,
    pub(super) problem: Problem,
}

impl Fault {
    pub(super) fn at<const N: usize>(path: [&str; N], problem: Problem) -> Self {
        Self { path: path.iter().map(|key| Box::from(*key)).collect(), problem }
    }

    /// The same problem, one table further out.
    pub(super) fn within(mut self, key: &str) -> Self {
        self.path.insert(0, key.into());
        self
    }
}

pub(super) fn unknown(found: &str, ladder: &Ladder) -> Problem {
    if ladder.is_empty() {
        return Problem::NoRanks;
    }
    let known: Vec<&str> = names(ladder).skip(1).collect();
    Problem::UnknownRank { found: found.into(), known: known.join(", ").into() }
}

/// The names of the steps: [`UNRANKED`], then the ranks, lowest first.
pub(super) fn names(ladder: &Ladder) -> impl Iterator<Item = &str> {
    let ranks = (1..=u8::MAX).map_while(|step| ladder.rank(RankLevel(step)));
    std::iter::once(UNRANKED).chain(ranks.map(RankId::as_str))
}

/// A rank that a plan names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RankId")]
pub struct Threshold {
    rank: RankId,
    level: RankLevel,
}

impl From<RankId> for Threshold {
    fn from(rank: RankId) -> Self {
        Self { rank, level: RankLevel(u8::MAX) }
    }
}

impl Threshold {
    /// Its step on the plan's ladder.
    pub fn level(&self) -> RankLevel {
        self.level
    }

    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Problem> {
        let level = ladder.level(&self.rank);
        self.level = level.ok_or_else(|| unknown(self.rank.as_str(), ladder))?;
        Ok(())
    }
}

/// A value for each rank of the plan, and for people without one (`unranked`). All of them are
/// stated: a rank that is left out is an error, not nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<Box<str>, T>", bound = "T: Deserialize<'de>")]
pub struct ByRank<T> {
    /// As the file says it, until the names are resolved.
    named: BTreeMap<Box<str>, T>,
    /// By the step of the ladder; the first is for no rank.
    steps: Vec<T>,
}

impl<T> From<BTreeMap<Box<str>, T>> for ByRank<T> {
    fn from(named: BTreeMap<Box<str>, T>) -> Self {
        Self { named, steps: Vec::new() }
    }
}

impl<T> ByRank<T> {
    /// What holds for a rank.
    pub fn get(&self, level: RankLevel) -> Option<&T> {
        self.steps.get(usize::from(level.0))
    }

    /// The values by the step of the ladder; the first is for no rank.
    pub fn steps(&self) -> &[T] {
        &self.steps
    }

    pub(super) fn resolve(&mut self, ladder: &Ladder) -> Result<(), Problem> {
        if ladder.is_empty() {
            return Err(Problem::NoRanks);
        }
        let mut named = std::mem::take(&mut self.named);
        for name in names(ladder) {
            let value = named.remove(name).ok_or_else(|| Problem::RankMissing(name.into()))?;
            self.steps.push(value);
        }
        named.into_keys().next().map_or(Ok(()), |other| Err(unknown(&other, ladder)))
    }
}
