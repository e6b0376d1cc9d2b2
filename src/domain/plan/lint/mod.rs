//! What is wrong or doubtful in a plan file, and what the plan can cost: found from the text alone.
//!
//! Everything that keeps a file from being a plan is an error, and all of them are told at once: also
//! every choice that the file leaves open. A plan that can be read is then looked at as a whole: ranks
//! that nobody reaches, parts that do nothing, an order of evaluation that surely was not meant.

mod cases;
mod cliff;
mod compare;
mod defaults;
mod figures;
mod leaf;
mod ranks;
mod rising;
mod stated;
mod tables;
mod worst;

use rust_decimal::Decimal;
use serde::Serialize;

pub use self::{
    cases::lint_cases,
    cliff::Cliff,
    compare::{Change, Comparison, compare},
    worst::{Part, Worst, worst_case},
};
use super::{
    Component, Plan, PlanError, PlanRef, Problem,
    close::ClosePlanError,
    pairs::PairsError,
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

/// Looks at a plan file. With a limit, a plan that can cost more of the sales is a warning; without one, a
/// plan that can cost more than all of them is an error.
pub fn lint(text: &str, limit: Option<Rate>) -> Report {
    let mut report = match read::all(text) {
        Ok(plan) => whole(text, &plan, limit),
        Err(errors) => {
            let (first, others) = *errors;
            let open = stated::open(text);
            let errors = std::iter::once(first).chain(others);
            let errors = errors.map(|error| (unreadable(text, &error), error));
            let told = errors.filter(|(told, error)| !stated::tells(&open, error, told.line));
            let mut findings: Vec<Finding> = told.map(|(told, _)| told).collect();
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
    figures::look(&mut look);
    rising::look(&mut look);
    look.start();
    // The plan is one, so what is not of its shape stands in a case; it is told once, by its field.
    let open = stated::open(text);
    let wrong = |f: &Finding, line| f.severity == Severity::Error && line == f.line;
    let mut cases = cases::of_plan(text, plan);
    cases.retain(|case| match case.rule {
        "case_unreadable" => open.iter().all(|found| found.severity != Severity::Error),
        _ => !open.iter().any(|found| wrong(found, case.line)),
    });
    look.findings.extend(open);
    look.findings.extend(cases);
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

    /// A version after another that holds for orders before it closes a period.
    fn start(&mut self) {
        let Some(midway) = self.plan.midway().filter(|midway| midway.edition.version > 1) else {
            return;
        };
        let (start, next) = (midway.period.start, midway.next);
        let fix = format!("let `effective_from` be {start} or {next}, if that is not meant");
        let told = ("begins_within_period", midway.to_string(), &*fix);
        self.tell(Severity::Warning, &["effective_from"], told);
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
        let Some(limit) = limit else {
            if worst.total > Decimal::ONE {
                let message =
                    format!("the plan can cost {}: more than is sold", worst::percent(worst.total));
                let fix = "look for rates that lack the sign %, or say `--limit` if it is meant";
                let path = ["component"];
                self.tell(Severity::Error, &path, ("above_all_sales", message, fix));
            }
            return;
        };
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
            let place = read::around(text, start);
            (line_at(start), place.component, place.field, syntax.message().to_owned())
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
    Finding { severity, rule: rule_of(error), line, component, field, message, fix }
}

/// The word for why a file is no plan.
fn rule_of(error: &PlanError) -> &'static str {
    let problem = match error {
        PlanError::Syntax(syntax) => {
            let starts = |start: &str| syntax.message().starts_with(start);
            return match () {
                () if starts("unknown variant") => "unknown_word",
                () if starts("invalid type") => "wrong_type",
                () if starts("missing field") => "unstated",
                () if starts("unknown field") => "unknown_field",
                () => "unreadable",
            };
        }
        PlanError::Repeated(_) => return "repeated_id",
        PlanError::NoRates(_) => return "no_rates",
        PlanError::Field { problem, .. } => problem,
    };
    let is = |close: fn(&ClosePlanError) -> bool| matches!(problem, Problem::Close(e) if close(e));
    let rank = matches!(problem, Problem::NoRanks | Problem::UnknownRank { .. });
    let component = matches!(problem, Problem::NotAUnilevel(_));
    let fine = matches!(problem, Problem::Pairs(PairsError::TooFine { .. }));
    let open = matches!(problem, Problem::Missing(_) | Problem::NoRequirements(_));
    let name = matches!(problem, Problem::RankName(_));
    match () {
        () if rank || is(|e| matches!(e, ClosePlanError::UnknownRank(_))) => "unknown_rank",
        () if component
            || is(|e| {
                matches!(e, ClosePlanError::NotBefore { .. } | ClosePlanError::CapAfter { .. })
            }) =>
        {
            "unknown_component"
        }
        () if matches!(problem, Problem::Kind(_)) => "unknown_kind",
        () if matches!(problem, Problem::RankMissing(_)) => "rank_missing",
        () if name || is(|e| matches!(e, ClosePlanError::Repeated(_))) => "repeated_id",
        () if open => "unstated",
        () if is(|e| matches!(e, ClosePlanError::Table { .. } | ClosePlanError::Row { .. })) => {
            "bad_table"
        }
        () if fine || is(|e| matches!(e, ClosePlanError::TooFine { .. })) => "too_fine",
        () => "does_not_hold",
    }
}

#[cfg(test)]
mod tests;
