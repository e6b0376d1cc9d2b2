//! What one order costs in the ledger of a real Postgres, by the size of the batch: one transaction
//! with the calculations, ten entries for each order and the block over them.
//!
//! The baseline is COPY BINARY of as many rows as there are entries, into a bare table of the same
//! database with no index but its primary key, in a transaction of its own: no calculations, no
//! hashes, no chain, no look-up of what is posted. Both take turns.
//!
//! It runs on the local stack in a database of its own and drops it at the end. Medians over the
//! batches; `--quick` does a few, so that CI notices when the bench no longer runs.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench that meets the unexpected stops, and its figures are for reading"
)]

mod sample;

use std::{
    error::Error,
    path::PathBuf,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::{BufMut, BytesMut};
use tokio::task::JoinSet;
use tokio_postgres::{
    Client, NoTls,
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use upline::{
    config::Environment,
    domain::ledger::{Entry, EventId, post},
    stack::{self, StackConfig},
    stage::message::Computed,
    store::{
        PostOutcome, Store as _,
        postgres::{Postgres, migrate},
    },
};

use crate::sample::{Sample, trace};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Entries of an order: one line earns on ten levels.
const ENTRIES: usize = 10;
/// Orders of a batch, and how many batches are measured.
const SIZES: [(u64, usize); 4] = [(1, 301), (10, 201), (100, 51), (500, 21)];

/// The stack, as the program itself would find it.
fn config() -> StackConfig {
    let process = Environment::of_process();
    let root = process.get("UPLINE_STACK_DIR").map_or_else(
        || {
            stack::default_root(
                process.get("XDG_CACHE_HOME").map(AsRef::as_ref),
                process.get("HOME").map(AsRef::as_ref),
                rustix::process::geteuid().is_root(),
            )
        },
        PathBuf::from,
    );
    StackConfig { root, exe: PathBuf::from(env!("CARGO_BIN_EXE_upline")) }
}

async fn connect(url: &str, driver: &mut JoinSet<()>) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    driver.spawn(async move { drop(connection.await) });
    Ok(client)
}

/// An event id as Postgres stores a UUID.
#[derive(Debug)]
struct Uuid(EventId);

impl ToSql for Uuid {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }

    to_sql_checked!();
}

/// The table of the baseline.
struct Bare {
    client: Client,
    next: i64,
}

impl Bare {
    async fn make(client: Client) -> anyhow::Result<Self> {
        let table = "CREATE TABLE public.bare (LIKE upline.ledger_entry, PRIMARY KEY (seq))";
        client.batch_execute(table).await?;
        Ok(Self { client, next: 0 })
    }

    /// Copies the entries of a batch; commits by itself.
    async fn copy(&mut self, orders: &[(Computed, Vec<Entry>)]) -> anyhow::Result<Duration> {
        const TYPES: [Type; 17] = [
            Type::INT8,
            Type::UUID,
            Type::TEXT,
            Type::INT8,
            Type::TEXT,
            Type::TEXT,
            Type::INT2,
            Type::TEXT,
            Type::TEXT,
            Type::NUMERIC,
            Type::TEXT,
            Type::TEXT,
            Type::UUID,
            Type::TEXT,
            Type::TIMESTAMPTZ,
            Type::INT8,
            Type::TIMESTAMPTZ,
        ];
        let begin = Instant::now();
        let sink = self.client.copy_in("COPY public.bare FROM STDIN BINARY").await?;
        let mut rows = pin!(BinaryCopyInWriter::new(sink, &TYPES));
        for (computed, entries) in orders {
            let order = &computed.run.order;
            let key = order.key.to_string();
            for entry in entries {
                self.next += 1;
                let position = &entry.position;
                let row: [&(dyn ToSql + Sync); 17] = [
                    &self.next,
                    &Uuid(entry.event_id),
                    &key,
                    &1i64,
                    &position.line.as_str(),
                    &position.component.as_str(),
                    &i16::try_from(position.level)?,
                    &entry.debit(),
                    &entry.credit(),
                    &entry.amount.as_decimal(),
                    &position.currency.as_str(),
                    &entry.kind.as_str(),
                    &entry.corrects.map(Uuid),
                    &None::<&str>,
                    &order.placed_at,
                    &1i64,
                    &order.placed_at,
                ];
                rows.as_mut().write(&row).await?;
            }
        }
        rows.finish().await?;
        Ok(begin.elapsed())
    }
}

/// Posts a batch as the service does.
async fn posted(store: &Postgres, orders: &[(Computed, Vec<Entry>)]) -> anyhow::Result<Duration> {
    let runs: Vec<&Computed> = orders.iter().map(|(computed, _)| computed).collect();
    let now = trace(3).computed_at.context("a computed order has its time")?;
    let begin = Instant::now();
    let outcomes = store.post(&runs, now).await?;
    let time = begin.elapsed();
    for (outcome, (_, entries)) in outcomes.iter().zip(orders) {
        ensure!(
            matches!(outcome, PostOutcome::Posted { entries: made, .. } if made == entries),
            "{outcome:?}"
        );
    }
    Ok(time)
}

fn median(mut times: Vec<Duration>, orders: u64) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1_000.0 / orders as f64
}

async fn measure(database: &str, quick: bool) -> anyhow::Result<()> {
    migrate(database).await?;
    let mut drivers = JoinSet::new();
    let mut bare = Bare::make(connect(database, &mut drivers).await?).await?;
    let store = Postgres::for_stages(database, 1)?;
    let sample = Sample::new(10);
    let mut number = 0;
    println!("{:>6} {:>8} {:>12} {:>12} {:>6}", "batch", "batches", "COPY us", "post us", "ratio");
    for (size, batches) in SIZES {
        let batches = if quick { 3 } else { batches };
        let (mut ours, mut copies) = (Vec::new(), Vec::new());
        for batch in 0..=batches {
            let orders: Vec<(Computed, Vec<Entry>)> = (number..number + size)
                .map(|number| sample.computed(number))
                .map(|computed| {
                    let entries = post(&computed.run, &[]);
                    (computed, entries)
                })
                .collect();
            number += size;
            let (copy, post) = (bare.copy(&orders).await?, posted(&store, &orders).await?);
            // The first of each size only warms up.
            if batch > 0 {
                copies.push(copy);
                ours.push(post);
            }
        }
        let (copy, post) = (median(copies, size), median(ours, size));
        println!("{size:>6} {batches:>8} {copy:>12.1} {post:>12.1} {:>6.2}", post / copy);
    }
    let count =
        "SELECT (SELECT count(*) FROM upline.ledger_entry), (SELECT count(*) FROM public.bare)";
    let row = bare.client.query_one(count, &[]).await?;
    let wanted = i64::try_from(number)? * i64::try_from(ENTRIES)?;
    ensure!((row.get::<_, i64>(0), row.get::<_, i64>(1)) == (wanted, wanted), "rows are missing");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let running = stack::up(&config(), false, &mut |_| ())?;
    let url = &running.endpoints.database_url;
    let (server, _) = url.rsplit_once('/').context("the database URL has no database")?;
    // By this name the bench `load` also takes away what a killed run left behind.
    let name = format!("bench_{}_ledger", std::process::id());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut drivers = JoinSet::new();
        let administration = connect(url, &mut drivers).await?;
        administration.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let measured = measure(&format!("{server}/{name}"), quick).await;
        administration.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        measured
    })
}
