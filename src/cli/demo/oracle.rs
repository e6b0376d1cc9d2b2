//! What every order must come to, worked out apart from the pipeline.
//!
//! This is the second opinion on the sample plan: the simplest code that is obviously right, with
//! the rates written down a second time by hand. It shares no code with the stages, and a test
//! compares its rates with the plan file.

use std::collections::BTreeMap;

use rust_decimal::{Decimal, RoundingStrategy};

use super::company::{Distributor, Standing};

/// The rates of a commission class in basis points: 2000 is 20 %.
pub(crate) struct ClassRates {
    /// The class.
    pub(crate) class: &'static str,
    /// What the referrer gets.
    pub(crate) direct: i64,
    /// What the levels of the upline get, from level 1.
    pub(crate) levels: &'static [i64],
}

/// The rates of `pipelines/plans/sample.toml`.
pub(crate) const RATES: [ClassRates; 5] = [
    ClassRates { class: "supplement", direct: 2000, levels: &[] },
    ClassRates { class: "beauty", direct: 1500, levels: &[] },
    ClassRates { class: "starter-kit", direct: 1000, levels: &[500, 400, 300] },
    ClassRates { class: "wellness", direct: 1200, levels: &[600, 500, 400, 300, 200, 100, 100] },
    ClassRates { class: "home", direct: 800, levels: &[400, 300, 200, 150, 100, 50, 50] },
];

/// The distributors by id.
pub(crate) type Tree<'a> = BTreeMap<&'a str, &'a Distributor>;

/// A line that earns.
#[derive(Debug, Clone)]
pub(crate) struct Earning {
    /// The commission class.
    pub(crate) class: &'static str,
    /// What it is worth to commission.
    pub(crate) net: Decimal,
}

/// Who stands behind an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Behind {
    /// A distributor referred it.
    Referrer(String),
    /// A distributor bought for themselves: nobody gets direct commission.
    OwnPurchase(String),
    /// Nobody.
    Nobody,
}

/// What an order comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// The net that earns.
    pub(crate) net: Decimal,
    /// What distributors get in all.
    pub(crate) paid: Decimal,
    /// What the company keeps because nobody qualified.
    pub(crate) breakage: Decimal,
    /// What each distributor gets.
    pub(crate) amounts: BTreeMap<String, Decimal>,
}

impl Due {
    fn give(&mut self, to: Option<&str>, amount: Decimal) {
        // Nobody is told of nothing: what is rounded to zero, or comes of a free line.
        match to {
            _ if amount.is_zero() => {}
            Some(id) => {
                let known = self.amounts.entry(id.to_owned()).or_default();
                *known = known.saturating_add(amount);
                self.paid = self.paid.saturating_add(amount);
            }
            None => self.breakage = self.breakage.saturating_add(amount),
        }
    }
}

/// What an order comes to that was paid for and neither cancelled nor a test.
pub(crate) fn due(lines: &[Earning], behind: &Behind, tree: &Tree<'_>) -> Due {
    let mut due = Due::default();
    let (referrer, start) = match behind {
        Behind::Referrer(id) => (Some(id.as_str()), id.as_str()),
        Behind::OwnPurchase(id) => (None, id.as_str()),
        Behind::Nobody => return due,
    };
    for line in lines {
        let Some(rates) = RATES.iter().find(|rates| rates.class == line.class) else { continue };
        due.net = due.net.saturating_add(line.net);
        if let Some(referrer) = referrer {
            due.give(this_or_above(referrer, tree), percent(line.net, rates.direct));
        }
        let mut below = start;
        for rate in rates.levels {
            let earner = above(below, tree);
            due.give(earner, percent(line.net, *rate));
            // Above the top there is nobody, and nobody is above nobody.
            below = earner.unwrap_or_default();
        }
    }
    due
}

/// The distributor, or the nearest active one above.
fn this_or_above<'a>(id: &'a str, tree: &Tree<'a>) -> Option<&'a str> {
    let row = tree.get(id)?;
    if row.status == Standing::Active { Some(&row.id) } else { above(id, tree) }
}

/// The nearest active distributor above.
fn above<'a>(id: &str, tree: &Tree<'a>) -> Option<&'a str> {
    let sponsor = tree.get(id)?.sponsor.as_deref()?;
    this_or_above(sponsor, tree)
}

/// A rate of an amount, to the cent, a tie to the even digit.
fn percent(net: Decimal, basis_points: i64) -> Decimal {
    net.saturating_mul(Decimal::new(basis_points, 4))
        .round_dp_with_strategy(2, RoundingStrategy::MidpointNearestEven)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::plan::{Component, Plan};

    const PLAN: &str = include_str!("../../../pipelines/plans/sample.toml");

    #[test]
    fn the_rates_are_those_of_the_plan_file() {
        let plan = Plan::parse(PLAN).unwrap();
        let basis_points = |rate: &crate::domain::money::Rate| {
            i64::try_from((rate.as_decimal() * Decimal::from(10_000)).trunc()).unwrap()
        };
        let (mut direct, mut levels) = (BTreeMap::new(), BTreeMap::new());
        for component in &plan.components {
            match component {
                Component::Direct(part) => direct.extend(
                    part.rates.iter().map(|(class, rate)| (class.to_string(), basis_points(rate))),
                ),
                Component::Unilevel(part) => {
                    levels.extend(part.rates.iter().map(|(class, rates)| {
                        (class.to_string(), rates.iter().map(basis_points).collect::<Vec<_>>())
                    }));
                }
                Component::Differential(_)
                | Component::Infinity(_)
                | Component::Generation(_)
                | Component::FastStart(_)
                | Component::Binary(_)
                | Component::Matrix(_)
                | Component::Close(_) => panic!("the oracle has two kinds: {component:?}"),
            }
        }
        for rates in &RATES {
            assert_eq!(direct.remove(rates.class), Some(rates.direct), "{}", rates.class);
            let of_levels = levels.remove(rates.class).unwrap_or_default();
            assert_eq!(of_levels, rates.levels, "{}", rates.class);
        }
        assert!(direct.is_empty() && levels.is_empty(), "{direct:?} {levels:?}");
    }

    fn row(id: &str, sponsor: Option<&str>, status: Standing) -> Distributor {
        Distributor {
            id: id.to_owned(),
            sponsor: sponsor.map(str::to_owned),
            status,
            country: "US",
            created_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn who_is_not_active_is_passed_over_and_the_rest_is_breakage() {
        let list = [
            row("top", None, Standing::Active),
            row("idle", Some("top"), Standing::Inactive),
            row("low", Some("idle"), Standing::Active),
        ];
        let tree = crate::cli::demo::company::tree(&list);
        let kit = |net| [Earning { class: "starter-kit", net: Decimal::new(net, 2) }];
        let found = due(&kit(9692), &Behind::Referrer("low".to_owned()), &tree);
        assert_eq!(found.amounts["low"].to_string(), "9.69");
        // 5 % of 96.92 is 4.846; levels 2 and 3 have nobody: 3.8768 and 2.9076.
        assert_eq!(found.amounts["top"].to_string(), "4.85");
        assert_eq!(found.breakage.to_string(), "6.79");
        let idle = due(&kit(10_000), &Behind::Referrer("idle".to_owned()), &tree);
        assert_eq!(idle.amounts["top"].to_string(), "15.00", "direct rolls up, and level 1");
        let own = due(&kit(10_000), &Behind::OwnPurchase("low".to_owned()), &tree);
        assert_eq!((own.paid, own.breakage), (Decimal::new(500, 2), Decimal::new(700, 2)));
        assert_eq!(due(&kit(10_000), &Behind::Nobody, &tree), Due::default());
    }
}
