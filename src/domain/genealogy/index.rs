//! From an id to the numbers of the distributors that it may mean.
//!
//! A table by linear hashing: each insertion that makes the buckets too full splits one of them, so
//! the table grows without ever being built anew, and the fill is the same at every size. The hash
//! is of the id in lower case, so one entry serves exact and folded look-ups. It is keyed at random:
//! who may choose their own id cannot fill one bucket.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::spine::Spine;

/// Entries of a bucket on average.
const FILL: usize = 16;
/// Buckets of a block: what a change of a shared index copies.
const BLOCK: usize = 64;
/// Room added to a full bucket, instead of doubling it.
const ROOM: usize = 4;

#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    member: u32,
}

type Bucket = Vec<Slot>;

/// The index; the ids themselves are the caller's to compare.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    blocks: Spine<[Bucket; BLOCK]>,
    buckets: usize,
    entries: usize,
    keys: RandomState,
}

impl Index {
    /// The hash of an id, the same for every spelling of its letters.
    pub(super) fn hash(&self, id: &str) -> u32 {
        let mut hasher = self.keys.build_hasher();
        let mut lower = [0; 64];
        match lower.get_mut(..id.len()) {
            Some(lower) => {
                lower.copy_from_slice(id.as_bytes());
                lower.make_ascii_lowercase();
                hasher.write(lower);
            }
            None => hasher.write(id.to_ascii_lowercase().as_bytes()),
        }
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The distributors whose id has this hash; hardly ever another one among them.
    pub(super) fn candidates(&self, hash: u32) -> impl Iterator<Item = u32> {
        let bucket = self.bucket_of(hash);
        let bucket = self.blocks.get(bucket / BLOCK).and_then(|block| block.get(bucket % BLOCK));
        let slots = bucket.map(Vec::as_slice).unwrap_or_default();
        slots.iter().filter(move |slot| slot.hash == hash).map(|slot| slot.member)
    }

    /// Adds a distributor.
    pub(super) fn insert(&mut self, hash: u32, member: u32) {
        if self.entries >= self.buckets.saturating_mul(FILL) {
            self.split();
        }
        let bucket = self.bucket_of(hash);
        if let Some(bucket) = self.bucket_mut(bucket) {
            push(bucket, Slot { hash, member });
            self.entries = self.entries.saturating_add(1);
        }
    }

    /// The bucket that a hash belongs to: by its low bits, by one bit less where the bucket with all
    /// of them has not been split off yet.
    fn bucket_of(&self, hash: u32) -> usize {
        let hash = usize::try_from(hash).unwrap_or_default();
        let mask = self.buckets.next_power_of_two().saturating_sub(1);
        let bucket = hash & mask;
        if bucket < self.buckets { bucket } else { bucket & (mask >> 1) }
    }

    fn bucket_mut(&mut self, bucket: usize) -> Option<&mut Bucket> {
        self.blocks.get_mut(bucket / BLOCK)?.get_mut(bucket % BLOCK)
    }

    /// Adds the next bucket and moves into it what belongs there.
    fn split(&mut self) {
        let new = self.buckets;
        if new.is_multiple_of(BLOCK) {
            self.blocks.push([const { Bucket::new() }; BLOCK]);
        }
        self.buckets = new.saturating_add(1);
        let Some(bit) = new.checked_ilog2() else { return };
        let Some(old) = self.bucket_mut(new & !(1 << bit)) else { return };
        let (moved, stay): (Bucket, Bucket) =
            std::mem::take(old).into_iter().partition(|slot| slot.hash & (1 << bit) != 0);
        *old = exactly(stay);
        if let Some(bucket) = self.bucket_mut(new) {
            *bucket = exactly(moved);
        }
    }
}

fn exactly(mut bucket: Bucket) -> Bucket {
    bucket.shrink_to_fit();
    bucket
}

fn push(bucket: &mut Bucket, slot: Slot) {
    if bucket.len() == bucket.capacity() {
        bucket.reserve_exact(ROOM);
    }
    bucket.push(slot);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_inserted_is_found_at_every_size() {
        let mut index = Index::default();
        for member in 0..5_000 {
            index.insert(index.hash(&format!("D{member}")), member);
            let (first, half) = (index.hash("d0"), index.hash(&format!("d{}", member / 2)));
            assert!(index.candidates(first).any(|found| found == 0));
            assert!(index.candidates(half).any(|found| found == member / 2));
        }
        assert_eq!(index.candidates(index.hash("D5000")).count(), 0);
        let fill = |bucket: usize| index.blocks.get(bucket / BLOCK).unwrap()[bucket % BLOCK].len();
        let most = (0..index.buckets).map(fill).max().unwrap();
        assert!(most < FILL * 4, "a bucket holds {most}");
    }
}
