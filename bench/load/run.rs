//! One run: send, wait until everything is in the ledger, see what it took, check the books.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    audit::{Audit, audit},
    company::LEVELS,
    generator::{Load, Sent, send},
    order::Template,
    process::{ByProgram, Processes, since},
    world::{LAST, Server, World, connect},
};

/// How often the ledger is looked at: one cheap query.
const LOOK: Duration = Duration::from_millis(25);
/// When the ledger has not grown for this long, it will not.
const STALLED: Duration = Duration::from_secs(20);
/// How long the ledger must be at rest if nobody knows how many orders there should be.
const AT_REST: Duration = Duration::from_secs(2);
/// How long the warehouse may take after the ledger.
const WAREHOUSE: Duration = Duration::from_mins(1);
const LEVELS_U64: u64 = 10;
const _: () = assert!(LEVELS == 10, "as many rows as levels");

/// Watches how the ledger grows, on a thread of its own.
struct Meter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Vec<(Instant, u64)>>>,
}

impl Meter {
    fn start(database: String) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut driver = JoinSet::new();
                let client = connect(&database, &mut driver).await?;
                let statement = client.prepare(LAST).await?;
                let mut seen = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let row = client.query_opt(&statement, &[]).await?;
                    let last = row.map_or(0, |row| row.get::<_, i64>(0));
                    seen.push((Instant::now(), u64::try_from(last)?));
                    tokio::time::sleep(LOOK).await;
                }
                Ok(seen)
            })
        });
        Self { stop, thread }
    }

    fn stop(self) -> anyhow::Result<Vec<(Instant, u64)>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_panic| anyhow::anyhow!("the meter failed"))?
    }
}

/// Quantiles of a latency in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Quantiles {
    /// Half are faster.
    pub(crate) p50: f64,
    /// 99 of 100 are faster.
    pub(crate) p99: f64,
    /// The slowest.
    pub(crate) max: f64,
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Run {
    /// The generator's side.
    pub(crate) sent: Sent,
    /// Orders in the ledger.
    pub(crate) orders: u64,
    /// Orders a second from the end of the warm-up until the last one was in the ledger: what the
    /// whole way sustains.
    pub(crate) sustained: f64,
    /// Orders a second into the ledger while the load went on, without the warm-up.
    pub(crate) under_load: f64,
    /// The most orders a second into the ledger over any second of the load.
    pub(crate) peak: f64,
    /// From the first request until the last order was in the ledger.
    pub(crate) span: Duration,
    /// From the first request until 95 of 100 orders were in the ledger.
    pub(crate) most: Duration,
    /// From the last answer until the last order was in the ledger.
    pub(crate) drain: Duration,
    /// Orders a second into the ledger after the last answer; none if there was nothing left.
    pub(crate) drain_rate: Option<f64>,
    /// From edge receipt until the ledger's commit.
    pub(crate) emit: Quantiles,
    /// Whether `emit` is until the commit of every order; else it is `stamped`.
    pub(crate) exact: bool,
    /// Until the ledger's own time stamp, which is taken before its transaction begins.
    pub(crate) stamped: Quantiles,
    /// The bucket of the program's own histogram that holds the 99th percentile, in seconds.
    pub(crate) emit_bucket: Option<f64>,
    /// From edge receipt until the last row was in ClickHouse, as far as it was waited for.
    pub(crate) warehouse: Duration,
    /// Processor time by program, from the first request until everything was at rest.
    pub(crate) cpu: ByProgram<Duration>,
    /// Resident memory at the end of the load.
    pub(crate) memory: ByProgram<u64>,
    /// The books.
    pub(crate) audit: Audit,
}

impl Run {
    /// Processor time of an order by program, in microseconds.
    pub(crate) fn cpu_us(&self) -> ByProgram<f64> {
        let orders = (self.orders as f64).max(1.0);
        self.cpu.iter().map(|(p, time)| (*p, time.as_secs_f64() * 1e6 / orders)).collect()
    }
}

/// Sends the load to the servers and waits until the ledger has it. `meanwhile` may disturb.
pub(crate) async fn run(
    world: &World,
    processes: &Processes,
    load: &Load,
    template: &Arc<Template>,
    admin: Option<std::net::SocketAddr>,
    meanwhile: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<Run> {
    let before_rows = world.ledger_rows().await?;
    let begin_wall = wall(world).await?;
    let histogram = scrape(admin).await;
    let meter = Meter::start(world.database.clone());
    let cpu = processes.cpu();
    let begin = Instant::now();
    let (sent, disturbed) =
        tokio::join!(send(load, template, world.company, &world.next), meanwhile());
    let sent = sent?;
    disturbed?;
    let memory = processes.memory();
    let wanted = before_rows + u64::try_from(sent.accepted.len())? * LEVELS_U64;
    wait_for_ledger(world, wanted, sent.open.is_empty()).await?;
    let seen = meter.stop()?;
    let warehouse = wait_for_warehouse(world, begin).await?;
    let cpu = since(&processes.cpu(), &cpu);
    let orders = world.ledger_rows().await?.saturating_sub(before_rows) / LEVELS_U64;
    let growth = Growth { seen: &seen, before: before_rows };
    let emit = emit_of(world, begin_wall, orders).await?;
    let stamped = stamped_of(world, before_rows).await?;
    let audit = audit(world, template.shape(), &sent, before_rows).await?;
    let warm = sent.begin + load.warm;
    let stop = warm + load.measured;
    let last = growth.last_at().unwrap_or(sent.end);
    let drained = growth.orders_between(sent.end, last);
    let drain = last.saturating_duration_since(sent.end);
    Ok(Run {
        orders,
        sustained: growth.rate(warm, last),
        under_load: growth.rate(warm, stop),
        peak: growth.peak(warm, stop),
        span: last.saturating_duration_since(sent.begin),
        most: growth.when(0.95).unwrap_or(last).saturating_duration_since(sent.begin),
        drain,
        drain_rate: (drain > LOOK * 8).then(|| drained / drain.as_secs_f64()),
        emit: emit.unwrap_or(stamped),
        exact: emit.is_some(),
        stamped,
        emit_bucket: p99_bucket(&histogram, &scrape(admin).await),
        warehouse,
        cpu,
        memory,
        audit,
        sent,
    })
}

/// Waits until the ledger has what was sent before; says how many orders a second went in, and
/// whether they are right.
pub(crate) async fn settle(
    world: &World,
    template: &Template,
    sent: &Sent,
    before_rows: u64,
) -> anyhow::Result<(f64, Audit)> {
    let meter = Meter::start(world.database.clone());
    let begin = Instant::now();
    let wanted = before_rows + u64::try_from(sent.accepted.len())? * LEVELS_U64;
    wait_for_ledger(world, wanted, sent.open.is_empty()).await?;
    let seen = meter.stop()?;
    wait_for_warehouse(world, begin).await?;
    let growth = Growth { seen: &seen, before: before_rows };
    let last = growth.last_at().unwrap_or(begin);
    // A stage that was paused needs a moment to notice that it goes on.
    let first = growth.first_at().unwrap_or(begin);
    let rate = growth.rate(first, last);
    Ok((rate, audit(world, template.shape(), sent, before_rows).await?))
}

/// How the ledger grew.
struct Growth<'a> {
    seen: &'a [(Instant, u64)],
    before: u64,
}

impl Growth<'_> {
    /// Orders in the ledger at a moment, between two looks in proportion.
    fn at(&self, when: Instant) -> f64 {
        let orders = |rows: u64| rows.saturating_sub(self.before) as f64 / LEVELS_U64 as f64;
        let after = self.seen.partition_point(|(at, _)| *at <= when);
        let later = self.seen.get(after);
        let earlier = after.checked_sub(1).and_then(|before| self.seen.get(before));
        match (earlier, later) {
            (Some((from, low)), Some((to, high))) => {
                let part = (when - *from).as_secs_f64() / (*to - *from).as_secs_f64().max(1e-9);
                orders(*low) + (orders(*high) - orders(*low)) * part
            }
            (Some((_, rows)), None) | (None, Some((_, rows))) => orders(*rows),
            (None, None) => 0.0,
        }
    }

    fn orders_between(&self, from: Instant, to: Instant) -> f64 {
        self.at(to) - self.at(from)
    }

    fn rate(&self, from: Instant, to: Instant) -> f64 {
        let seconds = to.saturating_duration_since(from).as_secs_f64();
        self.orders_between(from, to) / seconds.max(1e-9)
    }

    /// When a share of all rows was there.
    fn when(&self, share: f64) -> Option<Instant> {
        let wanted = self.at(self.seen.last()?.0) * share;
        self.seen.iter().map(|(at, _)| *at).find(|at| self.at(*at) >= wanted)
    }

    /// When the first row came.
    fn first_at(&self) -> Option<Instant> {
        self.seen.iter().find(|(_, rows)| *rows > self.before).map(|(at, _)| *at)
    }

    /// When the last row came.
    fn last_at(&self) -> Option<Instant> {
        let (_, most) = self.seen.last()?;
        self.seen.iter().find(|(_, rows)| rows == most).map(|(at, _)| *at)
    }

    /// The best second.
    fn peak(&self, from: Instant, to: Instant) -> f64 {
        let span = Duration::from_secs(1).min(to.saturating_duration_since(from));
        let within =
            self.seen.iter().map(|(at, _)| *at).filter(|at| *at >= from && *at + span <= to);
        within.map(|at| self.rate(at, at + span)).fold(self.rate(from, to), f64::max)
    }
}

/// Now, by the clock of the database: all processes share the machine's.
async fn wall(world: &World) -> anyhow::Result<i64> {
    let text = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    Ok(world.client.query_one(text, &[]).await?.get(0))
}

async fn wait_for_ledger(world: &World, wanted: u64, exact: bool) -> anyhow::Result<()> {
    let mut last = 0;
    let mut grown = Instant::now();
    loop {
        let rows = world.ledger_rows().await?;
        if rows != last {
            (last, grown) = (rows, Instant::now());
        }
        let enough = rows >= wanted && (exact || grown.elapsed() >= AT_REST);
        // What is missing then is lost, and the audit says so.
        if enough || grown.elapsed() >= STALLED {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn wait_for_warehouse(world: &World, begin: Instant) -> anyhow::Result<Duration> {
    let waited = Instant::now();
    let behind = "SELECT (SELECT coalesce(max(number), 0) FROM upline.ledger_block) > block
                  FROM upline.warehouse_mark";
    while world.client.query_one(behind, &[]).await?.get(0) && waited.elapsed() < WAREHOUSE {
        tokio::time::sleep(LOOK).await;
    }
    Ok(begin.elapsed())
}

/// Exact latencies until the commit: the program hands its time of commit on to the warehouse. None
/// if not every order is there.
async fn emit_of(world: &World, since: i64, orders: u64) -> anyhow::Result<Option<Quantiles>> {
    let (server, database) =
        world.clickhouse.rsplit_once('/').context("the ClickHouse URL has no database")?;
    let address = server.strip_prefix("http://").context("ClickHouse is at an http URL")?;
    let query = format!(
        "SELECT count(), quantilesExact(0.5, 0.99, 1)(emit_us) AS q, q[1], q[2], q[3]
         FROM {database}.stage_latencies WHERE received_at >= fromUnixTimestamp64Micro({since})"
    );
    let answer = http(address, "POST", "/", &query).await?;
    let mut fields = answer.trim().split('\t');
    let count: u64 = fields.next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let mut milliseconds = fields.skip(1).filter_map(|text| text.parse::<f64>().ok());
    let mut next = || milliseconds.next().map(|micros| micros / 1_000.0);
    match (next(), next(), next()) {
        (Some(p50), Some(p99), Some(max)) if count >= orders && orders > 0 => {
            Ok(Some(Quantiles { p50, p99, max }))
        }
        _ => Ok(None),
    }
}

/// Latencies until the time stamp of the ledger.
async fn stamped_of(world: &World, after: u64) -> anyhow::Result<Quantiles> {
    let row = world
        .client
        .query_one(
            "SELECT percentile_disc(ARRAY[0.5, 0.99, 1.0]) WITHIN GROUP (
                 ORDER BY extract(epoch FROM posted_at - received_at)::float8 * 1000)
             FROM upline.commission_run
             WHERE block > (SELECT coalesce(max(number), 0) FROM upline.ledger_block
                            WHERE last_seq <= $1)",
            &[&i64::try_from(after)?],
        )
        .await?;
    let quantiles: Option<Vec<f64>> = row.get(0);
    Ok(match quantiles.as_deref() {
        Some([p50, p99, max]) => Quantiles { p50: *p50, p99: *p99, max: *max },
        _ => Quantiles::default(),
    })
}

/// The buckets of the emit latency: upper bound and how many are below it.
async fn scrape(admin: Option<std::net::SocketAddr>) -> Vec<(f64, f64)> {
    let Some(admin) = admin else { return Vec::new() };
    let Ok(page) = http(&admin.to_string(), "GET", "/metrics", "").await else { return Vec::new() };
    let bucket = |line: &str| {
        let rest = line.strip_prefix("upline_commission_emit_seconds_bucket")?;
        let (_, bound) = rest.split_once("le=\"")?;
        let (bound, count) = bound.split_once('"')?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, count.rsplit_once(' ')?.1.parse().ok()?))
    };
    page.lines().filter_map(bucket).collect()
}

/// The upper bound of the bucket that holds the 99th percentile of what came in between.
fn p99_bucket(before: &[(f64, f64)], after: &[(f64, f64)]) -> Option<f64> {
    let earlier = |bound: f64| {
        before.iter().find(|(known, _)| known.to_bits() == bound.to_bits()).map_or(0.0, |(_, n)| *n)
    };
    let counts: Vec<(f64, f64)> =
        after.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
    let (_, all) = counts.last()?;
    counts.iter().find(|(_, count)| *all > 0.0 && *count >= all * 0.99).map(|(bound, _)| *bound)
}

/// A request of HTTP/1.0, whose answer ends with the connection.
async fn http(address: &str, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    anyhow::ensure!(head.contains(" 200 "), "{address} answered {head}: {body}");
    Ok(body.to_owned())
}

/// What `run` needs of the servers that are tested.
pub(crate) fn admin_of(servers: &[Server]) -> Option<std::net::SocketAddr> {
    match servers {
        [one] => one.admin,
        _ => None,
    }
}
