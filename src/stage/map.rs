//! Map: from what a shop calls things to what the company calls them.
//!
//! SKU or variant id becomes a commission class, a referral code becomes a distributor. What is not
//! known yet parks the order, whole: nothing earns in part, nothing is lost.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::{
    catalog::Catalog,
    commission::{Attribution, Candidate, Locks, MappedLine, MappedOrder, WonBy, ZeroReason},
    genealogy::Genealogy,
    id::{DistributorId, OrderKey, Sku},
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
    /// A line that has neither SKU nor variant id, or a chargeback in another currency: only a
    /// person can mend it.
    Unidentified(Box<str>),
}

impl WaitsFor {
    /// The kind and the value as they stand in the table `order_wait`.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Sku(sku) => ("sku", sku.as_str()),
            Self::Distributor(id) => ("distributor", id.as_str()),
            Self::Unidentified(line) => ("line", line),
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
}

/// Maps the state of an order at a revision. `locks` are those of an earlier revision; without them
/// the first commissionable state takes the versions loaded now. `plan` is the id of the store's
/// plan.
///
/// An order that earns nothing (unpaid, cancelled, ..) is never parked: a cancellation must go
/// through whatever is unknown about the order.
pub fn map(
    key: &OrderKey,
    revision: u64,
    state: &OrderState,
    locks: Option<&Locks>,
    company: &Company,
    plan: &str,
) -> Mapping {
    let (Some(snapshot), Some(status)) = (state.snapshot.as_deref(), state.status()) else {
        return Mapping::NoOrderYet;
    };
    let Some(locks) = locks.cloned().or_else(|| current_locks(snapshot, company, plan)) else {
        return Mapping::NoOrderYet;
    };
    let mut waits = BTreeSet::new();
    let attribution = attribute(snapshot, &company.genealogy, locks.genealogy.seq, &mut waits);
    let lines = state
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
        lines,
    }))
}

fn current_locks(snapshot: &Snapshot, company: &Company, plan: &str) -> Option<Locks> {
    let plan = company.plans.in_force(plan, snapshot.placed_at)?;
    Some(Locks {
        genealogy: company.genealogy.version(),
        plan: plan.reference.clone(),
        catalog: company.catalog.version(),
    })
}

/// The first candidate that names an enrolled distributor wins. Candidates without any that is
/// known park the order; no candidates at all: nobody referred it.
///
/// Enrolled means by version `seq`, which the order is locked to: who enrols later takes nothing
/// over. Only if that version knows none of the candidates counts what is known now: a referral that
/// is put right after the lock must earn too.
fn attribute(
    snapshot: &Snapshot,
    tree: &Genealogy,
    seq: u64,
    waits: &mut BTreeSet<WaitsFor>,
) -> Attribution {
    let known_by = |seq: u64, text: &str| {
        DistributorId::parse(text).ok().filter(|id| tree.find_known(id, seq).is_some())
    };
    let buyer = snapshot.member.as_deref().and_then(|member| known_by(seq, member));
    let locked = snapshot.referrals.iter().any(|r| known_by(seq, &r.value).is_some());
    let known = |text: &str| known_by(if locked { seq } else { u64::MAX }, text);
    let candidates: Vec<Candidate> = snapshot
        .referrals
        .iter()
        .map(|referral| Candidate {
            source: referral.source.clone(),
            value: referral.value.clone(),
            known: known(&referral.value).is_some(),
        })
        .collect();
    let winner = candidates.iter().find(|candidate| candidate.known);
    let referrer = winner.and_then(|candidate| known(&candidate.value));
    let own = buyer.is_some() && (referrer.is_none() || referrer == buyer);
    if referrer.is_none() && !own {
        let ids = candidates.iter().filter_map(|c| DistributorId::parse(&c.value).ok());
        waits.extend(ids.map(WaitsFor::Distributor));
    }
    let won_by = match (own, winner) {
        (true, _) => WonBy::OwnPurchase,
        (false, Some(winner)) => WonBy::Source(winner.source.clone()),
        (false, None) => WonBy::Nobody,
    };
    Attribution {
        referrer: if own { None } else { referrer },
        own_purchase: if own { buyer } else { None },
        won_by,
        candidates,
    }
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
            self.locks.catalog,
        );
        if article.is_none() && effective.net.is_positive() {
            waits.insert(match line.sku.as_ref().or(line.variant.as_ref()) {
                Some(sku) => WaitsFor::Sku(sku.clone()),
                None => WaitsFor::Unidentified(line.id.as_str().into()),
            });
        }
        let zero = self.zero(effective, attribution);
        MappedLine {
            id: line.id.clone(),
            sku: article.map(|a| a.sku_id.clone()).or_else(|| line.sku.clone()),
            class: article.map(|a| a.class.clone()),
            quantity: line.quantity,
            net: line.net,
            refunded: effective.refunded,
            base: if zero.is_some() { crate::domain::money::Money::ZERO } else { effective.net },
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
        } else {
            Some(ZeroReason::Free)
        };
        of_status.or(of_kind).or(of_amount)
    }
}
