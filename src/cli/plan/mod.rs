//! `upline plan`: looks at plan files, without any service, and stores them in the books.

mod diff;
mod lint;
mod schema;
mod store;
mod test;

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, Subcommand};

pub(super) use self::lint::finding;
use crate::config::Environment;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the JSON Schema of a plan file.
    Schema,
    /// Says what is wrong or doubtful in plan files, and what each plan costs at most. Exits with 1 if
    /// one of them has an error.
    Lint(lint::Arguments),
    /// Says what differs between two versions of a plan, and how the most that it costs changes. Exits with 1
    /// if the second cannot follow the first.
    Diff(diff::Arguments),
    /// Computes the golden cases of plan files. Exits with 1 if one does not hold.
    Test(test::Arguments),
    /// Stores the plans of the pipeline files in the books, as `upline serve` does when it starts. A version
    /// that is stored never changes; one that cannot follow those that are, or that reaches into a closed
    /// period, is refused.
    Store,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Schema => schema::run(),
        Command::Lint(arguments) => lint::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::Test(arguments) => test::run(arguments),
        Command::Store => store::run(environment),
    }
}

/// The largest plan file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// The text of a plan file.
fn read(path: &Path) -> anyhow::Result<String> {
    let length = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    anyhow::ensure!(
        length <= MAX_FILE,
        "{} has {length} bytes, at most {MAX_FILE} are read",
        path.display()
    );
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}
