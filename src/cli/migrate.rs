//! `upline migrate`.

use std::process::ExitCode;

use super::{block_on, output, services};
use crate::config::Environment;

pub(super) fn run(environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let applied = block_on(services::migrate_all(&connected.endpoints))??;
    if applied.is_empty() {
        output::line("the tables are up to date");
    }
    for number in applied {
        output::line(&format!("applied migration {number}"));
    }
    Ok(ExitCode::SUCCESS)
}
