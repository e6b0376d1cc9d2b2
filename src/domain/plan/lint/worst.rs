//! What a plan can cost at most, from the plan alone.
//!
//! A component is taken at what it pays when everybody in an upline qualifies for everything. What no
//! rate bounds (a binary pays every position above a sale, a rank bonus whoever gets there) is called
//! open; a cap of the whole company closes it.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use super::tables::classes;
use crate::domain::{
    id::{CommissionClass, ComponentId},
    money::Rate,
    plan::{
        Boundary, Component, ExcludedLines, FastStart, InfinityModel, PayBase, Plan,
        close::{Cap, CloseComponent, Limit, PoolSize, RateRow},
        pairs::{self, Base, Binary, Ratio},
        volume::Source,
    },
    volume::Conversion,
};

/// What a plan costs at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Worst {
    /// Each component in the order of the plan, before caps.
    pub parts: Vec<Part>,
    /// All together after caps of the company, as a fraction of the sales, for the class that costs
    /// most. Where something is open it is the least that the worst case comes to.
    #[serde(serialize_with = "as_percent")]
    pub total: Decimal,
    /// Whether something is open that no cap of the company closes.
    pub open: bool,
    /// The class that costs most; none where classes make no difference.
    pub class: Option<CommissionClass>,
    /// What a sale is worth in volume here.
    pub assumption: String,
}

/// What a component costs at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The component.
    pub component: ComponentId,
    /// Its kind.
    pub kind: &'static str,
    /// As a fraction of the sales, of the class that it pays most for; none if it does not depend on
    /// them.
    #[serde(serialize_with = "maybe_percent")]
    pub of_sales: Option<Decimal>,
    /// Whether no rate bounds it.
    pub open: bool,
    /// What it is taken to pay.
    pub assumption: String,
}

/// A fraction as people write it.
pub(super) fn percent(fraction: Decimal) -> String {
    let percent = fraction.saturating_mul(Decimal::ONE_HUNDRED).round_dp(4).normalize();
    format!("{percent} %")
}

fn as_percent<S: Serializer>(fraction: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&percent(*fraction))
}

#[expect(clippy::ref_option, reason = "the form that the serializer calls")]
fn maybe_percent<S: Serializer>(
    fraction: &Option<Decimal>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match fraction {
        Some(fraction) => as_percent(fraction, serializer),
        None => serializer.serialize_none(),
    }
}

impl Worst {
    /// The total in words.
    pub fn total_in_words(&self) -> String {
        let least = if self.open { "at least " } else { "" };
        format!("{least}{}", percent(self.total))
    }
}

impl Part {
    /// The figure in words.
    pub fn in_words(&self) -> String {
        match (self.of_sales, self.open) {
            (None, _) => "not a share of sales".to_owned(),
            (Some(fraction), true) => format!("{}, and again", percent(fraction)),
            (Some(fraction), false) => percent(fraction),
        }
    }
}

/// What a plan costs at most.
pub fn worst_case(plan: &Plan) -> Worst {
    let sales = Sales::of(plan);
    let mut parts: Vec<Part> = Vec::new();
    for component in &plan.components {
        let part = part(plan, component, &sales, &parts);
        parts.push(part);
    }
    let mut named: Vec<Option<&CommissionClass>> = vec![None];
    for component in &plan.components {
        named.extend(classes(component).into_iter().map(Some));
    }
    named.sort();
    named.dedup();
    let mut worst: Option<(Decimal, bool, Option<&CommissionClass>)> = None;
    for class in named {
        let (total, open) = total(plan, &parts, &sales, class);
        if worst.is_none_or(|(highest, _, _)| total > highest) {
            worst = Some((total, open, class));
        }
    }
    let (total, open, class) = worst.unwrap_or_default();
    Worst { parts, total, open, class: class.cloned(), assumption: sales.assumption }
}

/// What a sale of one unit of the currency is in the volume that a close pays on.
struct Sales {
    cv: Decimal,
    conversion: Decimal,
    assumption: String,
}

impl Sales {
    fn of(plan: &Plan) -> Self {
        let conversion =
            plan.volumes.as_ref().map_or(Conversion::ONE, |v| v.conversion).as_decimal();
        let (cv, assumption) = match plan.volumes.as_ref().map(|volumes| volumes.cv) {
            Some(Source::Net { rate }) => {
                let words = format!("the CV of a sale is {rate} of its net amount, by [volumes]");
                (rate.as_decimal(), words)
            }
            Some(Source::Catalogue { .. }) => {
                let words = "the catalogue states the CV: a sale is taken to have as many points as \
                             its net amount";
                (Decimal::ONE, words.to_owned())
            }
            None => (Decimal::ONE, "sales are net amounts of order lines".to_owned()),
        };
        Self { cv, conversion, assumption }
    }

    /// A rate of CV as a fraction of the sales.
    fn share(&self, rate: Decimal, conversion: Option<Conversion>) -> Decimal {
        let conversion = conversion.map_or(self.conversion, Conversion::as_decimal);
        rate.saturating_mul(self.cv).saturating_mul(conversion)
    }
}

fn sum(rates: &[Rate]) -> Rate {
    rates.iter().fold(Rate::ZERO, |sum, rate| sum.plus(*rate))
}

/// The most that a component of orders pays for a class.
pub(super) fn of_class(component: &Component, class: &CommissionClass) -> Rate {
    let levels = |rates: Option<&Vec<Rate>>| rates.map_or(Rate::ZERO, |rates| sum(rates));
    let highest = |rates: &[Rate]| rates.iter().max().copied().unwrap_or(Rate::ZERO);
    match component {
        Component::Direct(part) => part.rates.get(class).copied().unwrap_or(Rate::ZERO),
        Component::Unilevel(part) => levels(part.rates.get(class)),
        Component::Differential(part) => {
            part.rates.get(class).map_or(Rate::ZERO, |r| highest(r.steps()))
        }
        Component::Infinity(part) => match &part.model {
            InfinityModel::PureOverride(model) => {
                model.rates.get(class).map_or(Rate::ZERO, |rates| sum(rates.steps()))
            }
            InfinityModel::Generational(model) => levels(model.rates.get(class)),
            InfinityModel::Differential(model) => {
                model.rates.get(class).map_or(Rate::ZERO, |rates| highest(rates.steps()))
            }
        },
        Component::Generation(part) => levels(part.rates.get(class)),
        Component::FastStart(part) => levels(part.rates.get(class)),
        Component::Binary(_) | Component::Matrix(_) | Component::Close(_) => Rate::ZERO,
    }
}

/// The same as a fraction of the sales: with what a sale is in CV where that pays, and with the
/// generations of each rank's own, which several ranks count side by side.
fn fraction(plan: &Plan, component: &Component, class: &CommissionClass, sales: &Sales) -> Decimal {
    let rate = of_class(component, class).as_decimal();
    let conversion = component.base().and_then(PayBase::conversion);
    let rate = conversion.map_or(rate, |conversion| sales.share(rate, Some(conversion)));
    match component {
        Component::Generation(part) => match &part.boundary {
            Boundary::FixedRank(_) => rate,
            Boundary::OwnRank(threshold) => {
                let below = usize::from(threshold.level().0).saturating_sub(1);
                rate.saturating_mul(plan.ranks.len().saturating_sub(below).into())
            }
        },
        Component::Direct(_)
        | Component::Unilevel(_)
        | Component::Differential(_)
        | Component::Infinity(_)
        | Component::FastStart(_)
        | Component::Binary(_)
        | Component::Matrix(_)
        | Component::Close(_) => rate,
    }
}

fn part(plan: &Plan, component: &Component, sales: &Sales, before: &[Part]) -> Part {
    let orders = || {
        let classes = classes(component).into_iter();
        classes.map(|class| fraction(plan, component, class, sales)).max().unwrap_or_default()
    };
    let (of_sales, open, assumption) = match component {
        Component::Direct(_) => {
            (Some(orders()), false, "the highest rate, of the highest rank".into())
        }
        Component::Unilevel(_) => (
            Some(orders()),
            false,
            "the sum of the highest rates by level: every level is taken".into(),
        ),
        Component::Differential(_) => {
            (Some(orders()), false, "the highest rate: all together never get more".into())
        }
        Component::Infinity(part) => {
            let words = match part.model {
                InfinityModel::PureOverride(_) => "the rates of all ranks together",
                InfinityModel::Generational(_) => "the sum of the rates of all leaders",
                InfinityModel::Differential(_) => "the highest rate: all together never get more",
            };
            (Some(orders()), false, words.into())
        }
        Component::Generation(part) => {
            let words = match part.boundary {
                Boundary::FixedRank(_) => "the sum of the rates: every generation is taken",
                Boundary::OwnRank(_) => {
                    "the sum of the rates for each rank: each counts generations of its own"
                }
            };
            (Some(orders()), false, words.into())
        }
        Component::FastStart(_) => {
            (Some(orders()), false, "the sum of the rates, on orders of the first days".into())
        }
        Component::Binary(part) => binary(part, sales),
        Component::Matrix(part) => {
            let rate = sum(&part.rates).as_decimal();
            let words = "the sum of the rates: every level above a sale is taken";
            (Some(sales.share(rate, Some(part.conversion))), false, words.into())
        }
        Component::Close(close) => closed(plan, close, sales, before),
    };
    Part { component: component.id().clone(), kind: component.kind(), of_sales, open, assumption }
}

type Most = (Option<Decimal>, bool, String);

fn binary(part: &Binary, sales: &Sales) -> Most {
    let again = "; every position above a sale that qualifies pairs it again";
    let paired = |matching: &pairs::Matching, rate: Rate| {
        let half = Decimal::new(5, 1);
        let third = Decimal::ONE.checked_div(Decimal::from(3)).unwrap_or_default();
        let (share, words) = match (matching.base, matching.ratio) {
            (Base::Both, _) => (Decimal::ONE, "all of the volume"),
            (Base::Weaker, Ratio::OneToOne | Ratio::OneThirdTwoThirds) => {
                (half, "half of the volume, in two equal legs")
            }
            (Base::Weaker, Ratio::OneToTwo) => (third, "a third of the volume, the weaker leg"),
        };
        let rate =
            rate.as_decimal().saturating_mul(share).saturating_mul(matching.share.as_decimal());
        let words = format!("one position: the rate on {words}{again}");
        (Some(sales.share(rate, Some(matching.conversion))), true, words)
    };
    match &part.pays {
        pairs::Pays::Percentage { matching, rate } => paired(matching, *rate),
        pairs::Pays::Tiers { matching, tiers, .. } => {
            paired(matching, tiers.iter().map(|tier| tier.rate).max().unwrap_or(Rate::ZERO))
        }
        pairs::Pays::Cycles { weaker, stronger, amount } => {
            let points = (*weaker + *stronger).as_decimal();
            // Cycles pay money for points, whatever a point is worth elsewhere.
            let point = amount.as_decimal().checked_div(points).unwrap_or_default();
            let words = format!("one position: {amount} for {points} points{again}");
            (Some(point.saturating_mul(sales.cv)), true, words)
        }
    }
}

/// The sum over the levels of the highest rate that any rank has there.
fn by_level(rows: &[RateRow]) -> Decimal {
    let depth = rows.iter().map(|row| row.rates.len()).max().unwrap_or_default();
    let highest = |level: usize| rows.iter().filter_map(|row| row.rates.get(level)).max().copied();
    let rates = (0..depth).filter_map(highest).map(Rate::as_decimal);
    rates.fold(Decimal::ZERO, Decimal::saturating_add)
}

fn closed(plan: &Plan, close: &CloseComponent, sales: &Sales, before: &[Part]) -> Most {
    match close {
        CloseComponent::Given(_) => (None, true, "computed elsewhere".into()),
        CloseComponent::UnilevelVolume(part) => {
            let rate = sales.share(by_level(&part.rates), part.conversion);
            (
                Some(rate),
                false,
                "the sum of the highest rates by level: every level is taken".into(),
            )
        }
        CloseComponent::Bracket(part) => {
            let top = part.table.iter().map(|step| step.rate).max().unwrap_or(Rate::ZERO);
            let words = "the top bracket: groups below get their part of it";
            (Some(sales.share(top.as_decimal(), part.conversion)), false, words.into())
        }
        CloseComponent::Breakaway(part) => {
            let deeper = part.deeper.iter().flat_map(|deeper| &deeper.rates);
            let rate = deeper.fold(part.rate, |sum, rate| sum.plus(*rate)).as_decimal();
            let words = match part.deeper {
                None => "the rate: every sale is in one group that broke away",
                Some(_) => {
                    "the sum of the rates: every sale is in one group that broke away, and every \
                     generation above it is taken"
                }
            };
            (Some(sales.share(rate, part.conversion)), false, words.into())
        }
        CloseComponent::Matching(part) => {
            let rate = by_level(&part.rates);
            let of = |id: &ComponentId| before.iter().find(|part| part.component == *id);
            let mut matched = Decimal::ZERO;
            let mut open = false;
            for part in part.on.iter().filter_map(of) {
                let own = part.of_sales.unwrap_or_default();
                let (most, bounded) = limited(plan, close.id(), &part.component, own);
                matched = matched.saturating_add(most);
                open |= part.open && !bounded;
            }
            let words = format!(
                "{} of what it matches: every generation earns on all of it",
                percent(rate)
            );
            (Some(rate.saturating_mul(matched)), open, words)
        }
        CloseComponent::RankBonus(_) => {
            let words = "amounts for ranks: as many as there are people who reach them";
            (None, true, words.into())
        }
        CloseComponent::Pool(part) => match part.size {
            PoolSize::ShareOfCv { rate } => {
                let rate = sales.share(rate.as_decimal(), part.conversion);
                (Some(rate), false, "its share".into())
            }
            PoolSize::Fixed { amount } => {
                (None, false, format!("{amount} a period, whatever is sold"))
            }
        },
    }
}

/// The share of the sales that a cap of the company leaves to what it counts.
fn ceiling(cap: &Cap, sales: &Sales) -> Option<Decimal> {
    match cap.limit {
        Limit::Company { share_of_cv, .. } => Some(sales.share(share_of_cv.as_decimal(), None)),
        Limit::Distributor { .. } => None,
    }
}

/// What caps before a matching leave of a component, and whether they bound it.
fn limited(plan: &Plan, matching: &ComponentId, id: &ComponentId, own: Decimal) -> (Decimal, bool) {
    let sales = Sales::of(plan);
    let place = |id: &ComponentId| plan.components.iter().position(|other| other.id() == id);
    let earlier = |cap: &&Cap| place(&cap.after) < place(matching) && cap.counts.contains(id);
    let mut ceilings = plan.caps.iter().filter(earlier).filter_map(|cap| ceiling(cap, &sales));
    match ceilings.next() {
        Some(first) => {
            let least = ceilings.fold(first, Ord::min);
            (least.min(own), true)
        }
        None => (own, false),
    }
}

/// The most fast starts of which every combination is tried.
const MAX_FAST_STARTS: usize = 8;

/// All components together for a class, after caps of the company.
fn total(
    plan: &Plan,
    parts: &[Part],
    sales: &Sales,
    class: Option<&CommissionClass>,
) -> (Decimal, bool) {
    let mut fast: Vec<&FastStart> = Vec::new();
    for component in &plan.components {
        let Component::FastStart(part) = component else { continue };
        if part.excludes.is_some() && fast.len() < MAX_FAST_STARTS {
            fast.push(part);
        }
    }
    let mut worst: Option<(Decimal, bool)> = None;
    // Within the first days or not: a fast start takes the place of what it excludes.
    for chosen in 0..1_u32.checked_shl(u32::try_from(fast.len()).unwrap_or_default()).unwrap_or(1) {
        let on = |id: &ComponentId| {
            let place = fast.iter().position(|part| part.id == *id);
            place.is_none_or(|place| chosen >> place & 1 == 1)
        };
        let excluded = |id: &ComponentId| {
            fast.iter().filter(|part| on(&part.id)).any(|part| {
                part.excludes.as_ref().is_some_and(|excludes| {
                    let line = excludes.lines == ExcludedLines::All
                        || class.is_some_and(|class| part.rates.contains_key(class));
                    line && excludes.components.contains(id)
                })
            })
        };
        let mut shares: Vec<(Decimal, bool)> = Vec::new();
        for (component, part) in plan.components.iter().zip(parts) {
            let share = match class {
                _ if !component.of_orders() => part.of_sales.unwrap_or_default(),
                Some(class) if on(component.id()) && !excluded(component.id()) => {
                    fraction(plan, component, class, sales)
                }
                Some(_) | None => Decimal::ZERO,
            };
            shares.push((share, part.open));
        }
        cap(plan, sales, &mut shares);
        let total = shares.iter().fold(Decimal::ZERO, |sum, (share, _)| sum.saturating_add(*share));
        let open = shares.iter().any(|(_, open)| *open);
        if worst.is_none_or(|(highest, _)| total > highest) {
            worst = Some((total, open));
        }
    }
    worst.unwrap_or_default()
}

/// Cuts what a cap of the company counts to its share; what was open is bounded by it.
fn cap(plan: &Plan, sales: &Sales, shares: &mut [(Decimal, bool)]) {
    for cap in &plan.caps {
        let Some(ceiling) = ceiling(cap, sales) else { continue };
        let counted = |component: &Component| cap.counts.contains(component.id());
        let all = || plan.components.iter().zip(shares.iter()).filter(|(c, _)| counted(c));
        let sum = all().fold(Decimal::ZERO, |sum, (_, (share, _))| sum.saturating_add(*share));
        let open = all().any(|(_, (_, open))| *open);
        if !open && sum <= ceiling {
            continue;
        }
        let mut left = ceiling;
        for (component, (share, open)) in plan.components.iter().zip(shares.iter_mut()) {
            if !counted(component) {
                continue;
            }
            *share = (*share).min(left);
            left = left.saturating_sub(*share);
            *open = false;
        }
        // What is open can fill all of the share that is left.
        let mut counted = plan.components.iter().zip(shares.iter_mut()).filter(|(c, _)| counted(c));
        if let Some((_, (share, _))) = counted.next().filter(|_| open) {
            *share = share.saturating_add(left);
        }
    }
}
