//! What a calculation is made of: lines, the accounts that get them, the upline that was walked.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{
    genealogy::DistributorStatus,
    id::{ComponentId, DistributorId, IdError, LineId, RankId},
    money::{Money, Rate},
    volume::{Conversion, Volume},
};

/// Who gets the money of a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Account {
    /// A distributor.
    Distributor(DistributorId),
    /// Commission that nobody qualified for: the company keeps it.
    Breakage,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Distributor(id) => write!(f, "distributor:{id}"),
            Self::Breakage => f.write_str("breakage"),
        }
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

impl TryFrom<String> for Account {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("distributor:") {
            Some(id) => DistributorId::parse(id).map(Self::Distributor),
            None if text == "breakage" => Ok(Self::Breakage),
            None => Err(IdError::Unknown {
                kind: "account",
                found: text.chars().take(80).collect(),
                known: "breakage, distributor:ID",
            }),
        }
    }
}

/// Why the money of a line is breakage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Breakage {
    /// The distributor who would have earned was not active at the order's time.
    Inactive,
    /// The upline ended before this level.
    EndOfUpline,
    /// The rank of the distributor at this level has not unlocked it.
    NotUnlocked,
    /// The earner's rank has a lower rate than the highest one, which the plan offers.
    LowerRate,
    /// The override of this rank was blocked by a leader below.
    Blocked,
    /// Nobody took it among as many distributors as the plan lets it look at (`walk_limit`).
    WalkLimit,
}

impl Breakage {
    /// The lower-case name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::EndOfUpline => "end_of_upline",
            Self::NotUnlocked => "not_unlocked",
            Self::LowerRate => "lower_rate",
            Self::Blocked => "blocked",
            Self::WalkLimit => "walk_limit",
        }
    }
}

/// One commission line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommissionLine {
    /// The order line that it comes from: no commission without one.
    pub line: LineId,
    /// The component of the plan.
    pub component: ComponentId,
    /// The level: 0 for direct commission, the number of a generation, of an enroller or of an earner
    /// of a differential, for a pure override the step of the rank on its ladder.
    pub level: u16,
    /// Who gets it.
    pub account: Account,
    /// What the rate is taken of. Of a component that pays on CV it is what the points are in money,
    /// rounded for reading; the amount is taken of the points themselves (`volume`).
    pub base: Money,
    /// The rate.
    pub rate: Rate,
    /// The money, rounded to the minor unit.
    pub amount: Money,
    /// Why it is breakage, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakage: Option<Breakage>,
    /// The rank of whoever stands at the level, where the component asks for it and they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<RankId>,
    /// In a differential the rate of that rank; `rate` is what was not paid below of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<Rate>,
    /// The points that the rate is taken of, where the component pays on CV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<PaidVolume>,
}

/// The points that a line pays on: money = CV x conversion x rate, rounded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaidVolume {
    /// The commissionable volume of the order line.
    pub cv: Volume,
    /// Money per point.
    pub conversion: Conversion,
}

impl fmt::Display for PaidVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CV x {}", self.cv, self.conversion.as_decimal())
    }
}

/// A distributor met on the way up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The distributor.
    pub distributor: DistributorId,
    /// Their status at the order's time.
    pub status: DistributorStatus,
    /// The level that they take; `None` if they were passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<u16>,
    /// The rank that they are paid as, where the component asks for it and they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<RankId>,
    /// Why they earn nothing, if they were active: whether they were passed over, or keep the level
    /// and do not earn it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Passed>,
    /// How many more were passed over directly above them, without being named: only where the walk
    /// is longer than a calculation should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<u32>,
}

/// Why somebody on the way up who is active earns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passed {
    /// Below the rank that the component asks for, or of one without a rate.
    BelowThreshold,
    /// The rank has not unlocked the level or the generation.
    NotUnlocked,
    /// Somebody of the same rank stands below.
    SameRank,
    /// Somebody of a higher rank stands below.
    HigherRankBelow,
    /// More generations stand below than the plan pays.
    BeyondGenerations,
}

/// Why a component that could have paid for the order did not look for earners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Idle {
    /// The order was placed after the first days of the new distributor; they ended then.
    OutsideWindow(Timestamp),
    /// The order was placed more than a day before the new distributor enrolled; orders count from then
    /// on.
    BeforeEnrolment(Timestamp),
    /// A fast start takes the order, or the lines that it pays for.
    ExcludedBy(ComponentId),
}

/// What a component offered and where it went. `pool = paid + breakage`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// What the component offered.
    pub pool: Money,
    /// What distributors get.
    pub paid: Money,
    /// What the company keeps because nobody qualified.
    pub breakage: Money,
}
