//! What a close of a binary does otherwise than its plan alone would let one expect, because the plan or the
//! rules changed since closes before it. It is told, and kept with the figures.

use std::fmt;

use serde::Serialize;

use crate::domain::{
    id::ComponentId,
    money::Money,
    plan::{Plan, pairs::Binary, period::PeriodId},
    volume::Volume,
};

/// Why a binary does not go on from the closes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// The plan of then had no binary of this id.
    Absent,
    /// It paid on another tree.
    Tree,
    /// It paid on another volume.
    Volume,
    /// The plan paid in another currency.
    Currency,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "note", rename_all = "snake_case")]
pub enum Note {
    /// A binary begins without carry although periods are closed.
    BeginsAnew {
        /// The binary.
        component: ComponentId,
        /// The last closed period.
        after: PeriodId,
        /// Why.
        because: Because,
        /// How many positions carried something out of that period.
        positions: u64,
        /// What their legs carried together: an order is in it once for each position above.
        volume: Volume,
    },
    /// Volume came back that the binary had counted before it began anew.
    NotUnpaired {
        /// The binary.
        component: ComponentId,
        /// The last period before it began anew.
        upto: PeriodId,
        /// How much.
        volume: Volume,
    },
    /// A pool had carried money into the period, and this version of the plan has no such pool.
    PoolLapses {
        /// The pool.
        component: ComponentId,
        /// What stays with the company.
        amount: Money,
    },
    /// A period that is corrected was closed by the rules of another release.
    OtherRules {
        /// The binary.
        component: ComponentId,
        /// The period.
        period: PeriodId,
        /// The rules.
        engine: Box<str>,
    },
}

impl Because {
    /// Why a binary does not go on from the plan of a closed period; none if it does. `same_currency` is
    /// whether both pay in the same one.
    pub(super) fn of(then: &Plan, now: &Binary, same_currency: bool) -> Result<Binary, Self> {
        let then = then.binaries().find(|then| then.id == now.id).ok_or(Self::Absent)?;
        if then.tree != now.tree {
            return Err(Self::Tree);
        }
        if then.volume != now.volume {
            return Err(Self::Volume);
        }
        if same_currency { Ok(then.clone()) } else { Err(Self::Currency) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeginsAnew { component, after, because, positions, volume } => {
                let what = match because {
                    Because::Absent => "the plan of then had no such binary",
                    Because::Tree => "it paid on another tree then",
                    Because::Volume => "it paid on another volume then",
                    Because::Currency => "the plan paid in another currency then",
                };
                write!(f, "{component} takes nothing over from {after}, as {what}")?;
                if *positions > 0 {
                    let of = if *positions == 1 { "position" } else { "positions" };
                    write!(f, ": {volume} points in the legs of {positions} {of} lapse")?;
                }
                Ok(())
            }
            Self::NotUnpaired { component, upto, volume } => write!(
                f,
                "{component}: {volume} points of periods up to {upto} came back and are not un-paired, as it \
                 has begun anew since"
            ),
            Self::PoolLapses { component, amount } => write!(
                f,
                "{component}: {amount} that it had carried on stay with the company, as this version of the plan \
                 has no such pool"
            ),
            Self::OtherRules { component, period, engine } => write!(
                f,
                "{component}: {period} was closed by the rules {engine}, and what came back of it is un-paired \
                 by those of this release: the correction may hold what they differ in"
            ),
        }
    }
}
