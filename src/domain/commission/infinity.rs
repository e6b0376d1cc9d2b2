//! Infinity bonus: the three things that are called so.

use super::{
    Breakage, CommissionLine, Context, Passed, Payer, Share, differential,
    walk::{Person, Slot, Verdict, Walk, depth, lines},
};
use crate::domain::plan::{
    BlockedBy, Generational, Infinity, InfinityModel, PureOverride, WhenInactive, rank::RankLevel,
};

pub(super) fn compute(infinity: &Infinity, context: &Context<'_>) -> Share {
    match &infinity.model {
        InfinityModel::PureOverride(model) => pure_override(infinity, model, context),
        InfinityModel::Generational(model) => generational(infinity, model, context),
        InfinityModel::Differential(model) => differential::of_infinity(infinity, model, context),
    }
}

/// The first, second, .. leader, whoever is no leader passed over.
fn generational(infinity: &Infinity, model: &Generational, context: &Context<'_>) -> Share {
    let Some(upline) = context.upline(infinity.starts_at) else { return Share::default() };
    let depth = depth(context, &infinity.id, &model.rates);
    if depth == 0 {
        return Share::default();
    }
    let judge = |person: Person, _level: usize| match infinity.inactive {
        _ if person.rank < model.threshold.level() => {
            Verdict::Passed(person.active().then_some(Passed::BelowThreshold))
        }
        _ if person.active() => Verdict::Takes,
        WhenInactive::PassedOver => Verdict::Passed(None),
        WhenInactive::KeepsPlace => Verdict::Keeps(Breakage::Inactive, None),
    };
    let walk = Walk::new(context, upline, Some(infinity.walk_limit), true);
    let (walk, slots) = walk.climb(depth, judge);
    let payer = Payer { id: &infinity.id, base: infinity.base };
    Share { walk, lines: lines(context, payer, &model.rates, &slots) }
}

/// One leader of each rank, unless a leader below blocks it.
fn pure_override(infinity: &Infinity, model: &PureOverride, context: &Context<'_>) -> Share {
    let Some(upline) = context.upline(infinity.starts_at) else { return Share::default() };
    let pays = |line: &super::MappedLine| {
        line.class.as_ref().is_some_and(|class| model.rates.get(class).is_some())
    };
    if !context.earning().any(pays) {
        return Share::default();
    }
    let mut walk = Walk::new(context, upline, Some(infinity.walk_limit), true);
    let ranks = context.plan.ranks.len().saturating_add(1);
    let mut slots: Vec<Option<Slot>> = vec![None; ranks];
    let mut taken: usize = 0;
    let mut highest: Option<RankLevel> = None;
    loop {
        let over = match model.blocked_by {
            BlockedBy::SameRank => taken == model.rates.rated_count(),
            BlockedBy::SameOrHigherRank => highest == Some(model.rates.highest_rated()),
        };
        if over {
            break;
        }
        let Some(person) = walk.next() else { break };
        let slot = slots.get_mut(usize::from(person.rank.0));
        let why = match slot {
            _ if !person.active() && infinity.inactive == WhenInactive::PassedOver => None,
            Some(slot) if model.rates.rated(person.rank) => {
                let blocks = |below: RankLevel| {
                    below > person.rank && model.blocked_by == BlockedBy::SameOrHigherRank
                };
                if slot.is_some() {
                    Some(Passed::SameRank)
                } else if highest.is_some_and(blocks) {
                    Some(Passed::HigherRankBelow)
                } else {
                    let to = person.active().then_some(person.member).ok_or(Breakage::Inactive);
                    *slot = Some(Slot { to, rank: person.rank });
                    taken = taken.saturating_add(1);
                    highest = highest.max(Some(person.rank));
                    walk.note(person, Some(person.rank.0.into()), None);
                    continue;
                }
            }
            Some(_) | None => Some(Passed::BelowThreshold),
        };
        walk.note(person, None, why.filter(|_| person.active()));
    }
    let lines = overrides(infinity, model, context, &slots, (highest, walk.end));
    Share { walk: walk.steps, lines }
}

/// The lines of every rank with a rate: its leader's, or breakage.
fn overrides(
    infinity: &Infinity,
    model: &PureOverride,
    context: &Context<'_>,
    slots: &[Option<Slot>],
    (highest, end): (Option<RankLevel>, Breakage),
) -> Vec<CommissionLine> {
    let payer = Payer { id: &infinity.id, base: infinity.base };
    let mut lines = Vec::new();
    for line in context.earning() {
        let Some(table) = line.class.as_ref().and_then(|class| model.rates.get(class)) else {
            continue;
        };
        for ((rate, slot), step) in table.steps().iter().zip(slots).zip(0..=u8::MAX) {
            if rate.as_decimal().is_zero() {
                continue;
            }
            let blocked = model.blocked_by == BlockedBy::SameOrHigherRank
                && highest.is_some_and(|highest| highest.0 > step);
            let nobody = Slot::empty(if blocked { Breakage::Blocked } else { end });
            let slot = slot.unwrap_or(nobody);
            lines.push(context.line(payer, line, step.into(), *rate, slot));
        }
    }
    lines
}
