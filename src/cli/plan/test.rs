//! `upline plan test`: computes the golden cases of plan files and tells what is not as expected.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use serde_json::json;

use super::{super::output, read};
use crate::domain::{
    golden::{self, Failure, Outcome},
    plan::{
        Plan,
        case::{Case, Cases},
    },
};

/// How a file of cases beside a plan ends: `sample.toml` has `sample.cases.toml`.
const BESIDE: &str = "cases.toml";

/// The options of `upline plan test`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Plan files. A file `NAME.cases.toml` beside `NAME.toml` is read with it, and may be named too.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only the cases whose name holds this text.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The cases of a file, and the plan that they prove.
struct Source {
    /// The file that the cases stand in.
    path: PathBuf,
    plan: Plan,
    cases: Cases,
}

/// What came of a file.
struct Proof {
    path: PathBuf,
    plan: String,
    outcomes: Vec<Outcome>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut known = BTreeSet::new();
    let (mut proofs, mut unproven) = (Vec::new(), Vec::new());
    for file in &arguments.files {
        // One file that proves nothing does not hide what the others prove.
        let sources = sources(file).unwrap_or_else(|error| {
            unproven.push(format!("{error:#}"));
            Vec::new()
        });
        for source in sources {
            if known.insert(source.path.clone()) {
                proofs.push(prove(source, arguments.case.as_deref()));
            }
        }
    }
    let count = proofs.iter().map(|proof| proof.outcomes.len()).sum::<usize>();
    for error in &unproven {
        output::error(&format!("error: {error}"));
    }
    if let Some(name) = arguments.case.as_ref().filter(|_| unproven.is_empty()) {
        ensure!(count > 0, "no case of these files has {name:?} in its name");
    }
    let failed = proofs.iter().flat_map(|proof| &proof.outcomes).filter(|o| !o.holds()).count();
    if arguments.json {
        output::line(&told(&proofs, failed, &unproven).to_string());
    } else {
        for proof in &proofs {
            output::line(&text(proof));
        }
        let cases = if count == 1 { "case" } else { "cases" };
        output::line(&format!("{count} {cases}, {failed} failed"));
    }
    Ok(if failed == 0 && unproven.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn prove(source: Source, name: Option<&str>) -> Proof {
    let Source { path, plan, cases } = source;
    let wanted = |case: &Case| name.is_none_or(|name| case.name.contains(name));
    let outcomes = golden::run(&plan, &cases, wanted);
    let plan = format!("{} version {}", plan.reference.id, plan.reference.version);
    Proof { path, plan, outcomes }
}

/// The cases that a file stands for: its own, and those of the file beside it. A plan without any is an
/// error: nothing would be proven.
fn sources(file: &Path) -> anyhow::Result<Vec<Source>> {
    let text = read(file)?;
    if Cases::stand_beside(&text) {
        return Ok(vec![beside(file, &text)?]);
    }
    let named = || format!("{}", file.display());
    let plan = Plan::parse(&text).with_context(named)?;
    let cases = Cases::parse(&text).with_context(named)?;
    let mut found = Vec::new();
    if !cases.is_empty() {
        found.push(Source { path: file.to_owned(), plan, cases });
    }
    let sibling = file.with_extension(BESIDE);
    if sibling.is_file() {
        let of = beside(&sibling, &read(&sibling)?)?;
        found.push(of);
    }
    if found.is_empty() {
        bail!(
            "{} has no case: write [[case]] into it, or into {} beside it",
            file.display(),
            sibling.display()
        );
    }
    Ok(found)
}

/// A file of cases, with the plan that it names.
fn beside(path: &Path, text: &str) -> anyhow::Result<Source> {
    let named = || format!("{}", path.display());
    let (plan, cases) = Cases::parse_beside(text).with_context(named)?;
    ensure!(!cases.is_empty(), "{} has no case: write [[case]] into it", path.display());
    let file = path.parent().unwrap_or_else(|| Path::new(".")).join(&*plan);
    let text = read(&file).with_context(named)?;
    let plan = Plan::parse(&text).with_context(|| format!("{}", file.display()))?;
    Ok(Source { path: path.to_owned(), plan, cases })
}

fn text(proof: &Proof) -> String {
    let mut text = format!("{}: plan {}\n", proof.path.display(), proof.plan);
    for outcome in &proof.outcomes {
        if outcome.holds() {
            text.push_str(&format!("  ok      {}\n", outcome.name));
            continue;
        }
        text.push_str(&format!("  FAILED  {}\n          from: {}\n", outcome.name, outcome.source));
        for failure in &outcome.failures {
            text.push_str(&difference(&proof.path, failure));
        }
    }
    text
}

fn difference(path: &Path, failure: &Failure) -> String {
    let Failure { line, place, about, expected, got, why } = failure;
    let mut text = format!(
        "          {}:{line}: {place}: {about}\n            expected  {expected}\n            got       {got}\n",
        path.display()
    );
    for (index, step) in why.iter().enumerate() {
        let head = if index == 0 { "because" } else { "" };
        text.push_str(&format!("            {head:<10}{step}\n"));
    }
    text
}

fn told(proofs: &[Proof], failed: usize, unproven: &[String]) -> serde_json::Value {
    let files = proofs.iter().map(|proof| {
        json!({
            "file": proof.path.display().to_string(), "plan": proof.plan, "cases": proof.outcomes,
        })
    });
    json!({
        "ok": failed == 0 && unproven.is_empty(), "failed": failed, "unproven": unproven,
        "files": files.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
