//! Which rank each distributor is paid as, as of any instant and any version.
//!
//! Facts are appended by the close of a period and by hand (a forced rank); a version is the sequence
//! number of the last one, and an order that is locked to a version is not changed by facts that came
//! later. In force is, of the facts known at the version and effective at the order's time, the one
//! effective last; of two of one instant the one recorded last.
//!
//! Facts name ranks, because the steps of a ladder belong to one version of a plan. A rank that the
//! order's plan does not have counts as none.
//!
//! The facts lie beside the tree under the numbers of its distributors, in blocks that the versions of
//! the book share: looking one up while walking allocates and hashes nothing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    genealogy::{Genealogy, Member, spine::Spine},
    id::{DistributorId, RankId},
    plan::rank::{Ladder, RankLevel},
};

/// Distributors of a block.
const BLOCK: usize = 1024;

/// Somebody is paid as a rank, from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankFact {
    /// Sequence number of the fact; it grows, gaps are allowed.
    pub seq: u64,
    /// Who.
    pub distributor: DistributorId,
    /// The rank; `None` below the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid_as: Option<RankId>,
    /// From when it holds, by the order's time.
    pub effective_at: Timestamp,
    /// Where it comes from.
    pub source: RankSource,
}

/// Where a rank comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankSource {
    /// The numbers of a closed period.
    PeriodClose,
    /// Somebody decided it.
    Forced,
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

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: Timestamp,
    seq: u32,
    /// The entry of the same distributor before this one, counted from 1; 0 for none.
    before: u32,
    /// The name, counted from 1; 0 for no rank.
    name: u8,
}

/// The facts about the distributors of a block.
#[derive(Debug, Clone)]
struct Facts {
    /// The last entry of each, counted from 1; 0 for none.
    last: [u32; BLOCK],
    entries: Vec<Entry>,
}

/// Every fact, by distributor. A clone shares all of them with the original.
#[derive(Debug, Clone, Default)]
pub struct RankBook {
    blocks: Spine<Facts>,
    names: Vec<RankId>,
    version: u64,
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
            self.blocks.push(Facts { last: [0; BLOCK], entries: Vec::new() });
        }
        let facts = self.blocks.get_mut(block).ok_or_else(full)?;
        let last = facts.last.get_mut(slot).ok_or_else(full)?;
        let seq = u32::try_from(fact.seq).map_err(|_too_many| full())?;
        facts.entries.push(Entry { at: fact.effective_at, seq, before: *last, name });
        *last = u32::try_from(facts.entries.len()).map_err(|_too_many| full())?;
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

impl RanksAsOf<'_> {
    /// The rank that a distributor is paid as; 0 for none.
    pub fn rank(&self, member: Member) -> RankLevel {
        let (block, slot) = split(member);
        let Some(facts) = self.book.blocks.get(block) else { return RankLevel(0) };
        let entry = |number: u32| facts.entries.get(usize::try_from(number).ok()?.checked_sub(1)?);
        let mut next = facts.last.get(slot).copied().unwrap_or_default();
        let mut held: Option<&Entry> = None;
        while let Some(fact) = entry(next) {
            // Later recorded ones come first here, so an equal instant does not take their place.
            if u64::from(fact.seq) <= self.seq
                && fact.at <= self.at
                && held.is_none_or(|held| held.at < fact.at)
            {
                held = Some(fact);
            }
            next = fact.before;
        }
        let name = held.map_or(0, |fact| fact.name);
        self.steps.get(usize::from(name)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::domain::genealogy::tests::{at, chain, id};

    const NAMES: [&str; 4] = ["silver", "gold", "retired", "star"];

    fn rank(text: &str) -> RankId {
        RankId::parse(text).unwrap()
    }

    fn ladder() -> Ladder {
        Ladder::new(vec![rank("silver"), rank("gold"), rank("star")])
    }

    fn fact(seq: u64, who: &str, paid_as: Option<&str>, from: i64) -> RankFact {
        RankFact {
            seq,
            distributor: id(who),
            paid_as: paid_as.map(rank),
            effective_at: at(from),
            source: RankSource::PeriodClose,
        }
    }

    #[test]
    fn a_rank_holds_from_its_instant_for_versions_that_know_it() {
        let tree = chain(&["a", "b"]);
        let mut book = RankBook::default();
        book.record(&fact(3, "b", Some("silver"), 10), &tree).unwrap();
        let kept = book.clone();
        book.record(&fact(5, "b", Some("gold"), 20), &tree).unwrap();
        book.record(&fact(6, "b", None, 30), &tree).unwrap();
        let b = tree.find(&id("b")).unwrap();
        let of =
            |book: &RankBook, time: i64, seq: u64| book.as_of(at(time), seq, &ladder()).rank(b).0;
        assert_eq!([9, 10, 20, 29, 30].map(|time| of(&book, time, 6)), [0, 1, 2, 2, 0]);
        assert_eq!([of(&book, 99, 5), of(&book, 99, 4), of(&book, 99, 2)], [2, 1, 0]);
        assert_eq!(of(&kept, 99, 6), 1, "a copy does not see what came after it");
        assert_eq!(book.as_of(at(99), 6, &ladder()).rank(tree.find(&id("a")).unwrap()).0, 0);
        assert_eq!(book.version(), 6);
    }

    #[test]
    fn facts_out_of_order_or_about_strangers_are_refused() {
        let tree = chain(&["a"]);
        let mut book = RankBook::default();
        book.record(&fact(2, "a", None, 0), &tree).unwrap();
        let error = book.record(&fact(2, "a", None, 0), &tree);
        assert_eq!(error, Err(RankError::Sequence { last: 2, found: 2 }));
        let error = book.record(&fact(3, "x", None, 0), &tree);
        assert_eq!(error, Err(RankError::Unknown { seq: 3, distributor: id("x") }));
        assert_eq!(book.version(), 2);
    }

    static LONG: LazyLock<Genealogy> = LazyLock::new(|| {
        let names: Vec<String> = (0..2500).map(|n| format!("d{n}")).collect();
        chain(&names.iter().map(String::as_str).collect::<Vec<_>>())
    });

    proptest! {
        /// The book answers as a plain list of facts does, at every instant and version, over
        /// several blocks of distributors.
        #[test]
        fn the_book_answers_as_a_list_does(
            facts in prop::collection::vec((0usize..6, 0usize..5, 0i64..5), 0..40),
            (time, seq) in (-1i64..6, 0u64..45),
        ) {
            let tree = &*LONG;
            let people = ["d0", "d1", "d1023", "d1024", "d1025", "d2400"];
            let mut book = RankBook::default();
            let mut list: Vec<RankFact> = Vec::new();
            for (seq, (who, name, from)) in (1u64..).zip(facts) {
                let fact = fact(seq, people[who], NAMES.get(name).copied(), from);
                book.record(&fact, tree).unwrap();
                list.push(fact);
            }
            let ranks = book.as_of(at(time), seq, &ladder());
            for who in people {
                let known = list.iter().filter(|fact| fact.distributor == id(who));
                let held = known.filter(|fact| fact.seq <= seq && fact.effective_at <= at(time));
                let last = held.max_by_key(|fact| (fact.effective_at, fact.seq));
                let step = last.and_then(|fact| ladder().level(fact.paid_as.as_ref()?));
                prop_assert_eq!(ranks.rank(tree.find(&id(who)).unwrap()), step.unwrap_or_default());
            }
        }
    }
}
