//! Who may come in: the edge answers 503 with `Retry-After` before latency explodes, and so that no
//! shop starves another.
//!
//! Two questions are asked of every delivery. Is there room for it at the edge ([`shares`]: deliveries
//! and bytes on their way to the log, in all and per store)? And does what stands behind the edge keep
//! up ([`pace`]: the expected wait in front of the ledger)? Both are asked twice: by
//! [`Admission::peek`] before the body is read, which takes nothing, and by [`Admission::take`] when the
//! sender has proved itself. So nobody can use up a share that is not theirs.
//!
//! Policy: who is refused must be able to come again. A sender that surely does ([`Comeback::Sure`]) is
//! refused as soon as the wait passes the target; one that does not is let in until the backlog reaches
//! its second, much larger limit.
//!
//! Pure and synchronous: the time is passed in.

mod pace;
mod shares;

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use self::{pace::Pace, shares::Shares};

/// The longest wait that a `Retry-After` is made of, before it is spread. Longer would help nobody:
/// mage-os gives up after five attempts, and the estimate is of this moment.
const PAUSE_LONGEST: Duration = Duration::from_mins(1);

/// How long ago something may have been for a store to count as active.
const ACTIVE: Duration = Duration::from_secs(1);

/// The limits of admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionConfig {
    /// The most verified deliveries on their way to the log at once. Not above the edge's
    /// `max_connections`, or waiting deliveries could fill every connection. No store may hold more
    /// than half of them while another is active.
    pub in_flight: NonZeroUsize,
    /// How many of them are kept free for each store, whatever the others do; less if there are so
    /// many stores that it would not go round.
    pub store_reserve: usize,
    /// The wait in front of the ledger above which deliveries of senders that come again are let in
    /// only as fast as the stages work. Zero switches this off: then the backlog refuses nobody.
    pub target_wait: Duration,
    /// How much work the backlog may hold, as time at the rate last known, until senders that do not
    /// come again are refused too. While the stages stand still, those that come again are refused
    /// from half of it on.
    pub outage_wait: Duration,
    /// The same as messages; the smaller of the two holds.
    pub backlog_max: u64,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            in_flight: NonZeroUsize::MIN.saturating_add(1023),
            store_reserve: 16,
            target_wait: Duration::from_secs(1),
            outage_wait: Duration::from_mins(5),
            backlog_max: 1_000_000,
        }
    }
}

/// What somebody who watches the pipeline has seen since they last told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Deliveries that are in the log and not through the ledger, wherever they are.
    pub backlog: u64,
    /// How many the log took since the last reading, from every process.
    pub arrived: u64,
    /// How many left the pipeline since then; below zero where the stages made several messages of
    /// one. `None` if that is not known.
    pub settled: Option<i64>,
}

/// What admission makes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlook {
    /// How long a delivery of now will wait for its turn at the ledger. `None` while nobody can say:
    /// the stages stand still, or have just begun.
    pub wait: Option<Duration>,
    /// At how many deliveries a second this process lets in those that come again; `None`: all.
    pub pace: Option<u64>,
}

/// Whether a sender that is refused comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comeback {
    /// For hours (Shopify: 8 times in 4 h; Adobe I/O Events: for 24 h), or it sees the answer itself
    /// (the API).
    Sure,
    /// Never (`WooCommerce`) or not for long (mage-os: five times within a minute).
    Unsure,
}

/// Why a delivery of a known store was refused for load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The store, or all together, have as many deliveries on their way to the log as they may.
    InFlight,
    /// They hold as many bytes as they may.
    Bytes,
    /// The pipeline behind the edge does not keep up.
    Backlog,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::InFlight, Self::Bytes, Self::Backlog];

    /// The name: the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Bytes => "bytes",
            Self::Backlog => "backlog",
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// When there will be room; `None` if nobody can say.
    wait: Option<Duration>,
}

impl Refusal {
    /// When to come again: not before there is room, not before `least`, and spread over as much time
    /// again, so that what was refused together does not come back together. The same `seed`, which
    /// stands for the delivery, always comes out at the same place.
    pub(super) fn retry_after(&self, least: Duration, seed: u64) -> Duration {
        let pause = self.wait.unwrap_or(PAUSE_LONGEST).min(PAUSE_LONGEST).max(least);
        let width = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let late = seed.checked_rem(width).unwrap_or(0);
        pause.saturating_add(Duration::from_millis(late))
    }
}

/// A number that stands for a text (FNV-1a): for spreading, not for secrets.
pub(super) fn seed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.into_iter().flatten();
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV hardly mix.
    hash ^ (hash >> 32)
}

/// A store, by its place in the list that the edge was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(pub(super) usize);

/// Decides who comes in.
#[derive(Debug)]
pub struct Admission(Mutex<State>);

#[derive(Debug)]
struct State {
    shares: Shares,
    pace: Pace,
}

impl Admission {
    /// For this many stores and bytes, of which one delivery may have `body_limit`.
    pub(super) fn new(
        config: &AdmissionConfig,
        stores: usize,
        bytes: usize,
        body_limit: usize,
    ) -> Arc<Self> {
        let shares = Shares::new(config, stores, bytes, body_limit);
        Arc::new(Self(Mutex::new(State { shares, pace: Pace::new(config, stores) })))
    }

    /// Takes what is known of the pipeline behind the edge. Told nothing for ten seconds, admission
    /// assumes that nobody watches and refuses nobody because of the backlog.
    pub fn observe(&self, now: Instant, reading: Reading) -> Outlook {
        self.state().pace.observe(now, reading)
    }

    /// Whether [`Self::take`] would admit a delivery of this many bytes now. Takes nothing.
    pub(super) fn peek(
        &self,
        now: Instant,
        store: Slot,
        comeback: Comeback,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        // The pace is asked in any case: it has to know who wants something.
        let paced = state.pace.admits(now, store, comeback);
        state.shares.admit(now, store, bytes)?;
        paced
    }

    /// Admits a verified delivery of this many bytes until the permit is dropped.
    pub(super) fn take(
        self: &Arc<Self>,
        now: Instant,
        store: Slot,
        comeback: Comeback,
        bytes: usize,
    ) -> Result<Permit, Refusal> {
        let mut state = self.state();
        state.shares.admit(now, store, bytes)?;
        state.pace.take(now, store, comeback)?;
        state.shares.hold(now, store, bytes);
        drop(state);
        Ok(Permit { admission: Arc::clone(self), store, bytes })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here panics half way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An admitted delivery; its place is free again when this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Permit {
    admission: Arc<Admission>,
    store: Slot,
    bytes: usize,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.state().shares.give_back(self.store, self.bytes);
    }
}

/// Whether something that happened `then` makes a store active `now`.
fn is_recent(then: Option<Instant>, now: Instant) -> bool {
    then.is_some_and(|then| now.saturating_duration_since(then) <= ACTIVE)
}
