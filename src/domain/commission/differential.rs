//! Differential (stair-step) commission: the own rate less what was paid below.
//!
//! Only somebody of a higher rank than all below, or of an equal one where the plan has an override,
//! can earn, whatever the class: so one walk finds who stands where for all lines.

use super::{
    Breakage, CommissionLine, Context, Passed, Payer, Share,
    walk::{Person, Slot, Walk},
};
use crate::domain::{
    money::Rate,
    plan::{
        Differential, EqualRank, FirstLevel, Infinity, RankRates, Stairs, WalkLimit, WhenInactive,
        rank::RankLevel,
    },
};

/// What the walk and the lines follow.
pub(super) struct Scheme<'p> {
    payer: Payer<'p>,
    rates: &'p RankRates,
    equal_rank: &'p EqualRank,
    inactive: WhenInactive,
    starts_at: FirstLevel,
    walk_limit: WalkLimit,
}

/// Somebody with a share.
#[derive(Clone, Copy)]
struct Holder {
    slot: Slot,
    /// Whether it is the override of an equal rank.
    equal: bool,
}

pub(super) fn compute(differential: &Differential, context: &Context<'_>) -> Share {
    let scheme = Scheme {
        payer: Payer { id: &differential.id, base: differential.base },
        rates: &differential.rates,
        equal_rank: &differential.equal_rank,
        inactive: differential.inactive,
        starts_at: differential.starts_at,
        walk_limit: differential.walk_limit,
    };
    share(&scheme, context)
}

/// The differential model of an infinity bonus.
pub(super) fn of_infinity(infinity: &Infinity, stairs: &Stairs, context: &Context<'_>) -> Share {
    let scheme = Scheme {
        payer: Payer { id: &infinity.id, base: infinity.base },
        rates: &stairs.rates,
        equal_rank: &stairs.equal_rank,
        inactive: infinity.inactive,
        starts_at: infinity.starts_at,
        walk_limit: infinity.walk_limit,
    };
    share(&scheme, context)
}

fn share(scheme: &Scheme<'_>, context: &Context<'_>) -> Share {
    let Some(upline) = context.upline(scheme.starts_at) else { return Share::default() };
    let pays = |line: &super::MappedLine| {
        line.class.as_ref().is_some_and(|class| scheme.rates.get(class).is_some())
    };
    if !context.earning().any(pays) {
        return Share::default();
    }
    let mut walk = Walk::new(context, upline, Some(scheme.walk_limit), true);
    let mut holders: Vec<Holder> = Vec::new();
    let mut highest: Option<RankLevel> = None;
    let mut overrides: u16 = 0;
    while highest.is_none_or(|rank| rank < scheme.rates.top()) {
        let Some(person) = walk.next() else { break };
        match place(scheme, person, highest, overrides) {
            Ok(equal) => {
                overrides = if equal { overrides.saturating_add(1) } else { 0 };
                highest = Some(person.rank);
                let to = if person.active() { Ok(person.member) } else { Err(Breakage::Inactive) };
                holders.push(Holder { slot: Slot { to, rank: person.rank }, equal });
                walk.note(person, u16::try_from(holders.len()).ok(), None);
            }
            Err(why) => walk.note(person, None, why),
        }
    }
    let end = walk.end;
    Share { walk: walk.steps, lines: lines(scheme, context, &holders, end) }
}

/// Whether somebody has a share, and if so, whether it is the override of an equal rank.
fn place(
    scheme: &Scheme<'_>,
    person: Person,
    highest: Option<RankLevel>,
    overrides: u16,
) -> Result<bool, Option<Passed>> {
    if !person.active() && scheme.inactive == WhenInactive::PassedOver {
        return Err(None);
    }
    let why = |why: Passed| Err(person.active().then_some(why));
    if !scheme.rates.rated(person.rank) {
        return why(Passed::BelowThreshold);
    }
    match (highest, scheme.equal_rank) {
        (Some(highest), _) if person.rank < highest => why(Passed::HigherRankBelow),
        (Some(highest), EqualRank::MinimumOverride(minimum)) if person.rank == highest => {
            if overrides < minimum.times {
                Ok(true)
            } else {
                why(Passed::SameRank)
            }
        }
        (Some(highest), EqualRank::Nothing) if person.rank == highest => why(Passed::SameRank),
        (Some(_) | None, _) => Ok(false),
    }
}

/// The shares of each line: what is paid up to somebody less what is paid below, both rounded, so the
/// shares and the rest are the highest rate of the base to the minor unit.
fn lines(
    scheme: &Scheme<'_>,
    context: &Context<'_>,
    holders: &[Holder],
    end: Breakage,
) -> Vec<CommissionLine> {
    let minimum = match scheme.equal_rank {
        EqualRank::Nothing => Rate::ZERO,
        EqualRank::MinimumOverride(minimum) => minimum.rate,
    };
    let mut lines = Vec::new();
    for line in context.earning() {
        let Some(table) = line.class.as_ref().and_then(|class| scheme.rates.get(class)) else {
            continue;
        };
        let top = table.steps().last().copied().unwrap_or(Rate::ZERO);
        let mut paid = Rate::ZERO;
        let share = |rate| context.share(scheme.payer.base, line, rate);
        let mut add = |upto: Rate, level: u16, own: Option<Rate>, slot: Slot| {
            lines.push(CommissionLine {
                amount: share(upto) - share(paid),
                own,
                ..context.line(scheme.payer, line, level, upto.above(paid), slot)
            });
            paid = upto;
            paid
        };
        let mut below = Rate::ZERO;
        let mut next = 1u16;
        for holder in holders {
            let own = table.get(holder.slot.rank).copied().unwrap_or(Rate::ZERO);
            let upto = if holder.equal { below.plus(minimum).min(top) } else { own.max(below) };
            below = add(upto, next, Some(own), holder.slot);
            next = next.saturating_add(1);
        }
        if below < top {
            add(top, next, None, Slot::empty(end));
        }
    }
    lines
}
