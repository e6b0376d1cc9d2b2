//! What takes back: refunds, chargebacks, and what a store makes of them.

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{LineId, RefundId},
    money::{Currency, Money},
};

/// One refund or credit memo of an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Refund {
    /// The platform's id of the refund.
    pub id: RefundId,
    /// When it was made; `None` if the platform does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How much is known: of two descriptions of one refund, the more detailed is joined.
    pub detail: Detail,
    /// The lines that it names, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<RefundLine>,
    /// Money that no line accounts for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loose: Vec<LooseMoney>,
}

/// How much a description of a refund knows. Ordered: more detail wins the join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Only the money, as in the header of a WooCommerce order.
    Summary,
    /// Lines and money, from the refund's own resource.
    Full,
}

/// What a refund takes back from one line. Amounts are positive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RefundLine {
    /// The order line.
    pub line: LineId,
    /// Units taken back.
    pub quantity: Decimal,
    /// Net taken back: without tax.
    pub net: Money,
    /// Gross taken back: with tax.
    pub gross: Money,
}

/// Money handed back that no refund line accounts for; gross and positive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LooseMoney {
    /// The amount, with tax.
    pub gross: Money,
    /// The only line that it is taken from, if the refund names one (a refund line of 0.00).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<LineId>,
}

/// A chargeback of an order: the buyer's bank takes money back. A company decides from which stage
/// on it counts ([`ChargebackPolicy`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chargeback {
    /// How far it has come; the furthest description of a chargeback wins.
    pub stage: ChargebackStage,
    /// The platform's id of the dispute.
    pub id: RefundId,
    /// The amount in dispute: gross and positive.
    pub amount: Money,
    /// The currency of the amount.
    pub currency: Currency,
}

/// How far a chargeback has come. Ordered: a later stage wins the join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackStage {
    /// The bank asks; no money has moved.
    Inquiry,
    /// The bank has taken the money and the shop may still win it back.
    Open,
    /// The shop has won: the money is back.
    Won,
    /// The shop refunded the buyer; the refund itself counts.
    Refunded,
    /// The shop has lost: the money is gone.
    Lost,
}

/// What a store makes of refunds and chargebacks where the platform leaves it open.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RefundPolicy {
    /// Money handed back that no refund line accounts for.
    pub without_lines: WithoutLines,
    /// Chargebacks.
    pub chargebacks: ChargebackPolicy,
}

impl RefundPolicy {
    /// For serde: whether to leave the field out.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of money handed back that no refund line accounts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutLines {
    /// It takes merchandise first, spread over what is left of the lines by largest remainder.
    #[default]
    ProRata,
    /// A gesture of the company: distributors keep their commission.
    Ignore,
}

/// From which stage on a chargeback takes commission back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChargebackPolicy {
    /// When the shop has lost.
    #[default]
    WhenLost,
    /// When the bank takes the money; a won chargeback gives it back.
    WhenOpened,
    /// Never.
    Ignore,
}

impl ChargebackPolicy {
    pub(super) fn counts(self, stage: ChargebackStage) -> bool {
        match (self, stage) {
            (Self::WhenLost | Self::WhenOpened, ChargebackStage::Lost)
            | (Self::WhenOpened, ChargebackStage::Open) => true,
            (Self::Ignore, _)
            | (
                Self::WhenLost | Self::WhenOpened,
                ChargebackStage::Inquiry | ChargebackStage::Won | ChargebackStage::Refunded,
            )
            | (Self::WhenLost, ChargebackStage::Open) => false,
        }
    }
}
