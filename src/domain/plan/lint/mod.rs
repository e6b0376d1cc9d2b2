//! What is wrong or doubtful in a plan file, and what the plan can cost: found from the text alone.
//!
//! Everything that keeps a file from being a plan is an error, and all of them are told at once: also
//! every choice that the file leaves open. A plan that can be read is then looked at as a whole: ranks
//! that nobody reaches, parts that do nothing, an order of evaluation that surely was not meant.

mod cliff;
mod compare;
mod defaults;
mod ranks;
mod stated;
mod tables;
mod worst;

use serde::Serialize;

pub use self::{
    cliff::Cliff,
    compare::{Change, Comparison, compare},
    worst::{Part, Worst, worst_case},
};
use super::{
    Component, Plan, PlanError, PlanRef, Problem,
    read::{self, place},
};
use crate::domain::{id::ComponentId, money::Rate};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is no plan, or it says something that cannot be.
    Error,
    /// It can be computed, but is hardly what was meant.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Something in a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that found it, a word that stays the same.
    pub rule: &'static str,
    /// The line, from 1 on.
    pub line: usize,
    /// The component, if it is in one.
    pub component: Option<ComponentId>,
    /// The path of the field; empty if it is about all of an entry.
    pub field: Box<str>,
    /// What is the matter.
    pub message: String,
    /// What to do; empty if the message says it.
    pub fix: String,
}

/// What was found in a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The plan, if it can be read.
    pub plan: Option<PlanRef>,
    /// The findings, errors first, then by line.
    pub findings: Vec<Finding>,
    /// What the plan costs at most, if it can be read.
    pub worst: Option<Worst>,
    /// Where one more point is worth a jump, the largest first.
    pub cliffs: Vec<Cliff>,
}

impl Report {
    /// Whether there is an error.
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// The most findings that are told of one file.
const MAX_FINDINGS: usize = 500;

/// Looks at a plan file. With a limit, a plan that can cost more of the sales is a warning.
pub fn lint(text: &str, limit: Option<Rate>) -> Report {
    let mut report = match read::all(text) {
        Ok(plan) => whole(text, &plan, limit),
        Err((first, others)) => {
            let open = stated::open(text);
            let errors = std::iter::once(first).chain(others);
            let told = errors.filter(|error| !stated::tells(&open, error));
            let mut findings: Vec<Finding> = told.map(|error| unreadable(text, &error)).collect();
            findings.extend(open);
            Report { plan: None, findings, worst: None, cliffs: Vec::new() }
        }
    };
    report.findings.sort_by_key(|finding| (finding.severity, finding.line));
    report.findings.truncate(MAX_FINDINGS);
    report
}

fn whole(text: &str, plan: &Plan, limit: Option<Rate>) -> Report {
    let mut look = Look { text, plan, findings: Vec::new() };
    ranks::look(&mut look);
    tables::look(&mut look);
    let worst = worst_case(plan);
    look.idle(&worst);
    look.costs(&worst, limit);
    Report {
        plan: Some(plan.reference.clone()),
        findings: look.findings,
        worst: Some(worst),
        cliffs: cliff::cliffs(plan),
    }
}

/// A look at a plan as a whole.
struct Look<'a> {
    text: &'a str,
    plan: &'a Plan,
    findings: Vec<Finding>,
}

impl Look<'_> {
    /// Tells something about a place: the keys on the way to it, and the rule, what, and the way out.
    fn tell(
        &mut self,
        severity: Severity,
        path: &[&str],
        (rule, message, fix): (&'static str, String, &str),
    ) {
        let component = match path {
            ["component", index, ..] => {
                let found = index.parse().ok().and_then(|at: usize| self.plan.components.get(at));
                found.map(|component| component.id().clone())
            }
            _ => None,
        };
        let place = place(self.text, path, component);
        self.findings.push(Finding {
            severity,
            rule,
            line: place.line,
            component: place.component,
            field: place.field,
            message,
            fix: fix.to_owned(),
        });
    }

    /// The components with their number in the file, as the path to them has it.
    fn components(&self) -> impl Iterator<Item = (String, &Component)> {
        let numbered = self.plan.components.iter().enumerate();
        numbered.map(|(index, component)| (index.to_string(), component))
    }

    /// Components that can never pay anything.
    fn idle(&mut self, worst: &Worst) {
        for (index, part) in worst.parts.iter().enumerate() {
            if part.of_sales.is_some_and(|share| share.is_zero()) {
                let message = "whoever qualifies, it never pays anything".to_owned();
                let fix = "give it rates and a conversion above 0, or drop it";
                let path = ["component", &index.to_string()];
                self.tell(Severity::Warning, &path, ("pays_nothing", message, fix));
            }
        }
    }

    fn costs(&mut self, worst: &Worst, limit: Option<Rate>) {
        let Some(limit) = limit else { return };
        let limit = limit.as_decimal();
        if worst.total > limit {
            let message = format!(
                "the plan can cost {} of the sales, above the limit of {}",
                worst::percent(worst.total),
                worst::percent(limit)
            );
            let fix = "lower rates, or put a [[cap]] `per = \"company\"` over the components";
            self.tell(Severity::Warning, &["component"], ("above_limit", message, fix));
        }
        for part in worst.parts.iter().filter(|part| part.open && part.of_sales.is_some()) {
            let index = self.plan.components.iter().position(|c| *c.id() == part.component);
            let index = index.unwrap_or_default().to_string();
            let message = format!(
                "nothing in the plan bounds what all together earn on a sale here: {}",
                part.assumption
            );
            let fix = "put a [[cap]] `per = \"company\"` after it that counts it";
            self.tell(Severity::Warning, &["component", &index], ("unbounded", message, fix));
        }
    }
}

/// What a reason for a file to be no plan looks like as a finding.
fn unreadable(text: &str, error: &PlanError) -> Finding {
    let line_at = |start: usize| {
        text.get(..start).unwrap_or_default().matches('\n').count().saturating_add(1)
    };
    let (line, component, field, message) = match error {
        PlanError::Syntax(syntax) => {
            let start = syntax.span().map_or(0, |span| span.start);
            (line_at(start), None, Box::from(""), syntax.message().to_owned())
        }
        PlanError::Repeated(id) => {
            let quoted = format!("\"{id}\"");
            let mut places = text.match_indices(&quoted).map(|(start, _)| start);
            let start = places.nth(1).unwrap_or_default();
            let message = format!("two components or caps are called {id}: give one another `id`");
            (line_at(start), Some(id.clone()), "id".into(), message)
        }
        PlanError::NoRates(place) => {
            let (place, message) = (place.clone(), Problem::NoRates.to_string());
            (place.line, place.component, place.field, message)
        }
        PlanError::Field { place, problem } => {
            let message = problem.to_string();
            let named = place.component.as_ref().map(|id| format!("component {id}: "));
            let message = named.and_then(|named| message.strip_prefix(&named).map(str::to_owned));
            let message = message.unwrap_or_else(|| problem.to_string());
            (place.line, place.component.clone(), place.field.clone(), message)
        }
    };
    let (message, fix) = match message.split_once(": ") {
        Some((message, fix)) => (message.to_owned(), fix.to_owned()),
        None => (message, String::new()),
    };
    let severity = Severity::Error;
    Finding { severity, rule: "unreadable", line, component, field, message, fix }
}

#[cfg(test)]
mod tests;
