//! What is wrong with the cases of a plan, in its file or beside it. Whether they hold, `plan test` tells.

use super::{Finding, Report, Severity};
use crate::domain::{
    golden,
    plan::{
        Plan,
        case::{CaseFileError, Cases},
        read,
    },
};

/// Looks at a file of cases beside a plan.
pub fn lint_cases(text: &str, plan: &Plan) -> Report {
    let cases = Cases::parse_beside(text).map(|(_, cases)| cases);
    let mut findings = look(text, plan, cases);
    findings.sort_by_key(|finding| (finding.severity, finding.line));
    Report { plan: Some(plan.reference.clone()), findings, worst: None, cliffs: Vec::new() }
}

/// Looks at the cases in a plan's own file.
pub(super) fn of_plan(text: &str, plan: &Plan) -> Vec<Finding> {
    look(text, plan, Cases::parse(text))
}

fn look(text: &str, plan: &Plan, cases: Result<Cases, CaseFileError>) -> Vec<Finding> {
    let cases = match cases {
        Ok(cases) => cases,
        Err(error) => return vec![unreadable(text, &error)],
    };
    let wrong = |severity, rule, line, message: &str, fix: &str| Finding {
        severity,
        rule,
        line,
        component: None,
        field: "case".into(),
        message: message.to_owned(),
        fix: fix.to_owned(),
    };
    let mut findings: Vec<Finding> = Vec::new();
    for unusable in golden::unusable(plan, &cases) {
        let (message, fix) =
            unusable.problem().split_once(": ").unwrap_or_else(|| (unusable.problem(), ""));
        findings.push(wrong(Severity::Error, "case_unusable", unusable.line(), message, fix));
    }
    for order in cases.iter().flat_map(|case| &case.get_ref().orders) {
        let lines = order.get_ref().lines.iter();
        for class in lines.map(|line| &line.class).filter(|class| !plan.pays_for(class)) {
            let message = format!("no component has a rate for class {class}");
            let fix = "name a class of the plan, if it is not meant to earn nothing";
            let line = cases.line(order);
            findings.push(wrong(Severity::Warning, "case_class_unrated", line, &message, fix));
        }
    }
    findings
}

fn unreadable(text: &str, error: &CaseFileError) -> Finding {
    let (line, field, message) = match error {
        CaseFileError::Syntax(syntax) => {
            let start = syntax.span().map_or(0, |span| span.start);
            let line = text.get(..start).unwrap_or_default().matches('\n').count();
            let field = read::around(text, start).field;
            (line.saturating_add(1), field, syntax.message().to_owned())
        }
        CaseFileError::TooMany { line, .. } | CaseFileError::Repeated { line, .. } => {
            let message = error.to_string();
            let message = message.strip_prefix(&format!("line {line}: ")).map(str::to_owned);
            (*line, "case".into(), message.unwrap_or_else(|| error.to_string()))
        }
    };
    let (severity, rule) = (Severity::Error, "case_unreadable");
    Finding { severity, rule, line, component: None, field, message, fix: String::new() }
}
