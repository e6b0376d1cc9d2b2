//! Fast start: those above a new distributor earn on what the new one orders in the first days.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    Breakage, Context, Idle, MappedLine, Payer, Share,
    walk::{Person, Verdict, Walk, depth, lines},
};
use crate::domain::{
    genealogy::Member,
    id::ComponentId,
    plan::{Component, ExcludedLines, Excludes, FastStart, FastStartOrders, Levels, WhenInactive},
};

/// What a fast start takes from other components, on an order of the first days.
pub(super) struct Excluded<'p> {
    rates: &'p Levels,
    excludes: &'p Excludes,
}

impl Excluded<'_> {
    /// Whether a component does not pay for a line.
    pub(super) fn covers(&self, id: &ComponentId, line: &MappedLine) -> bool {
        let taken = match self.excludes.lines {
            ExcludedLines::All => true,
            ExcludedLines::PaidHere => pays(self.rates, line),
        };
        taken && self.excludes.components.contains(id)
    }
}

fn pays(rates: &Levels, line: &MappedLine) -> bool {
    line.class.as_ref().is_some_and(|class| rates.contains_key(class))
}

/// Who may have the first days.
fn newcomer(part: &FastStart, context: &Context<'_>) -> Option<Member> {
    match part.orders {
        FastStartOrders::Own => context.own_buyer,
        FastStartOrders::OwnAndReferred => context.own_buyer.or(context.referrer),
    }
}

/// So long before an enrolment its order may be placed: shops often know of the order first.
const BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// When the first days of somebody start and end.
fn days(
    part: &FastStart,
    context: &Context<'_>,
    newcomer: Member,
) -> Option<(Timestamp, Timestamp)> {
    let length = SignedDuration::from_hours(i64::from(part.days).saturating_mul(24));
    let enrolled = context.as_of.enrolled_at(newcomer)?;
    Some((enrolled.checked_sub(BEFORE).ok()?, enrolled.checked_add(length).ok()?))
}

/// Finds what fast starts take from other components, before any is computed, and which components
/// do not look for earners for that reason or because the first days are over.
pub(super) fn idle(context: &mut Context<'_>) -> BTreeMap<ComponentId, Idle> {
    let mut idle = BTreeMap::new();
    let plan = context.plan;
    for component in &plan.components {
        let Component::FastStart(part) = component else { continue };
        let Some(newcomer) = newcomer(part, context) else { continue };
        let Some((start, end)) = days(part, context, newcomer) else { continue };
        let at = context.order.placed_at;
        let outside = (at < start).then_some(Idle::BeforeEnrolment(start));
        let outside = outside.or_else(|| (at >= end).then_some(Idle::OutsideWindow(end)));
        if let Some(outside) = outside {
            if context.earning().any(|line| pays(&part.rates, line)) {
                idle.insert(part.id.clone(), outside);
            }
            continue;
        }
        let Some(excludes) = &part.excludes else { continue };
        let taken = Excluded { rates: &part.rates, excludes };
        for other in plan.components.iter().filter(|c| excludes.components.contains(c.id())) {
            let lost = |line: &MappedLine| {
                line.class.as_ref().is_some_and(|class| other.pays_for(class))
                    && taken.covers(other.id(), line)
            };
            if context.earning().any(lost) {
                idle.insert(other.id().clone(), Idle::ExcludedBy(part.id.clone()));
            }
        }
        context.excluded.push(taken);
    }
    idle
}

/// Nobody new behind the order: no pool, so no lines. (The first days have been looked at before.)
pub(super) fn compute(part: &FastStart, context: &Context<'_>) -> Share {
    let Some(newcomer) = newcomer(part, context) else { return Share::default() };
    let depth = depth(context, &part.id, &part.rates);
    if depth == 0 {
        return Share::default();
    }
    let judge = |person: Person, _level: usize| match part.inactive {
        _ if person.active() => Verdict::Takes,
        WhenInactive::PassedOver => Verdict::Passed(None),
        WhenInactive::KeepsPlace => Verdict::Keeps(Breakage::Inactive, None),
    };
    let upline = context.as_of.upline(newcomer);
    let walk = Walk::new(context, upline, Some(part.walk_limit), false);
    let (walk, slots) = walk.climb(depth, judge);
    let payer = Payer { id: &part.id, base: part.base };
    Share { walk, lines: lines(context, payer, &part.rates, &slots) }
}
