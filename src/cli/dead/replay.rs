//! `upline dead replay`: another try, or a trial without effects.
//!
//! Invariant: a letter is removed only after its replay is durable. A replay that is cut off may
//! happen twice; that is harmless, because a message has its effect once.

use std::process::ExitCode;

use super::{Filter, header, letters};
use crate::{
    app,
    cli::output,
    clock::Clock,
    config::{Config, Environment},
    domain::{article::ArticleEvent, id::OrderKey, story::Chapter},
    stage::{
        Message, Rejection, Stage, Verdict, decode,
        message::{Computed, Headers, Mapped, Validated},
        validate::{Understood, Validate},
    },
    store::postgres::Postgres,
    stream::{
        Outgoing, Publish,
        jetstream::{JetStream, Kept, StreamName},
    },
};

/// How many letters are sent before they are removed.
const CHUNK: usize = 200;

/// What is to be replayed.
pub(super) struct Chosen<'a> {
    pub(super) what: &'a [String],
    pub(super) all: bool,
    pub(super) filter: &'a Filter,
}

impl Chosen<'_> {
    fn wants(&self, name: &str) -> bool {
        self.what.is_empty() || self.what.iter().any(|wanted| wanted == name)
    }
}

/// Replays, or tries with `trial`.
pub(super) async fn run(
    log: &JetStream,
    store: &Postgres,
    chosen: &Chosen<'_>,
    trial: Option<Trial>,
    clock: &Clock,
) -> anyhow::Result<ExitCode> {
    let open = chosen.filter.is_open();
    anyhow::ensure!(
        chosen.all || !chosen.what.is_empty() || !open,
        "name numbers of dead letters, order keys, a --code, --stage, --store, --since, or --all"
    );
    let mut found = letters(log, chosen.filter, false, clock).await?;
    found.retain(|letter| chosen.wants(&letter.sequence.to_string()));
    let mut parked: Vec<String> = Vec::new();
    if open {
        let waits = store.waits().await?;
        parked.extend(waits.into_iter().map(|(key, _, _)| key).filter(|key| chosen.wants(key)));
        parked.dedup();
    }
    let known = |name: &String| {
        parked.contains(name) || found.iter().any(|l| l.sequence.to_string() == **name)
    };
    if let Some(unknown) = chosen.what.iter().find(|name| !known(name)) {
        anyhow::bail!("there is no dead letter and no parked order {unknown}");
    }
    let of_warehouse = |l: &&Kept| header(l, Headers::SUBJECT).starts_with("commissions.posted.");
    if let Some(letter) = found.iter().find(of_warehouse) {
        anyhow::bail!(
            "dead letter {} is of the warehouse, which follows the ledger by itself: upline dead drop",
            letter.sequence
        );
    }
    if let Some(trial) = trial {
        let mut moves = found.is_empty() || !parked.is_empty();
        for letter in &found {
            let (lives, told) = trial.of(letter);
            moves |= lives;
            output::line(&told);
        }
        for key in &parked {
            output::line(&format!("would look at {key} again"));
        }
        return Ok(if moves { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    for chunk in found.chunks(CHUNK) {
        log.publish_all(chunk.iter().map(revived).collect()).await?;
        for letter in chunk {
            log.delete(StreamName::Dead, letter.sequence).await?;
        }
    }
    let reason = clock.now().as_microsecond().to_string();
    for key in &parked {
        let message = app::recheck(&OrderKey::parse(key)?, &reason, clock)?;
        log.publish_all(vec![message]).await?;
    }
    output::line(&format!("{} dead letters and {} orders sent", found.len(), parked.len()));
    Ok(ExitCode::SUCCESS)
}

/// A dead letter as the message that it was, under an id of its own.
fn revived(letter: &Kept) -> Outgoing {
    let mut headers = Headers::default();
    for name in [
        Headers::TOPIC,
        Headers::RECEIVED_AT,
        Headers::DIGEST,
        Headers::ORIGINAL,
        Headers::BY,
        Headers::AT,
        Headers::WHY,
    ] {
        if let Some(value) = letter.headers.get(name) {
            headers.set(name, value);
        }
    }
    Outgoing {
        subject: header(letter, Headers::SUBJECT).to_owned(),
        id: format!("replay:{}:{}", letter.sequence, header(letter, Headers::DIED_AT)),
        headers,
        payload: letter.payload.clone(),
    }
}

/// Runs the pure part of a stage on the bytes of a letter.
pub(super) struct Trial(Validate);

impl Trial {
    /// A trial with the stores of the pipeline files.
    pub(super) fn new(environment: &Environment) -> anyhow::Result<Self> {
        Ok(Self(app::validate_stage(&Config::load(environment)?)))
    }

    /// What would come of a letter: whether it would live, and what to say of it.
    pub(super) fn of(&self, letter: &Kept) -> (bool, String) {
        let message = revived(letter);
        let headers = message.headers.with(Headers::DELIVERY, &message.id);
        let (subject, payload) = (message.subject.as_str(), &message.payload[..]);
        let outcome = match subject.split('.').take(2).collect::<Vec<_>>().as_slice() {
            ["ingest", ..] => self.validated(Message { subject, headers: &headers, payload }),
            ["orders", "valid"] => decoded(decode::<Validated>(payload)),
            ["orders", "articles"] => decoded(decode::<ArticleEvent>(payload)),
            ["orders", "mapped"] => decoded(decode::<Mapped>(payload)),
            ["commissions", "run"] => decoded(decode::<Computed>(payload)),
            _ => Ok("would go to a subject that no stage reads".to_owned()),
        };
        let lives = outcome.is_ok();
        let told = outcome
            .unwrap_or_else(|rejection| format!("would be a dead letter again: {rejection}"));
        (lives, format!("{} to {subject}: {told}", letter.sequence))
    }

    fn validated(&self, message: Message<'_>) -> Result<String, Rejection> {
        Ok(match self.0.apply(message) {
            Verdict::Emit(Understood::Orders(events)) => {
                let told = events.iter().map(|event| {
                    let chapter = Chapter::of(event, 0);
                    format!("{} {}: {}", event.key, chapter.fact, chapter.said)
                });
                format!("would say of {}", told.collect::<Vec<_>>().join("; "))
            }
            Verdict::Emit(Understood::Articles(events)) => {
                format!("would tell {} facts about articles", events.len())
            }
            Verdict::Emit(Understood::Customer(_)) => {
                "would tell a fact about a customer".to_owned()
            }
            Verdict::Skip(reason) => format!("would be skipped: {}", reason.as_str()),
            Verdict::Defer(reason) => format!("would wait: {}", reason.as_str()),
            Verdict::Reject(rejection) => return Err(rejection),
        })
    }
}

/// A stage behind the first: whether it can read the message; the rest depends on the books.
fn decoded<T>(message: Result<T, Rejection>) -> Result<String, Rejection> {
    message.map(|_read| "would be read; what comes of it depends on the books".to_owned())
}
