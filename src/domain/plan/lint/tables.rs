//! Tables with steps that nobody reaches or that change nothing, and an order of evaluation that is
//! hardly meant.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, Severity};
use crate::domain::{
    id::{CommissionClass, ComponentId},
    money::Rate,
    plan::{
        ByRank, Component, InfinityModel,
        close::{Breaks, CloseComponent, RateRow, UnilevelVolume},
        pairs::{self, Matrix, Unlocks},
        rank::RankLevel,
        volume::Measure,
    },
    volume::Volume,
};

pub(super) fn look(look: &mut Look<'_>) {
    let plan = look.plan;
    for (index, component) in plan.components.iter().enumerate() {
        let index = index.to_string();
        match component {
            Component::Unilevel(part) => {
                let depth = part.rates.values().map(Vec::len).max().unwrap_or_default();
                unlocked(look, &index, part.unlocked.as_ref(), (depth, "level"));
            }
            Component::Generation(part) => {
                let depth = part.rates.values().map(Vec::len).max().unwrap_or_default();
                unlocked(look, &index, part.unlocked.as_ref(), (depth, "generation"));
            }
            Component::Matrix(part) => {
                qualifying(look, &index, part.volume);
                matrix(look, &index, part);
            }
            Component::Binary(part) => {
                qualifying(look, &index, part.volume);
                if let pairs::Pays::Tiers { tiers, .. } = &part.pays {
                    let steps = tiers.iter().map(|tier| (tier.from, tier.rate)).collect();
                    steps_apart(look, &["component", &index, "pays"], steps);
                }
            }
            Component::Close(part) => closed(look, &index, part),
            Component::Direct(_)
            | Component::Differential(_)
            | Component::Infinity(_)
            | Component::FastStart(_) => {}
        }
    }
    unpaid(look);
    sections(look);
}

/// Levels that no rank unlocks, and unlocked levels that there are not.
fn unlocked(
    look: &mut Look<'_>,
    index: &str,
    table: Option<&ByRank<u16>>,
    (depth, what): (usize, &str),
) {
    let Some(table) = table else { return };
    let most = table.steps().iter().max().copied().map_or(0, usize::from);
    let path = ["component", index, "unlocked"];
    if most < depth {
        let first = most.saturating_add(1);
        let message = format!("no rank unlocks {what} {first} to {depth}: nobody is paid there");
        let fix = "unlock them for a rank, or shorten the rates";
        look.tell(Severity::Warning, &path, ("level_out_of_reach", message, fix));
    } else if most > depth {
        let message = format!("{what} {most} is unlocked, but there are rates for {depth} only");
        let fix = "add rates, or unlock no more than there are";
        look.tell(Severity::Note, &path, ("unlocks_nothing", message, fix));
    }
}

/// Volume that qualifies and does not pay.
fn qualifying(look: &mut Look<'_>, index: &str, volume: Measure) {
    if volume == Measure::Qv {
        let message = "QV counts for ranks and activity, and pays here".to_owned();
        let fix = "pay on `cv`, or on `pv`, if that is not meant";
        let path = ["component", index, "volume"];
        look.tell(Severity::Warning, &path, ("qualifying_volume_pays", message, fix));
    }
}

fn matrix(look: &mut Look<'_>, index: &str, part: &Matrix) {
    let Unlocks::Rank { levels } = &part.unlocks else { return };
    let path = ["component", index, "unlocks", "levels"];
    let most = levels.values().max().copied().unwrap_or_default();
    if most > part.height {
        let message = format!("level {most} is unlocked, the matrix has {} levels", part.height);
        let fix = "unlock no more levels than the height";
        look.tell(Severity::Warning, &path, ("unlocks_nothing", message, fix));
    } else if most < part.height {
        let first = most.saturating_add(1);
        let message =
            format!("no rank unlocks level {first} to {}: nobody is paid there", part.height);
        let fix = "unlock them for a rank, or lower the height";
        look.tell(Severity::Warning, &path, ("level_out_of_reach", message, fix));
    }
    let ranks = (1..=u8::MAX).map_while(|step| look.plan.ranks.rank(RankLevel(step)));
    let left = ranks.filter(|rank| !levels.contains_key(rank)).map(ToString::to_string);
    let left = left.collect::<Vec<_>>().join(", ");
    if !left.is_empty() {
        let message = format!("who is {left} earns nothing in this matrix");
        let fix = "name the rank with its levels, if that is not meant";
        look.tell(Severity::Note, &path, ("rank_earns_nothing", message, fix));
    }
}

fn closed(look: &mut Look<'_>, index: &str, part: &CloseComponent) {
    match part {
        CloseComponent::UnilevelVolume(part) => {
            below_first(look, index, "rates", &part.rates);
            legs(look, index, part);
        }
        CloseComponent::Bracket(part) => {
            let steps = part.table.iter().map(|step| (step.from, step.rate)).collect();
            steps_apart(look, &["component", index, "table"], steps);
            let overrides = |other: &Component| matches!(other, Component::Close(CloseComponent::Breakaway(b)) if b.bracket == part.id);
            let unpaid =
                part.breakaway == Breaks::TopBracket && !look.plan.components.iter().any(overrides);
            if unpaid {
                let message = "legs that reach the top bracket leave the group, and no component \
                               pays the upline for them"
                    .to_owned();
                let fix = "add a `breakaway` component, or say `breakaway = \"never\"`";
                let path = ["component", index, "breakaway"];
                look.tell(Severity::Warning, &path, ("breakaway_unpaid", message, fix));
            }
        }
        CloseComponent::Matching(part) => {
            below_first(look, index, "rates", &part.rates);
            matched(look, index, &part.on);
        }
        CloseComponent::Given(_)
        | CloseComponent::Breakaway(_)
        | CloseComponent::RankBonus(_)
        | CloseComponent::Pool(_) => {}
    }
}

/// Brackets or tiers that pay what the one before pays.
fn steps_apart(look: &mut Look<'_>, path: &[&str], steps: Vec<(Volume, Rate)>) {
    let mut before: Option<(Volume, Rate)> = None;
    for (from, rate) in steps {
        if let Some((low, _)) = before.filter(|(_, low)| *low == rate) {
            let message = format!(
                "the step from {from} pays {rate} as the one from {low}: it changes nothing"
            );
            let fix = "drop it, or raise its rate";
            look.tell(Severity::Warning, path, ("step_changes_nothing", message, fix));
        }
        before = Some((from, rate));
    }
}

/// The rates leave out who is below their first rank.
fn below_first(look: &mut Look<'_>, index: &str, field: &str, rows: &[RateRow]) {
    let Some(rank) = rows.first().and_then(|row| row.from.as_ref()) else { return };
    let message = format!("who is below {rank} earns nothing here");
    let fix = "add an entry without `from`, if that is not meant";
    look.tell(Severity::Note, &["component", index, field], ("rank_earns_nothing", message, fix));
}

/// Levels that no number of active legs opens, and opened levels that there are not.
fn legs(look: &mut Look<'_>, index: &str, part: &UnilevelVolume) {
    let Some(last) = part.unlock.last() else { return };
    let depth = part.rates.iter().map(|row| row.rates.len()).max().unwrap_or_default();
    let open = usize::from(last.levels);
    let path = ["component", index, "unlock"];
    if open < depth {
        let first = open.saturating_add(1);
        let message = format!(
            "no number of active legs opens level {first} to {depth}: nobody is paid there"
        );
        let fix = "add a tier that opens them, or shorten the rates";
        look.tell(Severity::Warning, &path, ("level_out_of_reach", message, fix));
    } else if open > depth {
        let message = format!("level {open} is opened, but there are rates for {depth} only");
        let fix = "add rates, or open no more than there are";
        look.tell(Severity::Note, &path, ("unlocks_nothing", message, fix));
    }
}

/// Matching of what is itself a matching, and of what a later cap cuts.
fn matched(look: &mut Look<'_>, index: &str, on: &[ComponentId]) {
    let plan = look.plan;
    let place = |id: &ComponentId| plan.components.iter().position(|other| other.id() == id);
    let matching = |id: &&ComponentId| {
        let found = place(id).and_then(|place| plan.components.get(place));
        matches!(found, Some(Component::Close(CloseComponent::Matching(_))))
    };
    let path = ["component", index, "on"];
    for id in on.iter().filter(matching) {
        let message = format!("it matches {id}, which matches earnings itself: a share of a share");
        let fix = "match what people earn on sales only";
        look.tell(Severity::Warning, &path, ("matching_of_matching", message, fix));
    }
    let here = index.parse().ok();
    for cap in &plan.caps {
        let late = place(&cap.after) > here || place(&cap.after) == here;
        let own = here.and_then(|here: usize| plan.components.get(here)).map(Component::id);
        let matches_own = own.is_some_and(|own| cap.counts.contains(own));
        for id in on.iter().filter(|id| late && !matches_own && cap.counts.contains(*id)) {
            let message = format!(
                "cap {} cuts {id} only after it was matched here: the match is of the amount before \
                 the cap",
                cap.id
            );
            let fix = "place the cap `after` the component that it cuts, before the matching";
            look.tell(Severity::Warning, &path, ("matched_before_cap", message, fix));
        }
    }
}

/// Classes that are named and earn nothing anywhere.
fn unpaid(look: &mut Look<'_>) {
    let mut rates: BTreeMap<&CommissionClass, Rate> = BTreeMap::new();
    let mut places: BTreeMap<&CommissionClass, String> = BTreeMap::new();
    let mut volumes = false;
    for (index, component) in look.components() {
        for class in classes(component) {
            let rate = rates.entry(class).or_insert(Rate::ZERO);
            *rate = rate.plus(super::worst::of_class(component, class));
            places.entry(class).or_insert_with(|| index.clone());
        }
        volumes |= !component.of_orders();
    }
    let named: Vec<(String, String)> = rates
        .iter()
        .filter(|(_, rate)| **rate == Rate::ZERO && !volumes)
        .filter_map(|(class, _)| Some((class.to_string(), places.get(class)?.clone())))
        .collect();
    for (class, index) in named {
        let message = format!("class {class} is named, but no component pays for it");
        let fix = "give it a rate above 0 %, or leave it out";
        let path = ["component", &index, "rates", &class];
        look.tell(Severity::Warning, &path, ("class_unpaid", message, fix));
    }
}

/// The classes that a component names.
pub(super) fn classes(component: &Component) -> BTreeSet<&CommissionClass> {
    match component {
        Component::Direct(part) => part.rates.keys().collect(),
        Component::Unilevel(part) => part.rates.keys().collect(),
        Component::Differential(part) => part.rates.by_class.keys().collect(),
        Component::Infinity(part) => match &part.model {
            InfinityModel::PureOverride(model) => model.rates.by_class.keys().collect(),
            InfinityModel::Generational(model) => model.rates.keys().collect(),
            InfinityModel::Differential(model) => model.rates.by_class.keys().collect(),
        },
        Component::Generation(part) => part.rates.keys().collect(),
        Component::FastStart(part) => part.rates.keys().collect(),
        Component::Binary(_) | Component::Matrix(_) | Component::Close(_) => BTreeSet::new(),
    }
}

/// Sections that nothing uses, and a payment before the close.
fn sections(look: &mut Look<'_>) {
    let plan = look.plan;
    if let Some(period) = plan.period.as_ref().filter(|p| p.distribution_days < p.cut_off_days) {
        let message = format!(
            "the day of payment, {} days after the period, is before the close may run, {} days \
             after it",
            period.distribution_days, period.cut_off_days
        );
        let fix = "raise `distribution_days`, or lower `cut_off_days`";
        let path = ["period", "distribution_days"];
        look.tell(Severity::Warning, &path, ("paid_before_close", message, fix));
    }
    let idle = [
        (plan.currency.is_some() && !plan.components.iter().any(Component::pays_on_cv), "currency"),
        (plan.activity.is_some(), "activity"),
        (plan.period.is_some(), "period"),
    ];
    for (_, section) in idle.into_iter().filter(|(stated, _)| *stated && !plan.is_closed()) {
        let message = format!("`{section}` is for a close, and this plan has nothing to close");
        let fix = "drop it, or add what the close is to compute";
        look.tell(Severity::Note, &[section], ("section_unused", message, fix));
    }
}
