//! After validate: the order book.
//!
//! A batch is joined per order first, so an order is read, joined, mapped and written once however
//! many of its events are in the batch. Writing is optimistic: an order that somebody else wrote
//! meanwhile is read and joined again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::CompanyCell;
use crate::{
    clock::Clock,
    domain::{
        commission::MappedOrder,
        customer::{CustomerKey, CustomerLink},
        id::{OrderKey, Platform, StoreId},
        order::{Fact, OrderEvent, OrderState, Status},
        story::{self, Chapter, Outcome, tell},
    },
    stage::{
        DeferReason, SkipReason,
        commission::CurrentCompany,
        map::{Company, Mapping, Terms, WaitsFor, asked_customer, asks_lifetime, first_touch, map},
        message::{Mapped, Trace, Validated},
    },
    store::{Booked, Change, Links, Store},
    stream::{Effect, Fate, Forward, Parcel, ServiceError, Sink},
};

/// The terms of each store.
#[derive(Debug, Clone, Default)]
pub struct StoreTerms {
    /// By store.
    pub by_store: HashMap<(Platform, StoreId), Terms>,
    /// For stores that no pipeline file names as such (an API caller may name any).
    pub default: Terms,
}

impl StoreTerms {
    /// The terms that hold for an order.
    pub fn of(&self, key: &OrderKey) -> &Terms {
        let known = self.by_store.get(&(key.platform, key.store.clone()));
        known.unwrap_or(&self.default)
    }
}

/// Joins events into the order book and publishes revisions.
#[derive(Debug)]
pub struct OrderBookSink<S, F> {
    /// The books.
    pub store: Arc<S>,
    /// Where revisions are handed to.
    pub next: F,
    /// What is loaded of the company.
    pub company: CompanyCell,
    /// Which plan and which payout currency hold for which store.
    pub terms: StoreTerms,
    /// The time.
    pub clock: Clock,
}

/// The events of one order in a batch, joined.
struct Incoming<'a> {
    events: Vec<&'a OrderEvent>,
    state: OrderState,
    trace: Trace,
    /// An event may have had its effect before: what is found written is published again.
    again: bool,
    /// An event asks to map again although nothing new is known of the order.
    recheck: bool,
}

/// What became of an order.
enum Settled {
    Ready(Box<MappedOrder>),
    Parked(DeferReason),
    NothingNew,
}

/// How often a contended order is read again before the batch is handed back.
const ROUNDS: u32 = 8;

impl<S: Store, F: Forward<Mapped>> OrderBookSink<S, F> {
    fn join(effects: &[Effect<Validated>]) -> BTreeMap<OrderKey, Incoming<'_>> {
        let mut orders: BTreeMap<OrderKey, Incoming<'_>> = BTreeMap::new();
        for effect in effects {
            let Validated { event, trace } = &effect.value;
            let recheck = event.fact == Fact::Recheck;
            let state = OrderState::of(event.clone());
            let known = orders.entry(event.key.clone()).or_insert_with(|| Incoming {
                events: Vec::new(),
                state: OrderState::default(),
                trace: trace.clone(),
                again: false,
                recheck: false,
            });
            known.state = std::mem::take(&mut known.state).join(state);
            known.events.push(event);
            known.again |= effect.redelivered;
            known.recheck |= recheck;
            if trace.received_at > known.trace.received_at {
                known.trace = trace.clone();
            }
        }
        orders
    }

    /// Joins and maps one order; the change to write, if there is one, and what becomes of it.
    fn decide(
        &self,
        key: &OrderKey,
        incoming: &Incoming<'_>,
        known: Option<Booked>,
        company: &Company,
        links: &Links,
        again: bool,
    ) -> (Option<Change>, Settled) {
        let recheck = incoming.recheck || again;
        let was_known = known.is_some();
        let terms = self.terms.of(key);
        let known = known.unwrap_or_else(|| Booked {
            edition: 0,
            revision: 0,
            state: OrderState::default(),
            locks: None,
            plan: terms.plan.clone(),
        });
        let state = known.state.clone().join(incoming.state.clone());
        let changed = state != known.state || !was_known;
        if !changed && !incoming.again && !recheck {
            return (None, Settled::NothingNew);
        }
        let revision = known.revision.saturating_add(u64::from(changed));
        // An order stays with the plan of its store from when it was first seen.
        let terms = Terms { plan: known.plan.clone(), ..terms.clone() };
        let links = links_of(key, &state, links);
        let mapping = map(key, revision, &state, known.locks.as_ref(), company, &terms, links);
        let (settled, waits, outcome) = match mapping {
            Mapping::Ready(order) => (Settled::Ready(order), BTreeSet::new(), "ready"),
            Mapping::Parked(waits) => (Settled::Parked(reason(&waits)), waits, "parked"),
            Mapping::NoOrderYet => {
                (Settled::Parked(DeferReason::NoOrderYet), BTreeSet::new(), "no_order_yet")
            }
        };
        // The first commissionable state binds the order to the versions that it was mapped with;
        // later ones are mapped with these.
        let locks = match &settled {
            Settled::Ready(order) if order.status == Status::Paid => Some(order.locks.clone()),
            Settled::Ready(_) | Settled::Parked(_) | Settled::NothingNew => known.locks.clone(),
        };
        let touch = match (&settled, state.snapshot.as_deref(), &known.locks) {
            (Settled::Ready(order), Some(snapshot), None) if locks.is_some() => {
                first_touch(order, snapshot, links)
            }
            _ => None,
        };
        let change = Change {
            key: key.clone(),
            touch,
            booked: Booked {
                edition: known.edition.saturating_add(1),
                revision,
                state,
                locks,
                plan: known.plan.clone(),
            },
            waits,
            outcome,
            received_at: incoming.trace.received_at,
            events: Vec::new(),
        };
        let write = changed || recheck || change.booked.locks != known.locks;
        (write.then_some(change), settled)
    }

    /// The links of the customers that the orders of a batch ask for; no query if none does.
    async fn links(
        &self,
        orders: &BTreeMap<OrderKey, Incoming<'_>>,
        known: &BTreeMap<OrderKey, Booked>,
    ) -> Result<Links, ServiceError> {
        let told = orders.iter().map(|(key, incoming)| (key, &incoming.state));
        let booked = known.iter().map(|(key, booked)| (key, &booked.state));
        let asked: BTreeSet<CustomerKey> = told
            .chain(booked)
            .filter_map(|(key, state)| asked_customer(key, state.snapshot.as_deref()?))
            .collect();
        if asked.is_empty() {
            return Ok(Links::new());
        }
        self.store.links(&asked.into_iter().collect::<Vec<_>>()).await
    }

    /// Joins every order of the batch into the book.
    async fn settle(
        &self,
        orders: &BTreeMap<OrderKey, Incoming<'_>>,
    ) -> Result<BTreeMap<OrderKey, Settled>, ServiceError> {
        let mut settled = BTreeMap::new();
        // Parked with a company or links that may no longer be the current ones: to be mapped once
        // more, now that whoever releases orders can see the wait.
        let mut again: BTreeSet<OrderKey> = BTreeSet::new();
        let mut open: Vec<OrderKey> = orders.keys().cloned().collect();
        for _ in 0..ROUNDS {
            if open.is_empty() {
                return Ok(settled);
            }
            let company = self.company.current();
            let mut known = self.store.load(&open).await?;
            not_loaded(&company, &known)?;
            let links = self.links(orders, &known).await?;
            let mut changes = Vec::new();
            let mut idle = Vec::new();
            let mut written = BTreeMap::new();
            for key in open.drain(..) {
                let Some(incoming) = orders.get(&key) else { continue };
                let known = known.remove(&key);
                let before = known.as_ref().map(|known| (known.state.clone(), known.revision));
                let written_before = again.contains(&key);
                let (change, outcome) =
                    self.decide(&key, incoming, known, &company, &links, written_before);
                let told = chapters(incoming, before.as_ref(), change.as_ref(), &outcome);
                if let Some(mut change) = change {
                    change.events = told;
                    changes.push(change);
                    written.insert(key, outcome);
                } else {
                    idle.extend(told);
                    settled.insert(key, outcome);
                }
            }
            for key in after_their_first_touch(&mut changes) {
                written.remove(&key);
                open.push(key);
            }
            let unlinked = first_waits_for_a_link(&changes, &again);
            let saved = self.store.save(&changes, &idle).await?;
            // What an order waits for may have become known while it was being parked; whoever
            // releases orders looked before the wait was written.
            let outdated = !Arc::ptr_eq(&company, &self.company.current());
            for (key, outcome) in written {
                let parked = matches!(outcome, Settled::Parked(_));
                if saved.contains(&key) && !(parked && (outdated || unlinked.contains(&key))) {
                    settled.insert(key, outcome);
                } else {
                    if parked {
                        again.insert(key.clone());
                    }
                    open.push(key);
                }
            }
        }
        if open.is_empty() {
            return Ok(settled);
        }
        Err(ServiceError::Unavailable {
            service: "order book",
            source: format!("{} orders were written by others {ROUNDS} times", open.len()).into(),
        })
    }
}

fn links_of<'l>(key: &OrderKey, state: &OrderState, links: &'l Links) -> &'l [CustomerLink] {
    let customer = state.snapshot.as_deref().and_then(|snapshot| asked_customer(key, snapshot));
    customer.and_then(|customer| links.get(&customer)).map_or(&[], Vec::as_slice)
}

/// The orders that wait for a link of their customer and were not looked at again since.
fn first_waits_for_a_link(changes: &[Change], again: &BTreeSet<OrderKey>) -> BTreeSet<OrderKey> {
    let waits = |change: &&Change| change.waits.contains(&WaitsFor::Referrer);
    let keys = changes.iter().filter(waits).map(|change| change.key.clone());
    keys.filter(|key| !again.contains(key)).collect()
}

/// Takes out the orders whose customer is first touched by another order of the same batch: they
/// are mapped in the next round, when that touch is written, so that a batch ends as the same
/// orders would one by one.
fn after_their_first_touch(changes: &mut Vec<Change>) -> Vec<OrderKey> {
    let touched: BTreeSet<CustomerKey> =
        changes.iter().filter_map(|change| Some(change.touch.as_ref()?.0.clone())).collect();
    let waits = |change: &Change| {
        let snapshot = change.booked.state.snapshot.as_deref();
        let asks = snapshot.filter(|snapshot| asks_lifetime(snapshot));
        let customer = asks.and_then(|snapshot| asked_customer(&change.key, snapshot));
        change.touch.is_none() && customer.is_some_and(|customer| touched.contains(&customer))
    };
    if touched.is_empty() {
        return Vec::new();
    }
    let later = changes.iter().filter(|change| waits(change)).map(|c| c.key.clone()).collect();
    changes.retain(|change| !waits(change));
    later
}

/// The story of the events of one order.
fn chapters(
    incoming: &Incoming<'_>,
    before: Option<&(OrderState, u64)>,
    change: Option<&Change>,
    settled: &Settled,
) -> Vec<Chapter> {
    let known = before.map(|(state, revision)| (state, *revision));
    let waits: Vec<String> =
        change.iter().flat_map(|change| &change.waits).map(WaitsFor::told).collect();
    let effect = match settled {
        Settled::Ready(_) => story::Effect::Revision,
        Settled::Parked(DeferReason::NoOrderYet) => story::Effect::NoOrderYet,
        Settled::Parked(_) => story::Effect::Parked,
        Settled::NothingNew => story::Effect::NothingNew,
    };
    let revision =
        change.map(|change| change.booked.revision).or_else(|| known.map(|known| known.1));
    let waits = waits.join(", ");
    let outcome = Outcome { effect, waits: &waits, revision: revision.unwrap_or(0) };
    tell(&incoming.events, known, outcome)
}

/// Refuses to go on while an order of the batch is bound to versions that another process has loaded
/// and this one has not: they are here within the next look.
fn not_loaded(company: &Company, known: &BTreeMap<OrderKey, Booked>) -> Result<(), ServiceError> {
    let (genealogy, catalog) = (company.genealogy.version().seq, company.catalog.version());
    let ahead = known.iter().find(|(_, booked)| {
        booked.locks.as_ref().is_some_and(|locks| {
            let plan = company.plans.get(&locks.plan);
            let ranks = company.ranks.of(&locks.plan.id).version();
            locks.genealogy.seq > genealogy
                || locks.catalog_needed() > catalog
                || locks.ranks.is_some_and(|locked| locked > ranks)
                || plan.is_none()
        })
    });
    match ahead {
        None => Ok(()),
        Some((key, _)) => Err(ServiceError::Unavailable {
            service: "company",
            source: format!("{key} is bound to versions that are not loaded yet").into(),
        }),
    }
}

fn reason(waits: &BTreeSet<WaitsFor>) -> DeferReason {
    match waits.first() {
        Some(WaitsFor::Distributor(_)) => DeferReason::UnknownDistributor,
        Some(WaitsFor::Referrer) => DeferReason::NoReferrer,
        Some(WaitsFor::Rate(..)) => DeferReason::UnknownRate,
        Some(WaitsFor::Unidentified(_) | WaitsFor::Chargeback(..)) => DeferReason::Undecided,
        Some(WaitsFor::Sku(_) | WaitsFor::Article(_)) | None => DeferReason::UnknownSku,
    }
}

impl<S: Store, F: Forward<Mapped>> Sink<Validated> for OrderBookSink<S, F> {
    async fn deliver(&self, effects: &[Effect<Validated>]) -> Result<Vec<Fate>, ServiceError> {
        let orders = Self::join(effects);
        let mut settled = self.settle(&orders).await?;
        let fates = effects
            .iter()
            .map(|effect| match settled.get(&effect.value.event.key) {
                Some(Settled::Ready(_)) => Fate::Delivered,
                Some(Settled::Parked(reason)) => Fate::Parked(*reason),
                Some(Settled::NothingNew) | None => Fate::Skipped(SkipReason::NothingNew),
            })
            .collect();
        let now = self.clock.now();
        let mut parcels = Vec::with_capacity(orders.len());
        for (key, incoming) in orders {
            if let Some(Settled::Ready(order)) = settled.remove(&key) {
                parcels.push(Parcel {
                    id: format!("mapped:{key}:{}", order.revision),
                    redelivered: incoming.again,
                    value: Mapped {
                        order: *order,
                        trace: Trace { mapped_at: Some(now), ..incoming.trace },
                    },
                });
            }
        }
        self.next.forward(parcels).await?;
        Ok(fates)
    }
}
