//! The command line: one file per command.
//!
//! Exit codes: 0 success; 1 it failed, or it worked and the result is not what it should be (a row
//! refused, a sum that does not agree); 2 the command line is wrong; 3 a stop ran into its deadline.

mod check;
mod close;
mod dead;
mod decide;
mod demo;
mod explain;
mod import;
mod migrate;
mod output;
mod plan;
mod rank;
mod serve;
mod services;
mod skus;
mod stack;
mod warehouse;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::config::Environment;

/// From cart to commission: Shopify, WooCommerce and Magento orders become explained, verifiable
/// direct-selling commission.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole way on this machine: starts the local stack, sends webhooks of a sample
    /// company and reconciles to the cent.
    Demo(demo::Arguments),
    /// Takes webhooks and runs the pipeline until SIGTERM or Ctrl-C.
    Serve(serve::Arguments),
    /// The local stack of real servers: NATS, Postgres, ClickHouse.
    Stack(stack::Arguments),
    /// Brings the tables in Postgres and ClickHouse up to date.
    Migrate,
    /// Reads the configuration and prints it with secrets masked.
    Check,
    /// Imports distributors, placements, ranks, carries, SKU mappings, exchange rates or customers from a
    /// CSV file.
    Import(import::Arguments),
    /// Lists what the shops sell and nobody has mapped to a commission class.
    Skus(skus::Arguments),
    /// Lists and replays what could not be processed: dead letters and parked orders.
    Dead(dead::Arguments),
    /// Decides what only a person can say about an order: what a line sells, what a chargeback in
    /// another currency takes, who referred it.
    Decide(decide::Arguments),
    /// Explains the commission of an order line by line, or the period of a distributor.
    Explain(explain::Arguments),
    /// Shows what a period comes to and, with --commit, closes it: nothing of it changes after that.
    Close(close::Arguments),
    /// Forces or clears the rank that somebody is paid as, or tells where it comes from.
    Rank(rank::Arguments),
    /// Tells how far ClickHouse is behind the ledger, or makes it again from the books.
    Warehouse(warehouse::Arguments),
    /// Checks, proves and compares compensation plans, and stores them in the books.
    Plan(plan::Arguments),
}

/// Exit code for a stop that ran into its deadline.
const DEADLINE: u8 = 3;

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::of_process();
    let result = match cli.command {
        Command::Demo(arguments) => demo::run(&arguments, &environment),
        Command::Serve(arguments) => serve::run(&arguments, &environment),
        Command::Stack(arguments) => stack::run(&arguments, &environment),
        Command::Migrate => migrate::run(&environment),
        Command::Check => check::run(&environment),
        Command::Import(arguments) => import::run(&arguments, &environment),
        Command::Skus(arguments) => skus::run(&arguments, &environment),
        Command::Dead(arguments) => dead::run(&arguments, &environment),
        Command::Decide(arguments) => decide::run(&arguments, &environment),
        Command::Explain(arguments) => explain::run(&arguments, &environment),
        Command::Close(arguments) => close::run(&arguments, &environment),
        Command::Rank(arguments) => rank::run(&arguments, &environment),
        Command::Warehouse(arguments) => warehouse::run(&arguments, &environment),
        Command::Plan(arguments) => plan::run(&arguments, &environment),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Where the local stack is and which program supervises it.
fn stack_config(environment: &Environment) -> anyhow::Result<crate::stack::StackConfig> {
    let root = match environment.get("UPLINE_STACK_DIR") {
        Some(root) => PathBuf::from(root),
        None => crate::stack::default_root(
            environment.get("XDG_CACHE_HOME").map(AsRef::as_ref),
            environment.get("HOME").map(AsRef::as_ref),
            rustix::process::geteuid().is_root(),
        ),
    };
    Ok(crate::stack::StackConfig { root, exe: std::env::current_exe()? })
}

/// Runs asynchronous work to its end.
fn block_on<F: Future>(work: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = runtime.block_on(work);
    // A blocking read of standard input must not hold up the end of the program.
    runtime.shutdown_background();
    Ok(output)
}
