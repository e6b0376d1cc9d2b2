//! Who enrolled whom, as of any instant and any version.
//!
//! The tree is built from an append-only list of events, each chained by hash on the one before, so
//! a version of the genealogy is `(seq, hash)`. A question names two instants: *effective*, what
//! was true at the order's time, and *recorded*, which events were known (the version that the
//! order is locked to). An event recorded later never changes the answer for an order locked
//! before.
//!
//! In memory a distributor is a dense number. Ids, places and index lie in blocks of a thousand that
//! the versions of the tree share: some 40 bytes a distributor, and a new event copies the few
//! blocks that it touches. The first sponsor stands at the distributor's place, what happened later
//! in a history beside it. Walking an upline allocates nothing.
//!
//! Before the first event of a distributor their first sponsor counts: an order that names someone
//! enrolled a minute later (clocks differ between systems) still finds their upline.

mod block;
mod event;
mod index;
pub(super) mod spine;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::event::{Change, DistributorStatus, EventLine, GenealogyError, GenealogyEvent};
use self::{
    block::{Entry, Fact, NOBODY, Names, Place, Places, split},
    index::Index,
    spine::Spine,
};
use super::{
    digest::Digest,
    id::{DistributorId, IdError},
};

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

/// A distributor inside a [`Genealogy`]: a dense number, valid only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member(u32);

impl Member {
    /// The number. It stays the same in every later version of the same chain, so what is kept beside
    /// the tree can be found by it.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// The whole history of the tree. A clone shares everything with the original, and a change copies
/// only the blocks that it touches, so the next version beside the current one costs little.
#[derive(Debug, Clone)]
pub struct Genealogy {
    names: Spine<Names>,
    places: Spine<Places>,
    index: Index,
    len: u32,
    version: GenealogyVersion,
}

impl Default for Genealogy {
    fn default() -> Self {
        Self {
            names: Spine::default(),
            places: Spine::default(),
            index: Index::default(),
            len: 0,
            version: GenealogyVersion::EMPTY,
        }
    }
}

impl Genealogy {
    /// Applies the next event of the chain after checking its number and its hash.
    pub fn apply(&mut self, event: &GenealogyEvent) -> Result<(), GenealogyError> {
        self.apply_line(&event.line())
    }

    /// Applies the next event of the chain after checking its number, its hash and its content.
    pub fn apply_line(&mut self, event: &EventLine<'_>) -> Result<(), GenealogyError> {
        if Some(event.seq) != self.version.seq.checked_add(1) {
            return Err(GenealogyError::Sequence { last: self.version.seq, found: event.seq });
        }
        if event.chained(&self.version.hash) != event.hash {
            return Err(GenealogyError::Hash(event.seq));
        }
        let seq = u32::try_from(event.seq).or(Err(GenealogyError::Full))?;
        let status = match event.kind {
            "enrolled" | "sponsored" => None,
            kind => Some(
                DistributorStatus::parse(kind)
                    .ok_or_else(|| GenealogyError::Kind(event.seq, kind.into()))?,
            ),
        };
        let member = self.intern(event.seq, event.distributor)?;
        let fact = match (status, event.sponsor) {
            (Some(status), _) => Fact::Status(status),
            (None, Some(sponsor)) => Fact::Sponsor(self.intern(event.seq, sponsor)?),
            (None, None) => Fact::Sponsor(NOBODY),
        };
        let (block, slot) = split(member);
        if let Some(block) = self.places.get_mut(block) {
            block.record(slot, Entry { seq, fact, at: event.effective_at });
        }
        self.version = GenealogyVersion { seq: event.seq, hash: event.hash };
        Ok(())
    }

    /// The number of an id, a new one for who is new.
    fn intern(&mut self, seq: u64, id: &str) -> Result<u32, GenealogyError> {
        let hash = self.index.hash(id);
        if let Some(known) = self.exactly(hash, id) {
            return Ok(known);
        }
        match DistributorId::checked(id) {
            Ok(checked) if checked.len() == id.len() => {}
            Ok(_) => {
                let error = IdError::Character { kind: "distributor id", found: ' ' };
                return Err(GenealogyError::Id(seq, error));
            }
            Err(error) => return Err(GenealogyError::Id(seq, error)),
        }
        let number = self.len;
        if number >= NOBODY {
            return Err(GenealogyError::Full);
        }
        let (block, _) = split(number);
        if block >= self.places.len() {
            self.names.push(Names::default());
            self.places.push(Places::EMPTY);
        }
        self.names.get_mut(block).ok_or(GenealogyError::Full)?.push(id)?;
        self.index.insert(hash, number);
        self.len = number.saturating_add(1);
        Ok(number)
    }

    fn exactly(&self, hash: u32, id: &str) -> Option<u32> {
        self.index.candidates(hash).find(|member| self.name(*member) == Some(id))
    }

    fn name(&self, member: u32) -> Option<&str> {
        let (block, slot) = split(member);
        self.names.get(block)?.get(slot)
    }

    fn place(&self, member: u32) -> Option<(Place, &Places)> {
        let (block, slot) = split(member);
        let block = self.places.get(block)?;
        Some((block.get(slot)?, block))
    }

    fn if_known(&self, member: u32, seq: u64) -> Option<Member> {
        self.place(member).filter(|(place, _)| place.known(seq)).map(|_| Member(member))
    }

    /// The version: all events up to it are in.
    pub fn version(&self) -> GenealogyVersion {
        self.version
    }

    /// How many distributors are known.
    pub fn len(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds an enrolled distributor.
    pub fn find(&self, id: &DistributorId) -> Option<Member> {
        self.find_known(id, u64::MAX)
    }

    /// Finds a distributor whose enrolment was recorded up to version `seq`.
    pub fn find_known(&self, id: &DistributorId, seq: u64) -> Option<Member> {
        self.if_known(self.exactly(self.index.hash(id.as_str()), id.as_str())?, seq)
    }

    /// Finds a distributor by a code as a shop hands it on, which may have folded its capitals
    /// (WooCommerce writes coupons in lower case); judged by version `seq`. A code that is an id as
    /// it stands means that one; one that could mean two distributors means nobody.
    pub fn find_code(&self, code: &str, seq: u64) -> Option<&str> {
        let code = DistributorId::checked(code).ok()?;
        let hash = self.index.hash(code);
        let exact = self.exactly(hash, code).and_then(|member| self.if_known(member, seq));
        let member = exact.or_else(|| self.if_known(self.folded(hash, code)?, seq))?;
        self.name(member.0)
    }

    /// The only id with capitals that is this code but for them.
    fn folded(&self, hash: u32, code: &str) -> Option<u32> {
        let mut alike = self.index.candidates(hash).filter(|member| {
            self.name(*member).is_some_and(|id| {
                id.eq_ignore_ascii_case(code) && id.bytes().any(|byte| byte.is_ascii_uppercase())
            })
        });
        alike.next().filter(|_| alike.next().is_none())
    }

    /// The id of a distributor.
    pub fn id(&self, member: Member) -> Option<DistributorId> {
        DistributorId::parse(self.name(member.0)?).ok()
    }

    /// The id of the distributor with this [`Member::number`].
    pub fn by_number(&self, number: u32) -> Option<DistributorId> {
        self.id(Member(number))
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
    /// The place of a distributor if their enrolment is recorded up to this version. Who is only
    /// mentioned as a sponsor, or enrolled later, neither earns nor has an upline here.
    fn known(&self, member: Member) -> Option<(Place, &'a Places)> {
        self.tree.place(member.0).filter(|(place, _)| place.known(self.seq))
    }

    /// The sponsor of a distributor, `None` at the top.
    pub fn sponsor(&self, member: Member) -> Option<Member> {
        let (place, block) = self.known(member)?;
        let sponsor = block.sponsor(place, self.seq, self.at);
        (sponsor != NOBODY).then_some(Member(sponsor))
    }

    /// When the distributor was enrolled, to the second; `None` if that is not recorded up to this
    /// version.
    pub fn enrolled_at(&self, member: Member) -> Option<Timestamp> {
        let (_, block) = self.known(member)?;
        block.enrolled_at(split(member.0).1)
    }

    /// Whether the distributor could earn; active unless an event says otherwise.
    pub fn status(&self, member: Member) -> DistributorStatus {
        let Some((place, block)) = self.known(member) else { return DistributorStatus::Inactive };
        block.status(place, self.seq, self.at).unwrap_or(DistributorStatus::Active)
    }

    /// Everybody at once, by [`Member::number`]: the sponsor (`u32::MAX` at the top) and the status. Who
    /// is not enrolled here stands alone and is inactive.
    pub fn columns(&self) -> (Vec<u32>, Vec<DistributorStatus>) {
        let members = || (0..self.tree.len).map(Member);
        let sponsor = |member| self.sponsor(member).map_or(u32::MAX, Member::number);
        (members().map(sponsor).collect(), members().map(|member| self.status(member)).collect())
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
mod model;
#[cfg(test)]
pub(crate) mod tests;
