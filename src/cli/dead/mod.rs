//! `upline dead`: what could not be processed, and another try.
//!
//! Two kinds: *dead letters*, kept with their bytes and the reason, which go on when somebody
//! replays them; and *parked orders*, which wait for a SKU or a distributor and go on by themselves
//! when that is imported.
//!
//! Invariant: bytes are never lost. A letter is removed only after its replay is durable; a
//! correction and a drop move the original to an archive in the same stream, with who, when and why.

mod fix;
mod list;
mod place;
mod replay;
mod show;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;

use super::{block_on, output, services};
use crate::{
    clock::Clock,
    config::Environment,
    stage::message::Headers,
    store::postgres::Postgres,
    stream::jetstream::{JetStream, Kept, StreamName},
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
        #[command(flatten)]
        filter: Filter,
        /// At most this many dead letters.
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        /// Print the raw bytes too.
        #[arg(long)]
        body: bool,
        /// The originals of corrected letters and the dropped ones instead.
        #[arg(long)]
        archive: bool,
        /// As JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// Shows a dead letter: where it came from, why it is dead, its body with a mark at the place.
    Show {
        /// Its number.
        number: u64,
        /// Only its bytes, exactly.
        #[arg(long)]
        raw: bool,
    },
    /// Stores a corrected copy of a dead letter, to be replayed; the original goes to the archive.
    Fix {
        /// Its number.
        number: u64,
        /// A file with the whole corrected body.
        #[arg(long, conflicts_with = "set", required_unless_present = "set")]
        body: Option<PathBuf>,
        /// A corrected value, such as `line_items[0].price="99.00"`; may be given several times.
        #[arg(long, value_name = "PATH=JSON")]
        set: Vec<String>,
        /// Who corrects it; without it, the user of the shell.
        #[arg(long)]
        by: Option<String>,
    },
    /// Sends dead letters back to where they came from, and asks for parked orders again.
    Replay {
        /// Numbers of dead letters, or keys of parked orders.
        what: Vec<String>,
        /// All dead letters and parked orders.
        #[arg(long, conflicts_with = "what")]
        all: bool,
        #[command(flatten)]
        filter: Filter,
        /// Only try it: says what would come of each, and changes nothing. Exits with 1 if all that
        /// is chosen would be a dead letter again.
        #[arg(long)]
        dry_run: bool,
    },
    /// Gives up dead letters: they go to the archive with the reason.
    Drop {
        /// Their numbers.
        #[arg(required = true)]
        numbers: Vec<u64>,
        /// Why nothing is lost with them.
        #[arg(long)]
        reason: String,
        /// Who gives them up; without it, the user of the shell.
        #[arg(long)]
        by: Option<String>,
        /// Keep only the reason and erase the bytes.
        #[arg(long)]
        erase: bool,
    },
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
struct Filter {
    /// Only those with this reason code, such as `unfooted`.
    #[arg(long)]
    code: Option<String>,
    /// Only those of this stage.
    #[arg(long)]
    stage: Option<String>,
    /// Only those of this store: `acme`, or `shopify/acme`.
    #[arg(long)]
    store: Option<String>,
    /// Only those that died since then: a time, or how long ago, such as `2h`.
    #[arg(long)]
    since: Option<String>,
}

impl Filter {
    fn is_open(&self) -> bool {
        let Self { code, stage, store, since } = self;
        [code, stage, store, since].iter().all(|given| given.is_none())
    }

    fn since(&self, clock: &Clock) -> anyhow::Result<Option<Timestamp>> {
        let Some(text) = self.since.as_deref() else { return Ok(None) };
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Some(time));
        }
        let ago: SignedDuration = text
            .parse()
            .with_context(|| format!("{text} is neither a time nor a duration such as 2h"))?;
        Ok(Some(clock.now().checked_sub(ago)?))
    }

    /// Whether `store`, such as `shopify/acme`, is the one meant.
    fn is_of(&self, store: &str) -> bool {
        self.store.as_deref().is_none_or(|wanted| {
            store == wanted || store.split_once('/').is_some_and(|(_, name)| name == wanted)
        })
    }

    /// Whether a parked order is meant: it has a store, but no code, no stage and no time of death.
    fn means_parked(&self, key: &str) -> bool {
        let Self { code, stage, store: _, since } = self;
        let of_letters = [code, stage, since].iter().any(|given| given.is_some());
        let mut parts = key.splitn(3, '/');
        let store = parts.next().zip(parts.next());
        !of_letters
            && store.is_some_and(|(platform, name)| self.is_of(&format!("{platform}/{name}")))
    }

    fn fits(&self, letter: &Kept, since: Option<Timestamp>) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        let in_store =
            self.store.is_none() || store_of(letter).is_some_and(|store| self.is_of(&store));
        is(&self.code, header(letter, Headers::CODE))
            && is(&self.stage, letter.subject.trim_start_matches("dead."))
            && in_store
            && since.is_none_or(|since| instant(letter, Headers::DIED_AT) >= Some(since))
    }
}

/// The subjects of letters that are settled: originals of corrections, and what was given up.
const FIXED: &str = "dead.fixed";
const DROPPED: &str = "dead.dropped";

fn is_archived(letter: &Kept) -> bool {
    letter.subject == FIXED || letter.subject == DROPPED
}

fn header<'a>(letter: &'a Kept, name: &str) -> &'a str {
    letter.headers.get(name).unwrap_or_default()
}

/// The store of a letter, such as `shopify/acme`. The subject of a delivery names it; the subject of a
/// later stage names a partition only, and the store stands in the key of what the message is about.
fn store_of(letter: &Kept) -> Option<String> {
    if let Some(store) = header(letter, Headers::SUBJECT).strip_prefix("ingest.") {
        return Some(store.replace('.', "/"));
    }
    let body: serde_json::Value = serde_json::from_slice(&letter.payload).ok()?;
    ["/event/key", "/order/key", "/run/order/key", "/customer", ""].iter().find_map(|place| {
        let key = body.pointer(place)?;
        let (platform, store) = (key.get("platform")?.as_str()?, key.get("store")?.as_str()?);
        Some(format!("{platform}/{store}"))
    })
}

/// The time that a header holds.
fn instant(letter: &Kept, name: &str) -> Option<Timestamp> {
    let micros = header(letter, name).parse().ok()?;
    Timestamp::from_microsecond(micros).ok()
}

/// The dead letters that a filter means, oldest first.
async fn letters(
    log: &JetStream,
    filter: &Filter,
    archive: bool,
    clock: &Clock,
) -> anyhow::Result<Vec<Kept>> {
    let since = filter.since(clock)?;
    let letters = log.read(StreamName::Dead, "dead.>", usize::MAX).await?;
    let meant = |l: &Kept| is_archived(l) == archive && filter.fits(l, since);
    Ok(letters.into_iter().filter(meant).collect())
}

/// One letter by its number.
async fn letter(log: &JetStream, number: u64) -> anyhow::Result<Kept> {
    let found = log.get(StreamName::Dead, number).await?;
    found.with_context(|| format!("there is no dead letter {number}"))
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let connected = services::connect(environment, "upline")?;
    let prefix = environment.get("UPLINE_STREAM_PREFIX").unwrap_or_default().to_owned();
    let clock = Clock::system();
    let who = |by: &Option<String>| {
        let by = by.as_deref().or_else(|| environment.get("USER")).filter(|by| !by.is_empty());
        by.map(str::to_owned).context("say who with --by: USER is not set")
    };
    block_on(async {
        let log = JetStream::connect(connected.endpoints.nats.expose_secret(), &prefix).await?;
        let store = Postgres::new(connected.endpoints.database.expose_secret(), 2)?;
        match &arguments.command {
            Command::List { filter, limit, body, archive, json } => {
                let mut letters = letters(&log, filter, *archive, &clock).await?;
                letters.truncate(*limit);
                let mut waits = if *archive { Vec::new() } else { store.waits().await? };
                waits.retain(|(key, _, _)| filter.means_parked(key));
                list::print(&letters, &waits, *body, *json);
                Ok(ExitCode::SUCCESS)
            }
            Command::Show { number, raw } => {
                show::print(&letter(&log, *number).await?, *raw);
                Ok(ExitCode::SUCCESS)
            }
            Command::Fix { number, body, set, by } => {
                let letter = letter(&log, *number).await?;
                anyhow::ensure!(!is_archived(&letter), "{number} is an original in the archive");
                let corrected = fix::corrected(&letter, body.as_deref(), set)?;
                let what = if set.is_empty() { "body".to_owned() } else { set.join(" ") };
                let settler = fix::Settler { log: &log, clock: &clock, by: who(by)?, why: what };
                let copy = settler.fix(&letter, corrected).await?;
                output::line(&format!("{number} is corrected as {}", copy.sequence));
                match replay::Trial::new(environment) {
                    Ok(trial) => output::line(&trial.of(&copy).1),
                    Err(error) => output::error(&format!("it was not tried: {error:#}")),
                }
                Ok(ExitCode::SUCCESS)
            }
            Command::Replay { what, all, filter, dry_run } => {
                let trial = if *dry_run { Some(replay::Trial::new(environment)?) } else { None };
                let chosen = replay::Chosen { what, all: *all, filter };
                replay::run(&log, &store, &chosen, trial, &clock).await
            }
            Command::Drop { numbers, reason, by, erase } => {
                let why = reason.clone();
                let settler = fix::Settler { log: &log, clock: &clock, by: who(by)?, why };
                // All are looked up before the first is dropped: one that is missing drops none.
                let mut letters = Vec::new();
                for number in numbers.iter().collect::<BTreeSet<_>>() {
                    letters.push(letter(&log, *number).await.context("nothing was dropped")?);
                }
                for letter in &letters {
                    settler.drop(letter, *erase).await?;
                }
                output::line(&format!("{} dropped", letters.len()));
                Ok(ExitCode::SUCCESS)
            }
        }
    })?
}
