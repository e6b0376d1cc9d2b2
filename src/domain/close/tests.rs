//! The worked numbers of the field.

mod brackets;
mod generations;
mod levels;
mod money;
mod ranks;
mod withheld;

use super::{population::tests::people, *};
use crate::domain::plan::close::CloseParts;

const BASE: &str = r#"
    volumes.qv = { source = "net", rate = "1" }
    volumes.cv = { source = "net", rate = "1" }
    volumes.pv = "qv"
    volumes.group = "pv"
    volumes.retail_orders = "referrer"
    volumes.conversion = "1"
    volumes.negative_volume = "carry"
    activity = { pv = "1", look_back = 1, window = "any_period", active_leg = "frontline" }
    ladder = { reach = "highest_met", leg_rank = "paid_as", leader = "silver" }
"#;

const YOUNG_LIVING: &str = r#"
    rank = [
        { id = "star", active = true, pv = "100", gv = "500" },
        { id = "senior-star", active = true, pv = "100", gv = "2000" },
        { id = "executive", active = true, pv = "100", gv = "4000", legs = [{ count = 2, gv = "1000" }] },
        { id = "silver", active = true, pv = "100", gv = "10000", pgv = "1000", legs = [{ count = 2, gv = "4000" }] },
        { id = "gold", active = true, pv = "100", gv = "35000", pgv = "1000", legs = [{ count = 3, gv = "6000" }] },
        { id = "platinum", active = true, pv = "100", gv = "100000", pgv = "1000", legs = [{ count = 4, gv = "8000" }] },
        { id = "diamond", active = true, pv = "100", gv = "250000", pgv = "1000", legs = [{ count = 5, gv = "15000" }] },
        { id = "crown", active = true, pv = "100", gv = "750000", pgv = "1000", legs = [{ count = 6, gv = "20000" }] },
        { id = "royal-crown", active = true, pv = "100", gv = "1500000", pgv = "1000", legs = [{ count = 6, gv = "35000" }] },
    ]
"#;

/// A plan of the base and more TOML.
fn plan(more: &str) -> ClosePlan {
    plan_of(&format!("{BASE}\n{more}"))
}

fn plan_of(text: &str) -> ClosePlan {
    let parts: CloseParts = toml::from_str(text).unwrap();
    ClosePlan::new(parts, Rounding::HalfEven, Currency::parse("EUR").unwrap()).unwrap()
}

/// A population of who has which sponsor and which volume: PV, QV and CV are one.
fn population(members: &[(u32, i32)]) -> Population {
    let sponsor: Vec<u32> = members.iter().map(|(sponsor, _)| *sponsor).collect();
    let volume: Vec<Volume> = members.iter().map(|(_, v)| Volume::points(*v)).collect();
    let mut columns = people(&sponsor);
    columns.pv.clone_from(&volume);
    columns.qv.clone_from(&volume);
    columns.cv = volume;
    Population::new(&columns).unwrap()
}

fn component(id: &str) -> ComponentId {
    ComponentId::parse(id).unwrap()
}

fn money(text: &str) -> Money {
    Money::parse(text).unwrap()
}

/// What a component pays everybody, by member number.
fn paid(close: &Close, population: &Population, id: &str) -> Vec<String> {
    let all = population.positions();
    all.map(|member| close.paid(&component(id), population, member).to_string()).collect()
}

/// The rank that a member is paid as.
fn rank(plan: &ClosePlan, close: &Close, population: &Population, member: u32) -> String {
    let story = close.explain(plan, population, member).unwrap();
    story.paid_as.map(|rank| rank.to_string()).unwrap_or_default()
}

fn closed(plan: &ClosePlan, population: &Population) -> Close {
    evaluate(plan, population, &Inputs::default()).unwrap()
}

fn unpaid(plan: &ClosePlan, close: &Close, population: &Population, member: u32) -> Option<Unpaid> {
    close.explain(plan, population, member).unwrap().components.remove(0).unpaid
}

const SILVER: &str = "rank = [{ id = \"silver\", active = false, pv = \"100\" }]\n";
