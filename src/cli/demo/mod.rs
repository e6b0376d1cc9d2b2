//! `upline demo`.
use std::process::ExitCode;

use clap::Args;

use crate::config::Environment;

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Arguments {}

pub(super) fn run(_a: &Arguments, _e: &Environment) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}
