//! Deliveries and bytes at the edge: limits in all, and a share per store.
//!
//! Invariant: what is held and what is reserved for others never passes the limit together, so a
//! store always gets its reserve, at once.

use std::time::{Duration, Instant};

use super::{AdmissionConfig, Reason, Refusal, Slot, is_recent};

/// What one store holds.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    deliveries: usize,
    bytes: usize,
    /// When it last got something.
    taken: Option<Instant>,
}

/// A limited good, of which each store has a reserve.
#[derive(Debug)]
struct Pool {
    limit: usize,
    reserve: usize,
    /// For each store what it holds, at least its reserve; over all.
    committed: usize,
}

impl Pool {
    fn new(limit: usize, reserve: usize, stores: usize) -> Self {
        Self { limit, reserve, committed: reserve.saturating_mul(stores) }
    }

    /// How much more is committed when a store goes from `held` to `then`.
    fn growth(&self, held: usize, then: usize) -> usize {
        then.max(self.reserve).saturating_sub(held.max(self.reserve))
    }

    /// Whether a store that has `held` may have `more`. Alone it may have everything but the reserve
    /// of the others, else half; what it holds first always counts as within the half, for a single
    /// delivery may be larger.
    fn has_room(&self, held: usize, more: usize, alone: bool) -> bool {
        let then = held.saturating_add(more);
        let modest = alone || held == 0 || then <= (self.limit / 2).max(self.reserve);
        modest && self.committed.saturating_add(self.growth(held, then)) <= self.limit
    }

    fn hold(&mut self, held: &mut usize, more: usize) {
        let then = held.saturating_add(more);
        self.committed = self.committed.saturating_add(self.growth(*held, then));
        *held = then;
    }

    fn give_back(&mut self, held: &mut usize, less: usize) {
        let then = held.saturating_sub(less);
        self.committed = self.committed.saturating_sub(self.growth(then, *held));
        *held = then;
    }
}

/// What is on its way to the log.
#[derive(Debug)]
pub(super) struct Shares {
    deliveries: Pool,
    bytes: Pool,
    stores: Vec<Held>,
}

impl Shares {
    pub(super) fn new(
        config: &AdmissionConfig,
        stores: usize,
        bytes: usize,
        body_limit: usize,
    ) -> Self {
        let each = |all: usize| all.checked_div(stores).unwrap_or(0);
        let in_flight = config.in_flight.get();
        let reserve = config.store_reserve.min(each(in_flight));
        // The edge holds bytes of bodies that are still being read, too: verified ones leave room for
        // them, but always have enough for the largest.
        let limit = bytes.saturating_sub(bytes / 8).max(body_limit);
        let spare = (limit / 8).min(limit.saturating_sub(body_limit));
        Self {
            deliveries: Pool::new(in_flight, reserve, stores),
            bytes: Pool::new(limit, each(spare), stores),
            stores: vec![Held::default(); stores],
        }
    }

    /// Whether a store may have one delivery of this many bytes more.
    pub(super) fn admit(&self, now: Instant, store: Slot, bytes: usize) -> Result<(), Refusal> {
        let held = self.stores.get(store.0).copied().unwrap_or_default();
        let full = |reason| Err(Refusal { reason, wait: Some(Duration::ZERO) });
        let fits = |alone| {
            if !self.deliveries.has_room(held.deliveries, 1, alone) {
                full(Reason::InFlight)
            } else if !self.bytes.has_room(held.bytes, bytes, alone) {
                full(Reason::Bytes)
            } else {
                Ok(())
            }
        };
        // Looking at the others costs something, so it is done only where it matters.
        fits(false)
            .or_else(|refusal| if self.is_alone(now, store) { fits(true) } else { Err(refusal) })
    }

    fn is_alone(&self, now: Instant, store: Slot) -> bool {
        let mut others = self.stores.iter().enumerate().filter(|(index, _)| *index != store.0);
        !others.any(|(_, other)| other.deliveries > 0 || is_recent(other.taken, now))
    }

    pub(super) fn hold(&mut self, now: Instant, store: Slot, bytes: usize) {
        if let Some(held) = self.stores.get_mut(store.0) {
            held.taken = Some(now);
            self.deliveries.hold(&mut held.deliveries, 1);
            self.bytes.hold(&mut held.bytes, bytes);
        }
    }

    pub(super) fn give_back(&mut self, store: Slot, bytes: usize) {
        if let Some(held) = self.stores.get_mut(store.0) {
            self.deliveries.give_back(&mut held.deliveries, 1);
            self.bytes.give_back(&mut held.bytes, bytes);
        }
    }

    /// What is held: deliveries and bytes, of a store or of all.
    #[cfg(test)]
    pub(super) fn held(&self, store: Option<Slot>) -> (usize, usize) {
        let of = |(index, _): &(usize, &Held)| store.is_none_or(|store| store.0 == *index);
        let held = self.stores.iter().enumerate().filter(of);
        held.fold((0, 0), |sum, (_, held)| (sum.0 + held.deliveries, sum.1 + held.bytes))
    }

    /// Whether nothing is committed beyond the reserves.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        [&self.deliveries, &self.bytes]
            .iter()
            .all(|pool| pool.committed == pool.reserve * self.stores.len())
    }
}
