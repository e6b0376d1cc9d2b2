//! A period of a large binary closed by `upline close`: from the tree and the journal in the books to a
//! sealed row for every position with something in its legs.
//!
//! The baseline is Postgres alone: events of the tree and columns of the journal out of it, and the rows of
//! the close into bare tables with their primary keys, over one connection.

use std::{
    fs,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::{SinkExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::{Client, CopyInSink, binary_copy::BinaryCopyInWriter, types::Type};
use upline::domain::{
    digest::Digest,
    id::{DistributorId, PositionId},
    placement::{BinaryTree, Owner, Placed, Position, Side, Spot},
};

use super::Bench;
use crate::{
    company::{self, Company, mix},
    report::{Goal, Line, number},
    world::{Ran, World, connect},
};

const PERIOD: &str = "2026-02";
/// When everybody was placed: before every order.
const PLACED: &str = "2026-01-01T00:00:00Z";
/// One position in so many brings volume, and only those are active.
const ACTIVE: u64 = 10;

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let large = bench.options.ten_million;
    let positions = match (bench.options.distributors, bench.quick, large) {
        (Some(number), ..) => number,
        (None, true, _) => 2_100,
        (None, false, false) => 1_000_000,
        (None, false, true) => 10_000_000,
    };
    let company = Company::new(positions, 14)?;
    let world = World::make(&bench.stack, company, bench.scale.shape, "").await?;
    fs::write(world.folder.join("pipelines/plans/bench.toml"), plan())?;
    // The plan comes into the books.
    world.serve(None).await?.stop()?;
    let begin = Instant::now();
    let tree = grown(positions)?;
    let mut drivers = tokio::task::JoinSet::new();
    place(&mut connect(&world.database, &mut drivers).await?, &tree).await?;
    let placed = begin.elapsed();
    let volumes = fill(&world).await?;
    bench.report.note(format!(
        "close of a binary: the company was written in {:.1} s, its tree in {:.1} s, its journal in {:.1} s",
        world.founded.as_secs_f64(),
        placed.as_secs_f64(),
        begin.elapsed().saturating_sub(placed).as_secs_f64()
    ));

    let shown = world.ran(&["close", PERIOD, "--json"])?;
    let closed = world.ran(&["close", PERIOD, "--commit", "--by", "bench", "--json"])?;
    let told: Value = serde_json::from_str(&closed.output)?;
    let block = told.get("block").and_then(Value::as_u64);
    ensure!(block.is_some(), "the period was not closed: {told}");
    let rows = audit(&world, &tree, &volumes).await?;
    let bare = bare(&world).await?;

    let what = format!("a binary of {} positions", number(f64::from(positions)));
    let goal =
        if positions == 10_000_000 { Goal::AtMost { good: 60.0, great: 20.0 } } else { Goal::None };
    let (text, seconds) = (format!("close of {what}, shown"), shown.took.as_secs_f64());
    bench.report.line(Line::figure("", text, seconds, "s", Goal::None));
    let (text, seconds) = (format!("close of {what}, written, sealed"), closed.took.as_secs_f64());
    bench.report.line(Line::figure("P13", text, seconds, "s", goal));
    let text = format!("the same rows of {what} by Postgres alone");
    bench.report.line(Line::figure("", text, bare.as_secs_f64(), "s", Goal::None));
    bench.report.note(format!("close of a binary: {} rows of positions", number(rows as f64)));
    for (what, ran) in [("shown", &shown), ("written", &closed)] {
        bench.report.note(resources(what, ran));
    }
    world.clear().await
}

fn resources(what: &str, ran: &Ran) -> String {
    format!(
        "close of a binary, {what}: {:.1} s of the program's processor time, at most {} MiB",
        ran.cpu.as_secs_f64(),
        number(ran.memory as f64 / 1_048_576.0)
    )
}

/// 10 % of the weaker leg of whoever brought volume of their own, carried forward.
fn plan() -> String {
    let plan = company::plan();
    let head = plan.split("\n[[component]]").next().unwrap_or_default();
    format!(
        r#"{head}currency = "USD"

[volumes]
pv = "qv"
group = "pv"
retail_orders = "referrer"
negative_volume = "carry"
conversion = "1"
qv = {{ source = "net", rate = "100 %" }}
cv = {{ source = "net", rate = "100 %" }}

[activity]
pv = "1"
look_back = 1
window = "sum"
active_leg = "frontline"

[period]
every = {{ kind = "monthly" }}
time_zone = "UTC"
day_starts = "00:00:00"
snapshot = "last_instant"
cut_off_days = 3
distribution_days = 10

[[component]]
kind = "binary"
id = "pairs"
tree = "legs"
volume = "cv"
carry = {{ policy = "forward", cap = "none", expires_after = "none" }}
cap = {{ semantics = "none" }}
owner_cap = "none"
qualification = {{ own_active = true, enrolled_each_side = false }}
unqualified = "breakage"
[component.pays]
kind = "percentage"
rate = "10 %"
matching = {{ conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" }}
"#
    )
}

/// Everybody spills below somebody earlier, to either side.
fn grown(positions: u32) -> anyhow::Result<BinaryTree> {
    let mut tree = BinaryTree::with_capacity(usize::try_from(positions)?);
    tree.place_top(Owner(0))?;
    for position in 1..positions {
        let drawn = mix(u64::from(position), 31);
        let under = Position(u32::try_from((drawn >> 1) % u64::from(position))?);
        let side = if drawn & 1 == 0 { Side::Left } else { Side::Right };
        tree.place_below(Owner(position), under, side)?;
    }
    Ok(tree)
}

/// Writes the tree with the chain of hashes that the triggers would make.
async fn place(client: &mut Client, tree: &BinaryTree) -> anyhow::Result<()> {
    const TYPES: [Type; 10] = [
        Type::TEXT,
        Type::INT8,
        Type::INT4,
        Type::TEXT,
        Type::TEXT,
        Type::INT4,
        Type::INT2,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::BYTEA,
    ];
    let at: Timestamp = PLACED.parse()?;
    let tx = client.transaction().await?;
    tx.batch_execute(
        "SET LOCAL session_replication_role = replica;
         INSERT INTO upline.placement_tree (tree, kind, width) VALUES ('legs', 'binary', 2)",
    )
    .await?;
    let into =
        "COPY upline.placement_event (tree, seq, position, position_id, distributor_id, parent,
                    place, placed_at, recorded_at, hash) FROM STDIN BINARY";
    let mut rows = pin!(BinaryCopyInWriter::new(tx.copy_in(into).await?, &TYPES));
    let columns = tree.columns();
    let mut previous = Digest::ZERO;
    for number in 0..u32::try_from(tree.len())? {
        let position = Position(number);
        let below = columns.parent(position).map(|(parent, side)| (parent, side.index()));
        let spot = Spot {
            name: PositionId::parse(&format!("P{number}"))?,
            owner: DistributorId::parse(&Company::id(number).to_string())?,
            below,
            placed_at: at,
        };
        let seq = u64::from(number) + 1;
        let mut event = Placed { seq, position, spot, recorded_at: at, hash: Digest::ZERO };
        event.hash = event.chained(&previous);
        previous = event.hash;
        let parent = below.map(|(parent, _)| i32::try_from(parent.0)).transpose()?;
        rows.as_mut()
            .write(&[
                &"legs",
                &i64::try_from(seq)?,
                &i32::try_from(number)?,
                &event.spot.name.as_str(),
                &event.spot.owner.as_str(),
                &parent,
                &below.map(|(_, place)| i16::from(place)),
                &at,
                &at,
                &event.hash.as_bytes().as_slice(),
            ])
            .await?;
    }
    rows.finish().await?;
    tx.batch_execute(
        "INSERT INTO upline.placement
         SELECT e.tree, e.position_id, e.distributor_id, p.position_id, e.place, e.placed_at
         FROM upline.placement_event e
         LEFT JOIN upline.placement_event p ON p.tree = e.tree AND p.seq = e.parent + 1
         ORDER BY e.seq",
    )
    .await?;
    tx.commit().await?;
    client.batch_execute("ANALYZE upline.placement_event").await?;
    Ok(())
}

/// Writes the journal of a month, an order for each who is active; gives the volume of each in points.
async fn fill(world: &World) -> anyhow::Result<Vec<i64>> {
    const CHUNK: usize = 1 << 20;
    let mut volumes = vec![0i64; usize::try_from(world.company.size())?];
    let into: CopyInSink<Bytes> = world
        .client
        .copy_in(
            "COPY upline.volume_entry (seq, event_id, order_key, revision, line_id,
                 distributor_id, source, pv, qv, cv, order_ts, block, posted_at) FROM STDIN",
        )
        .await?;
    let mut into = pin!(into);
    let mut text = String::with_capacity(CHUNK + 1_000);
    for order in 1..=u64::from(world.company.size()) / ACTIVE {
        let who = u32::try_from((order - 1) * ACTIVE + mix(order, 41) % ACTIVE)?;
        let points = 10 + i64::try_from(mix(order, 42) % 90)?;
        *volumes.get_mut(usize::try_from(who)?).context("nobody")? += points;
        let (who, parts, day) = (Company::id(who), points * 10_000, 1 + order % 28);
        text.push_str(&format!(
            "{order}\t{order:032x}\tshopify/bench-0/{order}\t1\t1\t{who}\tretail\t{parts}\t{parts}\t\
             {parts}\t2026-02-{day:02}T12:00:00Z\t1\t2026-03-01T00:00:00Z\n"
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

/// Holds every position and entry against the bench's own sums; how many positions have a row.
async fn audit(world: &World, tree: &BinaryTree, volumes: &[i64]) -> anyhow::Result<u64> {
    let columns = tree.columns();
    let mut legs = vec![[0i64; 2]; volumes.len()];
    for number in (0..tree.len()).rev() {
        let [left, right] = legs.get(number).copied().unwrap_or_default();
        let all = left + right + volumes.get(number).copied().unwrap_or_default();
        let Some((parent, side)) = columns.parent(Position(u32::try_from(number)?)) else {
            continue;
        };
        let leg = legs.get_mut(parent.index()).context("no parent")?;
        *leg.get_mut(usize::from(side.index())).context("no leg")? += all;
    }
    // Whole points and a tenth of them: cents without rounding.
    let owed = |number: usize, [left, right]: [i64; 2]| {
        if volumes.get(number).is_some_and(|own| *own > 0) { left.min(right) * 10 } else { 0 }
    };
    let query = "SELECT position, left_arrived, right_arrived, left_carried, right_carried,
                        (paid * 100)::bigint, (breakage * 100)::bigint
                 FROM upline.period_position";
    let none: [&str; 0] = [];
    let mut rows = pin!(world.client.query_raw(query, none).await?);
    let (mut found, mut wrong) = (0u64, 0u64);
    while let Some(row) = rows.try_next().await? {
        let number = usize::try_from(row.get::<_, i32>(0))?;
        let [left, right] = legs.get(number).copied().context("a position too many")?;
        let (weaker, paid) = (left.min(right), owed(number, [left, right]));
        let parts = [left, right, left - weaker, right - weaker].map(|points| points * 10_000);
        let told: [i64; 4] = [1, 2, 3, 4].map(|column: usize| row.get(column));
        let money: [i64; 2] = [row.get(5), row.get(6)];
        wrong += u64::from(parts != told || money != [paid, weaker * 10 - paid]);
        found += 1;
    }
    let wanted = legs.iter().filter(|legs| **legs != [0, 0]).count();
    ensure!(found == u64::try_from(wanted)?, "{found} rows of positions instead of {wanted}");
    let query = "SELECT substr(credit, 13)::bigint, (amount * 100)::bigint FROM upline.period_entry
                 WHERE component = 'pairs' AND credit LIKE 'distributor:%'";
    let mut rows = pin!(world.client.query_raw(query, none).await?);
    let mut left: i64 = legs.iter().enumerate().map(|(number, legs)| owed(number, *legs)).sum();
    while let Some(row) = rows.try_next().await? {
        let (id, cents): (i64, i64) = (row.get(0), row.get(1));
        let number = usize::try_from(id - i64::from(Company::id(0)))?;
        let legs = legs.get(number).copied().context("somebody else is paid")?;
        wrong += u64::from(owed(number, legs) != cents);
        left -= cents;
    }
    ensure!(wrong == 0 && left == 0, "{wrong} rows are wrong, {left} cents are not paid");
    Ok(found)
}

/// What Postgres alone takes for what is read and written.
async fn bare(world: &World) -> anyhow::Result<Duration> {
    let begin = Instant::now();
    for columns in [
        "seq, position, position_id, distributor_id, parent, place, placed_at, recorded_at, hash
         FROM upline.placement_event",
        "seq, distributor_id, order_ts, pv, qv, cv FROM upline.volume_entry",
    ] {
        let copy = format!("COPY (SELECT {columns}) TO STDOUT BINARY");
        let mut rows = pin!(world.client.copy_out(&copy).await?);
        while rows.try_next().await?.is_some() {}
    }
    world
        .client
        .batch_execute(
            "CREATE TABLE public.position (LIKE upline.period_position,
                 PRIMARY KEY (plan_id, component, period, position));
             CREATE TABLE public.member (LIKE upline.period_member,
                 PRIMARY KEY (plan_id, period, distributor_id));
             CREATE TABLE public.entry (LIKE upline.period_entry, PRIMARY KEY (event_id));
             INSERT INTO public.position SELECT * FROM upline.period_position;
             INSERT INTO public.member SELECT * FROM upline.period_member;
             INSERT INTO public.entry SELECT * FROM upline.period_entry;",
        )
        .await?;
    Ok(begin.elapsed())
}
