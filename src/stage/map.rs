//! Map: from what a shop calls things to what the company calls them.
//!
//! SKU or variant id becomes a commission class, a referral code becomes a distributor. What is not
//! known yet parks the order, whole: nothing earns in part, nothing is lost.

mod attribute;

pub use self::attribute::{asked_customer, asks_lifetime, first_touch};

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

use crate::domain::{
    catalog::Catalog,
    commission::{Attribution, Locks, MappedLine, MappedOrder, ZeroReason},
    customer::{AttributionLock, AttributionPolicy, CustomerLink},
    fx::{LockedRate, RateBook},
    genealogy::Genealogy,
    id::{DistributorId, OrderKey, Sku},
    money::{Currency, Money},
    order::{EffectiveLine, LineKind, OrderState, Snapshot, Status},
    plan::PlanBook,
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
    /// A line that has neither SKU nor variant id, or a chargeback in another currency: only a
    /// person can mend it.
    Unidentified(Box<str>),
}

impl WaitsFor {
    /// The kind and the value as they stand in the table `order_wait`.
    pub fn parts(&self) -> (&'static str, Cow<'_, str>) {
        match self {
            Self::Sku(sku) => ("sku", sku.as_str().into()),
            Self::Distributor(id) => ("distributor", id.as_str().into()),
            Self::Rate(from, to) => ("rate", format!("{from}/{to}").into()),
            Self::Referrer => ("referrer", "".into()),
            Self::Unidentified(line) => ("line", line.as_ref().into()),
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

/// What a process has loaded of the company: tree, articles and plans.
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
}

/// What a store's pipeline file says about paying for its orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// The id of the plan.
    pub plan: Box<str>,
    /// The currency that commission is paid in; without one each order's own.
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
    let mut locks = attribute::rebind(snapshot, &company.genealogy, locks, customer);
    lock_late_lines(key, state, &mut locks, company);
    let attribution = attribute::decide(snapshot, &company.genealogy, &locks, customer, &mut waits);
    let mapped = state
        .effective()
        .iter()
        .map(|line| {
            let mapper = LineMapper { key, snapshot, status, locks: &locks, company };
            mapper.map(line, &attribution, &mut waits)
        })
        .collect();
    waits.extend(state.foreign_chargebacks().map(|chargeback| {
        let text = format!("chargeback {} in {}", chargeback.id, chargeback.currency);
        WaitsFor::Unidentified(text.into())
    }));
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
        lines: mapped,
    }))
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
    let rate = rate(snapshot, earlier, company, terms, waits);
    if let Some(earlier) = earlier {
        return Some(Locks { rate, ..earlier.clone() });
    }
    let plan = company.plans.in_force(&terms.plan, snapshot.placed_at)?;
    Some(Locks {
        genealogy: company.genealogy.version(),
        plan: plan.reference.clone(),
        catalog: company.catalog.version(),
        late_lines: BTreeMap::new(),
        rate,
        attribution: attribution_lock(snapshot, terms, links),
    })
}

/// Binds lines whose article the locked mapping does not know to the mapping of now, once: a line that
/// was added to an old order must earn too, and must stay with the class that it first earned in.
fn lock_late_lines(key: &OrderKey, state: &OrderState, locks: &mut Locks, company: &Company) {
    let Some(snapshot) = state.snapshot.as_deref() else { return };
    let now = company.catalog.version();
    for line in &snapshot.lines {
        let known = |seq: u64| {
            let (sku, variant) = (line.sku.as_ref(), line.variant.as_ref());
            let at = snapshot.placed_at;
            company.catalog.resolve(key.platform, sku, variant, at, seq).is_some()
        };
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

/// The exchange rate of an order. One that was locked stays, as does its absence; if the shop gave
/// the order another currency since, that currency's rate into the same payout currency takes its
/// place. A rate that is not known is waited for.
fn rate(
    snapshot: &Snapshot,
    earlier: Option<&Locks>,
    company: &Company,
    terms: &Terms,
    waits: &mut BTreeSet<WaitsFor>,
) -> Option<LockedRate> {
    let locked = earlier.and_then(|locks| locks.rate);
    let to = match (earlier, locked) {
        (_, Some(locked)) if locked.from == snapshot.currency => return Some(locked),
        (_, Some(locked)) => locked.to,
        (Some(_), None) => return None,
        (None, None) => terms.payout?,
    };
    let found = company.rates.lock(snapshot.currency, to, snapshot.placed_at);
    if found.is_none() {
        waits.insert(WaitsFor::Rate(snapshot.currency, to));
    }
    found.or(locked)
}

struct LineMapper<'a> {
    key: &'a OrderKey,
    snapshot: &'a Snapshot,
    status: Status,
    locks: &'a Locks,
    company: &'a Company,
}

impl LineMapper<'_> {
    fn map(
        &self,
        effective: &EffectiveLine<'_>,
        attribution: &Attribution,
        waits: &mut BTreeSet<WaitsFor>,
    ) -> MappedLine {
        let line = effective.line;
        let article = self.company.catalog.resolve(
            self.key.platform,
            line.sku.as_ref(),
            line.variant.as_ref(),
            self.snapshot.placed_at,
            self.locks.catalog_of(&line.id),
        );
        if article.is_none() && effective.net.is_positive() {
            waits.insert(match line.sku.as_ref().or(line.variant.as_ref()) {
                Some(sku) => WaitsFor::Sku(sku.clone()),
                None => WaitsFor::Unidentified(line.id.as_str().into()),
            });
        }
        let zero = self.zero(effective, attribution);
        let base = if zero.is_some() { Money::ZERO } else { effective.net };
        let rate = self.locks.rate.filter(|rate| !rate.is_identity());
        MappedLine {
            id: line.id.clone(),
            sku: article.map(|a| a.sku_id.clone()).or_else(|| line.sku.clone()),
            class: article.map(|a| a.class.clone()),
            quantity: line.quantity,
            net: line.net,
            refunded: effective.refunded,
            base,
            payout_base: rate.map(|rate| rate.convert(base)),
            zero,
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
        of_status.or(of_kind).or(of_amount)
    }
}

#[cfg(test)]
mod tests;
