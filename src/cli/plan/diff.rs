//! `upline plan diff`: what differs between two versions of a plan.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use clap::Args;

use super::{super::output, read};
use crate::domain::plan::lint::{Comparison, compare};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The version before.
    before: PathBuf,
    /// The version after.
    after: PathBuf,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let comparison = compare(&before, &after).map_err(|(which, error)| {
        let path = if which == 0 { &arguments.before } else { &arguments.after };
        anyhow!(error).context(path.display().to_string())
    })?;
    if arguments.json {
        output::line(&serde_json::to_string_pretty(&comparison)?);
    } else {
        output::line(text(&comparison).trim_end());
    }
    Ok(if comparison.follows { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for warning in &comparison.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    if comparison.changes.is_empty() {
        text.push_str("nothing differs in what the two say\n");
    }
    for change in &comparison.changes {
        text.push_str(&format!("{change}\n"));
    }
    let [before, after] = &comparison.worst;
    text.push_str(&format!(
        "\ncosts at most, of a sale: {} becomes {} ({})\n",
        before.total_in_words(),
        after.total_in_words(),
        comparison.worst_change
    ));
    for (old, new) in before.parts.iter().filter_map(|old| {
        let new = after.parts.iter().find(|new| new.component == old.component)?;
        (old.in_words() != new.in_words()).then_some((old, new))
    }) {
        text.push_str(&format!(
            "  {}: {} becomes {}\n",
            old.component,
            old.in_words(),
            new.in_words()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = include_str!("../../../pipelines/plans/sample.toml");

    #[test]
    fn what_a_change_says_and_costs_is_shown() {
        let after = PLAN
            .replacen("version = 1", "version = 2", 1)
            .replacen("2020-01-01", "2027-01-01", 1)
            .replacen("[\"6 %\", \"5 %\"", "[\"8 %\", \"5 %\"", 1);
        let shown = text(&compare(PLAN, &after).unwrap());
        assert!(
            shown.contains("component unilevel, rates.wellness 1: 6 % becomes 8 %\n"),
            "{shown}"
        );
        assert!(shown.contains("34 % becomes 36 % (+2 %)"), "{shown}");
        assert!(shown.contains("  unilevel: 22 % becomes 24 %"), "{shown}");
        assert!(!shown.contains("warning"), "{shown}");
    }
}
