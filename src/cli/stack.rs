//! `upline stack`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use super::{output, stack_config};
use crate::{
    config::Environment,
    stack::{self, ServerStatus, Status},
};

/// Arguments of `stack`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Provisions the servers if needed, starts them and leaves them running.
    Up,
    /// Stops the servers; their data stays.
    Down,
    /// Shows what runs, where, and how large it is.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Watches over the servers (started by the program itself).
    #[command(hide = true)]
    Supervise {
        /// The stack's folder.
        #[arg(long)]
        root: PathBuf,
    },
    /// Is the ClickHouse server (started by the supervisor).
    #[command(hide = true)]
    ClickhouseServer {
        /// The library that is the server.
        #[arg(long)]
        lib: PathBuf,
        /// Where its data is.
        #[arg(long)]
        path: PathBuf,
        /// Where it listens.
        #[arg(long)]
        port: u16,
    },
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Up => {
            let config = stack_config(environment)?;
            let running = stack::up(&config, true, &mut |step| output::error(step))?;
            output::line(&format!("nats        {}", running.endpoints.nats_url));
            output::line(&format!("postgres    {}", running.endpoints.database_url));
            output::line(&format!("clickhouse  {}", running.endpoints.clickhouse_url));
        }
        Command::Down => {
            let stopped = stack::down(&stack_config(environment)?)?;
            output::line(if stopped {
                "the stack has stopped"
            } else {
                "the stack was not running"
            });
        }
        Command::Status { json } => {
            let status = stack::status(&stack_config(environment)?)?;
            output::line(&if *json { as_json(&status) } else { as_text(&status) });
        }
        Command::Supervise { root } => {
            return Ok(stack::supervise_main(root, &std::env::current_exe()?));
        }
        Command::ClickhouseServer { lib, path, port } => {
            return Ok(stack::clickhouse_main(lib, path, *port));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn as_text(status: &Status) -> String {
    match status {
        Status::NotProvisioned => "not provisioned: upline stack up".to_owned(),
        Status::Provisioned => "provisioned, not running: upline stack up".to_owned(),
        Status::Running { supervisor, pinned, servers } => {
            let until = if *pinned { "until upline stack down" } else { "while it is used" };
            let rows: Vec<Vec<String>> = servers.iter().map(row).collect();
            let head = ["server", "version", "address", "pid", "restarts", "memory", "data"];
            format!("runs {until}, supervisor {supervisor}\n{}", output::table(&head, &rows))
        }
    }
}

fn row(server: &ServerStatus) -> Vec<String> {
    vec![
        server.server.name().to_owned(),
        server.version.clone(),
        format!("127.0.0.1:{}", server.port),
        server.pid.map_or_else(|| "down".to_owned(), |pid| pid.to_string()),
        server.restarts.to_string(),
        mebibytes(server.memory_bytes),
        mebibytes(server.data_bytes),
    ]
}

fn as_json(status: &Status) -> String {
    let value = match status {
        Status::NotProvisioned => serde_json::json!({ "status": "not_provisioned" }),
        Status::Provisioned => serde_json::json!({ "status": "provisioned" }),
        Status::Running { supervisor, pinned, servers } => {
            let servers: Vec<_> = servers
                .iter()
                .map(|s| {
                    serde_json::json!({
                        "server": s.server.name(), "version": s.version, "pid": s.pid,
                        "port": s.port, "monitor_port": s.monitor_port, "ready": s.ready,
                        "restarts": s.restarts, "memory_bytes": s.memory_bytes,
                        "data_bytes": s.data_bytes,
                    })
                })
                .collect();
            serde_json::json!({
                "status": "running", "supervisor": supervisor, "pinned": pinned,
                "servers": servers,
            })
        }
    };
    value.to_string()
}
