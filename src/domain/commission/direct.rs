//! Direct commission: the referrer's share of a customer's order.

use super::{
    Breakage, Context, Payer, Share, Step,
    walk::{Slot, Walk},
};
use crate::domain::{
    genealogy::Member,
    plan::{Direct, InactiveReferrer},
};

/// Nobody referred the order, or the buyer is the referrer: no pool, so no lines.
pub(super) fn compute(direct: &Direct, context: &Context<'_>) -> Share {
    let Some(referrer) = context.referrer else { return Share::default() };
    let asks_ranks = !direct.rates_by_rank.is_empty();
    let (walk, slot) = earner(direct, context, referrer, asks_ranks);
    let payer = Payer { id: &direct.id, base: direct.base };
    let mut lines = Vec::new();
    for line in context.earning() {
        let Some(class) = line.class.as_ref() else { continue };
        let Some(offered) = direct.rates.get(class) else { continue };
        let own = match direct.rates_by_rank.get(class) {
            Some(table) if slot.to.is_ok() => table.get(slot.rank).copied(),
            Some(_) | None => Some(*offered),
        };
        let (earned, rest) = context.part(payer, line, 0, (*offered, own), slot);
        lines.push(earned);
        lines.extend(rest);
    }
    Share { walk, lines }
}

/// Who earns, and who was passed over on the way.
fn earner(
    direct: &Direct,
    context: &Context<'_>,
    referrer: Member,
    asks_ranks: bool,
) -> (Vec<Step>, Slot) {
    let upline = std::iter::once(referrer).chain(context.as_of.upline(referrer));
    let mut walk = Walk::new(context, upline, None, asks_ranks);
    while let Some(person) = walk.next() {
        walk.note(person, person.active().then_some(0), None);
        let to = match direct.inactive_referrer {
            _ if person.active() => Ok(person.member),
            InactiveReferrer::Breakage => Err(Breakage::Inactive),
            InactiveReferrer::RollUp => continue,
        };
        return (walk.steps, Slot { to, rank: person.rank });
    }
    (walk.steps, Slot::empty(walk.end))
}
