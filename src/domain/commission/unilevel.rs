//! Unilevel commission: a rate for each level of the upline.

use super::{Breakage, Context, Share, Step};
use crate::domain::{
    genealogy::Member,
    plan::{Compression, FirstLevel, Unilevel},
};

/// Nobody referred the order and the buyer is no distributor: no upline, no pool, no lines.
pub(super) fn compute(unilevel: &Unilevel, context: &Context<'_>) -> Share {
    let nothing = || Share { walk: Vec::new(), lines: Vec::new() };
    let depth = context
        .earning()
        .filter_map(|line| unilevel.rates.get(line.class.as_ref()?))
        .map(Vec::len)
        .max()
        .unwrap_or_default();
    let (start, first) = match (context.referrer, context.own_buyer) {
        (Some(referrer), _) if unilevel.first_level == FirstLevel::Referrer => {
            (referrer, Some(referrer))
        }
        (Some(member), _) | (None, Some(member)) => (member, None),
        (None, None) => return nothing(),
    };
    if depth == 0 {
        return nothing();
    }
    let candidates = first.into_iter().chain(context.as_of.upline(start));
    let (walk, levels) = climb(unilevel.compression, context, candidates, depth);
    let mut lines = Vec::new();
    for line in context.earning() {
        let Some(rates) = line.class.as_ref().and_then(|class| unilevel.rates.get(class)) else {
            continue;
        };
        for ((rate, level), number) in rates.iter().zip(&levels).zip(1u16..) {
            lines.push(context.line(&unilevel.id, line, number, *rate, *level));
        }
    }
    Share { walk, lines }
}

/// Assigns `depth` levels to the upline; a level that nobody takes is breakage.
fn climb(
    compression: Compression,
    context: &Context<'_>,
    candidates: impl Iterator<Item = Member>,
    depth: usize,
) -> (Vec<Step>, Vec<Result<Member, Breakage>>) {
    let mut walk = Vec::new();
    let mut levels = Vec::with_capacity(depth);
    for member in candidates {
        if levels.len() >= depth {
            break;
        }
        let taken = match (context.is_active(member), compression) {
            (true, _) => Some(Ok(member)),
            (false, Compression::None) => Some(Err(Breakage::Inactive)),
            (false, Compression::RollUp) => None,
        };
        let level = taken.and_then(|_| u16::try_from(levels.len().saturating_add(1)).ok());
        walk.extend(context.step(member, level));
        levels.extend(taken);
    }
    levels.resize(depth, Err(Breakage::EndOfUpline));
    (walk, levels)
}
