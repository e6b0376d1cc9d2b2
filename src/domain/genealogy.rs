//! Who enrolled whom, as of any instant and any version.
//!
//! The tree is built from an append-only list of events, each chained by hash on the one before, so
//! a version of the genealogy is `(seq, hash)`. A question names two instants: *effective*, what
//! was true at the order's time, and *recorded*, which events were known (the version that the
//! order is locked to). An event recorded later never changes the answer for an order locked
//! before.
//!
//! In memory a distributor is a dense number; the first sponsor stands in a flat array and the rare
//! re-sponsorings beside it as dated edges. Walking an upline allocates nothing.
//!
//! Before the first event of a distributor their first sponsor counts: an order that names someone
//! enrolled a minute later (clocks differ between systems) still finds their upline.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{digest::Digest, id::DistributorId};

/// A version of the genealogy: the last event and the hash of the chain up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GenealogyVersion {
    /// Sequence number of the last event, 0 for none.
    pub seq: u64,
    /// Hash of the chain up to that event.
    pub hash: Digest,
}

impl GenealogyVersion {
    /// The empty genealogy.
    pub const EMPTY: Self = Self { seq: 0, hash: Digest::ZERO };
}

/// Whether a distributor can earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributorStatus {
    /// Earns.
    Active,
    /// Keeps the place in the tree but does not earn.
    Inactive,
    /// Has left; does not earn.
    Terminated,
}

impl DistributorStatus {
    /// Parses the lower-case name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Terminated]
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Terminated => "terminated",
        }
    }
}

/// What happened to a distributor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Joined under a sponsor, or at the top.
    Enrolled(Option<DistributorId>),
    /// Moved under another sponsor.
    Sponsored(Option<DistributorId>),
    /// Became active, inactive or terminated.
    Status(DistributorStatus),
}

impl Change {
    /// The name in the table `genealogy_event`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Enrolled(_) => "enrolled",
            Self::Sponsored(_) => "sponsored",
            Self::Status(status) => status.as_str(),
        }
    }

    /// The sponsor that the change names.
    pub fn sponsor(&self) -> Option<&DistributorId> {
        match self {
            Self::Enrolled(sponsor) | Self::Sponsored(sponsor) => sponsor.as_ref(),
            Self::Status(_) => None,
        }
    }
}

/// One event of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenealogyEvent {
    /// Position in the chain, from 1, without gaps.
    pub seq: u64,
    /// The distributor.
    pub distributor: DistributorId,
    /// What happened.
    pub change: Change,
    /// When it became true.
    pub effective_at: Timestamp,
    /// When it became known.
    pub recorded_at: Timestamp,
    /// Hash of the chain up to and including this event.
    pub hash: Digest,
}

impl GenealogyEvent {
    /// The hash that the event must carry after `previous`. The database computes the same one when
    /// it appends the event: SHA-256 of the previous hash and of the fields as lines of text, times
    /// in microseconds since 1970.
    pub fn chained(&self, previous: &Digest) -> Digest {
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.seq,
            self.distributor,
            self.change.sponsor().map_or("", DistributorId::as_str),
            self.change.kind(),
            self.effective_at.as_microsecond(),
            self.recorded_at.as_microsecond(),
        );
        let mut bytes = previous.as_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        Digest::of(&bytes)
    }
}

/// Why an event cannot be appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenealogyError {
    /// An event is missing or out of order.
    #[error("genealogy event {found} does not follow event {last}")]
    Sequence {
        /// The last event that was applied.
        last: u64,
        /// The event that came.
        found: u64,
    },
    /// The event does not carry the hash that its content and its predecessor require.
    #[error("the hash of genealogy event {0} does not match its content: the chain was altered")]
    Hash(u64),
    /// More distributors than a dense number can name.
    #[error("more than four billion distributors")]
    Full,
}

/// A distributor inside a [`Genealogy`]: a dense number, valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(u32);

const NOBODY: u32 = u32::MAX;

/// A dated edge or status, in the order in which it was recorded.
#[derive(Debug, Clone, Copy)]
struct Dated<T> {
    seq: u64,
    at: Timestamp,
    value: T,
}

/// The value in force: of the entries known at version `seq` and effective at `at`, the latest.
fn in_force<T: Copy>(entries: &[Dated<T>], seq: u64, at: Timestamp) -> Option<T> {
    entries
        .iter()
        .filter(|e| e.seq <= seq && e.at <= at)
        .max_by_key(|e| (e.at, e.seq))
        .map(|e| e.value)
}

/// The whole history of the tree, immutable once shared.
#[derive(Debug, Clone)]
pub struct Genealogy {
    ids: Vec<DistributorId>,
    index: HashMap<DistributorId, u32>,
    /// Ids that hold capitals, in lower case: shops fold codes. `None` where two ids fold to one.
    folded: HashMap<Box<str>, Option<u32>>,
    /// First sponsor of each; [`NOBODY`] at the top.
    first: Vec<u32>,
    /// The event that enrolled each; 0 for who was only mentioned as somebody's sponsor.
    enrolled: Vec<u64>,
    moves: HashMap<u32, Vec<Dated<u32>>>,
    statuses: HashMap<u32, Vec<Dated<DistributorStatus>>>,
    version: GenealogyVersion,
}

impl Default for Genealogy {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            index: HashMap::new(),
            folded: HashMap::new(),
            first: Vec::new(),
            enrolled: Vec::new(),
            moves: HashMap::new(),
            statuses: HashMap::new(),
            version: GenealogyVersion::EMPTY,
        }
    }
}

impl Genealogy {
    /// Applies the next event of the chain after checking its number and its hash.
    pub fn apply(&mut self, event: &GenealogyEvent) -> Result<(), GenealogyError> {
        if Some(event.seq) != self.version.seq.checked_add(1) {
            return Err(GenealogyError::Sequence { last: self.version.seq, found: event.seq });
        }
        if event.chained(&self.version.hash) != event.hash {
            return Err(GenealogyError::Hash(event.seq));
        }
        let member = self.intern(&event.distributor)?;
        let (seq, at) = (event.seq, event.effective_at);
        match &event.change {
            Change::Enrolled(sponsor) | Change::Sponsored(sponsor) => {
                let sponsor = match sponsor {
                    Some(sponsor) => self.intern(sponsor)?,
                    None => NOBODY,
                };
                self.set_sponsor(member, sponsor, seq, at);
            }
            Change::Status(value) => {
                self.statuses.entry(member).or_default().push(Dated { seq, at, value: *value });
            }
        }
        self.version = GenealogyVersion { seq: event.seq, hash: event.hash };
        Ok(())
    }

    fn set_sponsor(&mut self, member: u32, sponsor: u32, seq: u64, at: Timestamp) {
        let Some(slot) = usize::try_from(member).ok() else { return };
        if let Some(enrolled @ 0) = self.enrolled.get_mut(slot) {
            *enrolled = seq;
            if let Some(first) = self.first.get_mut(slot) {
                *first = sponsor;
            }
        } else {
            self.moves.entry(member).or_default().push(Dated { seq, at, value: sponsor });
        }
    }

    fn intern(&mut self, id: &DistributorId) -> Result<u32, GenealogyError> {
        if let Some(known) = self.index.get(id) {
            return Ok(*known);
        }
        let number = u32::try_from(self.ids.len()).map_err(|_overflow| GenealogyError::Full)?;
        if number == NOBODY {
            return Err(GenealogyError::Full);
        }
        self.ids.push(id.clone());
        self.first.push(NOBODY);
        self.enrolled.push(0);
        self.index.insert(id.clone(), number);
        let lower = id.as_str().to_ascii_lowercase();
        if lower != id.as_str() {
            self.folded
                .entry(lower.into())
                .and_modify(|known| *known = None)
                .or_insert(Some(number));
        }
        Ok(number)
    }

    /// The version: all events up to it are in.
    pub fn version(&self) -> GenealogyVersion {
        self.version
    }

    /// How many distributors are known.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Finds an enrolled distributor.
    pub fn find(&self, id: &DistributorId) -> Option<Member> {
        self.find_known(id, u64::MAX)
    }

    /// Finds a distributor whose enrolment was recorded up to version `seq`.
    pub fn find_known(&self, id: &DistributorId, seq: u64) -> Option<Member> {
        let number = *self.index.get(id)?;
        let enrolled = *self.enrolled.get(usize::try_from(number).ok()?)?;
        (1..=seq).contains(&enrolled).then_some(Member(number))
    }

    /// Finds a distributor by a code as a shop hands it on, which may have folded its capitals
    /// (WooCommerce writes coupons in lower case); judged by version `seq`. A code that is an id as
    /// it stands means that one; one that could mean two distributors means nobody.
    pub fn find_code(&self, code: &str, seq: u64) -> Option<&DistributorId> {
        let id = DistributorId::parse(code).ok()?;
        let exact = self.find_known(&id, seq);
        let member = exact.or_else(|| {
            let number = (*self.folded.get(code.trim().to_ascii_lowercase().as_str())?)?;
            self.find_known(self.id(Member(number))?, seq)
        });
        self.id(member?)
    }

    /// The id of a distributor.
    pub fn id(&self, member: Member) -> Option<&DistributorId> {
        usize::try_from(member.0).ok().and_then(|n| self.ids.get(n))
    }

    /// The tree as it was at `at`, judged by what was recorded up to version `seq`.
    pub fn as_of(&self, at: Timestamp, seq: u64) -> AsOf<'_> {
        AsOf { tree: self, at, seq }
    }
}

/// The tree at one instant, at one version.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    tree: &'a Genealogy,
    at: Timestamp,
    seq: u64,
}

impl<'a> AsOf<'a> {
    /// Whether the enrolment of a distributor is recorded up to this version. Who is only mentioned
    /// as a sponsor, or enrolled later, neither earns nor has an upline here.
    fn knows(&self, member: Member) -> bool {
        let slot = usize::try_from(member.0).ok();
        let enrolled = slot.and_then(|slot| self.tree.enrolled.get(slot));
        enrolled.is_some_and(|enrolled| (1..=self.seq).contains(enrolled))
    }

    /// The sponsor of a distributor, `None` at the top.
    pub fn sponsor(&self, member: Member) -> Option<Member> {
        if !self.knows(member) {
            return None;
        }
        let moved = match self.tree.moves.get(&member.0) {
            Some(moves) => in_force(moves, self.seq, self.at),
            None => None,
        };
        let sponsor = match moved {
            Some(sponsor) => sponsor,
            None => *self.tree.first.get(usize::try_from(member.0).ok()?)?,
        };
        (sponsor != NOBODY).then_some(Member(sponsor))
    }

    /// Whether the distributor could earn; active unless an event says otherwise.
    pub fn status(&self, member: Member) -> DistributorStatus {
        if !self.knows(member) {
            return DistributorStatus::Inactive;
        }
        match self.tree.statuses.get(&member.0) {
            Some(entries) => {
                in_force(entries, self.seq, self.at).unwrap_or(DistributorStatus::Active)
            }
            None => DistributorStatus::Active,
        }
    }

    /// The sponsors above a distributor, nearest first. Ends at the top, at the distributor again (a
    /// loop in the data pays nobody on their own order), and at the latest after as many steps as
    /// there are distributors.
    pub fn upline(&self, member: Member) -> Upline<'a> {
        Upline { tree: *self, start: member, next: self.sponsor(member), left: self.tree.len() }
    }
}

/// Iterates over an upline.
#[derive(Debug, Clone)]
pub struct Upline<'a> {
    tree: AsOf<'a>,
    start: Member,
    next: Option<Member>,
    left: usize,
}

impl Iterator for Upline<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let member = self.next.filter(|member| *member != self.start)?;
        self.left = self.left.checked_sub(1)?;
        self.next = self.tree.sponsor(member);
        Some(member)
    }
}

#[cfg(test)]
pub(crate) mod tests;
