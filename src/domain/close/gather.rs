//! Which entries of the volume journal a close counts.
//!
//! A close counts what was placed in its period and is in the journal when it is computed, and what has
//! come late for the periods before it. It remembers how far it has read the journal, so the close after
//! it knows what is new.
//!
//! Invariant: over the closes of consecutive periods, every entry that was placed since the first of
//! them began and lies up to where the last one read is counted exactly once; and nothing that is closed
//! changes. An entry that was placed before the first period was never closed and is not counted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::column::update;
use crate::domain::{
    commission::VolumeSource,
    plan::{period::Period, rank::ActiveOrder, volume::LineVolumes, volume::Measure},
    volume::Volume,
};

/// What the closes before this one have counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When the first period that was closed began.
    pub since: Timestamp,
    /// The last journal entry that the close before this one has read.
    pub upto: u64,
}

/// The volumes of a period, by member number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volumes {
    /// Personal volume.
    pub pv: Vec<Volume>,
    /// Personal qualifying volume.
    pub qv: Vec<Volume>,
    /// Personal commissionable volume.
    pub cv: Vec<Volume>,
    /// Volume of the lifetime, in what groups add up.
    pub accumulated: Vec<Volume>,
    /// Whether something is left of an order that makes somebody active ([`Orders`]).
    pub ordered: Vec<bool>,
}

/// Which orders make somebody active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// Placed from then on: the start of the first period of the look-back.
    pub since: Timestamp,
    /// Whose.
    pub of: ActiveOrder,
}

/// What came late for periods that are closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// Entries.
    pub entries: u64,
    /// The sum of what they say; negative where more was taken back.
    pub cv: Volume,
}

/// Gathers the volumes of a period from the entries of the journal, in any order.
#[derive(Debug, Clone)]
pub struct Gather {
    start: Timestamp,
    end: Timestamp,
    counted: Option<Counted>,
    upto: u64,
    group: Measure,
    volumes: Volumes,
    late: Late,
    unknown: u64,
    /// With what is left of the orders of each member. What an order has is never below zero, so one that
    /// has something left is seen in the sum.
    orders: Option<(Orders, Vec<Volume>)>,
}

impl Gather {
    /// For `members` members, with the journal up to entry `upto`. `group` is what groups add up, and
    /// `counted` what the closes before have counted; none for the first.
    pub fn new(
        period: &Period,
        counted: Option<Counted>,
        upto: u64,
        group: Measure,
        members: usize,
    ) -> Self {
        let none = || vec![Volume::ZERO; members];
        let ordered = vec![false; members];
        let volumes = Volumes { pv: none(), qv: none(), cv: none(), accumulated: none(), ordered };
        let (start, end) = (period.start, period.end);
        let (late, unknown, orders) = (Late::default(), 0, None);
        Self { start, end, counted, upto, group, volumes, late, unknown, orders }
    }

    /// Looks for these orders too.
    #[must_use]
    pub fn asking_for(mut self, orders: Option<Orders>) -> Self {
        self.orders = orders.map(|orders| (orders, vec![Volume::ZERO; self.volumes.cv.len()]));
        self
    }

    /// Takes what an entry says of an order: beside [`Gather::take`], where the plan asks for orders.
    pub fn take_order(
        &mut self,
        seq: u64,
        member: u32,
        (placed_at, source): (Timestamp, VolumeSource),
        amount: LineVolumes,
    ) {
        let Some((orders, left)) = &mut self.orders else { return };
        let own = source == VolumeSource::OwnUse || orders.of == ActiveOrder::OwnOrReferred;
        if own && seq <= self.upto && (orders.since..self.end).contains(&placed_at) {
            update(left, member, |left| *left += amount.qv + amount.cv);
        }
    }

    /// Whether an entry counts in this period, and if so whether it came late.
    pub fn is_late(&self, seq: u64, placed_at: Timestamp) -> Option<bool> {
        if seq > self.upto || placed_at >= self.end {
            return None;
        }
        if placed_at >= self.start {
            return Some(false);
        }
        let counted = self.counted?;
        (placed_at >= counted.since && seq > counted.upto).then_some(true)
    }

    /// Takes an entry: its number, whom it counts for, when the order was placed, what is new.
    pub fn take(&mut self, seq: u64, member: u32, placed_at: Timestamp, amount: LineVolumes) {
        if seq > self.upto || placed_at >= self.end {
            return;
        }
        if usize::try_from(member).map_or(true, |member| member >= self.volumes.cv.len()) {
            self.unknown = self.unknown.saturating_add(1);
            return;
        }
        let grouped = match self.group {
            Measure::Pv => amount.pv,
            Measure::Qv => amount.qv,
            Measure::Cv => amount.cv,
        };
        let volumes = &mut self.volumes;
        update(&mut volumes.accumulated, member, |sum| *sum += grouped);
        let Some(late) = self.is_late(seq, placed_at) else { return };
        let volumes = &mut self.volumes;
        update(&mut volumes.pv, member, |sum| *sum += amount.pv);
        update(&mut volumes.qv, member, |sum| *sum += amount.qv);
        update(&mut volumes.cv, member, |sum| *sum += amount.cv);
        if late {
            self.late.entries = self.late.entries.saturating_add(1);
            self.late.cv += amount.cv;
        }
    }

    /// The volumes, what of them came late, and how many entries count for somebody who is no member:
    /// a close with any is not to be trusted.
    pub fn finish(mut self) -> (Volumes, Late, u64) {
        if let Some((_, left)) = self.orders {
            self.volumes.ordered = left.into_iter().map(Volume::is_positive).collect();
        }
        (self.volumes, self.late, self.unknown)
    }

    /// What this close has counted when it is committed.
    pub fn counted(&self) -> Counted {
        let since = self.counted.map_or(self.start, |counted| counted.since);
        Counted { since, upto: self.upto }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::period::Calendar;

    const MEMBERS: u32 = 3;

    fn calendar() -> Calendar {
        toml::from_str(
            r#"
            every = { kind = "monthly" }
            time_zone = "UTC"
            day_starts = "00:00:00"
            snapshot = "last_instant"
            cut_off_days = 3
            distribution_days = 10
            "#,
        )
        .unwrap()
    }

    /// An entry: whom it counts for, the day of the order since the year began, what is new.
    type Told = (u32, u16, i16);

    fn placed(day: u16) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + i64::from(day) * 86_400).unwrap()
    }

    fn points(number: i16) -> LineVolumes {
        let volume = Volume::points(number.into());
        LineVolumes { pv: volume, qv: volume, cv: volume }
    }

    proptest! {
        /// The journal grows between the closes; entries come for any time.
        #[test]
        fn every_entry_is_counted_once_and_nothing_closed_changes(
            journal in prop::collection::vec((0..MEMBERS, 20u16..150, -9i16..9), 0..60),
            grown in prop::collection::vec(any::<prop::sample::Index>(), 3),
        ) {
            let journal: Vec<Told> = journal;
            let calendar = calendar();
            let mut upto: Vec<usize> =
                grown.iter().map(|at| at.index(journal.len() + 1)).collect();
            upto.sort_unstable();
            let mut period = calendar.at(placed(31)).unwrap();
            let since = period.start;
            let mut counted = None;
            let mut sum = Volume::ZERO;
            for read in upto.iter().copied() {
                let last = u64::try_from(read).unwrap();
                let mut gather = Gather::new(&period, counted, last, Measure::Cv, 3);
                // In no particular order, and with what the close must not see yet.
                let numbered: Vec<(u64, &Told)> = (1..).zip(&journal).collect();
                for (seq, (member, day, number)) in numbered.into_iter().rev() {
                    gather.take(seq, *member, placed(*day), points(*number));
                }
                counted = Some(gather.counted());
                let (volumes, late, unknown) = gather.finish();
                prop_assert_eq!(unknown, 0);
                let of_period: Volume = volumes.cv.iter().copied().sum();
                sum += of_period;
                let told = journal.iter().take(read).filter(|(_, day, _)| placed(*day) < period.end);
                let lifetime: Volume = told.clone().map(|(_, _, n)| points(*n).cv).sum();
                prop_assert_eq!(volumes.accumulated.iter().copied().sum::<Volume>(), lifetime);
                let closed: Volume = told
                    .filter(|(_, day, _)| placed(*day) >= since)
                    .map(|(_, _, n)| points(*n).cv)
                    .sum();
                prop_assert_eq!(sum, closed, "after {}", period.id);
                prop_assert!(late.entries > 0 || late.cv == Volume::ZERO);
                period = calendar.next(&period).unwrap();
            }
        }
    }

    /// An order counts as long as something is left of it; whose, and how far back, is for the plan to say.
    #[test]
    fn an_order_of_the_look_back_is_found_while_something_of_it_is_left() {
        let calendar = calendar();
        let february = calendar.at(placed(31)).unwrap();
        let january = calendar.previous(&february).unwrap();
        let (own, retail) = (VolumeSource::OwnUse, VolumeSource::Retail);
        // Who, when, from whom, what is new: 0 bought in January; 1 bought and sent all back; 2 referred.
        let told = [
            (0, 3, own, 10),
            (1, 40, own, 7),
            (1, 40, own, -7),
            (2, 41, retail, 5),
            (2, 41, retail, -4),
        ];
        let of = |since, of, upto| {
            let gather = Gather::new(&february, None, upto, Measure::Pv, 3);
            let mut gather = gather.asking_for(Some(Orders { since, of }));
            for (seq, (member, day, source, new)) in (1..).zip(told) {
                gather.take_order(seq, member, (placed(day), source), points(new));
            }
            gather.finish().0.ordered
        };
        assert_eq!(of(february.start, ActiveOrder::Own, 5), [false, false, false]);
        assert_eq!(of(january.start, ActiveOrder::Own, 5), [true, false, false]);
        assert_eq!(of(february.start, ActiveOrder::OwnOrReferred, 5), [false, false, true]);
        // The return is not in the journal yet.
        assert_eq!(of(february.start, ActiveOrder::Own, 2), [false, true, false]);
    }

    #[test]
    fn the_first_close_takes_nothing_from_before_and_a_later_one_what_came_late() {
        let calendar = calendar();
        let january = calendar.at(placed(0)).unwrap();
        let february = calendar.next(&january).unwrap();
        let mut first = Gather::new(&january, None, 2, Measure::Pv, 1);
        let december = Timestamp::from_second(1_767_225_599).unwrap();
        first.take(1, 0, december, points(7));
        first.take(2, 0, placed(3), points(5));
        let counted = first.counted();
        assert_eq!(first.finish().0.cv, [Volume::points(5)]);
        let mut second = Gather::new(&february, Some(counted), 5, Measure::Pv, 1);
        second.take(3, 0, placed(3), points(-5));
        second.take(4, 0, placed(40), points(9));
        second.take(5, 0, december, points(-7));
        let (volumes, late, _) = second.finish();
        assert_eq!(volumes.cv, [Volume::points(4)]);
        assert_eq!(late, Late { entries: 1, cv: Volume::points(-5) });
    }
}
