//! Unilevel commission: a rate for each level of the upline.

use super::{
    Breakage, CommissionLine, Context, Passed, Payer, Share,
    walk::{Person, Slot, Verdict, Walk, depth, lines},
};
use crate::domain::plan::{Compression, Unilevel, WhenInactive};

/// Nobody referred the order and the buyer is no distributor: no upline, no pool, no lines.
pub(super) fn compute(unilevel: &Unilevel, context: &Context<'_>) -> Share {
    let Some(upline) = context.upline(unilevel.first_level) else { return Share::default() };
    let depth = depth(context, &unilevel.id, &unilevel.rates);
    if depth == 0 {
        return Share::default();
    }
    let limit = match &unilevel.compression {
        Compression::None | Compression::RollUp => None,
        Compression::SkipBelowRank(skip) => Some(skip.walk_limit),
        Compression::Dynamic(dynamic) => Some(dynamic.walk_limit),
    };
    let walk = Walk::new(context, upline, limit, unilevel.asks_ranks());
    let (walk, slots) = walk.climb(depth, |person, level| judge(unilevel, person, level));
    let payer = Payer { id: &unilevel.id, base: unilevel.base };
    let lines = if unilevel.rates_by_rank.is_empty() {
        lines(context, payer, &unilevel.rates, &slots)
    } else {
        lines_by_rank(unilevel, payer, context, &slots)
    };
    Share { walk, lines }
}

fn judge(unilevel: &Unilevel, person: Person, level: usize) -> Verdict {
    let unlocked = level <= unilevel.reach(person.rank);
    let locked = Some(Passed::NotUnlocked);
    let keeps = Verdict::Keeps(Breakage::NotUnlocked, locked);
    let keeps_or_takes = if unlocked { Verdict::Takes } else { keeps };
    let inactive = Verdict::Keeps(Breakage::Inactive, None);
    match &unilevel.compression {
        Compression::None if !person.active() => inactive,
        Compression::RollUp | Compression::Dynamic(_) if !person.active() => Verdict::Passed(None),
        Compression::None | Compression::RollUp => keeps_or_takes,
        Compression::Dynamic(_) if unlocked => Verdict::Takes,
        Compression::Dynamic(_) => Verdict::Passed(locked),
        Compression::SkipBelowRank(skip) if person.rank < skip.threshold.level() => {
            Verdict::Passed(person.active().then_some(Passed::BelowThreshold))
        }
        Compression::SkipBelowRank(_) if person.active() => keeps_or_takes,
        Compression::SkipBelowRank(skip) => match skip.inactive {
            WhenInactive::KeepsPlace => inactive,
            WhenInactive::PassedOver => Verdict::Passed(None),
        },
    }
}

/// The lines where the rank of who stands at a level decides how much of its rate is earned.
fn lines_by_rank(
    unilevel: &Unilevel,
    payer: Payer<'_>,
    context: &Context<'_>,
    slots: &[Slot],
) -> Vec<CommissionLine> {
    let mut lines = Vec::new();
    for line in context.earning_in(&unilevel.id) {
        let Some(class) = line.class.as_ref() else { continue };
        let Some(rates) = unilevel.rates.get(class) else { continue };
        let by_rank = unilevel.rates_by_rank.get(class);
        for (((offered, slot), number), index) in rates.iter().zip(slots).zip(1u16..).zip(0..) {
            let own = match by_rank {
                Some(table) => table.get(slot.rank).and_then(|rates| rates.get(index)).copied(),
                None => Some(*offered),
            };
            let own = if slot.to.is_err() { Some(*offered) } else { own };
            let (earned, rest) = context.part(payer, line, number, (*offered, own), *slot);
            lines.push(earned);
            lines.extend(rest);
        }
    }
    lines
}
