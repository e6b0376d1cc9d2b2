//! Where one more point is worth a jump.

use std::cmp::Reverse;

use rust_decimal::Decimal;
use serde::Serialize;

use crate::domain::{
    id::ComponentId,
    money::Rate,
    plan::{
        Component, Plan,
        close::CloseComponent,
        pairs::{self, TierSpan},
        rank::Rank,
    },
    volume::{Conversion, Volume},
};

/// A place where one more point is worth a jump in money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cliff {
    /// The component that pays.
    pub component: ComponentId,
    /// What is reached: a volume, or a rank and what it takes.
    pub at: String,
    /// What somebody earns more who stands there than who is a hair below, in the currency of the
    /// close; where a volume picks the step, with as much CV as that volume.
    pub jump: Decimal,
    /// How that comes.
    pub because: String,
}

/// All of them, the largest first.
pub(super) fn cliffs(plan: &Plan) -> Vec<Cliff> {
    let conversion = plan.volumes.as_ref().map_or(Conversion::ONE, |volumes| volumes.conversion);
    let mut cliffs = Vec::new();
    for component in &plan.components {
        match component {
            Component::Binary(part) => {
                if let pairs::Pays::Tiers { matching, span: TierSpan::Whole, tiers } = &part.pays {
                    let steps = tiers.iter().map(|tier| (tier.from, tier.rate));
                    stairs(&part.id, steps, matching.conversion, "payable volume", &mut cliffs);
                }
            }
            Component::Close(CloseComponent::Bracket(part)) => {
                let steps = part.table.iter().map(|step| (step.from, step.rate));
                let conversion = part.conversion.unwrap_or(conversion);
                stairs(&part.id, steps, conversion, "points of group volume", &mut cliffs);
            }
            Component::Close(CloseComponent::RankBonus(part)) => {
                for row in &part.amounts {
                    let rank = plan.requirements.iter().find(|rank| rank.id == row.from);
                    cliffs.push(Cliff {
                        component: part.id.clone(),
                        at: format!("rank {}{}", row.from, rank.map_or_else(String::new, takes)),
                        jump: row.amount.as_decimal(),
                        because: format!("the bonus of {}", row.amount),
                    });
                }
            }
            Component::Direct(_)
            | Component::Unilevel(_)
            | Component::Differential(_)
            | Component::Infinity(_)
            | Component::Generation(_)
            | Component::FastStart(_)
            | Component::Matrix(_)
            | Component::Close(
                CloseComponent::Given(_)
                | CloseComponent::UnilevelVolume(_)
                | CloseComponent::Breakaway(_)
                | CloseComponent::Matching(_)
                | CloseComponent::Pool(_),
            ) => {}
        }
    }
    cliffs.sort_by_key(|cliff| Reverse(cliff.jump));
    cliffs
}

/// The steps of a table in which the rate of a step holds for all of the volume.
fn stairs(
    component: &ComponentId,
    steps: impl Iterator<Item = (Volume, Rate)>,
    conversion: Conversion,
    what: &str,
    cliffs: &mut Vec<Cliff>,
) {
    let mut before = Rate::ZERO;
    for (from, rate) in steps {
        let money = from.as_decimal().saturating_mul(conversion.as_decimal());
        let jump = money.saturating_mul(rate.above(before).as_decimal()).normalize();
        if jump > Decimal::ZERO {
            cliffs.push(Cliff {
                component: component.clone(),
                at: format!("{from} {what}"),
                jump,
                because: format!("{rate} of {} instead of {before}", money.normalize()),
            });
        }
        before = rate;
    }
}

/// What a rank takes of volume.
fn takes(rank: &Rank) -> String {
    let asked = [("PV", rank.pv), ("QV", rank.qv), ("GV", rank.gv), ("PGV", rank.pgv)];
    let asked = asked.into_iter().filter_map(|(name, volume)| Some(format!("{} {name}", volume?)));
    let asked = asked.collect::<Vec<_>>().join(", ");
    if asked.is_empty() { asked } else { format!(" ({asked})") }
}
