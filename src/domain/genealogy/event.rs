//! What the genealogy is made of: the events of its chain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    digest::Digest,
    id::{DistributorId, IdError},
};

/// Whether a distributor can earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// The hash that the event must carry after `previous`.
    pub fn chained(&self, previous: &Digest) -> Digest {
        self.line().chained(previous)
    }

    pub(super) fn line(&self) -> EventLine<'_> {
        EventLine {
            seq: self.seq,
            distributor: self.distributor.as_str(),
            sponsor: self.change.sponsor().map(DistributorId::as_str),
            kind: self.change.kind(),
            effective_at: self.effective_at,
            recorded_at: self.recorded_at,
            hash: self.hash,
        }
    }
}

/// An event as the table `genealogy_event` has it, borrowed from where it was read: a million of them
/// are applied without a copy of each.
#[derive(Debug, Clone, Copy)]
pub struct EventLine<'a> {
    /// Position in the chain, from 1, without gaps.
    pub seq: u64,
    /// The distributor's id.
    pub distributor: &'a str,
    /// The id of the sponsor that the event names.
    pub sponsor: Option<&'a str>,
    /// What happened: [`Change::kind`].
    pub kind: &'a str,
    /// When it became true.
    pub effective_at: Timestamp,
    /// When it became known.
    pub recorded_at: Timestamp,
    /// Hash of the chain up to and including this event.
    pub hash: Digest,
}

impl EventLine<'_> {
    /// The hash that the event must carry after `previous`. The database computes the same one when
    /// it appends the event: SHA-256 of the previous hash and of the fields as lines of text, times
    /// in microseconds since 1970.
    pub fn chained(&self, previous: &Digest) -> Digest {
        Digest::of_text(
            previous.as_bytes(),
            format_args!(
                "{}\n{}\n{}\n{}\n{}\n{}",
                self.seq,
                self.distributor,
                self.sponsor.unwrap_or_default(),
                self.kind,
                self.effective_at.as_microsecond(),
                self.recorded_at.as_microsecond(),
            ),
        )
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
    /// The event names somebody by what is no distributor id.
    #[error("genealogy event {0} does not name its distributor")]
    Id(u64, #[source] IdError),
    /// The event is of no known kind.
    #[error("genealogy event {0} is of the unknown kind {1:?}")]
    Kind(u64, Box<str>),
    /// More distributors or events than their numbers in memory can name.
    #[error("more than two billion distributors or four billion genealogy events")]
    Full,
}
