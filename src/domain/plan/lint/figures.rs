//! Figures that can be read and surely are not meant: limits of nothing, days that are none, a cap that no
//! pair ever fits under.

use rust_decimal::Decimal;

use super::{Look, Severity};
use crate::domain::{
    money::{Money, Rate},
    plan::{
        Component, Compression, Plan, Unilevel,
        close::{CloseComponent, Limit, PoolSize},
        pairs::{self, Base, Binary, Pays, Ratio, TierSpan},
        rank::Rank,
    },
    volume::{Conversion, Volume},
};

/// More active legs than anybody has.
const MAX_LEGS: u16 = 1000;

pub(super) fn look(look: &mut Look<'_>) {
    let plan = look.plan;
    for (index, component) in plan.components.iter().enumerate() {
        let index = index.to_string();
        match component {
            Component::Binary(part) => {
                volume_cap(look, &index, part);
                if let Pays::Percentage { matching, .. } | Pays::Tiers { matching, .. } = &part.pays
                {
                    let path = ["component", &index, "pays", "matching", "conversion"];
                    worthless(look, &path, Some(matching.conversion));
                }
            }
            Component::Matrix(part) => {
                worthless(look, &["component", &index, "conversion"], Some(part.conversion));
            }
            Component::FastStart(part) if part.days == 0 => {
                let message = "a fast start of 0 days is over before it begins".to_owned();
                let fix = "give it the days that it lasts";
                let path = ["component", &index, "days"];
                look.tell(Severity::Error, &path, ("no_days", message, fix));
            }
            Component::Unilevel(part) => walk(look, &index, part),
            Component::Close(part) => closed(look, &index, part),
            Component::Direct(_)
            | Component::Differential(_)
            | Component::Infinity(_)
            | Component::Generation(_)
            | Component::FastStart(_) => {}
        }
    }
    caps(look);
    let conversion = plan.volumes.as_ref().map(|volumes| volumes.conversion);
    worthless(look, &["volumes", "conversion"], conversion);
    let activity = plan.activity.as_ref().map(|activity| activity.pv);
    negative(look, &["activity", "pv"], activity);
    for (index, rank) in plan.requirements.iter().enumerate() {
        required(look, &index.to_string(), rank);
    }
}

/// A requirement that everybody meets, or nobody.
fn required(look: &mut Look<'_>, index: &str, rank: &Rank) {
    let asked = [
        ("pv", rank.pv),
        ("qv", rank.qv),
        ("gv", rank.gv),
        ("pgv", rank.pgv),
        ("accumulated", rank.accumulated),
    ];
    for (field, volume) in asked {
        negative(look, &["rank", index, field], volume);
    }
    for legs in &rank.legs {
        negative(look, &["rank", index, "legs"], legs.gv);
    }
    if rank.active_legs > MAX_LEGS {
        let message =
            format!("{} asks for {} active legs, which nobody has", rank.id, rank.active_legs);
        let fix = "ask for fewer, or for volume";
        let path = ["rank", index, "active_legs"];
        look.tell(Severity::Warning, &path, ("too_many_legs", message, fix));
    }
}

fn negative(look: &mut Look<'_>, path: &[&str], volume: Option<Volume>) {
    if let Some(volume) = volume.filter(|volume| *volume < Volume::ZERO) {
        let message = format!("{volume} is below zero, so it asks for nothing");
        let fix = "ask for 0 or more";
        look.tell(Severity::Error, path, ("negative_requirement", message, fix));
    }
}

fn worthless(look: &mut Look<'_>, path: &[&str], conversion: Option<Conversion>) {
    if conversion.is_some_and(|conversion| conversion.as_decimal().is_zero()) {
        let message = "a point is worth nothing, so nothing is ever paid".to_owned();
        let fix = "give a point its value, such as \"1\"";
        look.tell(Severity::Error, path, ("worthless_points", message, fix));
    }
}

fn closed(look: &mut Look<'_>, index: &str, part: &CloseComponent) {
    let conversion = match part {
        CloseComponent::UnilevelVolume(part) => part.conversion,
        CloseComponent::Bracket(part) => part.conversion,
        CloseComponent::Breakaway(part) => part.conversion,
        CloseComponent::Pool(part) => {
            if let PoolSize::Fixed { amount } = part.size {
                nothing(look, &["component", index, "size"], amount);
            }
            part.conversion
        }
        CloseComponent::RankBonus(part) => {
            for row in &part.amounts {
                nothing(look, &["component", index, "amounts"], row.amount);
            }
            None
        }
        CloseComponent::Given(_) | CloseComponent::Matching(_) => None,
    };
    worthless(look, &["component", index, "conversion"], conversion);
}

/// An amount that is none.
fn nothing(look: &mut Look<'_>, path: &[&str], amount: Money) {
    if !amount.is_positive() {
        let message = format!("an amount of {amount} pays nothing");
        let fix = "give it more than 0, or drop it";
        look.tell(Severity::Warning, path, ("pays_nothing", message, fix));
    }
}

/// Caps that leave nothing.
fn caps(look: &mut Look<'_>) {
    let plan = look.plan;
    for (index, cap) in plan.caps.iter().enumerate() {
        let index = index.to_string();
        let path = ["cap", &index, "limit"];
        let none = match &cap.limit {
            Limit::Distributor { amount, by_rank, .. } => {
                let row = by_rank.iter().find(|row| !row.amount.is_positive());
                let row = row.map(|row| format!("from {} on nothing is left", row.from));
                let all = || format!("who has none of its ranks keeps {amount}");
                row.or_else(|| (!amount.is_positive()).then(all))
            }
            Limit::Company { share_of_cv, .. } => (*share_of_cv == Rate::ZERO)
                .then(|| format!("it leaves {share_of_cv} of the CV to all together")),
        };
        if let Some(none) = none {
            let message = format!("cap {} takes all: {none}", cap.id);
            let fix = "raise the limit, or drop what the cap counts";
            look.tell(Severity::Warning, &path, ("cap_of_nothing", message, fix));
        }
    }
}

/// A walk that ends before all levels can be taken.
fn walk(look: &mut Look<'_>, index: &str, part: &Unilevel) {
    let limit = match &part.compression {
        Compression::SkipBelowRank(skip) => skip.walk_limit.people(),
        Compression::Dynamic(dynamic) => dynamic.walk_limit.people(),
        Compression::None | Compression::RollUp => return,
    };
    let depth = part.rates.values().map(Vec::len).max().unwrap_or_default();
    if limit < depth {
        let message = format!(
            "only {limit} people above an order are looked at, but there are rates for {depth} levels"
        );
        let fix = "raise `walk_limit` well above the number of levels";
        let path = ["component", index, "compression"];
        look.tell(Severity::Error, &path, ("walk_too_short", message, fix));
    }
}

/// A cap that stops pairing at the limit, over what pays in steps.
fn volume_cap(look: &mut Look<'_>, index: &str, part: &Binary) {
    let pairs::Cap::VolumeCap { limit } = part.cap else { return };
    let path = ["component", index, "cap"];
    if let Pays::Tiers { span: TierSpan::Whole, .. } = part.pays {
        let message = format!(
            "the pay of all volume rises in steps, and only the largest volume that pays at most {limit} \
             is paired: just above a step that can be less than the limit, and the rest waits"
        );
        let fix = "say `span = \"slices\"`, or `semantics = \"pay_cap\"`, if that is not meant";
        look.tell(Severity::Warning, &path, ("volume_cap_on_steps", message, fix));
        return;
    }
    if let Some(least) = least(look.plan, part).filter(|least| *least > limit.as_decimal()) {
        let message = format!(
            "the least that can be paired pays {}, above the limit of {limit}: no pair is ever made",
            least.normalize()
        );
        let fix = "raise the limit, or say `semantics = \"pay_cap\"`, which pays up to it";
        look.tell(Severity::Error, &path, ("cap_below_pair", message, fix));
    }
}

/// What the smallest pair pays: a cycle, or a lot.
fn least(plan: &Plan, part: &Binary) -> Option<Decimal> {
    let least = match &part.pays {
        Pays::Cycles { amount, .. } => amount.as_decimal(),
        Pays::Percentage { matching, rate } if matching.share == Rate::WHOLE => {
            let lot = matching.lot.at()?.as_decimal();
            let legs = match (matching.base, matching.ratio) {
                (Base::Weaker, _) => Decimal::ONE,
                (Base::Both, Ratio::OneToTwo) => Decimal::from(3),
                (Base::Both, Ratio::OneToOne | Ratio::OneThirdTwoThirds) => Decimal::TWO,
            };
            let money = lot.saturating_mul(legs).saturating_mul(matching.conversion.as_decimal());
            money.saturating_mul(rate.as_decimal())
        }
        Pays::Percentage { .. } | Pays::Tiers { .. } => return None,
    };
    // What is rounded down to the limit fits.
    let digits = plan.currency.map_or(2, |currency| currency.minor_digits());
    Some(least.trunc_with_scale(digits))
}
