//! `upline warehouse`: how far ClickHouse is behind the ledger, and making it again.

use std::process::ExitCode;

use clap::Args;
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{config::Environment, store::postgres::Postgres};

/// Arguments of `warehouse`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Lets a running `upline serve` write everything again, from the first block of the ledger: after
    /// ClickHouse has lost its tables. What is there already counts once.
    #[arg(long)]
    again: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let books = Postgres::new(connected.endpoints.database.expose_secret(), 1)?;
    block_on(async {
        if arguments.again {
            books.feed_warehouse_from(0).await?;
        }
        let (mark, head) = books.warehouse_mark().await?;
        output::line(&match head.saturating_sub(mark) {
            0 => format!("ClickHouse has all {head} blocks of the ledger"),
            behind => {
                format!("ClickHouse has {mark} of {head} blocks of the ledger, {behind} to come")
            }
        });
        Ok(ExitCode::SUCCESS)
    })?
}
