//! A binary as its definition reads: every order in the queues of all its ancestors, volume counted by
//! the ten-thousandth of a point, positions found by recursion. Slow, and without a thought of the
//! real one.

use rust_decimal::{Decimal, RoundingStrategy};

use super::{Standing, trace::Fate};
use crate::domain::{
    money::{Currency, Money, Rounding},
    placement::Side,
    plan::pairs::{
        Base, Binary, Cap, Carry, Consumes, Limit, Matching, Pays, Ratio, TierSpan, Unqualified,
    },
    volume::Volume,
};

/// An order that brought volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) position: usize,
    pub(super) period: usize,
    pub(super) parts: i64,
}

/// A company over some periods.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) plan: Binary,
    pub(super) rounding: Rounding,
    pub(super) currency: Currency,
    /// Above whom and in which leg each position is; `None` for the first.
    pub(super) parents: Vec<Option<(usize, Side)>>,
    pub(super) owners: Vec<u32>,
    /// By period and position.
    pub(super) standing: Vec<Vec<Standing>>,
    /// By time.
    pub(super) orders: Vec<Order>,
}

/// What a position has of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Earned {
    pub(super) pool: Money,
    pub(super) paid: Money,
    pub(super) breakage: Money,
    pub(super) capped: Money,
}

/// A part of an order in a queue.
type InQueue = (usize, i64);

/// All that became of the volume of a position's legs.
#[derive(Debug, Clone, Default)]
pub(super) struct Legacy {
    /// What still waits, oldest first.
    pub(super) queues: [Vec<InQueue>; 2],
    /// What left, in the order in which it did.
    pub(super) left: [Vec<(usize, i64, Fate)>; 2],
}

/// Everything, by period and position, and what waits at the end.
pub(super) fn close_all(world: &World) -> (Vec<Vec<Earned>>, Vec<Legacy>) {
    let mut earned = vec![vec![Earned::default(); world.parents.len()]; world.standing.len()];
    let mut legacies = Vec::new();
    for position in 0..world.parents.len() {
        let mut legacy = Legacy::default();
        for (period, earned) in earned.iter_mut().enumerate() {
            earned[position] = close_one(world, position, period, &mut legacy);
        }
        legacies.push(legacy);
    }
    if let Limit::At(cap) = world.plan.owner_cap {
        for earned in &mut earned {
            for owner in 0..=world.owners.iter().copied().max().unwrap_or_default() {
                cap_owner(world, earned, owner, cap);
            }
        }
    }
    (earned, legacies)
}

/// The leg of `position` in which `below` sits.
pub(super) fn leg_of(world: &World, position: usize, below: usize) -> Option<Side> {
    let (parent, side) = world.parents[below]?;
    if parent == position { Some(side) } else { leg_of(world, position, parent) }
}

fn sum(queue: &[InQueue]) -> i64 {
    queue.iter().map(|(_, parts)| parts).sum()
}

/// Takes from the front of a queue, part of an order if need be.
fn take(legacy: &mut Legacy, side: usize, mut parts: i64, fate: Fate) {
    while parts > 0 {
        let (order, waiting) = legacy.queues[side][0];
        let taken = parts.min(waiting);
        legacy.left[side].push((order, taken, fate));
        parts -= taken;
        if taken == waiting {
            legacy.queues[side].remove(0);
        } else {
            legacy.queues[side][0].1 -= taken;
        }
    }
}

fn close_one(world: &World, position: usize, period: usize, legacy: &mut Legacy) -> Earned {
    let plan = &world.plan;
    let number = u32::try_from(period).unwrap();
    for (index, order) in world.orders.iter().enumerate() {
        if order.period == period && order.parts > 0 {
            match leg_of(world, position, order.position) {
                Some(Side::Left) => legacy.queues[0].push((index, order.parts)),
                Some(Side::Right) => legacy.queues[1].push((index, order.parts)),
                None => {}
            }
        }
    }
    let standing = world.standing[period][position];
    let may_earn = standing.refusal(plan.qualification).is_none();
    let mut earned = Earned::default();
    let mut empty = matches!(plan.carry, Carry::Flush {});
    if may_earn || plan.unqualified == Unqualified::Breakage {
        let legs = [sum(&legacy.queues[0]), sum(&legacy.queues[1])];
        let weaker = usize::from(legs[1] < legs[0]);
        let (from_weaker, from_stronger, exact) = pair(plan, legs[weaker], legs[1 - weaker]);
        take(legacy, weaker, from_weaker, Fate::Paired(number));
        take(legacy, 1 - weaker, from_stronger, Fate::Paired(number));
        earned.pool = rounded(exact, world.rounding, world.currency);
        let kept = match plan.cap {
            Cap::None {} | Cap::VolumeCap { .. } => earned.pool,
            Cap::PayCap { limit } | Cap::FlushOnCap { limit } => earned.pool.min(limit),
        };
        earned.capped = earned.pool - kept;
        empty |= may_earn && matches!(plan.cap, Cap::FlushOnCap { .. }) && kept < earned.pool;
        if may_earn {
            earned.paid = kept;
        } else {
            earned.breakage = kept;
        }
    } else {
        empty |= plan.unqualified == Unqualified::Flush;
    }
    for side in 0..2 {
        let mut most = i64::MAX;
        if let Carry::Forward { cap, expires_after } = plan.carry
            && !empty
        {
            if let Limit::At(periods) = expires_after {
                let old =
                    |order: usize| world.orders[order].period + usize::from(periods.0) <= period;
                let too_old = legacy.queues[side].iter().filter(|(order, _)| old(*order));
                let expired = too_old.map(|(_, parts)| parts).sum();
                take(legacy, side, expired, Fate::Expired(number));
            }
            if let Limit::At(cap) = cap {
                most = cap.parts();
            }
        } else {
            most = 0;
        }
        let above = (sum(&legacy.queues[side]) - most).max(0);
        take(legacy, side, above, Fate::Flushed(number));
    }
    earned
}

/// What is taken of the weaker and the stronger leg, and what it earns.
fn pair(plan: &Binary, weak: i64, strong: i64) -> (i64, i64, Decimal) {
    match &plan.pays {
        Pays::Cycles { weaker, stronger, amount } => {
            let mut cycles = 0;
            while (cycles + 1) * weaker.parts() <= weak && (cycles + 1) * stronger.parts() <= strong
            {
                cycles += 1;
            }
            let pay = |cycles: i64| amount.as_decimal() * Decimal::from(cycles);
            if let Cap::VolumeCap { limit } = plan.cap {
                while pay(cycles) > limit.as_decimal() {
                    cycles -= 1;
                }
            }
            (cycles * weaker.parts(), cycles * stronger.parts(), pay(cycles))
        }
        Pays::Percentage { matching, .. } | Pays::Tiers { matching, .. } => {
            let needs = |weaker: i64| match matching.ratio {
                Ratio::OneToOne => weaker,
                Ratio::OneToTwo => 2 * weaker,
                Ratio::OneThirdTwoThirds => (2 * weaker).min(strong),
            };
            let mut matched = weak;
            while needs(matched) > strong {
                matched -= 1;
            }
            if matching.consumes == Consumes::Payable {
                matched = floor(matched, matching);
            }
            let lot = matching.lot.at().map_or(1, Volume::parts);
            while matched % lot != 0 {
                matched -= 1;
            }
            let pay = |matched: i64| {
                let base = match matching.base {
                    Base::Weaker => matched,
                    Base::Both => matched + needs(matched),
                };
                let payable = match matching.consumes {
                    Consumes::Matched => floor(base, matching),
                    Consumes::Payable => base,
                };
                at_rates(plan, payable) * matching.conversion.as_decimal()
            };
            if let Cap::VolumeCap { limit } = plan.cap {
                while pay(matched) > limit.as_decimal() {
                    matched -= lot;
                }
            }
            (matched, needs(matched), pay(matched))
        }
    }
}

fn floor(parts: i64, matching: &Matching) -> i64 {
    let share = Decimal::from(parts) * matching.share.as_decimal();
    i64::try_from(share.floor()).unwrap()
}

fn points(parts: i64) -> Decimal {
    Decimal::from(parts) / Decimal::from(10_000)
}

fn at_rates(plan: &Binary, payable: i64) -> Decimal {
    match &plan.pays {
        Pays::Percentage { rate, .. } => points(payable) * rate.as_decimal(),
        Pays::Tiers { span: TierSpan::Whole, tiers, .. } => {
            let mut reached = tiers.iter().filter(|tier| tier.from.parts() <= payable);
            points(payable)
                * reached.next_back().map_or(Decimal::ZERO, |tier| tier.rate.as_decimal())
        }
        Pays::Tiers { span: TierSpan::Slices, tiers, .. } => {
            // Each ten-thousandth of a point has the rate of the tier that it is in.
            let rate = |part: i64| {
                let mut reached = tiers.iter().filter(|tier| tier.from.parts() <= part);
                reached.next_back().map_or(Decimal::ZERO, |tier| tier.rate.as_decimal())
            };
            (0..payable).map(|part| points(1) * rate(part)).sum()
        }
        Pays::Cycles { .. } => unreachable!("cycles have no rate"),
    }
}

fn rounded(exact: Decimal, rounding: Rounding, currency: Currency) -> Money {
    let strategy = match rounding {
        Rounding::HalfEven => RoundingStrategy::MidpointNearestEven,
        Rounding::HalfUp => RoundingStrategy::MidpointAwayFromZero,
        Rounding::HalfDown => RoundingStrategy::MidpointTowardZero,
        Rounding::Down => RoundingStrategy::ToZero,
        Rounding::Up => RoundingStrategy::AwayFromZero,
    };
    Money::from_decimal(exact.round_dp_with_strategy(currency.minor_digits(), strategy)).unwrap()
}

/// Shares the cap of an owner: each position its whole minor units, and one more for those with the largest
/// rests.
fn cap_owner(world: &World, earned: &mut [Earned], owner: u32, cap: Money) {
    let own: Vec<usize> =
        (0..earned.len()).filter(|position| world.owners[*position] == owner).collect();
    let unit = world.currency.minor_unit().as_decimal();
    let cents = |money: Money| i128::try_from(money.as_decimal() / unit).unwrap();
    let (total, cap) = (own.iter().map(|p| cents(earned[*p].paid)).sum::<i128>(), cents(cap));
    if total <= cap {
        return;
    }
    let mut shares: Vec<(i128, usize, i128)> = own
        .iter()
        .map(|p| (cents(earned[*p].paid) * cap % total, *p, cents(earned[*p].paid) * cap / total))
        .collect();
    let missing = cap - shares.iter().map(|(_, _, share)| share).sum::<i128>();
    shares.sort_by_key(|(rest, position, _)| (-rest, *position));
    for (index, (_, position, share)) in shares.into_iter().enumerate() {
        let share = share + i128::from(i128::try_from(index).unwrap() < missing);
        let share = Money::from_decimal(Decimal::from(share) * unit).unwrap();
        let earned = &mut earned[position];
        earned.capped += earned.paid - share;
        earned.paid = share;
    }
}
