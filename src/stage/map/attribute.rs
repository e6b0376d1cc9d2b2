//! Who referred an order: a person's decision, then the candidates in the store's priority, then the
//! store's policy.

use std::collections::BTreeSet;

use super::WaitsFor;
use crate::domain::{
    commission::{Attribution, Candidate, Locks, MappedOrder, WonBy},
    customer::{
        AttributionLock, AttributionPolicy, CustomerKey, CustomerLink, LinkKind, Unattributed,
        UnknownReferrer, in_force,
    },
    digest::Digest,
    genealogy::Genealogy,
    id::{DistributorId, OrderKey},
    order::{OrderState, Referral, Snapshot},
};

/// What a person decided holds before everything. Else the first candidate that names an enrolled
/// distributor wins, whether a code of the order or a link of its customer. If the winner is the buyer,
/// who is known by the message or by a link, it is an own purchase. If there are candidates but none is
/// known, the policy for unknown referrers decides; if there are none, or a person decided that nobody
/// referred the order, the one for orders without any.
///
/// Enrolled means by the genealogy that the order is locked to: who enrols later takes nothing over.
pub(super) fn decide(
    state: &OrderState,
    snapshot: &Snapshot,
    tree: &Genealogy,
    locks: &Locks,
    links: &[CustomerLink],
    waits: &mut BTreeSet<WaitsFor>,
) -> Attribution {
    let seq = locks.genealogy.seq;
    let known = |text: &str| known_by(tree, seq, text);
    let said = candidates(snapshot, locks.attribution.as_ref(), links);
    let mut named = said.iter().filter_map(|(source, value)| Some((source, known(value)?)));
    let linked = named.clone().find(|(source, _)| ***source == *Referral::CUSTOMER);
    let member = snapshot.member.as_deref().and_then(known);
    let buyer = member.or_else(|| linked.map(|(_, buyer)| buyer));
    let decided = state.decided_referrer();
    let winner = named.next();
    let (referrer, found) = match (decided, winner) {
        (Some((referrer, _)), _) => (referrer.cloned(), WonBy::Decision),
        (None, Some((source, winner))) => (Some(winner), WonBy::Source(source.clone())),
        (None, None) => (None, WonBy::Nobody),
    };
    let own = buyer.is_some() && (referrer.is_none() || referrer == buyer);
    let (referrer, won_by) = match (own, referrer) {
        (true, _) => (None, WonBy::OwnPurchase),
        (false, Some(referrer)) => {
            if tree.find_known(&referrer, seq).is_none() {
                waits.insert(WaitsFor::Distributor(referrer.clone()));
            }
            (Some(referrer), found)
        }
        (false, None) => {
            let policy = locks.attribution.as_ref().map(|lock| lock.policy.clone());
            let policy = policy.unwrap_or_default();
            if decided.is_some() {
                decided_nobody(&policy, tree, waits)
            } else {
                fall_back(&policy, &said, tree, waits)
            }
        }
    };
    let own_purchase = if own { buyer } else { None };
    let decision = decided.map(|(_, decision)| decision.reference());
    let candidates = said.iter().map(|(source, value)| candidate(source, value, known)).collect();
    Attribution { referrer, own_purchase, won_by, decision, candidates }
}

/// A candidate as a calculation keeps it: what names nobody by its mark only.
fn candidate(
    source: &str,
    value: &str,
    known: impl Fn(&str) -> Option<DistributorId>,
) -> Candidate {
    let known = known(value).is_some();
    let value = if known { value.into() } else { Digest::mark(value).into() };
    Candidate { source: source.into(), value, known }
}

fn known_by(tree: &Genealogy, seq: u64, text: &str) -> Option<DistributorId> {
    DistributorId::parse(tree.find_code(text, seq)?).ok()
}

/// The locks of an order whose locked genealogy knows nobody who referred it, while the one loaded
/// now does: a referral that is put right after the lock must earn too, so the order is bound anew to
/// the genealogy of now, once. From then on who enrols later takes nothing over either. Likewise if a
/// person decided for somebody whom only the one of now knows.
pub(super) fn rebind(
    state: &OrderState,
    snapshot: &Snapshot,
    tree: &Genealogy,
    mut locks: Locks,
    links: &[CustomerLink],
) -> Locks {
    let said = candidates(snapshot, locks.attribution.as_ref(), links);
    let code = |name: &str, seq: u64| known_by(tree, seq, name).is_some();
    let buyer = |seq: u64| snapshot.member.as_deref().is_some_and(|name| code(name, seq));
    let any = |seq: u64| match state.decided_referrer() {
        // A person gives an id as it stands, no code that a shop has folded.
        Some((Some(decided), _)) => tree.find_known(decided, seq).is_some(),
        Some((None, _)) => buyer(seq),
        None => buyer(seq) || said.iter().any(|(_, name)| code(name, seq)),
    };
    if !any(locks.genealogy.seq) && any(tree.version().seq) {
        locks.genealogy = tree.version();
    }
    locks
}

/// Every code of the order and every link of its customer that a rule asks for, best first: source
/// and value. An order that was locked before its store asked for links has none.
fn candidates(
    snapshot: &Snapshot,
    lock: Option<&AttributionLock>,
    links: &[CustomerLink],
) -> Vec<(Box<str>, Box<str>)> {
    let seq = lock.map_or(0, |lock| lock.links);
    let value = |referral: &Referral| -> Option<Box<str>> {
        let Some(kind) = referral.question() else { return Some(referral.value.clone()) };
        let link = in_force(links, kind, snapshot.placed_at, seq)?;
        Some(link.distributor.as_str().into())
    };
    snapshot.referrals.iter().filter_map(|r| Some((r.source.clone(), value(r)?))).collect()
}

/// What the policy makes of an order that no known distributor referred.
fn fall_back(
    policy: &AttributionPolicy,
    said: &[(Box<str>, Box<str>)],
    tree: &Genealogy,
    waits: &mut BTreeSet<WaitsFor>,
) -> (Option<DistributorId>, WonBy) {
    let mut house = |id: &DistributorId, policy: &str| house(id, policy, tree, waits);
    // What cannot be the id of a distributor is no code.
    let ids: Vec<DistributorId> =
        said.iter().filter_map(|(_, value)| DistributorId::parse(value).ok()).collect();
    match (policy.unknown_referrer, &policy.unattributed) {
        (UnknownReferrer::House, Unattributed::House(id)) if !ids.is_empty() => {
            return house(id, "unknown_referrer");
        }
        (UnknownReferrer::Park | UnknownReferrer::House, _) if !ids.is_empty() => {
            waits.extend(ids.into_iter().map(WaitsFor::Distributor));
            return (None, WonBy::Nobody);
        }
        (_, Unattributed::House(id)) => return house(id, "unattributed"),
        (_, Unattributed::Park) => {
            waits.insert(WaitsFor::Referrer);
        }
        (_, Unattributed::None) => {}
    }
    (None, WonBy::Nobody)
}

/// The house account as the referrer, by this policy.
fn house(
    id: &DistributorId,
    policy: &str,
    tree: &Genealogy,
    waits: &mut BTreeSet<WaitsFor>,
) -> (Option<DistributorId>, WonBy) {
    if tree.find(id).is_none() {
        waits.insert(WaitsFor::Distributor(id.clone()));
    }
    (Some(id.clone()), WonBy::House(policy.into()))
}

/// What the policy makes of an order of which a person decided that nobody referred it: the house
/// account if there is one, and nothing to wait for.
fn decided_nobody(
    policy: &AttributionPolicy,
    tree: &Genealogy,
    waits: &mut BTreeSet<WaitsFor>,
) -> (Option<DistributorId>, WonBy) {
    match &policy.unattributed {
        Unattributed::House(id) => house(id, "unattributed", tree, waits),
        Unattributed::None | Unattributed::Park => (None, WonBy::Decision),
    }
}

/// The first touch of the customer that an order leaves behind when it is first locked: if its store
/// asks for lifetime attribution, a code of its own won, and no link was in force yet.
pub fn first_touch(
    order: &MappedOrder,
    snapshot: &Snapshot,
    links: &[CustomerLink],
) -> Option<(CustomerKey, CustomerLink)> {
    let WonBy::Source(source) = &order.attribution.won_by else { return None };
    let known = in_force(links, LinkKind::Lifetime, snapshot.placed_at, u64::MAX).is_some();
    if known || !asks_lifetime(snapshot) || **source == *Referral::LIFETIME {
        return None;
    }
    let link = CustomerLink {
        seq: 0,
        distributor: order.attribution.referrer.clone()?,
        kind: LinkKind::Lifetime,
        source: source.clone(),
        order: Some(order.key.clone()),
        effective_from: snapshot.placed_at,
    };
    Some((CustomerKey::of(&order.key, snapshot.buyer.as_deref()?), link))
}

/// Whether an order asks who first referred its customer.
pub fn asks_lifetime(snapshot: &Snapshot) -> bool {
    snapshot.referrals.iter().any(|r| r.question() == Some(LinkKind::Lifetime))
}

/// The customer whose links an order needs.
pub fn asked_customer(key: &OrderKey, snapshot: &Snapshot) -> Option<CustomerKey> {
    let asks = snapshot.referrals.iter().any(|referral| referral.question().is_some());
    let buyer = snapshot.buyer.as_deref().filter(|_| asks)?;
    Some(CustomerKey::of(key, buyer))
}
