//! Tables by rank in which a higher rank gets less.

use super::{Look, Severity};
use crate::domain::{
    money::Rate,
    plan::{
        ByRank, Component, InfinityModel,
        by_rank::names,
        close::{CloseComponent, Limit, RateRow},
        pairs::Unlocks,
    },
};

pub(super) fn look(look: &mut Look<'_>) {
    let plan = look.plan;
    for (index, component) in plan.components.iter().enumerate() {
        let index = index.to_string();
        match component {
            Component::Direct(part) => {
                for (class, rates) in &part.rates_by_rank {
                    let steps = rates.steps().iter().map(std::slice::from_ref);
                    ladder(look, &["component", &index, "rates_by_rank", class.as_str()], steps);
                }
            }
            Component::Unilevel(part) => {
                for (class, rates) in &part.rates_by_rank {
                    let steps = rates.steps().iter().map(Vec::as_slice);
                    ladder(look, &["component", &index, "rates_by_rank", class.as_str()], steps);
                }
                unlocked(look, &index, part.unlocked.as_ref());
            }
            Component::Generation(part) => unlocked(look, &index, part.unlocked.as_ref()),
            Component::Infinity(part) => {
                let InfinityModel::PureOverride(model) = &part.model else { continue };
                for (class, rates) in &model.rates.by_class {
                    let steps = rates.steps().iter().map(std::slice::from_ref);
                    let path =
                        ["component", &index, "model", "pure_override", "rates", class.as_str()];
                    ladder(look, &path, steps);
                }
            }
            Component::Matrix(part) => {
                let Unlocks::Rank { levels } = &part.unlocks else { continue };
                let mut rows: Vec<_> =
                    levels.iter().map(|(r, l)| (plan.ranks.level(r), r, l)).collect();
                rows.sort_unstable();
                let rows = rows.into_iter().map(|(_, rank, levels)| (rank.to_string(), *levels));
                falling(
                    look,
                    &["component", &index, "unlocks", "levels"],
                    "unlocks fewer levels",
                    rows,
                );
            }
            Component::Close(part) => closed(look, &index, part),
            // A differential that falls is no plan; fast starts and binaries ask for no rank.
            Component::Differential(_) | Component::FastStart(_) | Component::Binary(_) => {}
        }
    }
    for (index, cap) in plan.caps.iter().enumerate() {
        let Limit::Distributor { amount, by_rank, .. } = &cap.limit else { continue };
        let rows = by_rank.iter().map(|row| (row.from.to_string(), row.amount));
        let rows = std::iter::once(("who has no rank".to_owned(), *amount)).chain(rows);
        falling(look, &["cap", &index.to_string(), "limit"], "has a lower limit", rows);
    }
}

fn closed(look: &mut Look<'_>, index: &str, part: &CloseComponent) {
    let path = |field: &'static str| ["component", index, field];
    match part {
        CloseComponent::UnilevelVolume(part) => rows(look, &path("rates"), &part.rates),
        CloseComponent::Matching(part) => rows(look, &path("rates"), &part.rates),
        CloseComponent::RankBonus(part) => {
            let rows = part.amounts.iter().map(|row| (row.from.to_string(), row.amount));
            falling(look, &path("amounts"), "has a lower amount", rows);
        }
        CloseComponent::Pool(part) => {
            let rows = part.shares.iter().map(|row| (row.from.to_string(), row.shares));
            falling(look, &path("shares"), "has fewer shares", rows);
        }
        CloseComponent::Given(_) | CloseComponent::Bracket(_) | CloseComponent::Breakaway(_) => {}
    }
}

fn rows(look: &mut Look<'_>, path: &[&str], rows: &[RateRow]) {
    let name = |row: &RateRow| {
        row.from.as_ref().map_or_else(|| "unranked".to_owned(), ToString::to_string)
    };
    lower(look, path, rows.iter().map(|row| (name(row), row.rates.as_slice())));
}

fn unlocked(look: &mut Look<'_>, index: &str, table: Option<&ByRank<u16>>) {
    let Some(table) = table else { return };
    let rows = names(&look.plan.ranks).map(str::to_owned).zip(table.steps().iter().copied());
    let rows: Vec<_> = rows.collect();
    falling(look, &["component", index, "unlocked"], "unlocks fewer levels", rows.into_iter());
}

/// Rates by the step of the ladder.
fn ladder<'a>(look: &mut Look<'_>, path: &[&str], steps: impl Iterator<Item = &'a [Rate]>) {
    let rows: Vec<_> = names(&look.plan.ranks).map(str::to_owned).zip(steps).collect();
    lower(look, path, rows.into_iter());
}

/// Rates of which one of a higher rank is lower, level by level; a level that is not there pays nothing.
fn lower<'a>(look: &mut Look<'_>, path: &[&str], rows: impl Iterator<Item = (String, &'a [Rate])>) {
    let mut before: Option<(String, &[Rate])> = None;
    for (rank, rates) in rows {
        let falls = |low: &[Rate]| {
            let rate = |level: usize| rates.get(level).copied().unwrap_or(Rate::ZERO);
            low.iter().enumerate().position(|(level, low)| rate(level) < *low)
        };
        if let Some((low, level)) =
            before.as_ref().and_then(|(low, rates)| Some((low, falls(rates)?)))
        {
            let level = level.saturating_add(1);
            let what = format!("has a lower rate at level {level}");
            warn(look, path, &rank, &what, low);
        }
        before = Some((rank, rates));
    }
}

fn falling<T: PartialOrd>(
    look: &mut Look<'_>,
    path: &[&str],
    what: &str,
    rows: impl Iterator<Item = (String, T)>,
) {
    let mut before: Option<(String, T)> = None;
    for (rank, value) in rows {
        if let Some((low, _)) = before.as_ref().filter(|(_, low)| value < *low) {
            warn(look, path, &rank, what, low);
        }
        before = Some((rank, value));
    }
}

fn warn(look: &mut Look<'_>, path: &[&str], rank: &str, what: &str, low: &str) {
    let message = format!("{rank} {what} than {low} below it");
    let fix = "swap the two, if that is not meant: who rises would get less";
    look.tell(Severity::Warning, path, ("higher_rank_gets_less", message, fix));
}
