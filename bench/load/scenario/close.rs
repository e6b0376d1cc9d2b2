//! A period closed by `upline close`: from the books of a large company to rows that are sealed.
//!
//! The baseline is Postgres alone: the columns of the journal out of it, and the rows of the close
//! into bare tables with their primary keys, over one connection.

use std::{
    fs,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio_postgres::CopyInSink;

use super::Bench;
use crate::{
    company::{self, Company, mix},
    report::{Goal, Line, number},
    world::{Ran, World},
};

const PERIOD: &str = "2026-02";
/// The sections of a plan that closes months, as the tests have them.
const MONTHS: &str = include_str!("../../../src/tests/support/months.toml");
/// The rates of the component, in percent.
const RATES: [i64; 3] = [5, 3, 2];
/// Who earns has so much personal volume, in points.
const ACTIVE: i64 = 50;

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let (members, orders) = if bench.quick { (2_100, 8_000) } else { (1_000_000, 5_000_000) };
    let company = Company::new(members, 14)?;
    let world = World::make(&bench.stack, company, bench.scale.shape, "").await?;
    fs::write(world.folder.join("pipelines/plans/bench.toml"), plan())?;
    // The plan comes into the books.
    world.serve(None).await?.stop()?;
    let begin = Instant::now();
    let volumes = fill(&world, orders).await?;
    bench.report.note(format!(
        "close: the company was written in {:.1} s, its journal in {:.1} s",
        world.founded.as_secs_f64(),
        begin.elapsed().as_secs_f64()
    ));

    let shown = world.ran(&["close", PERIOD, "--json"])?;
    let closed = world.ran(&["close", PERIOD, "--commit", "--by", "bench", "--json"])?;
    let told: Value = serde_json::from_str(&closed.output)?;
    let block = told.get("block").and_then(Value::as_u64);
    ensure!(block.is_some(), "the period was not closed: {told}");
    let wrong = audit(&world, &volumes).await?;
    ensure!(wrong == 0, "the close pays {wrong} distributors what it should not");
    let bare = bare(&world).await?;

    let what = format!("{} distributors, {} orders", number(members.into()), number(orders as f64));
    let mut line = |what: String, ran: &Ran, bare: Option<Duration>| {
        let seconds = ran.took.as_secs_f64();
        let line = Line::figure("", what, seconds, "s", Goal::None);
        bench.report.line(match bare {
            Some(bare) => {
                let bare = bare.as_secs_f64();
                line.against(bare, "Postgres alone", seconds / bare)
            }
            None => line,
        });
    };
    line(format!("close of {what}, shown"), &shown, None);
    line(format!("close of {what}, written and sealed"), &closed, Some(bare));
    for (what, ran) in [("shown", &shown), ("written", &closed)] {
        bench.report.note(format!(
            "close, {what}: {:.1} s of the program's processor time, at most {} MiB",
            ran.cpu.as_secs_f64(),
            number(ran.memory as f64 / 1_048_576.0)
        ));
    }
    world.clear().await
}

/// The plan of the orders with a close: ranks to the fixpoint, three levels, a pool, a cap.
fn plan() -> String {
    let rates: Vec<String> = RATES.iter().map(|rate| format!("\"{rate} %\"")).collect();
    let (head, component) = {
        let plan = company::plan();
        let at = plan.find("\n[[component]]").unwrap_or(plan.len());
        let (head, component) = plan.split_at(at);
        (head.to_owned(), component.to_owned())
    };
    let months = MONTHS.replace("pv = \"50\"", &format!("pv = \"{ACTIVE}\""));
    format!(
        r#"{head}currency = "USD"
{component}
{months}
[ladder]
reach = "each_step"
leg_rank = "paid_as"

[[rank]]
id = "silver"
active = true
gv = "500"

[[rank]]
id = "gold"
active = true
gv = "2000"
legs = [{{ count = 2, rank = "silver" }}]

[[component]]
kind = "unilevel_volume"
id = "levels"
rank = "paid_as"
compression = "none"
rates = [{{ rates = [{}] }}]

[[component]]
kind = "pool"
id = "leaders"
size = {{ kind = "share_of_cv", rate = "1 %" }}
rank = "paid_as"
nobody = "carry"
shares = [{{ from = "gold", shares = 1 }}]
"#,
        rates.join(", ")
    )
}

/// Writes the journal of a month, an order an entry; gives the volume of each member in points.
async fn fill(world: &World, orders: u64) -> anyhow::Result<Vec<i64>> {
    const CHUNK: usize = 1 << 20;
    let company = world.company;
    let mut volumes = vec![0i64; usize::try_from(company.size())?];
    let into: CopyInSink<Bytes> = world
        .client
        .copy_in(
            "COPY upline.volume_entry (seq, event_id, order_key, revision, line_id,
                 distributor_id, source, pv, qv, cv, order_ts, block, posted_at) FROM STDIN",
        )
        .await?;
    let mut into = pin!(into);
    let mut text = String::with_capacity(CHUNK + 1_000);
    for order in 1..=orders {
        let who = company.referrer(mix(order, 21));
        let points = 10 + i64::try_from(mix(order, 22) % 90)?;
        *volumes.get_mut(usize::try_from(who)?).context("nobody")? += points;
        let (who, parts) = (Company::id(who), points * 10_000);
        let (day, minute) = (1 + order % 28, mix(order, 23) % 1_440);
        let (hour, minute) = (minute / 60, minute % 60);
        text.push_str(&format!(
            "{order}\t{order:032x}\tshopify/bench-0/{order}\t1\t1\t{who}\tretail\t{parts}\t{parts}\t\
             {parts}\t2026-02-{day:02}T{hour:02}:{minute:02}:00Z\t1\t2026-03-01T00:00:00Z\n"
        ));
        if text.len() >= CHUNK {
            into.send(std::mem::take(&mut text).into()).await?;
        }
    }
    into.send(text.into()).await?;
    into.finish().await?;
    world.client.batch_execute("ANALYZE upline.volume_entry").await?;
    Ok(volumes)
}

/// How many distributors the component of levels pays something else than it must, by the bench's
/// own sums: what stands so many levels below somebody active, at the rate of the level.
async fn audit(world: &World, volumes: &[i64]) -> anyhow::Result<u64> {
    let company = world.company;
    let mut wanted = vec![0i64; volumes.len()];
    let mut at = volumes.to_vec();
    for rate in RATES {
        let mut above = vec![0i64; at.len()];
        for (member, volume) in (0..company.size()).zip(&at) {
            let Some(sponsor) = company.sponsor(member) else { continue };
            *above.get_mut(usize::try_from(sponsor)?).context("no sponsor")? += volume;
        }
        for ((wanted, volume), own) in wanted.iter_mut().zip(&above).zip(volumes) {
            if *own >= ACTIVE {
                // Whole points and whole percents: cents without rounding.
                *wanted += volume * rate;
            }
        }
        at = above;
    }
    let query = "SELECT substr(credit, 13)::bigint, (amount * 100)::bigint
                 FROM upline.period_entry WHERE component = 'levels' AND credit LIKE 'distributor:%'";
    let mut wrong = 0;
    for row in world.client.query(query, &[]).await? {
        let (id, cents): (i64, i64) = (row.get(0), row.get(1));
        let member = usize::try_from(id - i64::from(Company::id(0)))?;
        let owed = wanted.get_mut(member).context("somebody else is paid")?;
        wrong += u64::from(*owed != cents);
        *owed = 0;
    }
    Ok(wrong + u64::try_from(wanted.iter().filter(|owed| **owed != 0).count())?)
}

/// What Postgres alone takes for what is read and written.
async fn bare(world: &World) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    let journal = "COPY (SELECT seq, distributor_id, order_ts, pv, qv, cv FROM upline.volume_entry)
                   TO STDOUT BINARY";
    let mut rows = pin!(world.client.copy_out(journal).await?);
    let mut bytes = 0;
    while let Some(part) = rows.try_next().await? {
        bytes += part.len();
    }
    ensure!(bytes > 0, "the journal is empty");
    world
        .client
        .batch_execute(
            "CREATE TABLE public.member (LIKE upline.period_member,
                 PRIMARY KEY (plan_id, period, distributor_id));
             CREATE TABLE public.entry (LIKE upline.period_entry, PRIMARY KEY (event_id));
             INSERT INTO public.member SELECT * FROM upline.period_member;
             INSERT INTO public.entry SELECT * FROM upline.period_entry;",
        )
        .await?;
    Ok(begin.elapsed())
}
