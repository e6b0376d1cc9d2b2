//! What the pairs of a position earn, in the terms of its plan: for who has to recompute it by hand.

use rust_decimal::Decimal;
use serde::Serialize;

use super::Legs;
use crate::domain::{
    money::{Money, Rate},
    plan::pairs::{Base, Binary, Cap, Consumes, Matching, Pays, Ratio, TierSpan},
    volume::{Conversion, Volume},
};

/// How the pairs of a position earn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Earned {
    /// A fixed amount for each full cycle.
    Cycles {
        /// How many.
        cycles: i64,
        /// What a cycle takes of the leg that has less.
        weaker: Volume,
        /// What it takes of the other.
        stronger: Volume,
        /// What it pays.
        each: Money,
    },
    /// Rates of the payable volume.
    Rates {
        /// How the legs are matched.
        ratio: Ratio,
        /// Which paired volume pays.
        base: Base,
        /// What of that is payable; 100 % where only that much is paired.
        share: Rate,
        /// What is payable.
        payable: Volume,
        /// Money for a point.
        conversion: Conversion,
        /// The rates, each with its part of the payable volume; none below the first tier.
        parts: Vec<Part>,
    },
}

/// A part of the payable volume with its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Where its tier begins; nothing where there are no tiers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Volume>,
    /// The volume.
    pub volume: Volume,
    /// The rate.
    pub rate: Rate,
}

impl Earned {
    /// What so many pairs earn; nothing where nothing is paired. The binary has passed its checks.
    pub fn of(plan: &Binary, paired: Legs) -> Option<Self> {
        let weaker = paired.left.min(paired.right);
        if !weaker.is_positive() {
            return None;
        }
        Some(match &plan.pays {
            Pays::Cycles { weaker: each, stronger, amount } => Self::Cycles {
                cycles: weaker.parts().checked_div(each.parts()).unwrap_or_default(),
                weaker: *each,
                stronger: *stronger,
                each: *amount,
            },
            Pays::Percentage { matching, rate } => rates(matching, paired, |payable| {
                vec![Part { from: None, volume: payable, rate: *rate }]
            }),
            Pays::Tiers { matching, span: TierSpan::Whole, tiers } => {
                rates(matching, paired, |payable| {
                    let tier = tiers.iter().rev().find(|tier| tier.from <= payable);
                    let part = |from, rate| Part { from: Some(from), volume: payable, rate };
                    tier.map(|tier| part(tier.from, tier.rate)).into_iter().collect()
                })
            }
            Pays::Tiers { matching, span: TierSpan::Slices, tiers } => {
                rates(matching, paired, |payable| {
                    let ends = tiers.iter().skip(1).map(|tier| payable.min(tier.from));
                    let slices = tiers.iter().zip(ends.chain([payable])).map(|(tier, end)| Part {
                        from: Some(tier.from),
                        volume: (end - tier.from).at_least_zero(),
                        rate: tier.rate,
                    });
                    slices.filter(|part| part.volume.is_positive()).collect()
                })
            }
        })
    }

    /// What it comes to before it is rounded, where that is in the range of a decimal.
    pub fn exact(&self) -> Option<Decimal> {
        match self {
            Self::Cycles { cycles, each, .. } => {
                each.as_decimal().checked_mul(Decimal::from(*cycles))
            }
            Self::Rates { conversion, parts, .. } => {
                parts.iter().try_fold(Decimal::ZERO, |sum, part| {
                    let money = part.volume.as_decimal().checked_mul(conversion.as_decimal())?;
                    sum.checked_add(money.checked_mul(part.rate.as_decimal())?)
                })
            }
        }
    }
}

fn rates(matching: &Matching, paired: Legs, parts: impl Fn(Volume) -> Vec<Part>) -> Earned {
    let of = match matching.base {
        Base::Weaker => paired.left.min(paired.right),
        Base::Both => paired.left + paired.right,
    };
    // Where only the share is paired, all that is paired pays.
    let share = match matching.consumes {
        Consumes::Matched => matching.share,
        Consumes::Payable => Rate::WHOLE,
    };
    let payable = if share == Rate::WHOLE { of } else { of.portion(share) };
    Earned::Rates {
        ratio: matching.ratio,
        base: matching.base,
        share,
        payable,
        conversion: matching.conversion,
        parts: parts(payable),
    }
}

/// What the cap of a position takes of what its pairs earn; the rest of what is capped the owner's cap takes.
pub fn position_cap(cap: Cap, pool: Money, capped: Money) -> Money {
    match cap {
        Cap::None {} | Cap::VolumeCap { .. } => Money::ZERO,
        Cap::PayCap { limit } | Cap::FlushOnCap { limit } => {
            (pool - limit).at_least_zero().min(capped)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Standing, tests::rules},
        *,
    };
    use crate::domain::plan::pairs::tests::{WEAKER_LEG, binary, with};

    const ONE_TO_TWO: (&str, &str) = ("\"one_to_one\"", "\"one_to_two\"");

    fn pays(other: &str) -> String {
        let line = WEAKER_LEG.lines().find(|line| line.contains("pays =")).unwrap();
        with(WEAKER_LEG, line, other)
    }

    /// What is told of a position is what it earns.
    fn earned(text: &str, left: i32, right: i32) -> Earned {
        let legs = Legs { left: Volume::points(left), right: Volume::points(right) };
        let settled = rules(text).settle(Legs::ZERO, legs, Legs::ZERO, Standing::FULL);
        let told = Earned::of(&binary(text), settled.paired()).unwrap();
        assert_eq!(told.exact().unwrap().round_dp(2), settled.pool.as_decimal(), "{told:?}");
        told
    }

    #[test]
    fn what_is_told_of_pairs_is_what_they_earn() {
        let payable = |text: &str, left, right| match earned(text, left, right) {
            Earned::Rates { payable, .. } => payable,
            other @ Earned::Cycles { .. } => panic!("{other:?}"),
        };
        assert_eq!(payable(WEAKER_LEG, 200, 500), Volume::points(200));
        assert_eq!(payable(&with(WEAKER_LEG, ONE_TO_TWO.0, ONE_TO_TWO.1), 300, 500), {
            Volume::points(250)
        });
        let share = with(WEAKER_LEG, "share = \"100 %\"", "share = \"0.6\"");
        assert_eq!(payable(&share, 3_000, 5_000), Volume::points(1_800));
        assert_eq!(payable(&with(&share, "\"matched\"", "\"payable\""), 3_000, 5_000), {
            Volume::points(1_800)
        });
        let both = with(WEAKER_LEG, "base = \"weaker\"", "base = \"both\"");
        assert_eq!(payable(&both, 200, 500), Volume::points(400));
        assert_eq!(Earned::of(&binary(WEAKER_LEG), Legs::ZERO), None);
    }

    #[test]
    fn cycles_are_counted() {
        let cycles = pays(
            "pays = { kind = \"cycles\", weaker = \"100\", stronger = \"200\", amount = \"7\" }",
        );
        let Earned::Cycles { cycles, .. } = earned(&cycles, 350, 900) else { panic!() };
        assert_eq!(cycles, 3);
    }

    #[test]
    fn the_cap_of_a_position_is_told_apart_from_that_of_its_owner() {
        let money = |text| Money::parse(text).unwrap();
        let cap = Cap::PayCap { limit: money("500") };
        assert_eq!(position_cap(cap, money("800"), money("450")), money("300"));
        assert_eq!(position_cap(cap, money("400"), money("50")), money("0"));
        assert_eq!(position_cap(Cap::None {}, money("800"), money("50")), money("0"));
    }
}
