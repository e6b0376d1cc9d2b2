//! Generation bonus: leaders earn by how many leaders stand between them and the order.

use super::{
    Breakage, Context, Passed, Payer, Share,
    walk::{Person, Slot, Verdict, Walk, depth, lines},
};
use crate::domain::plan::{
    Boundary, EmptyGeneration, Generation, IneligibleLeader, rank::RankLevel,
};

pub(super) fn compute(generation: &Generation, context: &Context<'_>) -> Share {
    let Some(upline) = context.upline(generation.starts_at) else { return Share::default() };
    let depth = depth(context, &generation.id, &generation.rates);
    if depth == 0 {
        return Share::default();
    }
    let walk = Walk::new(context, upline, Some(generation.walk_limit), true);
    let payer = Payer { id: &generation.id, base: generation.base };
    match generation.boundary {
        Boundary::FixedRank(_) => {
            let (walk, slots) =
                walk.climb(depth, |person, number| judge(generation, person, number));
            Share { walk, lines: lines(context, payer, &generation.rates, &slots) }
        }
        Boundary::OwnRank(_) => own_rank(generation, payer, context, walk, depth),
    }
}

/// What becomes of somebody who would have this number.
fn judge(generation: &Generation, person: Person, number: usize) -> Verdict {
    let unlocked = || {
        let most = generation.unlocked.as_ref().and_then(|table| table.get(person.rank));
        most.is_none_or(|most| number <= usize::from(*most))
    };
    let locked = Some(Passed::NotUnlocked);
    match person.active() {
        active if person.rank < generation.boundary.threshold() => {
            Verdict::Passed(active.then_some(Passed::BelowThreshold))
        }
        true if unlocked() => Verdict::Takes,
        true => match generation.empty_generation {
            EmptyGeneration::UsesNumber => Verdict::Keeps(Breakage::NotUnlocked, locked),
            EmptyGeneration::UsesNoNumber => Verdict::Passed(locked),
        },
        false => match generation.ineligible_leader {
            IneligibleLeader::Boundary => Verdict::Keeps(Breakage::Inactive, None),
            IneligibleLeader::NoBoundary => Verdict::Passed(None),
        },
    }
}

/// Each rank counts the leaders of its own or a higher rank below.
fn own_rank(
    generation: &Generation,
    payer: Payer<'_>,
    context: &Context<'_>,
    mut walk: Walk<'_, '_, impl Iterator<Item = crate::domain::genealogy::Member>>,
    depth: usize,
) -> Share {
    let mut used: Vec<usize> = vec![0; context.plan.ranks.len().saturating_add(1)];
    let mut leaders: Vec<(Slot, usize)> = Vec::new();
    // Who is of the highest rank counts for every rank: when its numbers are used up, all are.
    while used.last().is_some_and(|used| *used < depth) {
        let Some(person) = walk.next() else { break };
        let below = used.get(usize::from(person.rank.0)).copied().unwrap_or_default();
        let number = below.saturating_add(1);
        let verdict = match judge(generation, person, number) {
            Verdict::Takes | Verdict::Keeps(..) if number > depth => {
                Verdict::Passed(person.active().then_some(Passed::BeyondGenerations))
            }
            verdict @ (Verdict::Takes | Verdict::Keeps(..) | Verdict::Passed(_)) => verdict,
        };
        let (to, why) = match verdict {
            Verdict::Takes => (Ok(person.member), None),
            Verdict::Keeps(breakage, why) => (Err(breakage), why),
            Verdict::Passed(why) => {
                walk.note(person, None, why);
                continue;
            }
        };
        count(&mut used, person.rank);
        walk.note(person, u16::try_from(number).ok(), why);
        leaders.push((Slot { to, rank: person.rank }, number));
    }
    let mut lines = Vec::new();
    for line in context.earning() {
        let rates = line.class.as_ref().and_then(|class| generation.rates.get(class));
        for (slot, number) in rates.iter().flat_map(|_| &leaders) {
            let rate = rates.and_then(|rates| rates.get(number.checked_sub(1)?));
            let (Some(rate), Ok(level)) = (rate, u16::try_from(*number)) else { continue };
            lines.push(context.line(payer, line, level, *rate, *slot));
        }
    }
    Share { walk: walk.steps, lines }
}

/// A number is used up for every rank up to this one.
fn count(used: &mut [usize], rank: RankLevel) {
    for used in used.iter_mut().take(usize::from(rank.0).saturating_add(1)) {
        *used = used.saturating_add(1);
    }
}
