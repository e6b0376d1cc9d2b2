//! An order as commission sees it: lines with class and base, the people, the locked versions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::{
    customer::AttributionLock,
    digest::Digest,
    fx::LockedRate,
    genealogy::GenealogyVersion,
    id::{CommissionClass, DistributorId, LineId, OrderKey, RefundId, Sku},
    money::{Currency, Money},
    order::{DecisionRef, RefundPolicy, Status},
    plan::PlanRef,
    volume::Volume,
};

/// The versions that an order is bound to from its first commissionable state on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locks {
    /// The genealogy.
    pub genealogy: GenealogyVersion,
    /// The compensation plan.
    pub plan: PlanRef,
    /// The SKU mapping, by the sequence number of its last row.
    pub catalog: u64,
    /// For lines with an article that the locked mapping did not know (added to the order later):
    /// the version of the mapping by which they were first mapped.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub late_lines: BTreeMap<LineId, u64>,
    /// The rate from the order's currency to the one that its commission is paid in; absent if the
    /// store pays in the currency of each order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<LockedRate>,
    /// The customer's links and the store's policy; absent if the store asks for neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<AttributionLock>,
    /// The ranks in the plan, by the sequence number of their last fact; absent if there was none, and
    /// in a plan whose orders pay without ranks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<u64>,
    /// The hash of their chain up to that fact. Orders that were locked before it was kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks_hash: Option<Digest>,
}

impl Locks {
    /// The version of the SKU mapping that holds for a line.
    pub fn catalog_of(&self, line: &LineId) -> u64 {
        self.late_lines.get(line).copied().unwrap_or(self.catalog)
    }

    /// The last version of the SKU mapping that any line needs.
    pub fn catalog_needed(&self) -> u64 {
        self.late_lines.values().copied().fold(self.catalog, u64::max)
    }
}

/// One revision of an order, ready for commission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedOrder {
    /// The order.
    pub key: OrderKey,
    /// Counts the states that the order has had; higher is newer.
    pub revision: u64,
    /// Whether it earns.
    pub status: Status,
    /// What the store makes of refunds and chargebacks where the platform leaves it open.
    #[serde(default)]
    pub refund_policy: RefundPolicy,
    /// When it was placed.
    pub placed_at: Timestamp,
    /// The currency of the order: of `total` and of `net`, `refunded` and `base` of each line.
    pub currency: Currency,
    /// What the buyer owed in all, shipping and tax included.
    pub total: Money,
    /// Who is to be paid for it.
    pub attribution: Attribution,
    /// The versions that it is bound to.
    pub locks: Locks,
    /// What chargebacks in another currency take, by decision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chargebacks: Vec<DecidedChargeback>,
    /// The lines.
    pub lines: Vec<MappedLine>,
}

/// A chargeback in another currency than its order, and what a person decided that it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedChargeback {
    /// The platform's id of the dispute.
    pub chargeback: RefundId,
    /// Gross, in the order's currency.
    pub takes: Money,
    /// Who decided it, and when.
    pub decision: DecisionRef,
}

impl MappedOrder {
    /// The currency of commission: of every line of a run and every entry in the ledger.
    pub fn payout_currency(&self) -> Currency {
        self.locks.rate.map_or(self.currency, |rate| rate.to)
    }

    /// SHA-256 of the order as JSON, with the fields in the order of their declaration.
    pub fn hash(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }
}

/// Who is to be paid for an order and how that was found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribution {
    /// The distributor who referred the order: earns direct commission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<DistributorId>,
    /// The distributor who bought for themselves; level 1 is their sponsor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_purchase: Option<DistributorId>,
    /// How that came about.
    pub won_by: WonBy,
    /// The decision of a person, if there is one: it holds before every candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRef>,
    /// Every candidate, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
}

/// How the referrer of an order was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WonBy {
    /// A candidate named a distributor; this is its source.
    Source(Box<str>),
    /// The buyer is a distributor and nobody else referred the order.
    OwnPurchase,
    /// A person decided who referred it, or that nobody did.
    Decision,
    /// No known distributor referred the order, and the store's policy gives it to its house
    /// account; this is the policy: `unattributed` or `unknown_referrer`.
    House(Box<str>),
    /// Nobody referred the order: no commission, the company keeps the margin.
    #[default]
    Nobody,
}

/// A candidate for the referrer and whether it is a distributor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where it was found.
    pub source: Box<str>,
    /// The code that stood there, if it names a distributor; else its [`Digest::mark`]: a shop may put
    /// anything into a referral parameter, the name of a person too, and a calculation is kept for ever.
    pub value: Box<str>,
    /// Whether a distributor of that id is enrolled.
    pub known: bool,
}

/// One line of the order, mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedLine {
    /// The platform's id of the line.
    pub id: LineId,
    /// The company's article.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// The commission class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<CommissionClass>,
    /// Units.
    pub quantity: Decimal,
    /// Net of the line before refunds.
    pub net: Money,
    /// Net that refunds took back.
    pub refunded: Money,
    /// What earns now, in the currency of the order.
    pub base: Money,
    /// What earns now, in the currency that commission is paid in, rounded to its minor unit; absent
    /// if that is the currency of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payout_base: Option<Money>,
    /// Why nothing earns, if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero: Option<ZeroReason>,
    /// The decision of a person on what the line sells, if there is one: it holds before the mapping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionRef>,
    /// What its volume is taken of, beside the base; absent if the line earns nothing, and in a plan
    /// without volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeBasis>,
}

/// What the catalogue states for a unit of a line, and how much of the units is left.
///
/// A refund that names units, and takes money for them, takes the volume of these units, however
/// much money that is. Money that names no units (a gesture, a chargeback) takes the share of the rest
/// that it takes of their net: base by `units_net`. Of nothing to earn on, nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeBasis {
    /// Qualifying volume of a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qv: Option<Volume>,
    /// Commissionable volume of a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cv: Option<Volume>,
    /// Units that were not taken back.
    pub units: Decimal,
    /// The net of these units before money was taken back that names no units.
    pub units_net: Money,
}

impl VolumeBasis {
    /// What the catalogue states for what is left: of a volume for a unit and the base of the line.
    pub fn stated(&self, unit: Volume, base: Money) -> Volume {
        unit.times(self.units).proportion(base, self.units_net)
    }
}

impl MappedLine {
    /// The amount that rates apply to, in the payout currency.
    pub fn commissionable(&self) -> Money {
        self.payout_base.unwrap_or(self.base)
    }
}

/// Why a line earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroReason {
    /// The order is not paid yet.
    Unpaid,
    /// The order was cancelled, or all units of the line were.
    Cancelled,
    /// The payment failed or was voided.
    Voided,
    /// It is a draft.
    Draft,
    /// It is a test order.
    Test,
    /// The order was deleted.
    Deleted,
    /// The line sells a gift card.
    GiftCard,
    /// The line is a tip.
    Tip,
    /// The line was free.
    Free,
    /// All of it was refunded.
    Refunded,
    /// Nobody referred the order and the buyer is no distributor.
    NoReferrer,
    /// A person decided that the line earns no commission.
    Decided,
}
