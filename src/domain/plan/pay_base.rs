//! What the rates of a component of orders are taken of: the net amount of a line, or its CV.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Component, Plan, Problem, by_rank::Needed, closing::Faulty};
use crate::domain::volume::Conversion;

/// What the rates of a component of orders are taken of.
///
/// ```toml
/// base = { cv = { conversion = "0.50" } }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayBase {
    /// The net amount of the line in the payout currency.
    #[default]
    Net,
    /// The commissionable volume of the line, as `[volumes]` says what that is.
    Cv(CvBase),
}

/// The parameters of [`PayBase::Cv`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CvBase {
    /// Money per point, in the currency of the plan: 200 points at 0.50 and a rate of 10 % are 10.00.
    pub conversion: Conversion,
}

impl PayBase {
    /// How much money a point is; none where the net amount pays.
    pub fn conversion(self) -> Option<Conversion> {
        match self {
            Self::Net => None,
            Self::Cv(cv) => Some(cv.conversion),
        }
    }
}

impl Component {
    /// What its rates are taken of; none of what the close computes.
    pub fn base(&self) -> Option<PayBase> {
        match self {
            Self::Direct(part) => Some(part.base),
            Self::Unilevel(part) => Some(part.base),
            Self::Differential(part) => Some(part.base),
            Self::Infinity(part) => Some(part.base),
            Self::Generation(part) => Some(part.base),
            Self::FastStart(part) => Some(part.base),
            Self::Binary(_) | Self::Matrix(_) | Self::Close(_) => None,
        }
    }

    /// Whether it is computed for each order and pays on CV.
    pub(super) fn pays_on_cv(&self) -> bool {
        self.base().and_then(PayBase::conversion).is_some()
    }
}

impl Plan {
    /// The first component of orders that pays on points of which nothing says what they are or what they
    /// are money of, by its path in the file.
    pub(super) fn base_fault(&self) -> Option<Faulty> {
        let needed = match (&self.volumes, self.currency) {
            (None, _) => Needed::Volumes,
            (Some(_), None) => Needed::Currency,
            (Some(_), Some(_)) => return None,
        };
        let index = self.components.iter().position(Component::pays_on_cv)?;
        let path = ["component".into(), index.to_string().into(), "base".into()];
        let id = self.components.get(index).map(|component| component.id().clone());
        Some((path.into(), id, Problem::CvBase(needed)))
    }
}
