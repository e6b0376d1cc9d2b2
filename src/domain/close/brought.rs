//! Volume that positions of a binary bring along from an earlier system: what the first close of a plan opens
//! with.
//!
//! The facts are chained by hash as those about ranks are, and there before the first close of their plan or
//! never. The first close names their version in its basis; the others carry on what it kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::digest::Digest;

/// A version of the facts: the last one and the hash of the chain up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CarryVersion {
    /// Sequence number of the last fact, 0 for none.
    pub seq: u64,
    /// Hash of the chain up to that fact.
    pub hash: Digest,
}

impl Default for CarryVersion {
    /// The version without facts.
    fn default() -> Self {
        Self { seq: 0, hash: Digest::ZERO }
    }
}

/// A fact as the table `carry_fact` has it.
#[derive(Debug, Clone, Copy)]
pub struct CarryLine<'a> {
    /// Position in the chain, from 1, without gaps.
    pub seq: u64,
    /// The plan.
    pub plan: &'a str,
    /// Its binary.
    pub component: &'a str,
    /// The tree of the binary.
    pub tree: &'a str,
    /// What the company calls the position.
    pub position: &'a str,
    /// Left, in ten-thousandths of a point.
    pub left: i64,
    /// Right.
    pub right: i64,
    /// Who brought it along.
    pub by: &'a str,
    /// Why, or where it comes from.
    pub why: &'a str,
    /// When it became known.
    pub recorded_at: Timestamp,
}

impl CarryLine<'_> {
    /// The hash of the fact after `previous`. The table computes the same one and refuses another: SHA-256 of
    /// the previous hash and of the fields as lines of text, times in microseconds since 1970.
    pub fn chained(&self, previous: &Digest) -> Digest {
        let Self { seq, plan, component, tree, position, left, right, by, why, recorded_at } = self;
        let at = recorded_at.as_microsecond();
        Digest::of_text(
            previous.as_bytes(),
            format_args!(
                "{seq}\n{plan}\n{component}\n{tree}\n{position}\n{left}\n{right}\n{by}\n{why}\n{at}"
            ),
        )
    }
}
