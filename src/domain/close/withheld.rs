//! Money that a member did not get: why, and who has it instead. Heard while a component is computed
//! once more for a story; the close itself is computed for somebody deaf, which costs nothing.
//!
//! Invariant: for every component and reason, what is withheld from all members and stays with the
//! company is the component's breakage of that reason. The breakage of nobody ([`Unpaid::of_nobody`]) has
//! no member to tell it to, and that of a binary or a matrix is kept by position ([`super::placed`]).

use std::iter::Sum;

use serde::{Deserialize, Serialize};

use super::{
    column::{NOBODY, at, part, set, update},
    line::{Base, ComponentClose, Unpaid},
    population::Population,
};
use crate::domain::{money::Money, volume::Volume};

/// Who has the money that a member did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// The company keeps it: it is breakage.
    Company,
    /// It went to this member, by the caller's number, at the rate of theirs.
    Member(u32),
    /// It rose to this member, who may not have it either: in their story the company keeps it.
    Rose(u32),
    /// Nobody further up could have it: it is breakage of nobody.
    Nobody,
    /// The member had it in an earlier period.
    Earlier,
    /// It stays due to the member until they meet what is asked.
    Later,
}

/// Money that a member did not get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Whose volume or earnings it comes from, by the caller's number, where that is one member.
    pub source: Option<u32>,
    /// The level, the generation or the rank; 0 where there is none.
    pub level: u32,
    /// Why.
    pub reason: Unpaid,
    /// What it was offered on.
    pub base: Base,
    /// How much: at the rate of the member who has it, else at the highest of the plan, less what the
    /// member was paid.
    pub amount: Money,
    /// Who has it.
    pub to: Instead,
}

/// Somebody whose volume stands at a level of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LevelSource {
    /// The level.
    pub level: u32,
    /// Whose volume it is, by the caller's number.
    pub member: u32,
    /// The volume.
    pub volume: Volume,
}

/// Hears what is withheld. Members are positions.
pub(super) trait Ear {
    /// Whether anybody listens: what only a story needs is not computed otherwise.
    const LISTENS: bool;

    /// Hears of money that a member did not get.
    fn hear(&mut self, member: u32, withheld: Withheld);

    /// Hears whose volume stands at a level under its holder.
    fn stands(&mut self, _holder: u32, _standing: LevelSource) {}
}

/// Hears nothing.
pub(super) struct Deaf;

impl Ear for Deaf {
    const LISTENS: bool = false;

    fn hear(&mut self, _member: u32, _withheld: Withheld) {}
}

/// Puts down what is withheld from one member, or from everybody.
pub(super) struct Listener<'a> {
    population: &'a Population,
    only: Option<u32>,
    /// From whom it was withheld, by row.
    pub(super) member: Vec<u32>,
    /// With the caller's numbers.
    pub(super) rows: Vec<Withheld>,
}

impl<'a> Listener<'a> {
    /// Listens for the member at `only`, or for everybody.
    pub(super) fn new(population: &'a Population, only: Option<u32>) -> Self {
        Self { population, only, member: Vec::new(), rows: Vec::new() }
    }
}

impl Ear for Listener<'_> {
    const LISTENS: bool = true;

    fn hear(&mut self, member: u32, withheld: Withheld) {
        if self.only.is_some_and(|only| only != member) || withheld.amount.is_zero() {
            return;
        }
        let name = |position| self.population.member(position);
        let to = match withheld.to {
            Instead::Member(position) => Instead::Member(name(position)),
            Instead::Rose(position) => Instead::Rose(name(position)),
            kept @ (Instead::Company | Instead::Nobody | Instead::Earlier | Instead::Later) => kept,
        };
        let source = withheld.source.map(name);
        self.member.push(member);
        self.rows.push(Withheld { source, to, ..withheld });
    }
}

/// Puts down whose volume stands at the levels of one member.
pub(super) struct Sources<'a> {
    population: &'a Population,
    only: u32,
    /// With the caller's numbers, by level.
    pub(super) rows: Vec<LevelSource>,
}

impl<'a> Sources<'a> {
    /// Listens for the member at this position.
    pub(super) fn new(population: &'a Population, only: u32) -> Self {
        Self { population, only, rows: Vec::new() }
    }
}

impl Ear for Sources<'_> {
    const LISTENS: bool = true;

    fn hear(&mut self, _member: u32, _withheld: Withheld) {}

    fn stands(&mut self, holder: u32, standing: LevelSource) {
        if holder == self.only && standing.volume.is_positive() {
            let member = self.population.member(standing.member);
            self.rows.push(LevelSource { member, ..standing });
        }
    }
}

/// Leaves money to the company that a member did not get.
pub(super) fn keep<E: Ear>(
    close: &mut ComponentClose,
    ear: &mut E,
    member: u32,
    withheld: Withheld,
) {
    close.breakage(withheld.reason, withheld.amount);
    if E::LISTENS {
        ear.hear(member, withheld);
    }
}

/// What rises past each member who holds no place, where `held` is what each holder below lets rise and
/// `above` who holds the next place above each ([`Population::next_above`]). One sweep.
pub(super) fn passing<T: Copy + Default + Sum>(
    population: &Population,
    above: &[u32],
    held: &[T],
) -> Vec<T> {
    let mut passing = vec![T::default(); population.len()];
    for position in population.positions().rev() {
        let sponsor = population.sponsor(position);
        if sponsor == NOBODY || at_or_nobody(above, position) == sponsor {
            continue;
        }
        let rising = [at(held, position), at(&passing, position), at(&passing, sponsor)];
        set(&mut passing, sponsor, rising.into_iter().sum());
    }
    passing
}

/// Who stands in a column of positions.
pub(super) fn at_or_nobody(column: &[u32], position: u32) -> u32 {
    column.get(super::column::index(position)).copied().unwrap_or(NOBODY)
}

/// Which rows of a table are whose.
pub(super) enum Whose {
    /// Those of the one member who is asked about.
    One(Vec<u32>),
    /// Those of everybody: where the rows of each position start, and the rows in that order.
    All { starts: Vec<u32>, rows: Vec<u32> },
}

impl Whose {
    /// The rows of one member, whose position stands in `members` by row; one pass.
    pub(super) fn one(members: impl Iterator<Item = u32>, position: u32) -> Self {
        let rows = (0..).zip(members).filter(|(_, member)| *member == position);
        Self::One(rows.map(|(row, _)| row).collect())
    }

    /// The rows of everybody among `len`, in linear time.
    pub(super) fn all(members: impl Iterator<Item = u32> + Clone, len: usize) -> Self {
        let mut starts = vec![0u32; len.saturating_add(1)];
        let mut rows = 0usize;
        for member in members.clone() {
            update(&mut starts, member.saturating_add(1), |count| *count = count.saturating_add(1));
            rows = rows.saturating_add(1);
        }
        let mut sum = 0u32;
        for start in &mut starts {
            sum = sum.saturating_add(*start);
            *start = sum;
        }
        let mut next = starts.clone();
        let mut sorted = vec![0; rows];
        for (row, member) in (0u32..).zip(members) {
            set(&mut sorted, at(&next, member), row);
            update(&mut next, member, |place| *place = place.saturating_add(1));
        }
        Self::All { starts, rows: sorted }
    }

    /// The rows of a position, in their order.
    pub(super) fn of(&self, position: u32) -> &[u32] {
        match self {
            Self::One(rows) => rows,
            Self::All { starts, rows } => {
                part(rows, at(starts, position)..at(starts, position.saturating_add(1)))
            }
        }
    }
}
