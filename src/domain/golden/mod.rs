//! Golden cases at work: each is computed by the engines that compute the real thing, and what comes
//! out is held against what the plan's author expects.
//!
//! Nothing is computed here: the company of a case becomes the tree, the ranks, the placement and the
//! columns that the engines take ([`crate::domain::commission`], [`crate::domain::close`]), and their
//! lines are compared. A line that nobody named fails its case too, or a plan that pays too much would
//! pass.

mod activity;
mod company;
mod order;
mod pairs;
mod period;
mod places;
mod verify;

use serde::Serialize;
use toml::Spanned;

use self::{company::Company, verify::Report};
use super::{
    id::ComponentId,
    plan::{
        Plan,
        case::{Case, Cases},
    },
};

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The case.
    pub name: Box<str>,
    /// Where its figures come from.
    pub source: Box<str>,
    /// The line on which it begins.
    pub line: usize,
    /// What is not as expected; empty if it holds.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Whether the plan does what the case says.
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The line of the expectation; of what was computed where nothing was expected.
    pub line: usize,
    /// The order or the period: `order 1`, `period 2`.
    pub place: Box<str>,
    /// What it is about.
    pub about: String,
    /// What the case says.
    pub expected: String,
    /// What the plan does.
    pub got: String,
    /// How the engine came to it.
    pub why: Vec<String>,
}

/// Why a case cannot be computed: it is wrong in itself, or the plan has nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Unusable {
    /// The line.
    line: usize,
    problem: String,
}

impl Unusable {
    fn new(line: usize, problem: impl std::fmt::Display) -> Self {
        Self { line, problem: problem.to_string() }
    }
}

/// Computes the cases of a plan, or those of them that `wanted` is true of.
pub fn run(plan: &Plan, cases: &Cases, wanted: impl Fn(&Case) -> bool) -> Vec<Outcome> {
    let wanted = cases.iter().filter(|case| wanted(case.get_ref()));
    wanted.map(|case| outcome(plan, cases, case)).collect()
}

fn outcome(plan: &Plan, cases: &Cases, spanned: &Spanned<Case>) -> Outcome {
    let case = spanned.get_ref();
    let failures = compute(plan, cases, spanned).unwrap_or_else(|unusable| {
        vec![Failure {
            line: unusable.line,
            place: "case".into(),
            about: "it cannot be computed".to_owned(),
            expected: "a case that goes with the plan".to_owned(),
            got: unusable.problem,
            why: Vec::new(),
        }]
    });
    Outcome {
        name: case.name.clone(),
        source: case.source.clone(),
        line: cases.line(spanned),
        failures,
    }
}

fn compute(plan: &Plan, cases: &Cases, spanned: &Spanned<Case>) -> Result<Vec<Failure>, Unusable> {
    let case = spanned.get_ref();
    if case.orders.is_empty() && case.periods.is_empty() {
        let problem = "it computes nothing: give it [[case.order]] or [[case.period]]";
        return Err(Unusable::new(cases.line(spanned), problem));
    }
    let known = |id: &ComponentId| plan.components.iter().any(|component| component.id() == id);
    if let Some(other) = case.only.iter().find(|id| !known(id.get_ref())) {
        let problem = format!("`only` names {}, which the plan does not have", other.get_ref());
        return Err(Unusable::new(cases.line(other), problem));
    }
    let company = Company::new(plan, cases, case)?;
    let only: Vec<&ComponentId> = case.only.iter().map(Spanned::get_ref).collect();
    let report = Report::new(plan, cases, &company, &only);
    let mut failures = Vec::new();
    for (number, order) in (1..).zip(&case.orders) {
        failures.extend(order::compute(number, order, &company, &report)?);
    }
    failures.extend(period::compute(&case.periods, &company, &report)?);
    Ok(failures)
}

#[cfg(test)]
mod tests;
