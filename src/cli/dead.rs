//! `upline dead`: what could not be processed, and another try.
//!
//! Two kinds: *dead letters*, kept with their bytes and the reason, which go on when somebody
//! replays them; and *parked orders*, which wait for a SKU or a distributor and go on by themselves
//! when that is imported.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    app,
    clock::Clock,
    config::Environment,
    domain::id::OrderKey,
    stage::message::Headers,
    store::postgres::Postgres,
    stream::{
        Outgoing, Publish,
        jetstream::{JetStream, Kept, StreamName},
    },
};

/// Arguments of `dead`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists dead letters and parked orders.
    List {
        /// At most this many dead letters.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// Print the raw bytes too.
        #[arg(long)]
        body: bool,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Sends dead letters back to where they came from, and asks for parked orders again.
    Replay {
        /// Numbers of dead letters, or keys of parked orders.
        what: Vec<String>,
        /// All dead letters and parked orders.
        #[arg(long, conflicts_with = "what")]
        all: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let prefix = environment.get("UPLINE_STREAM_PREFIX").unwrap_or_default().to_owned();
    block_on(async {
        let log = JetStream::connect(connected.endpoints.nats.expose_secret(), &prefix).await?;
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        match &arguments.command {
            Command::List { limit, body, json } => {
                let letters = log.read(StreamName::Dead, "dead.>", *limit).await?;
                list(&letters, &store.waits().await?, *body, *json);
                Ok(ExitCode::SUCCESS)
            }
            Command::Replay { what, all, dry_run } => {
                replay(&log, &store, what, *all, *dry_run).await
            }
        }
    })?
}

fn list(letters: &[Kept], waits: &[(String, String, String)], body: bool, json: bool) {
    for letter in letters {
        let header = |name| letter.headers.get(name).unwrap_or_default();
        if json {
            let raw = String::from_utf8_lossy(&letter.payload);
            let value = serde_json::json!({
                "number": letter.sequence, "from": header(Headers::SUBJECT),
                "topic": header(Headers::TOPIC), "code": header(Headers::CODE),
                "path": header(Headers::PATH), "reason": header(Headers::REASON),
                "attempts": header(Headers::ATTEMPTS), "bytes": letter.payload.len(),
                "body": body.then_some(raw),
            });
            output::line(&value.to_string());
            continue;
        }
        output::line(&format!(
            "{:<6} {} {} {} bytes, attempt {}\n       {} at {}: {}",
            letter.sequence,
            header(Headers::SUBJECT),
            header(Headers::TOPIC),
            letter.payload.len(),
            header(Headers::ATTEMPTS),
            header(Headers::CODE),
            header(Headers::PATH),
            header(Headers::REASON),
        ));
        if body {
            output::line(&String::from_utf8_lossy(&letter.payload));
        }
    }
    for (key, kind, value) in waits {
        output::line(&if json {
            serde_json::json!({ "order": key, "waits_for": kind, "value": value }).to_string()
        } else {
            format!("parked {key} waits for {kind} {value}")
        });
    }
    if !json {
        output::line(&format!("{} dead letters, {} waits", letters.len(), waits.len()));
    }
}

async fn replay(
    log: &JetStream,
    store: &Postgres,
    what: &[String],
    all: bool,
    dry_run: bool,
) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(all || !what.is_empty(), "name numbers of dead letters, order keys, or --all");
    let clock = Clock::system();
    let letters = log.read(StreamName::Dead, "dead.>", usize::MAX).await?;
    let wanted = |name: &str| all || what.iter().any(|w| w == name);
    let letters: Vec<Kept> =
        letters.into_iter().filter(|letter| wanted(&letter.sequence.to_string())).collect();
    let mut parked: Vec<String> =
        store.waits().await?.into_iter().map(|(key, _, _)| key).filter(|key| wanted(key)).collect();
    parked.dedup();
    if dry_run {
        for letter in &letters {
            let from = letter.headers.get(Headers::SUBJECT).unwrap_or_default();
            output::line(&format!("would send {} back to {from}", letter.sequence));
        }
        for key in &parked {
            output::line(&format!("would look at {key} again"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    for letter in &letters {
        log.publish_all(vec![revived(letter)]).await?;
        log.delete(StreamName::Dead, letter.sequence).await?;
    }
    let reason = clock.now().as_microsecond().to_string();
    for key in &parked {
        let message = app::recheck(&OrderKey::parse(key)?, &reason, &clock)?;
        log.publish_all(vec![message]).await?;
    }
    output::line(&format!("{} dead letters and {} orders sent", letters.len(), parked.len()));
    Ok(ExitCode::SUCCESS)
}

/// A dead letter as the message that it was, under an id of its own.
fn revived(letter: &Kept) -> Outgoing {
    let mut headers = Headers::default();
    for name in [Headers::TOPIC, Headers::RECEIVED_AT, Headers::DIGEST] {
        if let Some(value) = letter.headers.get(name) {
            headers.set(name, value);
        }
    }
    Outgoing {
        subject: letter.headers.get(Headers::SUBJECT).unwrap_or_default().to_owned(),
        id: format!(
            "replay:{}:{}",
            letter.sequence,
            letter.headers.get(Headers::DIED_AT).unwrap_or_default()
        ),
        headers,
        payload: letter.payload.clone(),
    }
}
