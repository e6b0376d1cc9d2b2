//! The system under load, from the webhook to the ledger: the real program on the real servers of
//! the local stack, beside what the hardware allows and beside what a team would write in a day.
//!
//! `cargo bench --bench load -- [--quick] [SCENARIO ..]`; `bench/README.md` says what is measured.
//! `--quick` does everything with tiny inputs, so that CI notices when a part no longer works: the
//! books must be right, speed is not judged.
#![expect(
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures of a bench are for reading"
)]

mod audit;
mod bare;
mod company;
mod generator;
mod order;
mod peer;
mod plot;
mod process;
mod report;
mod run;
mod scenario;
mod world;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::scenario::{Bench, Scenario};

/// The end-to-end bench.
#[derive(Debug, Parser)]
#[command(name = "load", disable_help_subcommand = true)]
struct Arguments {
    /// Everything, with tiny inputs.
    #[arg(long, alias = "test")]
    quick: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(flatten)]
    options: Options,
    /// Which scenarios; without any, all but `hand`.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    #[command(subcommand)]
    bare: Option<Role>,
}

/// What can be set by hand.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// The program that is measured; without it the one that Cargo has just built.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Where the results are written; without it `bench/results`, with --quick a folder of `target`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Kept connections of the generator.
    #[arg(long)]
    connections: Option<usize>,
    /// Distributors of the company.
    #[arg(long)]
    distributors: Option<u32>,
    /// Lines of an order; one of them earns.
    #[arg(long)]
    lines: Option<u64>,
    /// Length of the leg above everybody.
    #[arg(long)]
    depth: Option<u32>,
    /// Shops.
    #[arg(long)]
    stores: Option<u64>,
    /// Processes of the program.
    #[arg(long)]
    processes: Option<usize>,
    /// Lanes that run the stages as one; 0 is the chain through the log.
    #[arg(long)]
    lanes: Option<usize>,
    /// `hand`: requests a second; without it as fast as they are answered.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds that are measured.
    #[arg(long)]
    seconds: Option<f64>,
    /// `hand`: of a hundred deliveries so many repeat an earlier one.
    #[arg(long)]
    repeats: Option<u64>,
    /// Pairs with a limit, of which the median counts.
    #[arg(long)]
    pairs: Option<usize>,
    /// `growth`: also ten million distributors; `close-binary`: ten million positions.
    #[arg(long)]
    ten_million: bool,
}

/// A bare server, as a process of its own: the bench starts itself.
#[derive(Debug, Clone, Subcommand)]
enum Role {
    /// Not for people.
    #[command(hide = true)]
    Serve(bare::Arguments),
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(Role::Serve(server)) = arguments.bare {
        runtime.block_on(bare::serve(server))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut bench = Bench::new(arguments.quick, arguments.options)?;
    let all = Scenario::ALL.to_vec();
    let chosen = if arguments.scenarios.is_empty() { all } else { arguments.scenarios };
    let clean = runtime.block_on(async {
        bench.stack.sweep(false).await?;
        let played = tokio::select! {
            played = bench.play(&chosen) => played,
            stopped = stopped() => stopped.and_then(|()| anyhow::bail!("stopped")),
        };
        if played.is_err() {
            bench.stack.sweep(true).await?;
        }
        played
    })?;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until somebody wants an end: then the processes under test must end too.
async fn stopped() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
