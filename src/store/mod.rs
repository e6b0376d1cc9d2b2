//! The books: what is known of each order, and what is posted.
//!
//! Invariant: every write is idempotent on a business key (order key and edition, order key and
//! revision, event id), so an effect that happens twice leaves the same books.
//!
//! `postgres` is the real store; `memory` is the model that it is tested against.

pub mod memory;
pub mod postgres;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    ops::RangeInclusive,
};

use jiff::Timestamp;

use crate::{
    domain::{
        article::ArticleEvent,
        commission::{Locks, Run, VolumeSource},
        customer::{CustomerKey, CustomerLink},
        id::OrderKey,
        journal::VolumeEntry,
        ledger::Entry,
        order::OrderState,
        story::Chapter,
        volume::Volume,
    },
    stage::{
        map::WaitsFor,
        message::{Computed, Trace},
    },
    stream::ServiceError,
};

/// An order as the order book has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booked {
    /// Counts the writes of the order: the optimistic lock.
    pub edition: u64,
    /// Counts the states of the order.
    pub revision: u64,
    /// The join of every fact that arrived.
    pub state: OrderState,
    /// The versions that the order is bound to, from its first commissionable state on.
    pub locks: Option<Locks>,
    /// The id of the plan that the order is computed with.
    pub plan: Box<str>,
}

/// An order to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The order.
    pub key: OrderKey,
    /// What it becomes; its `edition` is the one after the one that was read.
    pub booked: Booked,
    /// What it waits for; empty if it is ready.
    pub waits: BTreeSet<WaitsFor>,
    /// The first touch of its customer, to be written with it.
    pub touch: Option<(CustomerKey, CustomerLink)>,
    /// `ready`, `parked` or `no_order_yet`.
    pub outcome: &'static str,
    /// When the fact that led to this write was received.
    pub received_at: Timestamp,
    /// The events that led to it.
    pub events: Vec<Chapter>,
}

/// The links of customers.
pub type Links = BTreeMap<CustomerKey, Vec<CustomerLink>>;

/// What was posted for a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// The calculation.
    pub run: Run,
    /// Its entries.
    pub entries: Vec<Entry>,
    /// Its entries in the volume journal.
    pub volumes: Vec<VolumeEntry>,
    /// When what led to it passed the stages.
    pub trace: Trace,
    /// The block that it is sealed in.
    pub block: u64,
    /// When.
    pub at: Timestamp,
}

/// A part of the volume journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalRange {
    /// The number of the last entry before the part; 0 for the start.
    pub after: u64,
    /// The number of its last entry.
    pub upto: u64,
    /// Only of orders placed before.
    pub before: Timestamp,
}

/// Entries of the volume journal as columns, in the order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalPage {
    /// The number of each entry.
    pub seq: Vec<u64>,
    /// Whom it counts for, by the number that the reader has given them.
    pub member: Vec<u32>,
    /// Where it comes from.
    pub source: Vec<VolumeSource>,
    /// When the order was placed.
    pub placed_at: Vec<Timestamp>,
    /// Personal volume.
    pub pv: Vec<Volume>,
    /// Qualifying volume.
    pub qv: Vec<Volume>,
    /// Commissionable volume.
    pub cv: Vec<Volume>,
}

impl JournalPage {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.seq.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.seq.is_empty()
    }

    fn clear(&mut self) {
        self.seq.clear();
        self.member.clear();
        self.source.clear();
        self.placed_at.clear();
        self.pv.clear();
        self.qv.clear();
        self.cv.clear();
    }
}

/// What posting made of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    /// It is posted now.
    Posted {
        /// With these entries.
        entries: Vec<Entry>,
        /// In this block, like all of its batch.
        block: u64,
    },
    /// It was posted before.
    Already,
    /// A newer revision is posted.
    Stale,
}

/// The catalogue of what the shops sell.
pub trait Articles: Send + Sync + 'static {
    /// Joins facts about articles into the catalogue: newest version wins, so it may happen twice.
    fn record(
        &self,
        events: &[&ArticleEvent],
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// The books.
pub trait Store: Send + Sync + 'static {
    /// Reads orders; those that are not there are left out.
    fn load(
        &self,
        keys: &[OrderKey],
    ) -> impl Future<Output = Result<BTreeMap<OrderKey, Booked>, ServiceError>> + Send;

    /// Reads the links of customers; those without any are left out.
    fn links(
        &self,
        customers: &[CustomerKey],
    ) -> impl Future<Output = Result<Links, ServiceError>> + Send;

    /// Writes orders whose stored edition is still the one before, with the events that led to it.
    /// Returns those that were written; the others have been changed by somebody else and must be
    /// read again. `idle` are events that changed nothing: they are written down all the same. An
    /// event that is written down already stays as it is.
    fn save(
        &self,
        changes: &[Change],
        idle: &[Chapter],
    ) -> impl Future<Output = Result<BTreeSet<OrderKey>, ServiceError>> + Send;

    /// Posts, for each run that is newer than what is posted of its order, the difference, as one
    /// sealed block. Outcomes are in the order of the runs.
    fn post(
        &self,
        runs: &[&Computed],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<PostOutcome>, ServiceError>> + Send;

    /// Everything that is posted in these blocks, by order and revision.
    fn posted(
        &self,
        blocks: RangeInclusive<u64>,
    ) -> impl Future<Output = Result<Vec<Posting>, ServiceError>> + Send;
}
