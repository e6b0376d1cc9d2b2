//! The components of a plan that rest on the placement tree: binary and forced matrix.
//!
//! Wherever the field knows two readings of a rule, the plan file says which one holds: no choice has
//! a default, and "none" is written out.

mod matrix;

use std::fmt;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::matrix::{Matrix, MatrixCompression, MatrixLine, Unlocks};
use super::volume::Measure;
use crate::domain::{
    id::{ComponentId, TreeId},
    money::{Currency, Money, Rate},
    placement::Shape,
    volume::{Conversion, Volume},
};

/// Why a binary or a matrix cannot hold as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairsError {
    /// A figure must be more than nothing.
    #[error("component {component}: `{field}` must be more than 0")]
    NotPositive {
        /// The component.
        component: ComponentId,
        /// The field.
        field: &'static str,
    },
    /// The payable share is above the whole.
    #[error("component {component}: `share` is {found}, it must be above 0 % and at most 100 %")]
    Share {
        /// The component.
        component: ComponentId,
        /// The value in the file.
        found: Rate,
    },
    /// A cycle takes more of the weaker leg than of the stronger one.
    #[error(
        "component {0}: a cycle takes at most as much of the `weaker` leg as of the `stronger`, swap the two"
    )]
    Cycle(ComponentId),
    /// The tiers do not ascend.
    #[error(
        "component {component}: tier {tier} must begin above the one before it and pay at least its rate"
    )]
    Tiers {
        /// The component.
        component: ComponentId,
        /// The tier, from 1.
        tier: usize,
    },
    /// An amount is finer than what can be paid.
    #[error(
        "component {component}: {amount} is finer than the minor unit of {currency}: give it at most {digits} decimal places",
        digits = currency.minor_digits()
    )]
    TooFine {
        /// The component.
        component: ComponentId,
        /// The amount.
        amount: Money,
        /// The currency of the close.
        currency: Currency,
    },
    /// There is no tier.
    #[error("component {0} has no tiers, give it at least one")]
    NoTiers(ComponentId),
    /// The matrix cannot be built.
    #[error(
        "component {component}: a matrix has a width of 2 to 32 and a height of 1 to 32, not {width} x {height}"
    )]
    Shape {
        /// The component.
        component: ComponentId,
        /// The width.
        width: u8,
        /// The height.
        height: u8,
    },
    /// Rates and height disagree.
    #[error(
        "component {component}: {found} rates for {height} levels, give one for each (\"0 %\" pays nothing)"
    )]
    Rates {
        /// The component.
        component: ComponentId,
        /// The rates in the file.
        found: usize,
        /// The height.
        height: u8,
    },
    /// Two components cannot rest on one tree.
    #[error(
        "component {component}: tree {tree} is a {found} here and a {other} in component {first}: give \
         one of them another tree"
    )]
    Tree {
        /// The component.
        component: ComponentId,
        /// The tree that both name.
        tree: TreeId,
        /// What it is here.
        found: Shape,
        /// The component that names it first.
        first: ComponentId,
        /// What it is there.
        other: Shape,
    },
}

/// A figure that a plan must state, `"none"` included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String", bound = "T: TryFrom<String, Error: fmt::Display>")]
pub enum Limit<T> {
    /// There is none.
    None,
    /// It is this.
    At(T),
}

impl<T> Limit<T> {
    /// The figure, if there is one.
    pub fn at(self) -> Option<T> {
        match self {
            Self::None => None,
            Self::At(value) => Some(value),
        }
    }
}

impl<T: TryFrom<String>> TryFrom<String> for Limit<T> {
    type Error = T::Error;
    fn try_from(text: String) -> Result<Self, T::Error> {
        if text.trim() == "none" { Ok(Self::None) } else { T::try_from(text).map(Self::At) }
    }
}

/// So many periods, at most 1000. In a plan file it is text, `"6"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Periods(pub u16);

/// The text is no number of periods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no number of periods: 1 to 1000, or \"none\"")]
pub struct PeriodsError(String);

impl TryFrom<String> for Periods {
    type Error = PeriodsError;
    fn try_from(text: String) -> Result<Self, PeriodsError> {
        let periods = text.trim().parse().ok().filter(|periods| (1..=1000).contains(periods));
        periods.map(Self).ok_or_else(|| PeriodsError(text.chars().take(16).collect()))
    }
}

/// Binary: the volume of the two legs is paired, and pairs pay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// The id of the component.
    pub id: ComponentId,
    /// The placement tree that it pays on. Several components may name one.
    pub tree: TreeId,
    /// Which volume of the owners of positions is paired.
    pub volume: Measure,
    /// What pairs pay.
    pub pays: Pays,
    /// What becomes of volume that found no partner.
    pub carry: Carry,
    /// The most that a position earns in a period, and what becomes of the volume above it.
    pub cap: Cap,
    /// The most that an owner earns in a period with all positions together: shared in proportion to
    /// what each would have earned, by largest remainder; the volume stays paired.
    pub owner_cap: Limit<Money>,
    /// Who may earn.
    pub qualification: Qualification,
    /// What happens to the pairs of a position that may not.
    pub unqualified: Unqualified,
}

/// What pairs pay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "BinaryPays")]
pub enum Pays {
    /// A rate of the payable volume.
    Percentage {
        /// How volume is paired.
        matching: Matching,
        /// The rate.
        rate: Rate,
    },
    /// A rate that rises with the payable volume of the period.
    Tiers {
        /// How volume is paired.
        matching: Matching,
        /// What the rate of a tier applies to.
        span: TierSpan,
        /// The tiers, lowest first; below the first nothing is paid (pairs are made all the same).
        tiers: Vec<Tier>,
    },
    /// A fixed amount for each full cycle. Whichever leg has less takes the smaller volume.
    Cycles {
        /// The volume that a cycle takes of the leg that has less.
        weaker: Volume,
        /// The volume that it takes of the other; at least as much.
        stronger: Volume,
        /// What a cycle pays, in the payout currency.
        amount: Money,
    },
}

/// How volume is paired and how much of it is payable.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Money per point.
    pub conversion: Conversion,
    /// How much of the stronger leg goes with the weaker one.
    pub ratio: Ratio,
    /// Whether the weaker leg pays or both.
    pub base: Base,
    /// The volume of the weaker leg is paired in whole multiples of this.
    pub lot: Limit<Volume>,
    /// The part that is payable (the "volume ratio"): `"100 %"` for all.
    pub share: Rate,
    /// What of the rest.
    pub consumes: Consumes,
}

/// How much of the stronger leg goes with the weaker one. The leg that has less is the weaker one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ratio {
    /// A point with a point.
    OneToOne,
    /// A point with exactly two.
    OneToTwo,
    /// 1/3-2/3: all of the weaker leg, and of the stronger one as much as there is but at most twice
    /// that, so that no leg is more than two thirds of what is paired.
    OneThirdTwoThirds,
}

/// Which volume a rate applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// What is paired of the weaker leg.
    Weaker,
    /// What is paired of both.
    Both,
}

/// What happens to the volume that is paired but not payable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consumes {
    /// It is used up: all that could be paired is, and the share of it pays.
    Matched,
    /// It stays: only the share is paired, and all of that pays.
    Payable,
}

/// A tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The payable volume at which it begins, inclusive.
    pub from: Volume,
    /// Its rate.
    pub rate: Rate,
}

/// What the rate of a tier applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TierSpan {
    /// All payable volume has the rate of the highest tier that it reaches.
    Whole,
    /// Each slice of it has the rate of its own tier; what is below the first pays nothing.
    Slices,
}

/// What becomes of volume that found no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum Carry {
    /// It waits for the next period, the oldest is paired first.
    Forward {
        /// The most that a leg carries; of what is above it the oldest is flushed.
        cap: Limit<Volume>,
        /// The closes after that of its own period in which volume may still be paired.
        expires_after: Limit<Periods>,
    },
    /// It is lost when the period closes.
    Flush {},
}

/// The most that a position earns in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "semantics", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "BinaryCap")]
pub enum Cap {
    /// There is no limit.
    None {},
    /// All that can be paired is, and what it earns above the limit is capped.
    PayCap {
        /// The limit, in the payout currency.
        limit: Money,
    },
    /// Only as much is paired as the limit pays for; the rest of the volume stays. Of whole cycles and lots as
    /// many as fit under it; of tiers with the span `whole`, whose pay rises in steps, the largest volume
    /// that pays at most the limit, which just above a step can be less than it.
    VolumeCap {
        /// The limit, in the payout currency.
        limit: Money,
    },
    /// As `pay_cap`, and where the limit cut something off what the owner gets, both legs are emptied;
    /// of a position that may not earn it cuts nothing off.
    FlushOnCap {
        /// The limit, in the payout currency.
        limit: Money,
    },
}

impl Cap {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<Money> {
        match self {
            Self::None {} => None,
            Self::PayCap { limit } | Self::VolumeCap { limit } | Self::FlushOnCap { limit } => {
                Some(limit)
            }
        }
    }
}

/// Who may earn on pairs. What "active" means is the plan's activity rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Qualification {
    /// The owner must be active.
    pub own_active: bool,
    /// Each leg must hold an active distributor whom the owner enrolled.
    pub enrolled_each_side: bool,
}

/// What happens to the pairs of a position that may not earn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BinaryUnqualified")]
pub enum Unqualified {
    /// They are made, and the company keeps what they would have paid.
    Breakage,
    /// They are not made; the volume waits by the rules of carry.
    Hold,
    /// They are not made, and both legs are emptied.
    Flush,
}

impl Binary {
    /// Checks what the shape of the file does not.
    pub fn check(&self) -> Result<(), PairsError> {
        let component = || self.id.clone();
        let positive = |good: bool, field: &'static str| {
            if good {
                Ok(())
            } else {
                Err(PairsError::NotPositive { component: component(), field })
            }
        };
        match &self.pays {
            Pays::Percentage { matching, rate } => {
                self.check_matching(matching)?;
                positive(*rate > Rate::ZERO, "rate")?;
            }
            Pays::Tiers { matching, span: _, tiers } => {
                self.check_matching(matching)?;
                let first = tiers.first().ok_or_else(|| PairsError::NoTiers(component()))?;
                positive(first.from >= Volume::ZERO, "tiers.from")?;
                let pairs = tiers.iter().zip(tiers.iter().skip(1));
                for ((lower, upper), tier) in pairs.zip(2..) {
                    if upper.from <= lower.from || upper.rate < lower.rate {
                        return Err(PairsError::Tiers { component: component(), tier });
                    }
                }
            }
            Pays::Cycles { weaker, stronger, amount } => {
                positive(weaker.is_positive(), "weaker")?;
                positive(amount.is_positive(), "amount")?;
                if stronger < weaker {
                    return Err(PairsError::Cycle(component()));
                }
            }
        }
        if let Carry::Forward { cap: Limit::At(cap), .. } = self.carry {
            positive(cap.is_positive(), "carry.cap")?;
        }
        if let Some(limit) = self.cap.limit() {
            positive(limit.is_positive(), "cap.limit")?;
        }
        positive(self.owner_cap.at().is_none_or(Money::is_positive), "owner_cap")
    }

    /// Checks that every amount is a whole number of minor units of the currency that is paid; else
    /// the field of the one that is not.
    pub fn check_amounts(&self, currency: Currency) -> Result<(), (&'static str, PairsError)> {
        let cycle = match &self.pays {
            Pays::Cycles { amount, .. } => Some(*amount),
            Pays::Percentage { .. } | Pays::Tiers { .. } => None,
        };
        let (cap, owner_cap) = (self.cap.limit(), self.owner_cap.at());
        for (field, amount) in [("pays", cycle), ("cap", cap), ("owner_cap", owner_cap)] {
            if let Some(amount) = amount.filter(|amount| !amount.is_whole_in(currency)) {
                let component = self.id.clone();
                return Err((field, PairsError::TooFine { component, amount, currency }));
            }
        }
        Ok(())
    }

    fn check_matching(&self, matching: &Matching) -> Result<(), PairsError> {
        let component = || self.id.clone();
        if matching.conversion.as_decimal().is_zero() {
            return Err(PairsError::NotPositive { component: component(), field: "conversion" });
        }
        if matching.lot.at().is_some_and(|lot| !lot.is_positive()) {
            return Err(PairsError::NotPositive { component: component(), field: "lot" });
        }
        let share = matching.share;
        if share.as_decimal().is_zero() || share.as_decimal() > Decimal::ONE {
            return Err(PairsError::Share { component: component(), found: share });
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
