//! Which close counted the volume of an order, and from which close a return takes it.
//!
//! A close counts the entries of the journal that are of its period, and those that came late for periods
//! closed before. So the volume of one order can stand in several closes. What comes back is taken from
//! the volume that was counted last: that of the open period first, then that of the last closed one.
//!
//! Invariant: taken from where it was counted, no close keeps less than nothing of an order, and all
//! closes together keep what the journal says.

use jiff::Timestamp;

use super::gather::Counted;
use crate::domain::{plan::period::Period, volume::Volume};

/// The closes of consecutive periods, the open one last: which entry each counted.
#[derive(Debug, Clone, Default)]
pub struct Closes {
    since: Option<Timestamp>,
    /// The end of each period.
    ends: Vec<Timestamp>,
    /// The last entry that each close has read.
    upto: Vec<u64>,
}

impl Closes {
    /// Adds the next close.
    pub fn push(&mut self, period: &Period, counted: Counted) {
        self.since.get_or_insert(counted.since);
        self.ends.push(period.end);
        self.upto.push(counted.upto);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The close that counted an entry: the first that ended after its order was placed and had read it.
    /// None if no close has.
    pub fn of(&self, seq: u64, placed_at: Timestamp) -> Option<usize> {
        if self.since.is_none_or(|since| placed_at < since) {
            return None;
        }
        let ended = self.ends.partition_point(|end| *end <= placed_at);
        let read = self.upto.partition_point(|upto| *upto < seq);
        Some(ended.max(read)).filter(|close| *close < self.len())
    }
}

/// Volume of an order that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// The close that counted it, by its number.
    pub from: usize,
    /// The close in which it came back.
    pub at: usize,
    /// How much; above zero.
    pub volume: Volume,
}

/// What the closes take back of an order: `counted` has what each counted of it, by their numbers, below
/// zero where more came back than was added. Where an order comes to less than nothing, which no journal
/// says, the rest is taken from nowhere.
pub fn takes(counted: &[(usize, Volume)]) -> Vec<Take> {
    let mut lots: Vec<(usize, Volume)> = Vec::new();
    let mut takes = Vec::new();
    for (at, volume) in counted.iter().copied() {
        if volume >= Volume::ZERO {
            lots.push((at, volume));
            continue;
        }
        let mut back = -volume;
        while back.is_positive() {
            let Some((from, left)) = lots.last_mut() else { break };
            let volume = back.min(*left);
            if volume.is_positive() {
                takes.push(Take { from: *from, at, volume });
            }
            *left -= volume;
            back -= volume;
            if !left.is_positive() {
                lots.pop();
            }
        }
    }
    takes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::plan::period::Calendar;

    fn points(number: i32) -> Volume {
        Volume::points(number)
    }

    #[test]
    fn what_was_counted_last_is_taken_first() {
        let counted = [(0, points(100)), (1, points(50)), (3, points(-60)), (4, points(-90))];
        let take = |from, at, volume| Take { from, at, volume: points(volume) };
        assert_eq!(takes(&counted), [take(1, 3, 50), take(0, 3, 10), take(0, 4, 90)]);
        assert_eq!(takes(&[(0, points(5)), (1, points(-9))]), [take(0, 1, 5)]);
    }

    proptest! {
        /// An order whose volume goes up and down, never below nothing, over a growing journal.
        #[test]
        fn closes_keep_what_the_journal_says_and_never_less_than_nothing(
            targets in prop::collection::vec(0i32..20, 1..12),
            day in 0u16..90,
            read in prop::collection::vec(0u64..12, 4),
        ) {
            let calendar: Calendar = toml::from_str(
                "every = { kind = \"monthly\" }\ntime_zone = \"UTC\"\nday_starts = \"00:00:00\"\n\
                 snapshot = \"last_instant\"\ncut_off_days = 3\ndistribution_days = 10",
            )
            .unwrap();
            let placed = Timestamp::from_second(1_767_225_600 + i64::from(day) * 86_400).unwrap();
            let mut read = read;
            read.sort_unstable();
            let mut period = calendar.at(Timestamp::from_second(1_767_225_600).unwrap()).unwrap();
            let since = period.start;
            let mut closes = Closes::default();
            for upto in &read {
                closes.push(&period, Counted { since, upto: *upto });
                period = calendar.next(&period).unwrap();
            }
            let before = std::iter::once(&0).chain(&targets);
            let entries = targets.iter().zip(before).map(|(now, before)| points(now - before));
            let mut counted: Vec<(usize, Volume)> = Vec::new();
            let mut sum = Volume::ZERO;
            for (seq, volume) in (1..).zip(entries) {
                let Some(close) = closes.of(seq, placed) else { continue };
                sum += volume;
                match counted.last_mut() {
                    Some((last, known)) if *last == close => *known += volume,
                    _ => counted.push((close, volume)),
                }
            }
            prop_assert!(counted.is_sorted_by_key(|(close, _)| *close));
            let mut kept = [Volume::ZERO; 4];
            for (close, volume) in &counted {
                kept[*close] += *volume;
            }
            for take in takes(&counted) {
                prop_assert!(take.from < take.at && take.volume.is_positive());
                kept[take.at] += take.volume;
                kept[take.from] -= take.volume;
            }
            prop_assert!(kept.iter().all(|volume| *volume >= Volume::ZERO), "{kept:?}");
            prop_assert_eq!(kept.iter().copied().sum::<Volume>(), sum);
        }
    }
}
