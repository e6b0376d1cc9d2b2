//! The volume journal: what a period close adds up. The same algebra as the ledger of money, on points.
//!
//! Invariant: nothing in the journal is ever changed. An entry says what is new on its position: the
//! difference between what the order counts now and what the journal has, negative where it takes back,
//! with a pointer to the entry before it.
//!
//! Invariant: after posting, the sum per position is what the newest run says, so any sequence of
//! revisions ends at the last one's volumes, and an order that counts nothing at exactly zero. The time of
//! the order is part of a position: a shop that changes the date of an order moves its volume, and what is
//! taken back is taken from the period that had it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    commission::{Run, VolumeSource},
    digest::Digest,
    id::{DistributorId, LineId, OrderKey},
    ledger::EventId,
    plan::volume::LineVolumes,
};

/// What volume is for: the journal nets volumes per position.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VolumePosition {
    /// The order line.
    pub line: LineId,
    /// Whom it counts for.
    pub distributor: DistributorId,
    /// Where it comes from.
    pub source: VolumeSource,
    /// When the order was placed, in whole microseconds: the period that it counts in.
    pub placed_at: Timestamp,
}

/// What the journal has on a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedVolume {
    /// The position.
    pub position: VolumePosition,
    /// The sum of its entries.
    pub amount: LineVolumes,
    /// The last of them.
    pub last: EventId,
}

/// One entry to post.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeEntry {
    /// Its identity; posting it twice is refused by a unique key.
    pub event_id: EventId,
    /// What it is for.
    pub position: VolumePosition,
    /// What is new; negative where it takes back, and never nothing of all three.
    pub amount: LineVolumes,
    /// The entry before it on its position, which it corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<EventId>,
}

impl VolumeEntry {
    /// The leaf of the entry in its block's Merkle tree: everything that the entry says.
    pub fn leaf(&self, key: &OrderKey, revision: u64) -> Digest {
        let VolumePosition { line, distributor, source, placed_at } = &self.position;
        let corrects = self.corrects.map(|id| id.to_string()).unwrap_or_default();
        Digest::of_fields([
            b"volume".as_slice(),
            self.event_id.as_bytes().as_slice(),
            key.to_string().as_bytes(),
            &revision.to_be_bytes(),
            line.as_str().as_bytes(),
            distributor.as_str().as_bytes(),
            source.as_str().as_bytes(),
            &self.amount.pv.parts().to_be_bytes(),
            &self.amount.qv.parts().to_be_bytes(),
            &self.amount.cv.parts().to_be_bytes(),
            corrects.as_bytes(),
            &placed_at.as_microsecond().to_be_bytes(),
        ])
    }
}

/// A time as the journal keeps it.
fn whole_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

fn identity(key: &OrderKey, revision: u64, position: &VolumePosition) -> EventId {
    EventId::from_digest(&Digest::of_fields([
        b"volume".as_slice(),
        key.to_string().as_bytes(),
        &revision.to_be_bytes(),
        position.line.as_str().as_bytes(),
        position.distributor.as_str().as_bytes(),
        position.source.as_str().as_bytes(),
        &position.placed_at.as_microsecond().to_be_bytes(),
    ]))
}

/// The entries that bring the journal of an order to what its newest run says. `posted` is what the
/// journal has of the order; nothing for a plan without volumes.
pub fn post(run: &Run, posted: &[PostedVolume]) -> Vec<VolumeEntry> {
    let placed_at = whole_microseconds(run.order.placed_at);
    let mut target: BTreeMap<VolumePosition, LineVolumes> = BTreeMap::new();
    for line in run.volumes.iter().flatten() {
        let position = VolumePosition {
            line: line.line.clone(),
            distributor: line.distributor.clone(),
            source: line.source,
            placed_at,
        };
        *target.entry(position).or_default() += line.amount;
    }
    let known: BTreeMap<&VolumePosition, &PostedVolume> =
        posted.iter().map(|posted| (&posted.position, posted)).collect();
    let positions: BTreeSet<&VolumePosition> = target.keys().chain(known.keys().copied()).collect();
    let mut entries = Vec::new();
    for position in positions {
        let known = known.get(position);
        let wanted = target.get(position).copied().unwrap_or_default();
        let amount = wanted - known.map_or_else(LineVolumes::default, |posted| posted.amount);
        if amount.is_zero() {
            continue;
        }
        entries.push(VolumeEntry {
            event_id: identity(&run.order.key, run.order.revision, position),
            position: position.clone(),
            amount,
            corrects: known.map(|posted| posted.last),
        });
    }
    entries
}

#[cfg(test)]
mod tests;
