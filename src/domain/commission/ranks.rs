//! Which rank each distributor is paid as in a plan, as of any instant and any version.
//!
//! Facts are appended by the close of a period and by hand (a forced rank); a version is the sequence
//! number of the last one, and an order that is locked to a version is not changed by facts that came
//! later. Of the facts known at the version, two kinds count for an order:
//!
//! * what closes found, here or in the system before (imported): the one effective last before the order;
//!   of two of one instant the one recorded last;
//! * what people decided: of those whose time the order lies in, the one recorded last. A forced rank
//!   takes the place of what the closes found (`exactly`) or lifts it (`at_least`); a cleared one says
//!   that the closes hold.
//!
//! Facts name ranks, because the steps of a ladder belong to one version of a plan. A rank that the
//! order's plan does not have counts as none.
//!
//! The facts lie beside the tree under the numbers of its distributors, in blocks that the versions of
//! the book share: looking one up while walking allocates and hashes nothing.

mod fact;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use self::fact::{
    RankFact, RankLine, RankRecord, RankSource, RankVersion, Span, Standing, held_from, standings,
};
use crate::domain::{
    close::Hold,
    digest::Digest,
    genealogy::{Genealogy, Member, spine::Spine},
    id::{DistributorId, IdError, RankId},
    plan::rank::{Ladder, RankLevel},
};

/// Distributors of a block.
const BLOCK: usize = 1024;

/// The first bytes of a fact's hash: enough to tell one chain from another.
type Mark = [u8; 16];

fn mark(hash: &Digest) -> Option<Mark> {
    hash.as_bytes().first_chunk().copied()
}

/// Why a fact cannot be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RankError {
    /// The facts are not in their order.
    #[error("rank fact {found} comes after fact {last}: append them by their numbers")]
    Sequence {
        /// The last one recorded.
        last: u64,
        /// The one that came.
        found: u64,
    },
    /// The fact does not carry the hash that its content and its predecessor require.
    #[error("the hash of rank fact {0} does not match its content: the chain was altered")]
    Hash(u64),
    /// The fact names something by what is no id.
    #[error("rank fact {0} cannot be read")]
    Id(u64, #[source] IdError),
    /// The fact comes from a period whose name cannot be read.
    #[error("rank fact {0} names no period")]
    Period(u64),
    /// The tree does not know the distributor.
    #[error(
        "rank fact {seq} is for {distributor}, whom the tree does not know: load its events first"
    )]
    Unknown {
        /// The fact.
        seq: u64,
        /// The distributor.
        distributor: DistributorId,
    },
    /// More facts or names of ranks than the book can number.
    #[error("rank fact {0} does not fit: the book holds 4294967295 facts of 255 ranks")]
    Full(u64),
}

/// What a fact does, in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Close,
    AtLeast,
    Exactly,
    Cleared,
}

impl Kind {
    fn of(source: RankSource) -> Self {
        match source {
            RankSource::PeriodClose | RankSource::Imported => Self::Close,
            RankSource::Forced { hold: Hold::AtLeast, .. } => Self::AtLeast,
            RankSource::Forced { hold: Hold::Exactly, .. } => Self::Exactly,
            RankSource::Cleared { .. } => Self::Cleared,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    seq: u32,
    /// The entry of the same distributor before this one, counted from 1; 0 for none.
    before: u32,
    /// The name, counted from 1; 0 for no rank.
    name: u8,
    kind: Kind,
}

/// The facts about the distributors of a block.
#[derive(Debug, Clone)]
struct Facts {
    /// The last entry of each, counted from 1; 0 for none.
    last: [u32; BLOCK],
    entries: Vec<Entry>,
    /// When entries end, by their number; only what people decided does.
    ends: Vec<(u32, Timestamp)>,
}

impl Facts {
    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    fn end(&self, number: u32) -> Option<Timestamp> {
        let found = self.ends.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.ends.get(found).map(|(_, end)| *end)
    }
}

/// Every fact about the ranks of one plan, by distributor. A clone shares all of them with the original.
#[derive(Debug, Clone, Default)]
pub struct RankBook {
    blocks: Spine<Facts>,
    names: Vec<RankId>,
    version: u64,
    /// The facts of a chain with the beginnings of their hashes, in blocks, by number.
    marks: Spine<Vec<(u32, Mark)>>,
    /// The hash of the last one.
    hash: Option<Digest>,
}

fn split(member: Member) -> (usize, usize) {
    let number = usize::try_from(member.number()).unwrap_or(usize::MAX);
    (number / BLOCK, number % BLOCK)
}

impl RankBook {
    /// The version: the sequence number of the last fact, 0 for an empty book.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The hash of the chain up to the last fact; none for an empty book.
    pub fn hash(&self) -> Option<Digest> {
        self.hash
    }

    /// Whether the book has the fact of this number with this hash of the chain up to it.
    pub fn holds(&self, seq: u64, hash: &Digest) -> bool {
        let (Ok(seq), Some(mark)) = (u32::try_from(seq), mark(hash)) else { return false };
        let (mut low, mut high) = (0, self.marks.len());
        while low < high {
            let middle = low.midpoint(high);
            let begun = self.marks.get(middle).and_then(|block| block.first());
            if begun.is_some_and(|(first, _)| *first <= seq) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        let found = low.checked_sub(1).and_then(|block| {
            let block = self.marks.get(block)?;
            block.get(block.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?)
        });
        found.is_some_and(|(_, known)| *known == mark)
    }

    /// Remembers the hash of the fact that was recorded last.
    fn remember(&mut self, seq: u32, hash: Digest) {
        self.hash = Some(hash);
        let Some(mark) = mark(&hash) else { return };
        let last = self.marks.len().checked_sub(1);
        let full = last.and_then(|last| self.marks.get(last)).is_none_or(|b| b.len() >= BLOCK);
        if full {
            self.marks.push(vec![(seq, mark)]);
        } else if let Some(block) = last.and_then(|last| self.marks.get_mut(last)) {
            block.push((seq, mark));
        }
    }

    /// Appends a fact about a distributor of this tree (or of an earlier version of it).
    pub fn record(&mut self, fact: &RankFact, tree: &Genealogy) -> Result<(), RankError> {
        if fact.seq <= self.version {
            return Err(RankError::Sequence { last: self.version, found: fact.seq });
        }
        let full = || RankError::Full(fact.seq);
        let member = tree.find(&fact.distributor).ok_or_else(|| RankError::Unknown {
            seq: fact.seq,
            distributor: fact.distributor.clone(),
        })?;
        let name = match &fact.paid_as {
            Some(rank) => self.name(rank).ok_or_else(full)?,
            None => 0,
        };
        let (block, slot) = split(member);
        while self.blocks.len() <= block {
            let (entries, ends) = (Vec::new(), Vec::new());
            self.blocks.push(Facts { last: [0; BLOCK], entries, ends });
        }
        let facts = self.blocks.get_mut(block).ok_or_else(full)?;
        let last = facts.last.get_mut(slot).ok_or_else(full)?;
        let seq = u32::try_from(fact.seq).map_err(|_too_many| full())?;
        let (at, kind) = (fact.effective_at, Kind::of(fact.source));
        facts.entries.push(Entry { at, seq, before: *last, name, kind });
        *last = u32::try_from(facts.entries.len()).map_err(|_too_many| full())?;
        facts.ends.extend(fact.source.until().map(|until| (*last, until)));
        self.version = fact.seq;
        Ok(())
    }

    /// The number of a rank's name, counted from 1.
    fn name(&mut self, rank: &RankId) -> Option<u8> {
        let known = self.names.iter().position(|name| name == rank);
        let index = known.unwrap_or(self.names.len());
        let number = u8::try_from(index).ok()?.checked_add(1)?;
        if known.is_none() {
            self.names.push(rank.clone());
        }
        Some(number)
    }

    /// The ranks as they were at `at`, judged by the facts up to version `seq` and as steps of a
    /// plan's ladder.
    pub fn as_of(&self, at: Timestamp, seq: u64, ladder: &Ladder) -> RanksAsOf<'_> {
        let mut steps = [RankLevel(0); 256];
        if !ladder.is_empty() {
            for (step, name) in steps.iter_mut().skip(1).zip(&self.names) {
                *step = ladder.level(name).unwrap_or_default();
            }
        }
        RanksAsOf { book: self, at, seq, steps }
    }
}

/// The ranks at one instant, at one version.
#[derive(Debug, Clone)]
pub struct RanksAsOf<'a> {
    book: &'a RankBook,
    at: Timestamp,
    seq: u64,
    /// By the number of a name.
    steps: [RankLevel; 256],
}

impl<'a> RanksAsOf<'a> {
    /// What holds for a distributor: the name that the closes found, and what people decided.
    fn held(&self, member: Member) -> (u8, Option<&'a Entry>) {
        let (block, slot) = split(member);
        let Some(facts) = self.book.blocks.get(block) else { return (0, None) };
        let mut next = facts.last.get(slot).copied().unwrap_or_default();
        let (mut by_close, mut by_hand): (Option<&Entry>, Option<&Entry>) = (None, None);
        while let Some(fact) = facts.entry(next) {
            let counts = u64::from(fact.seq) <= self.seq && fact.at <= self.at;
            match fact.kind {
                // Later recorded ones come first here, so an equal instant does not take their place.
                Kind::Close if counts && by_close.is_none_or(|held| held.at < fact.at) => {
                    by_close = Some(fact);
                }
                Kind::AtLeast | Kind::Exactly | Kind::Cleared
                    if counts
                        && by_hand.is_none()
                        && facts.end(next).is_none_or(|end| self.at < end) =>
                {
                    by_hand = Some(fact);
                }
                Kind::Close | Kind::AtLeast | Kind::Exactly | Kind::Cleared => {}
            }
            next = fact.before;
        }
        (by_close.map_or(0, |fact| fact.name), by_hand)
    }

    fn step(&self, name: u8) -> RankLevel {
        self.steps.get(usize::from(name)).copied().unwrap_or_default()
    }

    /// The rank that a distributor is paid as; 0 for none.
    pub fn rank(&self, member: Member) -> RankLevel {
        let (by_close, by_hand) = self.held(member);
        match by_hand {
            Some(forced) if forced.kind == Kind::Exactly => self.step(forced.name),
            Some(forced) if forced.kind == Kind::AtLeast => {
                self.step(by_close).max(self.step(forced.name))
            }
            Some(_) | None => self.step(by_close),
        }
    }

    /// The rank that the closes found, whatever people decided.
    pub fn by_close(&self, member: Member) -> Option<&'a RankId> {
        let (name, _) = self.held(member);
        self.book.names.get(usize::from(name).checked_sub(1)?)
    }
}

/// The facts about the ranks of every plan. A clone shares all of them with the original.
#[derive(Debug, Clone, Default)]
pub struct RankBooks {
    books: BTreeMap<Box<str>, RankBook>,
    /// What holds for a plan of which there are no facts.
    empty: RankBook,
    version: RankVersion,
}

impl RankBooks {
    /// The version: all facts up to it are in, of whatever plan.
    pub fn version(&self) -> RankVersion {
        self.version
    }

    /// The facts about the ranks of a plan.
    pub fn of(&self, plan: &str) -> &RankBook {
        self.books.get(plan).unwrap_or(&self.empty)
    }

    /// Applies the next fact of the chain after checking its number, its hash and its content.
    pub fn apply(&mut self, line: &RankLine<'_>, tree: &Genealogy) -> Result<(), RankError> {
        if Some(line.seq) != self.version.seq.checked_add(1) {
            return Err(RankError::Sequence { last: self.version.seq, found: line.seq });
        }
        if line.chained(&self.version.hash) != line.hash {
            return Err(RankError::Hash(line.seq));
        }
        if !self.books.contains_key(line.plan) {
            self.books.insert(line.plan.into(), RankBook::default());
        }
        if let Some(book) = self.books.get_mut(line.plan) {
            book.record(&line.fact()?, tree)?;
            let seq = u32::try_from(line.seq).map_err(|_too_many| RankError::Full(line.seq))?;
            book.remember(seq, line.hash);
        }
        self.version = RankVersion { seq: line.seq, hash: line.hash };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
