//! Map: from what a shop calls things to what the company calls them.
//!
//! SKU or variant id becomes a commission class, a referral code becomes a distributor. What is not
//! known yet parks the order, whole: nothing earns in part, nothing is lost. What a person decided about
//! the order holds before all of it.

mod attribute;

pub use self::attribute::{asked_customer, asks_lifetime, first_touch};

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use crate::domain::{
    catalog::Catalog,
    commission::{
        Attribution, DecidedChargeback, Locks, MappedLine, MappedOrder, RankBooks, VolumeBasis,
        ZeroReason,
    },
    customer::{AttributionLock, AttributionPolicy, CustomerLink},
    digest::Digest,
    fx::{LockedRate, RateBook},
    genealogy::Genealogy,
    id::{CommissionClass, DistributorId, OrderKey, RefundId, Sku},
    money::{Currency, Money},
    order::{EffectiveLine, Line, LineKind, OrderState, Sells, Snapshot, Status},
    plan::{Plan, PlanBook},
    volume::Volume,
};

/// What an order waits for. A new row that satisfies it releases the order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
pub enum WaitsFor {
    /// A row of the SKU mapping for this SKU or variant id.
    Sku(Sku),
    /// The enrolment of a distributor with one of these ids.
    Distributor(DistributorId),
    /// An exchange rate from the order's currency to the payout currency, or its opposite.
    Rate(Currency, Currency),
    /// A distributor to whom it belongs: the customer's link, or a code that the shop adds.
    Referrer,
    /// A line that has neither SKU nor variant id: only a person can decide what it is.
    Unidentified(Box<str>),
    /// A row of the SKU mapping for this article of the company, which a person decided that a line
    /// sells.
    Article(Sku),
    /// A chargeback in this currency, which is not that of the order: only a person can decide how
    /// much of it is taken.
    Chargeback(RefundId, Currency),
}

impl WaitsFor {
    /// The kind and the value for the story, which is kept for ever: a code that is no distributor's
    /// by its mark only.
    pub fn told(&self) -> String {
        let (kind, value) = self.parts();
        match self {
            Self::Distributor(_) => format!("{kind} {}", Digest::mark(&value)),
            Self::Sku(_)
            | Self::Rate(..)
            | Self::Referrer
            | Self::Unidentified(_)
            | Self::Article(_)
            | Self::Chargeback(..) => format!("{kind} {value}"),
        }
    }

    /// The kind and the value as they stand in the table `order_wait`.
    pub fn parts(&self) -> (&'static str, Cow<'_, str>) {
        match self {
            Self::Sku(sku) => ("sku", sku.as_str().into()),
            Self::Distributor(id) => ("distributor", id.as_str().into()),
            Self::Rate(from, to) => ("rate", format!("{from}/{to}").into()),
            Self::Referrer => ("referrer", "".into()),
            Self::Unidentified(line) => ("line", line.as_ref().into()),
            Self::Article(sku_id) => ("article", sku_id.as_str().into()),
            Self::Chargeback(id, currency) => ("chargeback", format!("{id} in {currency}").into()),
        }
    }
}

/// What mapping makes of an order state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Ready for commission.
    Ready(Box<MappedOrder>),
    /// Waits for these.
    Parked(BTreeSet<WaitsFor>),
    /// No snapshot of the order is known yet, only a refund or a deletion.
    NoOrderYet,
}

/// What a process has loaded of the company: tree, articles, plans and ranks.
#[derive(Debug, Clone, Default)]
pub struct Company {
    /// Who enrolled whom.
    pub genealogy: Genealogy,
    /// SKU to commission class.
    pub catalog: Catalog,
    /// Every plan version.
    pub plans: PlanBook,
    /// Every exchange rate.
    pub rates: RateBook,
    /// Every fact about ranks.
    pub ranks: RankBooks,
}

/// What a store's pipeline file says about paying for its orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The id of the plan.
    pub plan: Box<str>,
    /// The currency that commission is paid in, unless the plan has one; without either each order's own.
    pub payout: Option<Currency>,
    /// What becomes of orders that no known distributor referred.
    pub attribution: AttributionPolicy,
}

impl Terms {
    /// These terms and nothing else: a plan.
    pub fn of_plan(plan: &str) -> Self {
        Self { plan: plan.into(), ..Self::default() }
    }
}

/// Maps the state of an order at a revision. `locks` are those of an earlier revision; without them
/// the first commissionable state takes the versions and the exchange rate loaded now. `terms` are
/// those of the store, `customer` the links of the buyer.
///
/// An order that earns nothing (unpaid, cancelled, ..) is never parked: a cancellation must go
/// through whatever is unknown about the order.
pub fn map(
    key: &OrderKey,
    revision: u64,
    state: &OrderState,
    locks: Option<&Locks>,
    company: &Company,
    terms: &Terms,
    customer: &[CustomerLink],
) -> Mapping {
    let (Some(snapshot), Some(status)) = (state.snapshot.as_deref(), state.status()) else {
        return Mapping::NoOrderYet;
    };
    let mut waits = BTreeSet::new();
    let Some(locks) = bind(snapshot, locks, company, terms, customer, &mut waits) else {
        return Mapping::NoOrderYet;
    };
    let tree = &company.genealogy;
    let mut locks = attribute::rebind(state, snapshot, tree, locks, customer);
    lock_late_lines(key, state, &mut locks, company);
    let attribution = attribute::decide(state, snapshot, tree, &locks, customer, &mut waits);
    let plan = company.plans.get(&locks.plan);
    let volumes = plan.is_some_and(|plan| plan.volumes.is_some());
    let mapper = LineMapper { key, state, snapshot, status, locks: &locks, company, volumes };
    let effective = state.effective();
    let lines = effective.iter().map(|line| mapper.map(line, &attribution, &mut waits)).collect();
    let chargebacks = foreign_chargebacks(state, &mut waits);
    if status == Status::Paid && !waits.is_empty() {
        return Mapping::Parked(waits);
    }
    Mapping::Ready(Box::new(MappedOrder {
        key: key.clone(),
        revision,
        status,
        refund_policy: snapshot.refund_policy.clone(),
        placed_at: snapshot.placed_at,
        currency: snapshot.currency,
        total: snapshot.total,
        attribution,
        locks,
        chargebacks,
        lines,
    }))
}

/// What was decided of the chargebacks in another currency; the others are waited for.
fn foreign_chargebacks(
    state: &OrderState,
    waits: &mut BTreeSet<WaitsFor>,
) -> Vec<DecidedChargeback> {
    let mut decided = Vec::new();
    for (chargeback, decision) in state.foreign_chargebacks() {
        let (chargeback, currency) = (chargeback.id.clone(), chargeback.currency);
        match decision {
            Some((takes, decision)) => {
                let decision = decision.reference();
                decided.push(DecidedChargeback { chargeback, takes, decision });
            }
            None => {
                waits.insert(WaitsFor::Chargeback(chargeback, currency));
            }
        }
    }
    decided
}

/// What a line is for the company: its own id of the article where it is known, the class, and what the
/// catalogue states for a unit. A class alone, which a person decided, is no article of the catalogue.
#[derive(Default)]
struct Identity {
    sku: Option<Sku>,
    class: Option<CommissionClass>,
    qv: Option<Volume>,
    cv: Option<Volume>,
}

/// Finds out what a line sells, by decision or by the mapping at version `seq`; or what is missing.
fn identify(
    key: &OrderKey,
    state: &OrderState,
    snapshot: &Snapshot,
    line: &Line,
    catalog: &Catalog,
    seq: u64,
) -> Result<Identity, WaitsFor> {
    let at = snapshot.placed_at;
    let named = || line.sku.clone();
    let entry = match state.decided_line(&line.id).map(|(sells, _)| sells) {
        Some(Sells::Class(class)) => {
            let class = Some(class.clone());
            return Ok(Identity { sku: named(), class, ..Identity::default() });
        }
        Some(Sells::NoCommission) => return Ok(Identity { sku: named(), ..Identity::default() }),
        Some(Sells::Article(sku_id)) => catalog
            .article(key.platform, sku_id, at, seq)
            .ok_or_else(|| WaitsFor::Article(sku_id.clone()))?,
        None => {
            let (sku, variant) = (line.sku.as_ref(), line.variant.as_ref());
            let found = catalog.resolve(key.platform, sku, variant, at, seq);
            found.ok_or_else(|| match sku.or(variant) {
                Some(sku) => WaitsFor::Sku(sku.clone()),
                None => WaitsFor::Unidentified(line.id.as_str().into()),
            })?
        }
    };
    let (sku, class) = (Some(entry.sku_id.clone()), Some(entry.class.clone()));
    Ok(Identity { sku, class, qv: entry.qv, cv: entry.cv })
}

/// The versions that hold for an order: those of an earlier revision, else those loaded now. `None`
/// if no plan was in force when the order was placed.
fn bind(
    snapshot: &Snapshot,
    earlier: Option<&Locks>,
    company: &Company,
    terms: &Terms,
    links: &[CustomerLink],
    waits: &mut BTreeSet<WaitsFor>,
) -> Option<Locks> {
    if let Some(earlier) = earlier {
        let rate = later_rate(snapshot, earlier, company, waits);
        return Some(Locks { rate, ..earlier.clone() });
    }
    let plan = company.plans.in_force(&terms.plan, snapshot.placed_at)?;
    // A plan that closes periods adds up what orders earn, so it pays all in one currency.
    let payout = plan.currency.or(terms.payout);
    let rate = payout.and_then(|to| known_rate(snapshot, to, company, waits));
    Some(Locks {
        genealogy: company.genealogy.version(),
        plan: plan.reference.clone(),
        catalog: company.catalog.version(),
        late_lines: BTreeMap::new(),
        rate,
        attribution: attribution_lock(snapshot, terms, links),
        ranks: rank_lock(plan, company).map(|(seq, _)| seq),
        ranks_hash: rank_lock(plan, company).and_then(|(_, hash)| hash),
    })
}

/// The facts about ranks that are known now, if the plan's orders ask for ranks and there are any.
fn rank_lock(plan: &Plan, company: &Company) -> Option<(u64, Option<Digest>)> {
    let book = company.ranks.of(&plan.reference.id);
    (book.version() > 0 && plan.asks_ranks()).then(|| (book.version(), book.hash()))
}

/// Binds lines whose article the locked mapping does not know to the mapping of now, once: a line that
/// was added to an old order must earn too, and must stay with the class that it first earned in.
fn lock_late_lines(key: &OrderKey, state: &OrderState, locks: &mut Locks, company: &Company) {
    let Some(snapshot) = state.snapshot.as_deref() else { return };
    let now = company.catalog.version();
    for line in &snapshot.lines {
        let known = |seq: u64| identify(key, state, snapshot, line, &company.catalog, seq).is_ok();
        if !known(locks.catalog_of(&line.id)) && known(now) {
            locks.late_lines.insert(line.id.clone(), now);
        }
    }
}

/// The customer's links that are known now, and the policy; nothing if the store asks for neither.
fn attribution_lock(
    snapshot: &Snapshot,
    terms: &Terms,
    links: &[CustomerLink],
) -> Option<AttributionLock> {
    let asks = snapshot.referrals.iter().any(|referral| referral.question().is_some());
    let policy = terms.attribution.clone();
    (asks || policy != AttributionPolicy::default()).then(|| AttributionLock {
        links: links.iter().map(|link| link.seq).max().unwrap_or_default(),
        policy,
    })
}

/// The exchange rate of an order that is locked. It stays, as does its absence; if the shop gave the order
/// another currency since, that currency's rate into the same payout currency takes its place.
fn later_rate(
    snapshot: &Snapshot,
    earlier: &Locks,
    company: &Company,
    waits: &mut BTreeSet<WaitsFor>,
) -> Option<LockedRate> {
    let locked = earlier.rate?;
    if locked.from == snapshot.currency {
        return Some(locked);
    }
    known_rate(snapshot, locked.to, company, waits).or(Some(locked))
}

/// The rate into a currency when the order was placed. One that is not known is waited for.
fn known_rate(
    snapshot: &Snapshot,
    to: Currency,
    company: &Company,
    waits: &mut BTreeSet<WaitsFor>,
) -> Option<LockedRate> {
    let found = company.rates.lock(snapshot.currency, to, snapshot.placed_at);
    if found.is_none() {
        waits.insert(WaitsFor::Rate(snapshot.currency, to));
    }
    found
}

struct LineMapper<'a> {
    key: &'a OrderKey,
    state: &'a OrderState,
    snapshot: &'a Snapshot,
    status: Status,
    locks: &'a Locks,
    company: &'a Company,
    /// Whether the plan has volumes.
    volumes: bool,
}

impl LineMapper<'_> {
    fn map(
        &self,
        effective: &EffectiveLine<'_>,
        attribution: &Attribution,
        waits: &mut BTreeSet<WaitsFor>,
    ) -> MappedLine {
        let line = effective.line;
        let seq = self.locks.catalog_of(&line.id);
        let catalog = &self.company.catalog;
        let identity = identify(self.key, self.state, self.snapshot, line, catalog, seq);
        let identity = identity.unwrap_or_else(|missing| {
            if effective.net.is_positive() {
                waits.insert(missing);
            }
            Identity { sku: line.sku.clone(), ..Identity::default() }
        });
        let decided = self.state.decided_line(&line.id);
        let zero = self.zero(effective, attribution);
        let base = if zero.is_some() { Money::ZERO } else { effective.net };
        let rate = self.locks.rate.filter(|rate| !rate.is_identity());
        let volume = (self.volumes && zero.is_none()).then(|| VolumeBasis {
            qv: identity.qv,
            cv: identity.cv,
            units: effective.units.normalize(),
            units_net: effective.units_net,
        });
        MappedLine {
            id: line.id.clone(),
            sku: identity.sku,
            class: identity.class,
            quantity: line.quantity,
            net: line.net,
            refunded: effective.refunded,
            base,
            payout_base: rate.map(|rate| rate.convert(base)),
            zero,
            decision: decided.map(|(_, decision)| decision.reference()),
            volume,
        }
    }

    fn zero(&self, effective: &EffectiveLine<'_>, attribution: &Attribution) -> Option<ZeroReason> {
        let of_status = match self.status {
            Status::Paid => None,
            Status::Unpaid => Some(ZeroReason::Unpaid),
            Status::Cancelled => Some(ZeroReason::Cancelled),
            Status::Voided => Some(ZeroReason::Voided),
            Status::Draft => Some(ZeroReason::Draft),
            Status::Test => Some(ZeroReason::Test),
            Status::Deleted => Some(ZeroReason::Deleted),
        };
        let of_kind = match effective.line.kind {
            LineKind::Merchandise => None,
            LineKind::GiftCard => Some(ZeroReason::GiftCard),
            LineKind::Tip => Some(ZeroReason::Tip),
        };
        let decided = self.state.decided_line(&effective.line.id);
        let of_decision = decided
            .filter(|(sells, _)| **sells == Sells::NoCommission)
            .map(|_| ZeroReason::Decided);
        let nobody = attribution.referrer.is_none() && attribution.own_purchase.is_none();
        let of_amount = if effective.net.is_positive() {
            nobody.then_some(ZeroReason::NoReferrer)
        } else if effective.refunded.is_positive() {
            Some(ZeroReason::Refunded)
        } else if effective.line.quantity.is_zero() {
            Some(ZeroReason::Cancelled)
        } else {
            Some(ZeroReason::Free)
        };
        of_status.or(of_kind).or(of_decision).or(of_amount)
    }
}

#[cfg(test)]
mod tests;
