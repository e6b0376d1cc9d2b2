//! `upline serve`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, block_on, services};
use crate::{
    app::{App, Exit},
    clock::Clock,
    config::{Config, Environment},
    metric, telemetry,
};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Bring the tables in Postgres up to date first (always done for the local stack). Those in
    /// ClickHouse are brought up to date whenever it can be reached; nothing waits for it.
    #[arg(long)]
    migrate: bool,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::install(environment)?;
    let config = Config::load(environment)?;
    let connected = services::connect(environment, "upline")?;
    let metrics = metric::install()?;
    block_on(async {
        let stop = stop_signal()?;
        if arguments.migrate || connected.local_database {
            services::migrate_books(&connected.endpoints).await?;
        }
        let app = App::build(config, &connected.endpoints, Clock::system(), metrics)
            .await
            .context("the pipeline does not start")?;
        tracing::info!(
            webhooks = %app.http_address(),
            admin = %app.admin_address(),
            "upline takes orders"
        );
        let exit = app.run(stop).await?;
        tracing::info!(?exit, "upline has stopped");
        Ok(match exit {
            Exit::Drained => ExitCode::SUCCESS,
            Exit::DrainTimedOut => ExitCode::from(DEADLINE),
            Exit::TaskFailed => ExitCode::FAILURE,
        })
    })?
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
pub(super) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = stop.clone();
    let tracker = tokio_util::task::TaskTracker::new();
    tracker.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        token.cancel();
    });
    Ok(stop)
}
