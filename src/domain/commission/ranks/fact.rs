//! What the books of ranks are made of: facts, and their chain.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::RankError;
use crate::domain::{
    close::Hold,
    digest::Digest,
    id::{DistributorId, IdError, Operator, RankId, Reason},
    plan::period::PeriodId,
};

/// A version of the facts about ranks: the last one and the hash of the chain up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RankVersion {
    /// Sequence number of the last fact, 0 for none.
    pub seq: u64,
    /// Hash of the chain up to that fact.
    pub hash: Digest,
}

impl Default for RankVersion {
    /// The version without facts.
    fn default() -> Self {
        Self { seq: 0, hash: Digest::ZERO }
    }
}

/// Somebody is paid as a rank, from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankFact {
    /// Sequence number of the fact; it grows, and the facts of one plan have gaps.
    pub seq: u64,
    /// Who.
    pub distributor: DistributorId,
    /// The rank; `None` below the first, and for a forced one that is cleared.
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
    /// The numbers of a closed period. It holds until the next of its kind begins.
    PeriodClose,
    /// What a close in an earlier system had found, brought along before the first own close: it holds as
    /// what a close finds.
    Imported,
    /// Somebody decided it.
    Forced {
        /// How it relates to what the numbers support.
        hold: Hold,
        /// The first instant at which it no longer holds; `None` leaves that open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Somebody decided that no forced rank holds here: the numbers do.
    Cleared {
        /// The first instant for which that was not decided; `None` leaves it open.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
}

impl RankSource {
    /// Puts together what stands in the columns `source`, `hold` and `ends_at`.
    pub fn parse(
        source: &str,
        hold: Option<&str>,
        until: Option<Timestamp>,
    ) -> Result<Self, IdError> {
        let unknown = |kind, found: &str, known| IdError::Unknown {
            kind,
            found: found.chars().take(40).collect(),
            known,
        };
        match source {
            "period_close" => Ok(Self::PeriodClose),
            "imported" => Ok(Self::Imported),
            "cleared" => Ok(Self::Cleared { until }),
            "forced" => match hold.unwrap_or_default() {
                "at_least" => Ok(Self::Forced { hold: Hold::AtLeast, until }),
                "exactly" => Ok(Self::Forced { hold: Hold::Exactly, until }),
                other => Err(unknown("hold of a rank", other, "at_least, exactly")),
            },
            other => {
                Err(unknown("source of a rank", other, "period_close, imported, forced, cleared"))
            }
        }
    }

    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeriodClose => "period_close",
            Self::Imported => "imported",
            Self::Forced { .. } => "forced",
            Self::Cleared { .. } => "cleared",
        }
    }

    /// The lower-case name of how a forced rank relates to the numbers.
    pub fn hold(self) -> Option<&'static str> {
        match self {
            Self::Forced { hold: Hold::AtLeast, .. } => Some("at_least"),
            Self::Forced { hold: Hold::Exactly, .. } => Some("exactly"),
            Self::PeriodClose | Self::Imported | Self::Cleared { .. } => None,
        }
    }

    /// The first instant after what somebody decided.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::PeriodClose | Self::Imported => None,
            Self::Forced { until, .. } | Self::Cleared { until } => until,
        }
    }
}

/// A fact as the table `rank_fact` has it, borrowed from where it was read: a million of them are
/// written and read without a copy of each.
#[derive(Debug, Clone, Copy)]
pub struct RankLine<'a> {
    /// Position in the chain, from 1, without gaps.
    pub seq: u64,
    /// The id of the plan whose rank it is.
    pub plan: &'a str,
    /// Who.
    pub distributor: &'a str,
    /// The rank.
    pub rank: Option<&'a str>,
    /// Where it comes from.
    pub source: RankSource,
    /// Whether a forced rank counts as reached for good.
    pub raises_title: bool,
    /// From when it holds.
    pub effective_at: Timestamp,
    /// The closed period that it comes from.
    pub period: Option<&'a str>,
    /// Who decided it.
    pub by: Option<&'a str>,
    /// Why.
    pub why: Option<&'a str>,
    /// The highest rank ever reached, of an imported one.
    pub highest: Option<&'a str>,
    /// The ranks whose bonus was paid elsewhere, of an imported one: names with commas between them.
    pub bonuses: Option<&'a str>,
    /// When it became known.
    pub recorded_at: Timestamp,
    /// Hash of the chain up to and including this fact.
    pub hash: Digest,
}

/// What only an imported fact says, at the end of its text; nothing of the others.
struct Titles<'a>(Option<&'a str>, Option<&'a str>);

impl std::fmt::Display for Titles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self(None, None) => Ok(()),
            Self(highest, bonuses) => {
                write!(f, "\n{}\n{}", highest.unwrap_or_default(), bonuses.unwrap_or_default())
            }
        }
    }
}

impl RankLine<'_> {
    /// The hash that the fact must carry after `previous`. The table computes the same one and
    /// refuses another: SHA-256 of the previous hash and of the fields as lines of text, times in
    /// microseconds since 1970.
    pub fn chained(&self, previous: &Digest) -> Digest {
        let until = self.source.until();
        Digest::of_text(
            previous.as_bytes(),
            format_args!(
                "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}{}",
                self.seq,
                self.plan,
                self.distributor,
                self.rank.unwrap_or_default(),
                self.source.as_str(),
                self.source.hold().unwrap_or_default(),
                self.raises_title,
                self.effective_at.as_microsecond(),
                until.map(|until| until.as_microsecond().to_string()).unwrap_or_default(),
                self.period.unwrap_or_default(),
                self.by.unwrap_or_default(),
                self.why.unwrap_or_default(),
                self.recorded_at.as_microsecond(),
                Titles(self.highest, self.bonuses),
            ),
        )
    }

    /// What the fact says.
    pub fn fact(&self) -> Result<RankFact, RankError> {
        let wrong = |error| RankError::Id(self.seq, error);
        Ok(RankFact {
            seq: self.seq,
            distributor: DistributorId::parse(self.distributor).map_err(wrong)?,
            paid_as: self.rank.map(RankId::parse).transpose().map_err(wrong)?,
            effective_at: self.effective_at,
            source: self.source,
        })
    }

    /// The fact with all that is known about it.
    pub fn record(&self) -> Result<RankRecord, RankError> {
        let wrong = |error| RankError::Id(self.seq, error);
        let period = self.period.map(PeriodId::parse).transpose();
        let bonuses = self.bonuses.into_iter().flat_map(|names| names.split(','));
        let bonuses: Result<Vec<RankId>, _> = bonuses.map(RankId::parse).collect();
        Ok(RankRecord {
            plan: self.plan.into(),
            fact: self.fact()?,
            period: period.map_err(|_error| RankError::Period(self.seq))?,
            by: self.by.map(Operator::parse).transpose().map_err(wrong)?,
            why: self.why.map(Reason::parse).transpose().map_err(wrong)?,
            raises_title: self.raises_title,
            highest: self.highest.map(RankId::parse).transpose().map_err(wrong)?,
            bonuses: bonuses.map_err(wrong)?,
            recorded_at: self.recorded_at,
        })
    }
}

/// A fact with all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RankRecord {
    /// The id of the plan whose rank it is.
    pub plan: Box<str>,
    /// What it says.
    #[serde(flatten)]
    pub fact: RankFact,
    /// The closed period that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodId>,
    /// Who decided it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Operator>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Reason>,
    /// Whether a forced rank counts as reached for good.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub raises_title: bool,
    /// The highest rank ever reached, of an imported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest: Option<RankId>,
    /// The ranks whose bonus was paid elsewhere, of an imported one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bonuses: Vec<RankId>,
    /// When it became known.
    pub recorded_at: Timestamp,
}

impl RankRecord {
    /// Whether the fact speaks of an instant.
    pub fn covers(&self, at: Timestamp) -> bool {
        let ended = self.fact.source.until().is_some_and(|until| until <= at);
        self.fact.effective_at <= at && !ended
    }

    /// Whether it is what a closed period found, here or in an earlier system.
    pub fn of_close(&self) -> bool {
        matches!(self.fact.source, RankSource::PeriodClose | RankSource::Imported)
    }
}

/// What is in force for somebody at an instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing<'r> {
    /// What the last close before it found.
    pub by_close: Option<&'r RankRecord>,
    /// What people decided about it: a forced rank, or that none holds.
    pub by_hand: Option<&'r RankRecord>,
}

/// What is in force at an instant for everybody of whom there are facts. `records` are in the order of
/// their numbers, of one plan.
pub fn standings<'r>(
    records: &'r [RankRecord],
    at: Timestamp,
) -> BTreeMap<&'r DistributorId, Standing<'r>> {
    let mut found: BTreeMap<_, Standing<'r>> = BTreeMap::new();
    for record in records.iter().filter(|record| record.covers(at)) {
        let standing = found.entry(&record.fact.distributor).or_default();
        if !record.of_close() {
            standing.by_hand = Some(record);
            continue;
        }
        let before = standing.by_close.map(|known| known.fact.effective_at);
        if before.is_none_or(|before| before <= record.fact.effective_at) {
            standing.by_close = Some(record);
        }
    }
    found
}

/// From when until when; an open end lasts for ever.
pub type Span = (Timestamp, Option<Timestamp>);

/// When the forced ranks that have begun at an instant hold from then on, and those that begin later and hold
/// at some time. `records` are what was decided about one distributor in one plan, in the order of their
/// numbers. To end the former without the latter is to clear exactly these times.
pub fn held_from(records: &[RankRecord], from: Timestamp) -> (Vec<Span>, Vec<&RankRecord>) {
    let edges = records.iter().flat_map(|record| {
        [Some(record.fact.effective_at), record.fact.source.until()].into_iter().flatten()
    });
    let mut edges: Vec<Timestamp> = edges.filter(|edge| *edge > from).chain([from]).collect();
    edges.sort_unstable();
    edges.dedup();
    let (mut spans, mut later): (Vec<Span>, Vec<&RankRecord>) = (Vec::new(), Vec::new());
    let ends = edges.iter().copied().skip(1).map(Some).chain([None]);
    for (begin, end) in edges.iter().copied().zip(ends) {
        let holds = records.iter().rev().find(|record| record.covers(begin));
        let forced = |record: &&RankRecord| matches!(record.fact.source, RankSource::Forced { .. });
        let Some(record) = holds.filter(forced) else { continue };
        if record.fact.effective_at > from {
            if !later.contains(&record) {
                later.push(record);
            }
            continue;
        }
        match spans.last_mut() {
            Some((_, last)) if *last == Some(begin) => *last = end,
            Some(_) | None => spans.push((begin, end)),
        }
    }
    (spans, later)
}
