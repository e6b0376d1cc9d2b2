//! What a person decided about an order, where neither the shop nor the company's tables can say it.
//!
//! Invariant: a decision is a fact like any other. It is about one *subject* of its order, and of two
//! decisions about one subject the later one wins, on every machine and in any order of arrival.
//!
//! Who decided and why are free text. The calculation of an order, which is sealed for ever, holds who,
//! when and the digest of the whole decision ([`DecisionRef`]): it proves the reason without holding it.
//! The reason itself stands in the order state and in the story of the order.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    digest::Digest,
    id::{CommissionClass, DistributorId, IdError, LineId, Operator, Reason, RefundId, Sku},
    money::{Currency, Money},
};

/// A person's decision about one subject of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was decided: the latest decision about a subject holds.
    pub at: Timestamp,
    /// Who decided.
    pub by: Operator,
    /// Why.
    pub why: Reason,
    /// What holds from now on.
    pub verdict: Verdict,
}

impl Decision {
    /// SHA-256 of the decision as JSON, with the fields in the order of their declaration.
    pub fn digest(&self) -> Digest {
        Digest::of(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// What the calculation of an order keeps of it.
    pub fn reference(&self) -> DecisionRef {
        DecisionRef { by: self.by.clone(), at: self.at, digest: self.digest() }
    }

    /// Whether it holds rather than another one about the same subject.
    pub(super) fn overrules(&self, other: &Self) -> bool {
        (self.at, self.digest()) > (other.at, other.digest())
    }
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "snake_case")]
pub enum Verdict {
    /// What a line sells.
    Line {
        /// The line.
        line: LineId,
        /// What it is.
        sells: Sells,
    },
    /// How much of the order a chargeback in another currency takes.
    Chargeback {
        /// The platform's id of the dispute.
        chargeback: RefundId,
        /// Gross, zero or above.
        takes: Money,
        /// The currency of the order when it was decided: in another one the amount means nothing.
        currency: Currency,
    },
    /// Who referred the order; nobody if absent.
    Referrer {
        /// The distributor.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        distributor: Option<DistributorId>,
    },
}

impl Verdict {
    /// What it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Line { line, .. } => Subject::Line(line.clone()),
            Self::Chargeback { chargeback, .. } => Subject::Chargeback(chargeback.clone()),
            Self::Referrer { .. } => Subject::Referrer,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, sells: Sells::Class(class) } => {
                write!(f, "line {line} earns as class {class}")
            }
            Self::Line { line, sells: Sells::Article(sku) } => {
                write!(f, "line {line} sells article {sku}")
            }
            Self::Line { line, sells: Sells::NoCommission } => {
                write!(f, "line {line} earns no commission")
            }
            Self::Chargeback { chargeback, takes, currency } => {
                write!(f, "chargeback {chargeback} takes {takes} {currency}")
            }
            Self::Referrer { distributor: Some(id) } => write!(f, "distributor {id} referred it"),
            Self::Referrer { distributor: None } => f.write_str("nobody referred it"),
        }
    }
}

/// What a line sells, as far as commission goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sells {
    /// Something of this commission class.
    Class(CommissionClass),
    /// This article of the company (`sku_id` of the mapping, not the platform's SKU).
    Article(Sku),
    /// Nothing that earns.
    NoCommission,
}

/// What a decision is about. In text: `line:ID`, `chargeback:ID`, `referrer`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Subject {
    /// A line.
    Line(LineId),
    /// A chargeback.
    Chargeback(RefundId),
    /// Who referred the order.
    Referrer,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line:{line}"),
            Self::Chargeback(id) => write!(f, "chargeback:{id}"),
            Self::Referrer => f.write_str("referrer"),
        }
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.to_string()
    }
}

impl TryFrom<String> for Subject {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        match text.split_once(':') {
            Some(("line", id)) => LineId::parse(id).map(Self::Line),
            Some(("chargeback", id)) => RefundId::parse(id).map(Self::Chargeback),
            None if text == "referrer" => Ok(Self::Referrer),
            Some(_) | None => Err(IdError::Unknown {
                kind: "subject of a decision",
                found: text.chars().take(80).collect(),
                known: "line:ID, chargeback:ID, referrer",
            }),
        }
    }
}

/// A decision as a calculation names it: who, when, and the digest that proves all of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRef {
    /// Who decided.
    pub by: Operator,
    /// When.
    pub at: Timestamp,
    /// [`Decision::digest`].
    pub digest: Digest,
}
