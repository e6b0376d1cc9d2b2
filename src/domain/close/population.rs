//! The members of a period at its snapshot instant, as flat columns.
//!
//! Invariant: inside, members stand breadth-first. Every sponsor stands before those they enrolled,
//! and the people of one sponsor stand side by side, so a sweep upwards is a loop from the end and
//! the frontline of a member is a slice. A *position* is a place in that order; a *member number* is
//! the caller's.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::column::{NOBODY, at, index, number, set, update};
use crate::domain::{
    genealogy::DistributorStatus,
    plan::{rank::RankLevel, volume::Measure},
    volume::Volume,
};

/// Why columns are no population.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PopulationError {
    /// A column has another length than that of the sponsors.
    #[error("column {column} has {found} members, the column of sponsors has {expected}")]
    Length {
        /// The column.
        column: &'static str,
        /// Its length.
        found: usize,
        /// The number of members.
        expected: usize,
    },
    /// A sponsor is no member.
    #[error("member {member} has the sponsor {sponsor}, who is not in the population")]
    Sponsor {
        /// The member.
        member: u32,
        /// The sponsor named.
        sponsor: u32,
    },
    /// Somebody stands above themselves.
    #[error("member {0} stands in a circle of sponsors: correct the tree before the close")]
    Cycle(u32),
    /// What is carried names a member that there is not.
    #[error("volume is carried for member {0}, who is not in the population")]
    Carried(u32),
    /// A column adds up to more than a volume holds.
    #[error("the volumes of column {0} together are out of range: at most 922337203685477 points")]
    Volume(&'static str),
    /// More members than numbers.
    #[error("{0} members, at most 4000000000 are allowed")]
    TooMany(usize),
}

/// What is known of the members, by the caller's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// The sponsor at the snapshot instant, [`NOBODY`] at the top.
    pub sponsor: Vec<u32>,
    /// The status at the snapshot instant.
    pub status: Vec<DistributorStatus>,
    /// Personal volume of the period, with what the close before carried on.
    pub pv: Vec<Volume>,
    /// Personal qualifying volume of the period.
    pub qv: Vec<Volume>,
    /// Personal commissionable volume of the period.
    pub cv: Vec<Volume>,
    /// Volume of the lifetime up to and with this period, in what groups add up.
    pub accumulated: Vec<Volume>,
    /// PV of the periods before, the last one first; as many as the look-back of the plan needs.
    pub earlier_pv: Vec<Vec<Volume>>,
    /// Whether there is an order in the periods of the look-back that makes them active, where the plan asks
    /// for one.
    pub ordered: Vec<bool>,
    /// The highest rank ever reached before this period.
    pub achieved: Vec<RankLevel>,
}

/// The members in the order of sweeps.
#[derive(Debug, Clone)]
pub struct Population {
    member: Vec<u32>,
    position: Vec<u32>,
    sponsor: Vec<u32>,
    /// Where the frontline of each starts; one more entry than members.
    first: Vec<u32>,
    columns: Columns,
    /// What is below zero, by member number.
    below_zero: Vec<BelowZero>,
}

/// The part below zero of a member's personal volumes of a period. In text, what a close carries on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BelowZero {
    /// The member, by the caller's number.
    pub member: u32,
    /// Of the personal volume; not above zero, as the others.
    pub pv: Volume,
    /// Of the qualifying volume.
    pub qv: Volume,
    /// Of the commissionable volume.
    pub cv: Volume,
}

impl Columns {
    /// Adds what the close before carried on ([`super::Close::carried_volume`]) to the volumes of this
    /// period, before they become a population.
    pub fn carry_in(&mut self, carried: &[BelowZero]) -> Result<(), PopulationError> {
        let len = self.sponsor.len();
        check_lengths(self, len)?;
        for below in carried {
            if index(below.member) >= len {
                return Err(PopulationError::Carried(below.member));
            }
            update(&mut self.pv, below.member, |pv| *pv += below.pv);
            update(&mut self.qv, below.member, |qv| *qv += below.qv);
            update(&mut self.cv, below.member, |cv| *cv += below.cv);
        }
        Ok(())
    }

    fn below_zero(&self) -> Vec<BelowZero> {
        let volumes = self.pv.iter().zip(&self.qv).zip(&self.cv);
        let below = (0..).zip(volumes).map(|(member, ((pv, qv), cv))| {
            let [pv, qv, cv] = [pv, qv, cv].map(|volume| *volume.min(&Volume::ZERO));
            BelowZero { member, pv, qv, cv }
        });
        let none = [Volume::ZERO; 3];
        below.filter(|below| [below.pv, below.qv, below.cv] != none).collect()
    }
}

impl Population {
    /// Orders the members, in time linear in their number. Personal volume below zero counts as none,
    /// and stands apart ([`Population::below_zero`]).
    pub fn new(columns: &Columns) -> Result<Self, PopulationError> {
        let len = columns.sponsor.len();
        if len > 4_000_000_000 {
            return Err(PopulationError::TooMany(len));
        }
        check_lengths(columns, len)?;
        check_sums(columns)?;
        let (member, first) = breadth_first(&columns.sponsor)?;
        let mut position = vec![0; len];
        for (place, member) in member.iter().enumerate() {
            set(&mut position, *member, number(place));
        }
        let above = |m: &u32| match at(&columns.sponsor, *m) {
            NOBODY => NOBODY,
            sponsor => at(&position, sponsor),
        };
        let sponsor = member.iter().map(above).collect();
        let below_zero = columns.below_zero();
        let columns = Columns {
            sponsor: Vec::new(),
            status: take(&member, &columns.status),
            pv: counted(&member, &columns.pv),
            qv: counted(&member, &columns.qv),
            cv: counted(&member, &columns.cv),
            accumulated: take(&member, &columns.accumulated),
            earlier_pv: columns.earlier_pv.iter().map(|column| counted(&member, column)).collect(),
            ordered: take(&member, &columns.ordered),
            achieved: take(&member, &columns.achieved),
        };
        Ok(Self { member, position, sponsor, first, columns, below_zero })
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.member.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.member.is_empty()
    }

    /// The caller's number of who stands at a position.
    pub fn member(&self, position: u32) -> u32 {
        self.member.get(index(position)).copied().unwrap_or(NOBODY)
    }

    /// The position of a member; `None` if there is no such member.
    pub fn position(&self, member: u32) -> Option<u32> {
        self.position.get(index(member)).copied()
    }

    /// All positions, sponsors first.
    pub fn positions(&self) -> Range<u32> {
        0..number(self.len())
    }

    /// The position of the sponsor, [`NOBODY`] at the top.
    pub fn sponsor(&self, position: u32) -> u32 {
        self.sponsor.get(index(position)).copied().unwrap_or(NOBODY)
    }

    /// The column of sponsors by position.
    pub(super) fn sponsors(&self) -> &[u32] {
        &self.sponsor
    }

    /// The positions of the personally enrolled.
    pub fn frontline(&self, position: u32) -> Range<u32> {
        at(&self.first, position)..at(&self.first, position.saturating_add(1))
    }

    /// Whether the status is active.
    pub fn may_earn(&self, position: u32) -> bool {
        let status = self.columns.status.get(index(position));
        status.is_some_and(|status| *status == DistributorStatus::Active)
    }

    /// Whether there is an order that makes the member active, where the plan asks for one.
    pub(super) fn ordered(&self, position: u32) -> bool {
        self.columns.ordered.get(index(position)).copied().unwrap_or_default()
    }

    /// The part below zero of personal volumes, by member number; members without one are absent.
    pub fn below_zero(&self) -> &[BelowZero] {
        &self.below_zero
    }

    /// A column of personal volume, by position; not below zero.
    pub fn volume(&self, measure: Measure) -> &[Volume] {
        match measure {
            Measure::Pv => &self.columns.pv,
            Measure::Qv => &self.columns.qv,
            Measure::Cv => &self.columns.cv,
        }
    }

    /// The volumes of a lifetime, by position.
    pub fn accumulated(&self) -> &[Volume] {
        &self.columns.accumulated
    }

    /// The ranks reached before this period, by position.
    pub fn achieved(&self) -> &[RankLevel] {
        &self.columns.achieved
    }

    /// The PV of the periods before, the last one first, each by position.
    pub fn earlier_pv(&self) -> &[Vec<Volume>] {
        &self.columns.earlier_pv
    }

    /// Adds up a column over each member and the downline.
    pub fn group(&self, own: &[Volume]) -> Vec<Volume> {
        let mut group = own.to_vec();
        for position in self.positions().rev() {
            let volume = at(&group, position);
            update(&mut group, self.sponsor(position), |above| *above += volume);
        }
        group
    }

    /// For each member the nearest above who holds a place, [`NOBODY`] if there is none.
    pub(super) fn next_above(&self, holds: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut above: Vec<u32> = Vec::with_capacity(self.len());
        for sponsor in &self.sponsor {
            let next = if *sponsor == NOBODY || holds(*sponsor) {
                *sponsor
            } else {
                above.get(index(*sponsor)).copied().unwrap_or(NOBODY)
            };
            above.push(next);
        }
        above
    }
}

fn check_lengths(columns: &Columns, expected: usize) -> Result<(), PopulationError> {
    let lengths = [
        ("status", columns.status.len()),
        ("pv", columns.pv.len()),
        ("qv", columns.qv.len()),
        ("cv", columns.cv.len()),
        ("accumulated", columns.accumulated.len()),
        ("achieved", columns.achieved.len()),
        ("ordered", columns.ordered.len()),
    ];
    let earlier = columns.earlier_pv.iter().map(|column| ("earlier_pv", column.len()));
    match lengths.into_iter().chain(earlier).find(|(_, found)| *found != expected) {
        Some((column, found)) => Err(PopulationError::Length { column, found, expected }),
        None => Ok(()),
    }
}

/// Sums saturate: where they could, the close would be wrong without a word. A look-back adds up the
/// PV of several periods.
fn check_sums(columns: &Columns) -> Result<(), PopulationError> {
    let fits = |name, fits: bool| if fits { Ok(()) } else { Err(PopulationError::Volume(name)) };
    let earlier = columns.earlier_pv.iter().flatten();
    fits("pv", Volume::fits(columns.pv.iter().chain(earlier).copied()))?;
    fits("qv", Volume::fits(columns.qv.iter().copied()))?;
    fits("cv", Volume::fits(columns.cv.iter().copied()))?;
    fits("accumulated", Volume::fits(columns.accumulated.iter().copied()))
}

fn counted(member: &[u32], column: &[Volume]) -> Vec<Volume> {
    member.iter().map(|member| at(column, *member).at_least_zero()).collect()
}

fn take<T: Copy>(member: &[u32], column: &[T]) -> Vec<T> {
    member.iter().filter_map(|member| column.get(index(*member)).copied()).collect()
}

/// The members in breadth-first order, and where the frontline of each starts in it. Members of one
/// sponsor keep the order of their numbers.
fn breadth_first(sponsor: &[u32]) -> Result<(Vec<u32>, Vec<u32>), PopulationError> {
    let len = sponsor.len();
    // The people of each sponsor as one list: `heads` into `next`, filled from the back.
    let mut heads = vec![NOBODY; len];
    let mut next = vec![NOBODY; len];
    let mut tops = NOBODY;
    for (member, above) in sponsor.iter().enumerate().rev() {
        let member = number(member);
        let head = match *above {
            NOBODY => &mut tops,
            above => match heads.get_mut(index(above)) {
                Some(head) => head,
                None => return Err(PopulationError::Sponsor { member, sponsor: above }),
            },
        };
        set(&mut next, member, *head);
        *head = member;
    }
    let mut order = Vec::with_capacity(len);
    let mut first = Vec::with_capacity(len.saturating_add(1));
    let link = |column: &[u32], member: u32| column.get(index(member)).copied().unwrap_or(NOBODY);
    let append = |order: &mut Vec<u32>, mut member: u32| {
        while member != NOBODY {
            order.push(member);
            member = link(&next, member);
        }
    };
    append(&mut order, tops);
    let mut read = 0;
    while let Some(member) = order.get(read).copied() {
        first.push(number(order.len()));
        append(&mut order, link(&heads, member));
        read = read.saturating_add(1);
    }
    first.push(number(order.len()));
    if order.len() == len { Ok((order, first)) } else { Err(cycle(sponsor, &order)) }
}

/// Names a member of a circle: who is not reached stands in one or below one.
fn cycle(sponsor: &[u32], reached: &[u32]) -> PopulationError {
    let mut known = vec![false; sponsor.len()];
    for member in reached {
        set(&mut known, *member, true);
    }
    let lost = known.iter().position(|known| !known).map_or(NOBODY, number);
    let mut member = lost;
    for _ in sponsor {
        member = sponsor.get(index(member)).copied().unwrap_or(NOBODY);
    }
    PopulationError::Cycle(member)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Members of whom only the sponsors are known; everybody is active.
    pub(in crate::domain::close) fn people(sponsor: &[u32]) -> Columns {
        let len = sponsor.len();
        Columns {
            sponsor: sponsor.to_vec(),
            status: vec![DistributorStatus::Active; len],
            pv: vec![Volume::ZERO; len],
            qv: vec![Volume::ZERO; len],
            cv: vec![Volume::ZERO; len],
            accumulated: vec![Volume::ZERO; len],
            earlier_pv: Vec::new(),
            ordered: vec![false; len],
            achieved: vec![RankLevel(0); len],
        }
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let refused = |sponsor: &[u32]| Population::new(&people(sponsor)).unwrap_err();
        assert_eq!(refused(&[1]), PopulationError::Sponsor { member: 0, sponsor: 1 });
        assert_eq!(refused(&[0]), PopulationError::Cycle(0));
        // 0 and 1 hang below the circle of 2, 3 and 4 and are not in it.
        let PopulationError::Cycle(member) = refused(&[1, 2, 3, 4, 2, NOBODY]) else { panic!() };
        assert!((2..=4).contains(&member), "{member}");
        let mut short = people(&[NOBODY]);
        short.cv.clear();
        let error = Population::new(&short).unwrap_err().to_string();
        assert_eq!(error, "column cv has 0 members, the column of sponsors has 1");
    }

    #[test]
    fn a_column_whose_sum_would_saturate_is_refused() {
        let half = Volume::from_parts(i64::MAX / 2 + 1);
        let mut columns = people(&[NOBODY, 0]);
        columns.pv = vec![half, Volume::ZERO];
        Population::new(&columns).unwrap();
        columns.earlier_pv = vec![vec![half, Volume::ZERO]];
        assert_eq!(Population::new(&columns).unwrap_err(), PopulationError::Volume("pv"));
        let mut columns = people(&[NOBODY, 0]);
        columns.cv = vec![half, -half];
        assert_eq!(Population::new(&columns).unwrap_err(), PopulationError::Volume("cv"));
    }

    #[test]
    fn a_chain_of_a_million_needs_no_stack() {
        let last = 1_000_000u32;
        let sponsor: Vec<u32> =
            (0..last).map(|m| if m + 1 < last { m + 1 } else { NOBODY }).collect();
        let population = Population::new(&people(&sponsor)).unwrap();
        assert_eq!(population.member(0), last - 1);
        let ones = vec![Volume::points(1); sponsor.len()];
        assert_eq!(population.group(&ones)[0], Volume::points(1_000_000));
    }

    proptest! {
        #[test]
        fn sponsors_stand_before_their_people_and_the_frontline_is_a_slice(
            seed in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..60),
            order in any::<u64>(),
        ) {
            let sponsor = super::super::oracle::shuffled_tree(&seed, order);
            let population = Population::new(&people(&sponsor)).unwrap();
            for position in population.positions() {
                let member = population.member(position);
                prop_assert_eq!(population.position(member), Some(position));
                let above = population.sponsor(position);
                let named = sponsor[index(member)];
                prop_assert_eq!(if above == NOBODY { NOBODY } else { population.member(above) }, named);
                prop_assert!(above == NOBODY || above < position);
                let front: Vec<u32> =
                    population.frontline(position).map(|p| population.member(p)).collect();
                let named: Vec<u32> =
                    (0..number(sponsor.len())).filter(|m| sponsor[index(*m)] == member).collect();
                prop_assert_eq!(front, named);
            }
        }
    }
}
