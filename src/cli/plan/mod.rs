//! `upline plan`: what can be done with a plan file before it pays anybody.

mod test;

use std::process::ExitCode;

/// The options of `upline plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Computes the golden cases of plan files; exits with 1 if one does not hold.
    Test(test::Arguments),
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Test(arguments) => test::run(arguments),
    }
}
