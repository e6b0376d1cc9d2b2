//! The model of the books: obviously right, in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{Booked, Change, JournalRange, Links, PostOutcome, Posting, Store};
use crate::{
    domain::{
        customer::{CustomerKey, CustomerLink},
        digest::Digest,
        id::OrderKey,
        journal::{self, PostedVolume, VolumeEntry, VolumePosition},
        ledger::{self, Entry, Kind, Position},
        money::Money,
        plan::volume::LineVolumes,
        story::Chapter,
    },
    stage::{map::WaitsFor, message::Computed},
    stream::ServiceError,
};

/// The books in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    orders: BTreeMap<OrderKey, Change>,
    links: Links,
    last_link: u64,
    runs: BTreeMap<OrderKey, BTreeMap<u64, Posting>>,
    /// The number of the last block.
    blocks: u64,
    entries: Vec<(OrderKey, Entry)>,
    /// The volume journal; the first has the number 1.
    volumes: Vec<(OrderKey, VolumeEntry)>,
    story: Vec<Chapter>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of an order, in the order of posting.
    pub fn entries(&self, key: &OrderKey) -> Vec<Entry> {
        let books = self.lock();
        books.entries.iter().filter(|(k, _)| k == key).map(|(_, entry)| entry.clone()).collect()
    }

    /// What is posted for each order and position; positions at zero are left out.
    pub fn balances(&self) -> BTreeMap<(OrderKey, Position), Money> {
        let mut sums: BTreeMap<(OrderKey, Position), Money> = BTreeMap::new();
        for (key, entry) in &self.lock().entries {
            *sums.entry((key.clone(), entry.position.clone())).or_default() += entry.signed();
        }
        sums.retain(|_, sum| !sum.is_zero());
        sums
    }

    /// What the volume journal has for each order and position; positions at zero are left out.
    pub fn volumes(&self) -> BTreeMap<(OrderKey, VolumePosition), LineVolumes> {
        let mut sums: BTreeMap<(OrderKey, VolumePosition), LineVolumes> = BTreeMap::new();
        for (key, entry) in &self.lock().volumes {
            *sums.entry((key.clone(), entry.position.clone())).or_default() += entry.amount;
        }
        sums.retain(|_, sum| !sum.is_zero());
        sums
    }

    /// A part of the volume journal: each entry with its number.
    pub fn journal(&self, range: JournalRange) -> Vec<(u64, VolumeEntry)> {
        let books = self.lock();
        let numbered = (1..).zip(books.volumes.iter().map(|(_, entry)| entry));
        let within = |(seq, entry): &(u64, &VolumeEntry)| {
            let before = entry.position.placed_at < range.before;
            *seq > range.after && *seq <= range.upto && before
        };
        numbered.filter(within).map(|(seq, entry)| (seq, entry.clone())).collect()
    }

    /// Links a customer to a distributor.
    pub fn link(&self, customer: CustomerKey, link: CustomerLink) {
        self.lock().link(customer, link);
    }

    /// Every event of an order and what became of it, in the order of writing.
    pub fn story(&self, key: &OrderKey) -> Vec<Chapter> {
        self.lock().story.iter().filter(|chapter| chapter.key == *key).cloned().collect()
    }

    /// What each order waits for.
    pub fn waits(&self) -> BTreeMap<OrderKey, BTreeSet<WaitsFor>> {
        let books = self.lock();
        let waiting = books.orders.iter().filter(|(_, change)| !change.waits.is_empty());
        waiting.map(|(key, change)| (key.clone(), change.waits.clone())).collect()
    }
}

/// What tells one event from another.
fn identity(chapter: &Chapter) -> (&OrderKey, &str, Timestamp, &str, &Digest) {
    let Chapter { key, delivery, received_at, fact, digest, .. } = chapter;
    (key, delivery, *received_at, fact, digest)
}

impl Books {
    /// Numbers and keeps a link; one for each customer, kind and order.
    fn link(&mut self, customer: CustomerKey, link: CustomerLink) {
        let links = self.links.entry(customer).or_default();
        let same = |known: &CustomerLink| known.kind == link.kind && known.order == link.order;
        if link.order.is_some() && links.iter().any(same) {
            return;
        }
        self.last_link = self.last_link.saturating_add(1);
        links.push(CustomerLink { seq: self.last_link, ..link });
    }

    fn write_down(&mut self, chapter: &Chapter) {
        if !self.story.iter().any(|known| identity(known) == identity(chapter)) {
            self.story.push(chapter.clone());
        }
    }

    fn post(&mut self, computed: &Computed, block: u64, now: Timestamp) -> PostOutcome {
        let order = &computed.run.order;
        let runs = self.runs.entry(order.key.clone()).or_default();
        if runs.contains_key(&order.revision) {
            return PostOutcome::Already;
        }
        if runs.keys().any(|revision| *revision > order.revision) {
            return PostOutcome::Stale;
        }
        let mut sums: BTreeMap<Position, ledger::Posted> = BTreeMap::new();
        for (_, entry) in self.entries.iter().filter(|(key, _)| *key == order.key) {
            let sum = sums.entry(entry.position.clone()).or_insert_with(|| ledger::Posted {
                position: entry.position.clone(),
                amount: Money::ZERO,
                last_earned: None,
            });
            sum.amount += entry.signed();
            if entry.kind == Kind::Earned {
                sum.last_earned = Some(entry.event_id);
            }
        }
        let sums: Vec<ledger::Posted> = sums.into_values().collect();
        let entries = ledger::post(&computed.run, &sums);
        let volumes = self.post_volumes(computed);
        let runs = self.runs.entry(order.key.clone()).or_default();
        self.entries.extend(entries.iter().map(|entry| (order.key.clone(), entry.clone())));
        let posting = Posting {
            run: computed.run.clone(),
            entries: entries.clone(),
            volumes,
            trace: computed.trace.clone(),
            block,
            at: now,
        };
        runs.insert(order.revision, posting);
        self.blocks = block;
        PostOutcome::Posted { entries, block }
    }

    fn post_volumes(&mut self, computed: &Computed) -> Vec<VolumeEntry> {
        let key = &computed.run.order.key;
        let mut posted: BTreeMap<VolumePosition, PostedVolume> = BTreeMap::new();
        for (_, entry) in self.volumes.iter().filter(|(of, _)| of == key) {
            let sum = posted.entry(entry.position.clone()).or_insert_with(|| PostedVolume {
                position: entry.position.clone(),
                amount: LineVolumes::default(),
                last: entry.event_id,
            });
            sum.amount += entry.amount;
            sum.last = entry.event_id;
        }
        let posted: Vec<PostedVolume> = posted.into_values().collect();
        let entries = journal::post(&computed.run, &posted);
        self.volumes.extend(entries.iter().map(|entry| (key.clone(), entry.clone())));
        entries
    }
}

impl Store for MemoryStore {
    async fn load(&self, keys: &[OrderKey]) -> Result<BTreeMap<OrderKey, Booked>, ServiceError> {
        let books = self.lock();
        let found = keys.iter().filter_map(|key| books.orders.get_key_value(key));
        Ok(found.map(|(key, change)| (key.clone(), change.booked.clone())).collect())
    }

    async fn links(&self, customers: &[CustomerKey]) -> Result<Links, ServiceError> {
        let books = self.lock();
        let found = customers.iter().filter_map(|customer| books.links.get_key_value(customer));
        Ok(found.map(|(customer, links)| (customer.clone(), links.clone())).collect())
    }

    async fn save(
        &self,
        changes: &[Change],
        idle: &[Chapter],
    ) -> Result<BTreeSet<OrderKey>, ServiceError> {
        let mut books = self.lock();
        let mut saved = BTreeSet::new();
        for change in changes {
            let edition = books.orders.get(&change.key).map_or(0, |known| known.booked.edition);
            if edition.checked_add(1) == Some(change.booked.edition) {
                books.orders.insert(change.key.clone(), change.clone());
                if let Some((customer, link)) = change.touch.clone() {
                    books.link(customer, link);
                }
                saved.insert(change.key.clone());
                change.events.iter().for_each(|chapter| books.write_down(chapter));
            }
        }
        for chapter in idle {
            books.write_down(chapter);
        }
        Ok(saved)
    }

    async fn post(
        &self,
        runs: &[&Computed],
        now: Timestamp,
    ) -> Result<Vec<PostOutcome>, ServiceError> {
        let mut books = self.lock();
        let block = books.blocks.saturating_add(1);
        Ok(runs.iter().map(|run| books.post(run, block, now)).collect())
    }

    async fn posted(&self, blocks: RangeInclusive<u64>) -> Result<Vec<Posting>, ServiceError> {
        let books = self.lock();
        let runs = books.runs.values().flat_map(BTreeMap::values);
        Ok(runs.filter(|posting| blocks.contains(&posting.block)).cloned().collect())
    }
}
