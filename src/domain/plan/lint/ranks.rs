//! Ranks that nobody reaches, and requirements that decide nothing.

use super::{Look, Severity};
use crate::domain::{
    plan::rank::{Legs, Rank, RankLevel, Reach},
    volume::Volume,
};

pub(super) fn look(look: &mut Look<'_>) {
    unreachable(look);
    weaker(look);
    idle(look);
}

/// Ranks that need somebody who holds a rank that needs them: the first can never be.
fn unreachable(look: &mut Look<'_>) {
    let plan = look.plan;
    let Some(rules) = &plan.ladder else { return };
    let level = |id| plan.ranks.level(id).unwrap_or(RankLevel(u8::MAX));
    // Only what can be held before counts: from the ranks that ask for nobody's rank upwards.
    let mut held: Vec<bool> = vec![false; plan.requirements.len()];
    loop {
        let from = |least: RankLevel, held: &[bool]| {
            let above = held.iter().skip(usize::from(least.0).saturating_sub(1));
            above.into_iter().any(|held| *held)
        };
        let next = plan.requirements.iter().enumerate().position(|(index, rank)| {
            let steps =
                rules.reach == Reach::HighestMet || held.iter().take(index).all(|held| *held);
            let mut asked = rank.legs.iter().filter_map(|legs| legs.rank.as_ref());
            !held.get(index).copied().unwrap_or(true)
                && steps
                && asked.all(|rank| from(level(rank), &held))
        });
        match next.and_then(|index| held.get_mut(index)) {
            Some(rank) => *rank = true,
            None => break,
        }
    }
    for (index, rank) in plan.requirements.iter().enumerate() {
        if held.get(index).copied().unwrap_or(true) {
            continue;
        }
        let lower = held.iter().take(index).position(|held| !held);
        let lower = lower.and_then(|lower| plan.requirements.get(lower));
        let asked = rank.legs.iter().filter_map(|legs| legs.rank.as_ref());
        let circle = asked.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = match lower.filter(|_| rules.reach == Reach::EachStep) {
            Some(lower) => format!(
                "nobody reaches {}: it takes {} first, which nobody reaches",
                rank.id, lower.id
            ),
            None => format!(
                "nobody reaches {} but by a decision by hand: it asks for {circle} in the legs, and \
                 nobody can hold that before {} is held",
                rank.id, rank.id
            ),
        };
        let fix = "ask for a lower rank in the legs, or for volume";
        let path = ["rank", &index.to_string(), "legs"];
        look.tell(Severity::Error, &path, ("unreachable_rank", message, fix));
    }
}

/// A figure of the requirements by its name; what is not asked for is nothing.
fn figures(rank: &Rank) -> [(&'static str, Volume); 7] {
    let count = |count: u16| Volume::points(count.into());
    [
        ("pv", rank.pv.unwrap_or_default()),
        ("qv", rank.qv.unwrap_or_default()),
        ("gv", rank.gv.unwrap_or_default()),
        ("pgv", rank.pgv.unwrap_or_default()),
        ("accumulated", rank.accumulated.unwrap_or_default()),
        ("active_legs", count(rank.active_legs)),
        ("enrolled_active", count(rank.enrolled_active)),
    ]
}

/// Ranks that ask for less than the rank below them.
fn weaker(look: &mut Look<'_>) {
    let plan = look.plan;
    let level = |legs: &Legs| legs.rank.as_ref().and_then(|rank| plan.ranks.level(rank));
    let covers = |high: &Legs, low: &Legs| {
        high.count >= low.count && high.gv >= low.gv && level(high) >= level(low)
    };
    let pairs = plan.requirements.iter().zip(plan.requirements.iter().skip(1));
    for (index, (low, high)) in pairs.enumerate() {
        let above = index.saturating_add(1).to_string();
        let figures = || figures(high).into_iter().zip(figures(low));
        let legs = |low: &Legs| high.legs.iter().any(|high| covers(high, low));
        let capped = high.leg_cap < low.leg_cap && high.leg_cap.is_some();
        let more = figures().any(|((_, high), (_, low))| high > low)
            || (high.active && !low.active)
            || high.legs.iter().any(|high| !low.legs.iter().any(|low| covers(low, high)))
            || (capped || (high.leg_cap.is_some() && low.leg_cap.is_none()));
        if !more {
            let message = format!(
                "{} asks for nothing beyond {}: whoever reaches {} has {} too, and nobody is paid as {}",
                high.id, low.id, low.id, high.id, low.id
            );
            let fix = "raise a requirement, or drop one of the two ranks";
            look.tell(Severity::Warning, &["rank", &above], ("rank_not_above", message, fix));
            continue;
        }
        if plan.ladder.as_ref().is_some_and(|rules| rules.reach == Reach::EachStep) {
            // What the rank below asks for is asked for here too.
            continue;
        }
        let mut fewer: Vec<&str> = figures()
            .filter(|((_, high), (_, low))| high < low)
            .map(|((name, _), _)| name)
            .collect();
        if low.active && !high.active {
            fewer.push("active");
        }
        if !low.legs.iter().all(legs) {
            fewer.push("legs");
        }
        if let Some(field) = fewer.first() {
            let message =
                format!("{} asks for less than {} below it: {}", high.id, low.id, fewer.join(", "));
            let fix = "ask for at least as much, or say `reach = \"each_step\"` in [ladder]";
            let path = ["rank", &above, field];
            look.tell(Severity::Warning, &path, ("weaker_than_lower_rank", message, fix));
        }
    }
}

/// Requirements that others bring along.
fn idle(look: &mut Look<'_>) {
    let plan = look.plan;
    for (index, rank) in plan.requirements.iter().enumerate() {
        let index = index.to_string();
        let floor = plan.activity.as_ref().filter(|rule| rank.active && rule.look_back <= 1);
        if let Some((pv, activity)) = rank.pv.zip(floor).filter(|(pv, floor)| *pv < floor.pv) {
            let message = format!(
                "{} asks for {pv} PV and for an active member, which takes {} already",
                rank.id, activity.pv
            );
            let fix = "drop `pv`, or ask for more than [activity] does";
            let path = ["rank", &index, "pv"];
            look.tell(Severity::Note, &path, ("requirement_decides_nothing", message, fix));
        }
        let legs = |legs: &Legs| {
            let each = legs.gv.unwrap_or_default().parts();
            Volume::from_parts(each.saturating_mul(legs.count.into()))
        };
        let legs = rank.legs.iter().map(legs).max().unwrap_or_default();
        if let Some(gv) = rank.gv.filter(|gv| rank.leg_cap.is_none() && legs >= *gv) {
            let message = format!("{} asks for {gv} GV, but its legs alone bring {legs}", rank.id);
            let fix = "drop `gv`, or ask for more";
            let path = ["rank", &index, "gv"];
            look.tell(Severity::Note, &path, ("requirement_decides_nothing", message, fix));
        }
        let own = rank.pgv.zip(rank.gv).filter(|(pgv, gv)| rank.leg_cap.is_none() && pgv >= gv);
        if let Some((pgv, gv)) = own {
            let message =
                format!("{} asks for {gv} GV, but {pgv} PGV are part of the group volume", rank.id);
            let fix = "drop `gv`, or ask for more";
            let path = ["rank", &index, "gv"];
            look.tell(Severity::Note, &path, ("requirement_decides_nothing", message, fix));
        }
    }
}
