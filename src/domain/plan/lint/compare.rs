//! What differs between two plan files, in words.

use std::{collections::BTreeSet, fmt};

use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    defaults::filled,
    worst::{Worst, percent, worst_case},
};
use crate::domain::{
    money::Rate,
    plan::{Plan, PlanError, by_rank::names, pairs::Binary},
};

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The section, or the entry by its id: `plan`, `volumes`, `rank gold`, `component direct`.
    pub section: String,
    /// The field by its path; empty where all of the entry is meant.
    pub field: String,
    /// What stood there; none if nothing did.
    pub before: Option<String>,
    /// What stands there; none if nothing does.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.section)?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(f, ": {before} becomes {after}"),
            (Some(before), None) if before.is_empty() => f.write_str(": removed"),
            (None, Some(after)) if after.is_empty() => f.write_str(": added"),
            (Some(before), None) => write!(f, ": {before} is dropped"),
            (None, Some(after)) => write!(f, ": {after} is new"),
            (None, None) => Ok(()),
        }
    }
}

/// What differs between two versions of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether the second can follow the first: it is a higher version of one plan, from a later time on.
    pub follows: bool,
    /// Why the second cannot follow the first, then what is to be known before it does, such as what it would not take over.
    pub warnings: Vec<String>,
    /// What differs, section by section.
    pub changes: Vec<Change>,
    /// What each costs at most.
    pub worst: [Worst; 2],
    /// By how much the total of the worst case rises, as a fraction of the sales in words.
    pub worst_change: String,
}

/// Compares two plan files. Which of them cannot be read says the number, 0 or 1.
pub fn compare(before: &str, after: &str) -> Result<Comparison, (usize, PlanError)> {
    let old = Plan::parse(before).map_err(|error| (0, error))?;
    let new = Plan::parse(after).map_err(|error| (1, error))?;
    // What could be read as a plan is a table.
    let file = |text: &str| filled(toml::from_str(text).unwrap_or_default());
    let mut changes = Vec::new();
    files(&file(before), &file(after), &mut changes);
    let worst = [worst_case(&old), worst_case(&new)];
    let [low, high] = &worst;
    let difference = high.total.saturating_sub(low.total);
    let sign = if difference > Decimal::ZERO { "+" } else { "" };
    let worst_change = format!("{sign}{}", percent(difference));
    let mut warnings = refusals(&old, &new);
    let follows = warnings.is_empty();
    warnings.extend(effects(&old, &new));
    Ok(Comparison { follows, warnings, changes, worst, worst_change })
}

/// Why the new plan cannot follow the old one.
fn refusals(old: &Plan, new: &Plan) -> Vec<String> {
    let (before, after) = (&old.reference, &new.reference);
    let mut warnings = Vec::new();
    if before.id != after.id {
        warnings.push(format!(
            "the ids differ, {} and {}: these are two plans, not two versions of one",
            before.id, after.id
        ));
    }
    if after.version <= before.version {
        warnings.push(format!(
            "the version is not raised: {} after {}. A version that orders have used is never \
             changed: give the new one a higher `version`",
            after.version, before.version
        ));
    }
    if new.effective_from <= old.effective_from {
        warnings.push(format!(
            "`effective_from` is not later: {} after {}. The new version would hold for orders that \
             the old one was in force for",
            new.effective_from, old.effective_from
        ));
    }
    warnings
}

/// What a binary loses that the new version changes at its root: a close goes on from the one before only if
/// both had the same binary on the same tree and volume, paid in the same currency.
fn begins_anew(then: &Binary, old: &Plan, new: &Plan) -> Option<String> {
    let id = &then.id;
    let lost = "what its legs carry lapses with the first close under the new version, and what comes back of \
                periods closed before is not un-paired";
    let Some(now) = new.binaries().find(|now| now.id == *id) else {
        return Some(format!("binary {id} is gone, under this id at least: {lost}"));
    };
    let changed = [
        ("tree", then.tree != now.tree),
        ("volume", then.volume != now.volume),
        ("currency", old.currency != new.currency),
    ];
    let changed: Vec<&str> =
        changed.into_iter().filter_map(|(what, is)| is.then_some(what)).collect();
    let what = changed.join(" and ");
    (!changed.is_empty()).then(|| format!("binary {id} begins anew, as its {what} changes: {lost}"))
}

/// What a new version changes beyond the figures.
fn effects(old: &Plan, new: &Plan) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.reference.id == new.reference.id {
        warnings.extend(old.binaries().filter_map(|then| begins_anew(then, old, new)));
    }
    warnings.extend(new.midway().map(|midway| midway.to_string()));
    if let Some((before, after)) = old.currency.zip(new.currency).filter(|(b, a)| b != a) {
        warnings.push(format!(
            "the currency changes from {before} to {after}: every amount of the plan is in {after} from \
             then on. A plan that has closed a period keeps its currency: the books refuse another"
        ));
    }
    let zone = |plan: &Plan| plan.period.as_ref().map(|p| String::from(p.time_zone.clone()));
    if let Some((before, after)) = zone(old).zip(zone(new)).filter(|(b, a)| b != a) {
        warnings.push(format!(
            "the time zone changes from {before} to {after}: periods begin at another instant, so see \
             that the last of the old and the first of the new leave no gap"
        ));
    }
    let ranks = |plan: &Plan| names(&plan.ranks).skip(1).map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (ranks(old), ranks(new));
    for (index, rank) in before.iter().enumerate().filter(|(_, rank)| !after.contains(rank)) {
        let renamed =
            after.get(index).filter(|name| before.len() == after.len() && !before.contains(name));
        let instead =
            renamed.map(|name| format!(", {name} stands in its place")).unwrap_or_default();
        warnings.push(format!(
            "rank {rank} is no more{instead}: who holds it by earlier closes or by hand has no rank of \
             that name"
        ));
    }
    warnings
}

/// The lists whose entries have an id or a name.
const LISTS: [&str; 4] = ["rank", "component", "cap", "case"];

/// The sections that are tables, in the order of a file.
const SECTIONS: [&str; 4] = ["volumes", "activity", "ladder", "period"];

pub(super) fn files(
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    let named = |key: &str| SECTIONS.contains(&key) || LISTS.contains(&key);
    let head = |file: &Map<String, Value>| -> Map<String, Value> {
        let own = file.iter().filter(|(key, _)| !named(key));
        own.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    tables("plan", "", (&head(before), &head(after)), changes);
    for section in SECTIONS {
        entry(section, before.get(section), after.get(section), changes);
    }
    for list in LISTS {
        let (before, after) = (entries(before, list), entries(after, list));
        let both = |(id, _): &&(String, &Value), other: &[(String, &Value)]| {
            other.iter().any(|(known, _)| known == id)
        };
        for (id, value) in &before {
            let found = after.iter().find(|(known, _)| known == id).map(|(_, value)| *value);
            entry(&format!("{list} {id}"), Some(value), found, changes);
        }
        for (id, value) in after.iter().filter(|entry| !both(entry, &before)) {
            entry(&format!("{list} {id}"), None, Some(value), changes);
        }
        let order = |one: &[(String, &Value)], other: &[(String, &Value)]| -> Vec<String> {
            one.iter().filter(|entry| both(entry, other)).map(|(id, _)| id.clone()).collect()
        };
        let orders = (order(&before, &after), order(&after, &before));
        if orders.0 != orders.1 {
            changes.push(Change {
                section: format!("{list}s"),
                field: "order".to_owned(),
                before: Some(orders.0.join(", ")),
                after: Some(orders.1.join(", ")),
            });
        }
    }
}

/// The entries of a list by their id, cases by their name.
fn entries<'a>(file: &'a Map<String, Value>, list: &str) -> Vec<(String, &'a Value)> {
    let entries = file.get(list).and_then(Value::as_array).into_iter().flatten();
    let id = |entry: &'a Value| {
        let id = entry.get("id").or_else(|| entry.get("name"));
        let id = id.and_then(Value::as_str).unwrap_or_default();
        (id.trim().to_owned(), entry)
    };
    entries.map(id).collect()
}

/// An entry or a section.
fn entry(section: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    let whole = |there: bool| there.then(String::new);
    match (before, after) {
        (Some(before), Some(after)) => values(section, "", before, after, changes),
        (None, None) => {}
        (before, after) => changes.push(Change {
            section: section.to_owned(),
            field: String::new(),
            before: whole(before.is_some()),
            after: whole(after.is_some()),
        }),
    }
}

fn tables(
    section: &str,
    field: &str,
    (before, after): (&Map<String, Value>, &Map<String, Value>),
    changes: &mut Vec<Change>,
) {
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys {
        let inner = if field.is_empty() { key.clone() } else { format!("{field}.{key}") };
        match (before.get(key), after.get(key)) {
            (Some(before), Some(after)) => values(section, &inner, before, after, changes),
            (before, after) => changes.push(Change {
                section: section.to_owned(),
                field: inner,
                before: before.map(words),
                after: after.map(words),
            }),
        }
    }
}

fn values(section: &str, field: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            tables(section, field, (before, after), changes);
        }
        (Value::Array(one), Value::Array(other)) => {
            let plain = !one.iter().chain(other).any(|item| item.is_object() || item.is_array());
            let short = one.len().max(other.len()) == 1;
            if let Some(key) = keyed(one, other) {
                by_key(section, field, key, (one, other), changes);
            } else if plain && names_only(one, other) {
                by_name(section, field, (one, other), changes);
            } else if plain && short {
                differ(section, field, before, after, changes);
            } else {
                by_place(section, field, (one, other), changes);
            }
        }
        (before, after) => differ(section, field, before, after, changes),
    }
}

/// The field that tells the rows of a table apart, if there is one.
fn keyed(one: &[Value], other: &[Value]) -> Option<&'static str> {
    let tells = |key: &&str| {
        let all = |rows: &[Value]| {
            let keys: Vec<Option<&Value>> = rows.iter().map(|row| row.get(*key)).collect();
            let twice = |at: usize| {
                keys.iter().take(at).any(|key| Some(key) == keys.get(at).as_ref().copied())
            };
            let objects = rows.iter().all(Value::is_object);
            objects && !(0..keys.len()).any(twice)
        };
        one.iter().chain(other).any(|row| row.get(*key).is_some()) && all(one) && all(other)
    };
    ["from", "active_legs", "id", "first", "rank"].into_iter().find(tells)
}

/// Rows of a table: by what they begin at.
fn by_key(
    section: &str,
    field: &str,
    key: &str,
    (one, other): (&[Value], &[Value]),
    changes: &mut Vec<Change>,
) {
    let of = |row: &Value| row.get(key).cloned();
    let same_key = |row: &Value, other: &Value| match (of(row), of(other)) {
        (Some(one), Some(other)) => same(&one, &other),
        (one, other) => one == other,
    };
    let inner = |row: &Value| {
        let begins = of(row).as_ref().map_or_else(|| "without it".to_owned(), words);
        format!("{field} {key} {begins}")
    };
    for row in one {
        match other.iter().find(|other| same_key(row, other)) {
            Some(found) => values(section, &inner(row), row, found, changes),
            None => changes.push(change(section, inner(row), Some(row), None)),
        }
    }
    for row in other.iter().filter(|row| !one.iter().any(|other| same_key(row, other))) {
        changes.push(change(section, inner(row), None, Some(row)));
    }
}

/// Whether a list holds names, not figures of levels.
fn names_only(one: &[Value], other: &[Value]) -> bool {
    let name = |item: &Value| {
        item.as_str().is_some_and(|text| text.starts_with(|first: char| first.is_alphabetic()))
    };
    one.iter().chain(other).all(name)
}

/// A list of names: what is new and what is dropped, wherever it stands.
fn by_name(
    section: &str,
    field: &str,
    (one, other): (&[Value], &[Value]),
    changes: &mut Vec<Change>,
) {
    for item in one.iter().filter(|item| !other.contains(item)) {
        changes.push(change(section, field.to_owned(), Some(item), None));
    }
    for item in other.iter().filter(|item| !one.contains(item)) {
        changes.push(change(section, field.to_owned(), None, Some(item)));
    }
}

/// Levels: by their place, from 1 on.
fn by_place(
    section: &str,
    field: &str,
    (one, other): (&[Value], &[Value]),
    changes: &mut Vec<Change>,
) {
    for index in 0..one.len().max(other.len()) {
        let inner = format!("{field} {}", index.saturating_add(1));
        match (one.get(index), other.get(index)) {
            (Some(before), Some(after)) => values(section, &inner, before, after, changes),
            (before, after) => changes.push(change(section, inner, before, after)),
        }
    }
}

fn change(section: &str, field: String, before: Option<&Value>, after: Option<&Value>) -> Change {
    let (before, after) = (before.map(words), after.map(words));
    Change { section: section.to_owned(), field, before, after }
}

fn differ(section: &str, field: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    if !same(before, after) {
        changes.push(Change {
            section: section.to_owned(),
            field: field.to_owned(),
            before: Some(words(before)),
            after: Some(words(after)),
        });
    }
}

/// Whether two values say the same: `"5 %"` is `"0.05"`, and `"500.00"` is `"500"`.
fn same(before: &Value, after: &Value) -> bool {
    let number = |value: &Value| {
        let text = value.as_str()?.trim();
        let rate = || Rate::parse(text).ok().map(Rate::as_decimal);
        Decimal::from_str_exact(text).ok().or_else(rate)
    };
    match (number(before), number(after)) {
        (Some(before), Some(after)) => before == after,
        _ => before == after,
    }
}

/// A value as a file writes it.
fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
