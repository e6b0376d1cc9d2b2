//! `upline plan lint`: findings of plan files.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::{super::output, read};
use crate::domain::{
    money::Rate,
    plan::{
        Plan,
        case::Cases,
        lint::{Finding, Report, lint, lint_cases},
    },
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The plan files; of a file of cases beside a plan the cases are looked at.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Warns where a plan can cost more of the sales than this, such as "60 %".
    #[arg(long, value_parser = Rate::parse)]
    limit: Option<Rate>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// What was found in a file.
#[derive(Serialize)]
struct File {
    file: String,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut files = Vec::new();
    for path in &arguments.files {
        let text = read(path)?;
        let report = if Cases::stand_beside(&text) {
            beside(path, &text)?
        } else {
            lint(&text, arguments.limit)
        };
        files.push(File { file: path.display().to_string(), report });
    }
    if arguments.json {
        output::line(&serde_json::to_string_pretty(&files)?);
    } else {
        for file in &files {
            output::line(text(file).trim_end());
        }
    }
    let failed = files.iter().any(|file| file.report.failed());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What was found in a file of cases, with the plan that it names.
fn beside(path: &Path, text: &str) -> anyhow::Result<Report> {
    let named = || path.display().to_string();
    let (plan, _) = Cases::parse_beside(text).with_context(named)?;
    let file = path.parent().unwrap_or_else(|| Path::new(".")).join(&*plan);
    let plan = Plan::parse(&read(&file)?).with_context(|| file.display().to_string())?;
    Ok(lint_cases(text, &plan))
}

/// A finding as a line, and what to do below it.
pub(in crate::cli) fn finding(file: &str, finding: &Finding) -> String {
    let component = finding.component.as_ref().map(|id| format!("component {id}, "));
    let field = match &*finding.field {
        "" => String::new(),
        field => format!("`{field}`: "),
    };
    let (severity, component) = (finding.severity.as_str(), component.unwrap_or_default());
    let mut text = format!(
        "{file}:{}: {severity}: {component}{field}{} ({})\n",
        finding.line, finding.message, finding.rule
    );
    if !finding.fix.is_empty() {
        text.push_str(&format!("    {}\n", finding.fix));
    }
    text
}

fn text(file: &File) -> String {
    let (name, report) = (&file.file, &file.report);
    let mut text: String = report.findings.iter().map(|f| finding(name, f)).collect();
    let Some(plan) = &report.plan else {
        text.push_str(&format!("{name}: this is no plan yet\n"));
        return text;
    };
    if report.findings.is_empty() {
        text.push_str(&format!("{name}: nothing found\n"));
    }
    if let Some(worst) = &report.worst {
        let head = format!("\n{} version {} costs at most, of a sale:\n", plan.id, plan.version);
        text.push_str(&head);
        let mut rows: Vec<Vec<String>> = Vec::new();
        for part in &worst.parts {
            rows.push(vec![
                part.component.to_string(),
                part.kind.to_owned(),
                part.in_words(),
                part.assumption.clone(),
            ]);
        }
        let total = vec!["all together".into(), String::new(), worst.total_in_words()];
        let class = worst.class.as_ref().map(|class| format!("class {class}; "));
        let taken = format!("{}{}", class.unwrap_or_default(), worst.assumption);
        rows.push([total, vec![taken]].concat());
        text.push_str(&output::table(&["component", "kind", "at most", "taken to be"], &rows));
    }
    if !report.cliffs.is_empty() {
        text.push_str("\nwhere one more point is worth a jump, with as much CV as points, the largest first:\n");
        for cliff in report.cliffs.iter().take(CLIFFS) {
            text.push_str(&format!(
                "  {}, at {}: {} more ({})\n",
                cliff.component,
                cliff.at,
                output::amount(cliff.jump),
                cliff.because
            ));
        }
    }
    text
}

/// How many jumps are shown; JSON has all.
const CLIFFS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = include_str!("../../../pipelines/plans/sample.toml");

    fn shown(plan: &str, limit: Option<&str>) -> String {
        let limit = limit.map(|limit| Rate::parse(limit).unwrap());
        text(&File { file: "plan.toml".to_owned(), report: lint(plan, limit) })
    }

    #[test]
    fn the_sample_plan_has_no_error_and_its_cost_is_the_sum_of_its_rates() {
        let text = shown(PLAN, None);
        assert!(!text.contains("error"), "{text}");
        let total = text.lines().find(|line| line.contains("all together")).unwrap();
        assert!(
            total.contains("34 %") && total.contains("class wellness"),
            "12 % direct and 22 % unilevel of wellness: {total}"
        );
    }

    #[test]
    fn a_finding_names_the_file_the_line_and_the_way_out() {
        let text = shown(&PLAN.replacen("compression = \"roll_up\"\n", "", 1), None);
        let line = text.lines().next().unwrap();
        assert!(line.starts_with("plan.toml:"), "{line}");
        assert!(line.contains("error: component unilevel, `compression`"), "{line}");
        assert!(text.contains("skip_below_rank"), "the words that there are: {text}");
    }

    #[test]
    fn a_limit_warns_of_a_plan_that_costs_more() {
        assert!(shown(PLAN, Some("30 %")).contains("above the limit of 30 %"));
        assert!(!shown(PLAN, Some("34 %")).contains("above the limit"));
    }

    fn code(files: Vec<PathBuf>) -> String {
        format!("{:?}", run(&Arguments { files, limit: None, json: false }).unwrap())
    }

    #[test]
    fn the_folder_of_plans_is_in_order_with_its_cases_and_a_wrong_case_is_an_error() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/plans");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = files.collect();
        let cases = files.iter().find(|file| file.ends_with("sample.cases.toml")).unwrap().clone();
        assert_eq!(code(files), format!("{:?}", ExitCode::SUCCESS));
        let text = std::fs::read_to_string(&cases).unwrap();
        let who = text.find("sponsor = \"").unwrap() + "sponsor = \"".len();
        let wrong = format!("{}x{}", &text[..who], &text[who..]);
        let report = beside(&cases, &wrong).unwrap();
        assert!(report.failed() && report.findings[0].rule == "case_unusable", "{report:?}");
    }
}
