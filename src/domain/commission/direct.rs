//! Direct commission: the referrer's share of a customer's order.

use super::{Breakage, Context, Share};
use crate::domain::{
    genealogy::Member,
    plan::{Direct, InactiveReferrer},
};

/// Nobody referred the order, or the buyer is the referrer: no pool, so no lines.
pub(super) fn compute(direct: &Direct, context: &Context<'_>) -> Share {
    let Some(referrer) = context.referrer else {
        return Share { walk: Vec::new(), lines: Vec::new() };
    };
    let (earner, passed) = earner(direct, context, referrer);
    let walk = passed
        .into_iter()
        .map(|member| (member, None))
        .chain(earner.ok().map(|member| (member, Some(0))))
        .filter_map(|(member, level)| context.step(member, level))
        .collect();
    let lines = context
        .earning()
        .filter_map(|line| Some((line, *direct.rates.get(line.class.as_ref()?)?)))
        .map(|(line, rate)| context.line(&direct.id, line, 0, rate, earner))
        .collect();
    Share { walk, lines }
}

/// Who earns, and who was passed over on the way.
fn earner(
    direct: &Direct,
    context: &Context<'_>,
    referrer: Member,
) -> (Result<Member, Breakage>, Vec<Member>) {
    if context.is_active(referrer) {
        return (Ok(referrer), Vec::new());
    }
    let mut passed = vec![referrer];
    match direct.inactive_referrer {
        InactiveReferrer::Breakage => (Err(Breakage::Inactive), passed),
        InactiveReferrer::RollUp => {
            for member in context.as_of.upline(referrer) {
                if context.is_active(member) {
                    return (Ok(member), passed);
                }
                passed.push(member);
            }
            (Err(Breakage::EndOfUpline), passed)
        }
    }
}
