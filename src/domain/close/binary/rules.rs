//! One position at one close: what is paired, what it earns, what is carried.

use rust_decimal::Decimal;

use super::{Leg, Legs, Settled, Standing, Unpaid};
use crate::domain::{
    money::{Currency, Money, Rate, Rounding},
    plan::pairs::{
        Base, Binary, Cap, Carry, Consumes, Limit, Matching, Pays, Ratio, TierSpan, Unqualified,
    },
    volume::Volume,
};

/// A binary of a plan, with all that is the same for every position worked out.
#[derive(Debug, Clone)]
pub struct Rules {
    pairing: Pairing,
    earning: Earning,
    /// What an exact earning is divided by to be minor units.
    divisor: i128,
    /// The limit of the position's cap as an exact earning; of what is finer than a minor unit nothing
    /// can be paid.
    limit: Option<i128>,
    /// The cap of the owner, in whole minor units.
    pub(super) owner_cap: Option<Money>,
    pub(in super::super) plan: Binary,
    rounding: Rounding,
    pub(super) currency: Currency,
}

/// How units are made of the two legs. Figures in ten-thousandths of a point.
#[derive(Debug, Clone, Copy)]
struct Pairing {
    /// What a unit takes of the weaker leg.
    weaker: i64,
    /// What it takes of the stronger leg.
    stronger: i64,
    /// Whether it takes as much of the stronger leg as there is, up to that.
    up_to: bool,
    /// The part that is paired of what could be; `None` for all.
    share: Option<Rate>,
}

/// What units earn: whole numbers of [`PLACES`] decimal places, so that sums and comparisons are exact.
#[derive(Debug, Clone)]
enum Earning {
    Rates {
        base: Base,
        /// The part that is payable of what is paired; `None` for all.
        share: Option<Rate>,
        span: TierSpan,
        /// The payable volume from which on a rate holds, and what a ten-thousandth of a point then
        /// earns.
        tiers: Vec<(Volume, i128)>,
    },
    Fixed(i128),
}

/// Decimal places of an exact earning: four of a volume, six of a conversion, eight of a rate.
const PLACES: u32 = 18;

/// A decimal number with so many places as a whole number.
fn whole(value: Decimal, places: u32) -> i128 {
    let value = value.normalize();
    let missing = places.saturating_sub(value.scale());
    value.mantissa().saturating_mul(10_i128.saturating_pow(missing))
}

fn share_of(parts: i64, share: Option<Rate>) -> i64 {
    share.map_or(parts, |share| Volume::from_parts(parts).portion(share).parts())
}

/// Pairs of a position, before it is known who may earn.
#[derive(Debug, Clone, Copy, Default)]
struct Pairs {
    paired: Legs,
    /// What they earn, in minor units.
    pool: i128,
    /// What the cap lets through, in minor units.
    within: i128,
    /// Whether there were any, before a cap on volume.
    any: bool,
}

impl Rules {
    /// Works out the rules of a binary, which has passed [`Binary::check`]. Amounts are in `currency`.
    pub fn new(plan: Binary, rounding: Rounding, currency: Currency) -> Self {
        let (pairing, earning) = match &plan.pays {
            Pays::Percentage { matching, rate } => {
                compile(matching, TierSpan::Whole, &[(Volume::ZERO, *rate)])
            }
            Pays::Tiers { matching, span, tiers } => {
                let tiers: Vec<_> = tiers.iter().map(|tier| (tier.from, tier.rate)).collect();
                compile(matching, *span, &tiers)
            }
            Pays::Cycles { weaker, stronger, amount } => {
                let (weaker, stronger) = (weaker.parts(), stronger.parts());
                let pairing = Pairing { weaker, stronger, up_to: false, share: None };
                (pairing, Earning::Fixed(whole(amount.as_decimal(), PLACES)))
            }
        };
        let divisor = 10_i128.saturating_pow(PLACES.saturating_sub(currency.minor_digits()));
        let units = |money: Money| {
            whole(money.as_decimal(), PLACES).checked_div(divisor).unwrap_or_default()
        };
        let limit = plan.cap.limit().map(|limit| units(limit).saturating_mul(divisor));
        let owner_cap = plan.owner_cap.at().map(|cap| Money::of_units(units(cap), currency));
        Self { pairing, earning, divisor, limit, owner_cap, plan, rounding, currency }
    }

    /// How many closes after that of its own period volume lives; `None` for ever.
    pub fn expires_after(&self) -> Option<u16> {
        match self.plan.carry {
            Carry::Forward { expires_after: Limit::At(periods), .. } => Some(periods.0),
            Carry::Forward { expires_after: Limit::None, .. } | Carry::Flush {} => None,
        }
    }

    /// The close of a position.
    ///
    /// `opening` was carried, `arrived` is the volume of the period. `recent` is what arrived in the
    /// periods before whose volume still lives after this close; it is asked for only where volume
    /// expires.
    pub fn settle(
        &self,
        opening: Legs,
        arrived: Legs,
        recent: Legs,
        standing: Standing,
    ) -> Settled {
        let available = opening.plus(arrived);
        let refused = standing.refusal(self.plan.qualification);
        let pairs = match (refused, self.plan.unqualified) {
            (Some(_), Unqualified::Hold | Unqualified::Flush) => Pairs::default(),
            (Some(_), Unqualified::Breakage) | (None, _) => self.pair(available),
        };
        let cut = refused.is_none()
            && matches!(self.plan.cap, Cap::FlushOnCap { .. })
            && pairs.within < pairs.pool;
        let emptied = cut || (refused.is_some() && self.plan.unqualified == Unqualified::Flush);
        let living = recent.plus(arrived);
        let leg = |available, paired, living| self.leg(available - paired, paired, living, emptied);
        let pool = self.money(pairs.pool);
        let money = |units| if units == pairs.pool { pool } else { self.money(units) };
        let paid = if refused.is_some() { 0 } else { pairs.within };
        let unpaid = || refused.unwrap_or_else(|| why_nothing(available, &pairs));
        Settled {
            left: leg(available.left, pairs.paired.left, living.left),
            right: leg(available.right, pairs.paired.right, living.right),
            pool,
            paid: money(paid),
            breakage: money(pairs.within.saturating_sub(paid)),
            capped: money(pairs.pool.saturating_sub(pairs.within)),
            unpaid: (paid <= 0).then(unpaid),
        }
    }

    fn money(&self, units: i128) -> Money {
        if units == 0 { Money::ZERO } else { Money::of_units(units, self.currency) }
    }

    /// Whether a leg without partner is simply carried: the case of most positions.
    pub(super) fn only_carries(&self) -> bool {
        let plain = Carry::Forward { cap: Limit::None, expires_after: Limit::None };
        self.plan.carry == plain && self.plan.unqualified != Unqualified::Flush
    }

    fn leg(&self, rest: Volume, paired: Volume, living: Volume, emptied: bool) -> Leg {
        let nothing = Volume::ZERO;
        match self.plan.carry {
            Carry::Forward { cap, expires_after } if !emptied => {
                let too_old = (rest - living).at_least_zero();
                let expired = if expires_after == Limit::None { nothing } else { too_old };
                let left = rest - expired;
                let carried = cap.at().map_or(left, |cap| left.min(cap));
                Leg { paired, expired, flushed: left - carried, carried }
            }
            Carry::Forward { .. } | Carry::Flush {} => {
                Leg { paired, expired: nothing, flushed: rest, carried: nothing }
            }
        }
    }

    fn pair(&self, available: Legs) -> Pairs {
        let left_weaker = available.left <= available.right;
        let (weak, strong) = if left_weaker {
            (available.left.parts(), available.right.parts())
        } else {
            (available.right.parts(), available.left.parts())
        };
        let mut units = self.pairing.units(weak, strong);
        if units <= 0 {
            return Pairs::default();
        }
        let mut exact = self.exact(units, strong);
        if let (Cap::VolumeCap { .. }, Some(limit)) = (self.plan.cap, self.limit)
            && exact > limit
        {
            units = most(units, |units| self.exact(units, strong) <= limit);
            exact = self.exact(units, strong);
        }
        let pool = self.rounding.divide(exact, self.divisor);
        let limit = self.limit.and_then(|limit| limit.checked_div(self.divisor));
        let within = limit.map_or(pool, |limit| pool.min(limit));
        let (weaker, stronger) = self.pairing.takes(units, strong);
        let (weaker, stronger) = (Volume::from_parts(weaker), Volume::from_parts(stronger));
        let (left, right) = if left_weaker { (weaker, stronger) } else { (stronger, weaker) };
        Pairs { paired: Legs { left, right }, pool, within, any: true }
    }

    /// What so many units earn, unrounded. Never less for more units.
    fn exact(&self, units: i64, strong: i64) -> i128 {
        match &self.earning {
            Earning::Fixed(amount) => amount.saturating_mul(units.into()),
            Earning::Rates { base, share, span, tiers } => {
                let (weaker, stronger) = self.pairing.takes(units, strong);
                let paired = match base {
                    Base::Weaker => weaker,
                    Base::Both => weaker.saturating_add(stronger),
                };
                let payable = Volume::from_parts(share_of(paired, *share));
                match span {
                    TierSpan::Whole => {
                        let tier = tiers.iter().rev().find(|(from, _)| *from <= payable);
                        tier.map_or(0, |(_, rate)| earns(payable, *rate))
                    }
                    TierSpan::Slices => slices(payable, tiers),
                }
            }
        }
    }
}

fn earns(volume: Volume, rate: i128) -> i128 {
    i128::from(volume.parts()).saturating_mul(rate)
}

fn slices(payable: Volume, tiers: &[(Volume, i128)]) -> i128 {
    let ends = tiers.iter().skip(1).map(|(from, _)| payable.min(*from)).chain([payable]);
    tiers.iter().zip(ends).fold(0_i128, |sum, ((from, rate), end)| {
        sum.saturating_add(earns((end - *from).at_least_zero(), *rate))
    })
}

fn compile(matching: &Matching, span: TierSpan, tiers: &[(Volume, Rate)]) -> (Pairing, Earning) {
    let lot = matching.lot.at().map_or(1, Volume::parts);
    let (stronger, up_to) = match matching.ratio {
        Ratio::OneToOne => (lot, false),
        Ratio::OneToTwo => (lot.saturating_mul(2), false),
        Ratio::OneThirdTwoThirds => (lot.saturating_mul(2), true),
    };
    let share = (matching.share.as_decimal() != Decimal::ONE).then_some(matching.share);
    let (paired, payable) = match matching.consumes {
        Consumes::Matched => (None, share),
        Consumes::Payable => (share, None),
    };
    let places = PLACES.saturating_sub(Volume::PLACES);
    let money = |rate: Rate| {
        let (points, rate) = (matching.conversion.as_decimal(), rate.as_decimal());
        whole(points, 6).saturating_mul(whole(rate, places.saturating_sub(6)))
    };
    let tiers = tiers.iter().map(|(from, rate)| (*from, money(*rate))).collect();
    let earning = Earning::Rates { base: matching.base, share: payable, span, tiers };
    (Pairing { weaker: lot, stronger, up_to, share: paired }, earning)
}

impl Pairing {
    /// How many units the two legs have; `weak` is the smaller one.
    fn units(self, weak: i64, strong: i64) -> i64 {
        let full = |leg: i64, unit: i64| leg.checked_div(unit).unwrap_or_default();
        if self.share.is_none() {
            let of_weak = full(weak, self.weaker);
            return if self.up_to { of_weak } else { of_weak.min(full(strong, self.stronger)) };
        }
        // The share is taken of what could be paired without lots, then lots are made of it.
        let times = full(self.stronger, self.weaker);
        let matched = if self.up_to { weak } else { weak.min(full(strong, times)) };
        full(share_of(matched, self.share), self.weaker)
    }

    /// What so many units take of the weaker and of the stronger leg.
    fn takes(self, units: i64, strong: i64) -> (i64, i64) {
        let stronger = self.stronger.saturating_mul(units);
        let stronger = if self.up_to { stronger.min(strong) } else { stronger };
        (self.weaker.saturating_mul(units), stronger)
    }
}

/// The highest number up to `above` that is good, where all numbers up to some one are; 0 is good.
fn most(above: i64, good: impl Fn(i64) -> bool) -> i64 {
    let (mut known_good, mut known_bad) = (0_i64, above.saturating_add(1));
    while known_bad.saturating_sub(known_good) > 1 {
        let middle = known_good.midpoint(known_bad);
        if good(middle) { known_good = middle } else { known_bad = middle }
    }
    known_good
}

fn why_nothing(available: Legs, pairs: &Pairs) -> Unpaid {
    let empty = [available.left, available.right].map(|leg| !leg.is_positive());
    match empty {
        [true, true] => Unpaid::NoVolume,
        [true, false] | [false, true] => Unpaid::OneLegEmpty,
        [false, false] if !pairs.any => Unpaid::BelowOnePair,
        [false, false] if pairs.paired == Legs::ZERO => Unpaid::Cap,
        [false, false] => Unpaid::BelowOneUnit,
    }
}
