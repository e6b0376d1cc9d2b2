//! The blocks that the tree is made of: ids, places and histories of a thousand distributors each.

use jiff::Timestamp;

use super::{DistributorStatus, GenealogyError};

/// The top of the tree has no sponsor. Also the bound of the numbers: the bit above marks a history.
pub(super) const NOBODY: u32 = u32::MAX >> 1;
/// In [`Place::sponsor`]: the rest is the number of a history.
const HISTORY: u32 = 1 << 31;
/// Distributors of a block: what a change of a shared tree copies.
const BLOCK: usize = 1024;

/// The block of a distributor and the place in it.
pub(super) fn split(member: u32) -> (usize, usize) {
    let number = usize::try_from(member).unwrap_or(usize::MAX);
    (number / BLOCK, number % BLOCK)
}

/// The ids of a block, one after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Where each begins; at most 1023 ids of 64 bytes stand before.
    starts: Vec<u16>,
    text: String,
}

impl Names {
    pub(super) fn get(&self, slot: usize) -> Option<&str> {
        let start = usize::from(*self.starts.get(slot)?);
        let next = slot.checked_add(1).and_then(|next| self.starts.get(next));
        let end = next.map_or(self.text.len(), |next| usize::from(*next));
        self.text.get(start..end)
    }

    pub(super) fn push(&mut self, id: &str) -> Result<(), GenealogyError> {
        self.starts.push(u16::try_from(self.text.len()).or(Err(GenealogyError::Full))?);
        self.text.push_str(id);
        if self.starts.len() == BLOCK {
            self.text.shrink_to_fit();
            self.starts.shrink_to_fit();
        }
        Ok(())
    }
}

/// Where a distributor stands: eight bytes, and nothing else for who was enrolled once and for all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The first sponsor or [`NOBODY`]; with the bit [`HISTORY`], the number of a history in the
    /// same block.
    sponsor: u32,
    /// The event that enrolled them; 0 for who was only mentioned as somebody's sponsor.
    enrolled: u32,
}

impl Place {
    fn history(self) -> Option<usize> {
        let number = usize::try_from(self.sponsor & !HISTORY).ok();
        number.filter(|_| self.sponsor & HISTORY != 0)
    }

    /// Whether the enrolment is recorded up to a version.
    pub(super) fn known(self, seq: u64) -> bool {
        (1..=seq).contains(&u64::from(self.enrolled))
    }
}

/// What happened to a distributor after the enrolment.
#[derive(Debug, Clone)]
struct History {
    /// The first sponsor or [`NOBODY`].
    first: u32,
    /// Whether any of the entries is a move: most are of the status, and a walk passes them by.
    moved: bool,
    /// In the order in which they were recorded.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) seq: u32,
    pub(super) fact: Fact,
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fact {
    Sponsor(u32),
    Status(DistributorStatus),
}

impl Fact {
    fn sponsor(self) -> Option<u32> {
        match self {
            Self::Sponsor(sponsor) => Some(sponsor),
            Self::Status(_) => None,
        }
    }

    fn status(self) -> Option<DistributorStatus> {
        match self {
            Self::Status(status) => Some(status),
            Self::Sponsor(_) => None,
        }
    }
}

impl History {
    /// The value in force: of the entries of a kind known at version `seq` and effective at `at`,
    /// the latest.
    fn in_force<T>(&self, seq: u64, at: Timestamp, pick: fn(Fact) -> Option<T>) -> Option<T> {
        self.entries
            .iter()
            .filter(|entry| u64::from(entry.seq) <= seq && entry.at <= at)
            .filter_map(|entry| Some(((entry.at, entry.seq), pick(entry.fact)?)))
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, value)| value)
    }
}

/// The places of a block.
#[derive(Debug, Clone)]
pub(super) struct Places {
    slots: [Place; BLOCK],
    histories: Vec<History>,
    /// When each was enrolled, in seconds since 1970, beside the places so that a walk does not load
    /// it. Four bytes: the years 1970 to 2106, others as the nearest of these.
    enrolled_at: [u32; BLOCK],
}

impl Places {
    pub(super) const EMPTY: Self = Self {
        slots: [Place { sponsor: NOBODY, enrolled: 0 }; BLOCK],
        histories: Vec::new(),
        enrolled_at: [0; BLOCK],
    };

    pub(super) fn get(&self, slot: usize) -> Option<Place> {
        self.slots.get(slot).copied()
    }

    /// When the distributor was enrolled, to the second.
    pub(super) fn enrolled_at(&self, slot: usize) -> Option<Timestamp> {
        Timestamp::from_second(i64::from(*self.enrolled_at.get(slot)?)).ok()
    }

    /// The sponsor in force, or [`NOBODY`].
    pub(super) fn sponsor(&self, place: Place, seq: u64, at: Timestamp) -> u32 {
        let Some(history) = self.history(place) else { return place.sponsor };
        let moved = history.moved.then(|| history.in_force(seq, at, Fact::sponsor)).flatten();
        moved.unwrap_or(history.first)
    }

    /// The status in force, if an event says one.
    pub(super) fn status(
        &self,
        place: Place,
        seq: u64,
        at: Timestamp,
    ) -> Option<DistributorStatus> {
        self.history(place)?.in_force(seq, at, Fact::status)
    }

    fn history(&self, place: Place) -> Option<&History> {
        self.histories.get(place.history()?)
    }

    /// Notes what happened to a distributor. Their first sponsor is their enrolment.
    pub(super) fn record(&mut self, slot: usize, entry: Entry) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        match entry.fact {
            Fact::Sponsor(sponsor) if place.enrolled == 0 => {
                place.enrolled = entry.seq;
                let second = entry.at.as_second().max(0);
                if let Some(enrolled_at) = self.enrolled_at.get_mut(slot) {
                    *enrolled_at = u32::try_from(second).unwrap_or(u32::MAX);
                }
                match place.history().and_then(|number| self.histories.get_mut(number)) {
                    Some(history) => history.first = sponsor,
                    None => place.sponsor = sponsor,
                }
            }
            Fact::Sponsor(_) | Fact::Status(_) => {
                if let Some(history) = self.history_mut(slot) {
                    history.moved |= entry.fact.sponsor().is_some();
                    grow(&mut history.entries);
                    history.entries.push(entry);
                }
            }
        }
    }

    /// The history of a place, which begins one if it has none.
    fn history_mut(&mut self, slot: usize) -> Option<&mut History> {
        let place = self.slots.get_mut(slot)?;
        if place.history().is_none() {
            let number = u32::try_from(self.histories.len()).ok()?;
            grow(&mut self.histories);
            self.histories.push(History {
                first: place.sponsor,
                moved: false,
                entries: Vec::new(),
            });
            place.sponsor = number | HISTORY;
        }
        self.histories.get_mut(place.history()?)
    }
}

/// Makes room for one more, by doubling from one on: most histories have one entry.
fn grow<T>(list: &mut Vec<T>) {
    if list.len() == list.capacity() {
        list.reserve_exact(list.len().max(1));
    }
}
