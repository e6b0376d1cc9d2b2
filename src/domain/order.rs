//! The order algebra: an order is not a sequence of events but a state that is joined.
//!
//! Invariant: [`OrderState::join`] is commutative, associative and idempotent, so any permutation,
//! duplication or delay of the same facts ends in the same state; and what a state should have
//! earned ([`OrderState::effective`]) depends on the state alone.
//!
//! A snapshot is the whole order at one version; the one with the highest version wins. Refunds are
//! a set by refund id; the most detailed description of each wins. A platform that lists all its
//! refunds in the snapshot is believed: a refund that a younger snapshot does not list is gone.
//!
//! Deliberately absent: names, addresses, mail addresses, telephone numbers. The adapters never
//! read them, so no snapshot, hash or log can hold them.

mod decision;
mod effective;
mod refund;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use self::{
    decision::{Decision, DecisionRef, Sells, Subject, Verdict},
    effective::EffectiveLine,
    refund::{
        Chargeback, ChargebackPolicy, ChargebackStage, Detail, LooseMoney, Refund, RefundLine,
        RefundPolicy, WithoutLines,
    },
};
use super::{
    customer::LinkKind,
    digest::Digest,
    id::{DistributorId, LineId, OrderKey, RefundId, Sku},
    money::{Currency, Money},
};

/// What one message says about one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvent {
    /// The order.
    pub key: OrderKey,
    /// Where the message came from.
    pub origin: Origin,
    /// What it says.
    pub fact: Fact,
}

/// Where a message came from, for latency, tracing and the story of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The transport key of the delivery: the same for a retry of the same delivery.
    pub delivery: Box<str>,
    /// The platform's topic or event name, such as `orders/paid`.
    pub topic: Box<str>,
    /// When the edge had read the whole body.
    pub received_at: Timestamp,
    /// SHA-256 of the raw body.
    pub digest: Digest,
}

/// One fact about an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The whole order at one version.
    Snapshot(Box<Snapshot>),
    /// One refund, from a message of its own.
    Refund(Refund),
    /// A buyer's bank takes the money back, or gives up.
    Chargeback(Chargeback),
    /// The order was deleted; the platform gives no version, so the receipt time counts.
    Deleted,
    /// A person decided what nobody else can say.
    Decision(Decision),
    /// The order was taken out of the platform's bin; like a deletion it counts from its receipt.
    Restored,
    /// Nothing new is known of the order, but a mapping that it waits for may have changed.
    Recheck,
}

/// The version of a snapshot: the platform's update time as an instant, then how far the order has
/// come (platforms count in seconds, and an order is created and paid within one), then the digest
/// of the body, so that any two bodies are ordered, the same way everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// The platform's time of the last change.
    pub at: Timestamp,
    /// How far the order has come, by [`Snapshot::progress`].
    #[serde(default)]
    pub progress: u16,
    /// SHA-256 of the body.
    pub digest: Digest,
}

/// The whole order at one version, in shop or base currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The version; the highest wins.
    pub version: Version,
    /// When the order was placed: this instant decides hierarchy, plan and rates.
    pub placed_at: Timestamp,
    /// Whether the order earns.
    pub status: Status,
    /// The platform's own words for the status, for people.
    pub platform_status: Box<str>,
    /// The number that the buyer sees, if it differs from the order id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<Box<str>>,
    /// The shop's (base) currency; every amount here is in it.
    pub currency: Currency,
    /// The lines, each id once, in the platform's order.
    pub lines: Vec<Line>,
    /// Rows of the platform that are no lines, because their money stands in lines (the child of a
    /// configurable product, the parent of a bundle). What a refund says of them takes nothing: its
    /// other rows say it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folded: Vec<LineId>,
    /// What the platform says the buyer owes in all: shipping and tax included.
    pub total: Money,
    /// Whether the rows add up to what the header says.
    pub footing: Footing,
    /// The platform's (or API caller's) id of the buyer. Not a name, not a mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buyer: Option<Box<str>>,
    /// The buyer's own distributor id, where the message says it: an own purchase if enrolled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Box<str>>,
    /// Candidates for the distributor who referred the order, best first by the store's policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub referrals: Vec<Referral>,
    /// What the store makes of refunds and chargebacks where the platform leaves it open.
    #[serde(default, skip_serializing_if = "RefundPolicy::is_default")]
    pub refund_policy: RefundPolicy,
    /// The refunds that the snapshot lists; `None` where the platform does not list them at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refunds: Option<Vec<Refund>>,
}

impl Snapshot {
    /// How far the order has come: of two versions of one instant the one further on wins. First the
    /// status, then how many refunds there are.
    pub fn progress(&self) -> u16 {
        let status = match self.status {
            Status::Draft => 0,
            Status::Unpaid => 1,
            Status::Paid => 2,
            Status::Voided => 3,
            Status::Cancelled => 4,
            Status::Deleted => 5,
            Status::Test => 6,
        };
        let by_lines = self.lines.iter().filter(|line| line.refunded.is_positive()).count();
        let listed = self.refunds.as_ref().map_or(0, Vec::len);
        let refunds = u8::try_from(by_lines.max(listed)).unwrap_or(u8::MAX);
        u16::from_be_bytes([status, refunds])
    }
}

/// Whether an order earns, decided by an adapter from the platform's status fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Fully paid, so it earns. Partly and fully refunded orders are paid ones with refunds.
    Paid,
    /// Not (fully) paid yet: waits.
    Unpaid,
    /// Cancelled: earns nothing, what was posted is taken back.
    Cancelled,
    /// The payment was voided or failed.
    Voided,
    /// Not an order yet.
    Draft,
    /// A test order of the shop.
    Test,
    /// In the bin of the platform.
    Deleted,
}

impl Status {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Unpaid => "unpaid",
            Self::Cancelled => "cancelled",
            Self::Voided => "voided",
            Self::Draft => "draft",
            Self::Test => "test",
            Self::Deleted => "deleted",
        }
    }
}

/// One line of an order. Amounts are for the whole quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The platform's id of the line.
    pub id: LineId,
    /// What was sold, by SKU; absent for custom lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// The platform's variant (or product) id: maps where there is no SKU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Sku>,
    /// Units; platforms sell fractions too.
    pub quantity: Decimal,
    /// What earns: after discounts, without tax, shipping, tips and fees.
    pub net: Money,
    /// What the buyer paid for the line: after discounts, with tax.
    pub gross: Money,
    /// Net that the platform's snapshot says was refunded on this line (Magento); usually zero.
    #[serde(default, skip_serializing_if = "Money::is_zero_ref")]
    pub refunded: Money,
    /// Whether this kind of line can earn.
    #[serde(default)]
    pub kind: LineKind,
}

/// What kind of thing a line sells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Goods or services: earns.
    #[default]
    Merchandise,
    /// The sale of a gift card: a liability, earns nothing. (Paying with one changes nothing.)
    GiftCard,
    /// A tip.
    Tip,
}

/// A candidate for the distributor who referred an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// Where it was found, such as `note_attribute:ref` or `discount_code`.
    pub source: Box<str>,
    /// What stood there.
    pub value: Box<str>,
}

impl Referral {
    /// The source that asks whether the customer is a distributor.
    pub const CUSTOMER: &'static str = "customer";
    /// The source that asks who first referred the customer.
    pub const LIFETIME: &'static str = "lifetime";

    /// Not a code of the order but a question about its customer, at this place of the priority:
    /// the value is empty, and mapping looks it up.
    pub fn question(&self) -> Option<LinkKind> {
        match &*self.source {
            Self::CUSTOMER if self.value.is_empty() => Some(LinkKind::Own),
            Self::LIFETIME if self.value.is_empty() => Some(LinkKind::Lifetime),
            _ => None,
        }
    }
}

/// The sum of the rows against the header, both in the order's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footing {
    /// What the rows add up to.
    pub rows: Money,
    /// What the header says.
    pub header: Money,
    /// By how much they may differ: platforms round tax per row.
    pub tolerance: Money,
    /// Where no reading of the rows adds up: what the parents of bundles come to in the place of
    /// their children, if that is another sum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parents: Option<Money>,
}

impl Footing {
    /// Whether the rows add up.
    pub fn holds(&self) -> bool {
        (self.rows - self.header).abs() <= self.tolerance
    }
}

impl Money {
    /// For serde: whether to leave the field out.
    pub(crate) fn is_zero_ref(&self) -> bool {
        self.is_zero()
    }
}

/// All that is known of one order: the join of every fact that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderState {
    /// The snapshot with the highest version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Box<Snapshot>>,
    /// Every refund ever described, in its most detailed description.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refunds: BTreeMap<RefundId, Refund>,
    /// Every chargeback, in its furthest stage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chargebacks: BTreeMap<RefundId, Chargeback>,
    /// Deletions by their delivery, each with its earliest receipt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deletions: BTreeMap<Box<str>, Timestamp>,
    /// What people decided, the latest decision about each subject.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decisions: BTreeMap<Subject, Decision>,
    /// Restorations by their delivery, each with its earliest receipt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restorations: BTreeMap<Box<str>, Timestamp>,
}

/// The union by delivery; the earliest receipt of each stays.
fn earliest(known: &mut BTreeMap<Box<str>, Timestamp>, other: BTreeMap<Box<str>, Timestamp>) {
    for (delivery, at) in other {
        let known = known.entry(delivery).or_insert(at);
        *known = at.min(*known);
    }
}

impl OrderState {
    /// The state that knows just what one event says.
    pub fn of(event: OrderEvent) -> Self {
        let mut state = Self::default();
        match event.fact {
            Fact::Snapshot(snapshot) => {
                for refund in snapshot.refunds.iter().flatten() {
                    state.add_refund(refund.clone());
                }
                state.snapshot = Some(snapshot);
            }
            Fact::Refund(refund) => state.add_refund(refund),
            Fact::Chargeback(chargeback) => state.add_chargeback(chargeback),
            Fact::Deleted => {
                state.deletions.insert(event.origin.delivery, event.origin.received_at);
            }
            Fact::Decision(decision) => state.add_decision(decision),
            Fact::Restored => {
                state.restorations.insert(event.origin.delivery, event.origin.received_at);
            }
            Fact::Recheck => {}
        }
        state
    }

    /// The join of two states: commutative, associative, idempotent.
    #[must_use]
    pub fn join(mut self, other: Self) -> Self {
        self.snapshot = match (self.snapshot, other.snapshot) {
            (Some(a), Some(b)) => Some(if b.version > a.version { b } else { a }),
            (a, b) => a.or(b),
        };
        for refund in other.refunds.into_values() {
            self.add_refund(refund);
        }
        for chargeback in other.chargebacks.into_values() {
            self.add_chargeback(chargeback);
        }
        earliest(&mut self.deletions, other.deletions);
        earliest(&mut self.restorations, other.restorations);
        for decision in other.decisions.into_values() {
            self.add_decision(decision);
        }
        self
    }

    fn add_decision(&mut self, decision: Decision) {
        match self.decisions.get_mut(&decision.verdict.subject()) {
            Some(known) if decision.overrules(known) => *known = decision,
            Some(_) => {}
            None => {
                self.decisions.insert(decision.verdict.subject(), decision);
            }
        }
    }

    fn add_chargeback(&mut self, chargeback: Chargeback) {
        match self.chargebacks.get_mut(&chargeback.id) {
            Some(known) if *known >= chargeback => {}
            Some(known) => *known = chargeback,
            None => {
                self.chargebacks.insert(chargeback.id.clone(), chargeback);
            }
        }
    }

    /// The chargebacks that count by the store's policy.
    fn standing_chargebacks(&self) -> impl Iterator<Item = &Chargeback> {
        let policy = self.snapshot.as_ref().map(|s| s.refund_policy.chargebacks);
        self.chargebacks.values().filter(move |c| policy.is_some_and(|p| p.counts(c.stage)))
    }

    /// The chargebacks that count but are in another currency than the order: how much of it they
    /// take is for a person to say. Each with what was decided, if it was in the order's currency.
    pub fn foreign_chargebacks(
        &self,
    ) -> impl Iterator<Item = (&Chargeback, Option<(Money, &Decision)>)> {
        let own = self.snapshot.as_ref().map(|s| s.currency);
        let foreign = self.standing_chargebacks().filter(move |c| Some(c.currency) != own);
        foreign.map(move |chargeback| {
            let decision = self.decisions.get(&Subject::Chargeback(chargeback.id.clone()));
            let decided = decision.and_then(|decision| match &decision.verdict {
                Verdict::Chargeback { takes, currency, .. } if Some(*currency) == own => {
                    Some((takes.at_least_zero(), decision))
                }
                Verdict::Chargeback { .. } | Verdict::Line { .. } | Verdict::Referrer { .. } => {
                    None
                }
            });
            (chargeback, decided)
        })
    }

    /// What a person decided that a line sells.
    pub fn decided_line(&self, line: &LineId) -> Option<(&Sells, &Decision)> {
        let decision = self.decisions.get(&Subject::Line(line.clone()))?;
        match &decision.verdict {
            Verdict::Line { sells, .. } => Some((sells, decision)),
            Verdict::Chargeback { .. } | Verdict::Referrer { .. } => None,
        }
    }

    /// Whom a person decided to have referred the order: a distributor, or nobody.
    pub fn decided_referrer(&self) -> Option<(Option<&DistributorId>, &Decision)> {
        let decision = self.decisions.get(&Subject::Referrer)?;
        match &decision.verdict {
            Verdict::Referrer { distributor } => Some((distributor.as_ref(), decision)),
            Verdict::Line { .. } | Verdict::Chargeback { .. } => None,
        }
    }

    /// Gross that chargebacks take, in the order's currency; of a foreign one what was decided.
    fn charged_back(&self) -> Money {
        let own = self.snapshot.as_ref().map(|s| s.currency);
        let plain = self.standing_chargebacks().filter(move |c| Some(c.currency) == own);
        let decided = self.foreign_chargebacks().filter_map(|(_, decided)| Some(decided?.0));
        plain.map(|chargeback| chargeback.amount).chain(decided).sum()
    }

    /// Keeps the more detailed of two descriptions; between equals the greater one, so that the
    /// order of arrival does not matter.
    fn add_refund(&mut self, refund: Refund) {
        match self.refunds.get_mut(&refund.id) {
            None => {
                self.refunds.insert(refund.id.clone(), refund);
            }
            Some(known) => {
                let rank = |r: &Refund| (r.detail, r.at);
                if (rank(&refund), &refund) > (rank(known), known) {
                    *known = refund;
                }
            }
        }
    }

    /// The refunds that count: those that the winning snapshot lists, and those that it is too old
    /// to know. What the winning snapshot says of a refund counts unless another message knows more
    /// detail: an older snapshot may have described it while its payment was still under way.
    pub fn standing_refunds(&self) -> impl Iterator<Item = &Refund> {
        let snapshot = self.snapshot.as_deref();
        let listed: Option<BTreeMap<&RefundId, &Refund>> = snapshot
            .and_then(|s| s.refunds.as_ref())
            .map(|list| list.iter().map(|r| (&r.id, r)).collect());
        let version = snapshot.map(|s| s.version.at);
        self.refunds.values().filter_map(move |refund| match &listed {
            None => Some(refund),
            Some(listed) => match listed.get(&refund.id) {
                Some(told) if told.detail >= refund.detail => Some(*told),
                Some(_) => Some(refund),
                None => (refund.at >= version).then_some(refund),
            },
        })
    }

    /// Whether a deletion is younger than the winning snapshot and the last restoration. Platforms
    /// date neither, so both count from their receipt, however late they come. Of one receipt the
    /// restoration wins: it brings the order as it is when it is sent, which says by its status if
    /// it is in the bin again, while a deletion brings nothing but an id.
    pub fn is_deleted(&self) -> bool {
        let restored = self.restorations.values().max();
        let last = self.deletions.values().max().filter(|last| Some(*last) > restored);
        match (&self.snapshot, last) {
            (Some(snapshot), Some(last)) => *last >= snapshot.version.at,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    /// The status after deletions; `None` while no snapshot is known.
    pub fn status(&self) -> Option<Status> {
        let snapshot = self.snapshot.as_deref()?;
        Some(if self.is_deleted() { Status::Deleted } else { snapshot.status })
    }
}
