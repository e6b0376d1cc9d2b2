//! The load: signed webhooks over kept connections, at a rate that is kept or as fast as they are
//! answered.
//!
//! At a rate the loop is open: request n is due at start + n / rate whatever happened before, and
//! its latency counts from then. A server that stalls is charged for every request that was due
//! while it stalled, not only for those that were under way.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    company::{Company, mix},
    order::{Order, Template},
};

/// After this the answer will not come.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two tries of somebody who insists, and after a refusal of somebody who does not wait.
const PAUSE: Duration = Duration::from_millis(10);
/// Of how many orders of a connection a repeat is chosen.
const REMEMBERED: usize = 64;
/// The shortest time between two looks of the pacer.
const BEAT: Duration = Duration::from_micros(100);

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// The next one when the last was answered.
    Closed,
    /// So many a second.
    Open(f64),
}

/// What is sent, and how.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Connections go to them in turn.
    pub(crate) targets: Vec<SocketAddr>,
    /// How many connections.
    pub(crate) connections: usize,
    /// When.
    pub(crate) pace: Pace,
    /// Not measured.
    pub(crate) warm: Duration,
    /// Measured.
    pub(crate) measured: Duration,
    /// Of a hundred deliveries so many are exact repeats of earlier ones.
    pub(crate) repeats: u64,
    /// Every delivery is sent until it is accepted, as a shop does.
    pub(crate) insist: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The numbers of the orders that were answered 200, each once.
    pub(crate) accepted: Vec<u64>,
    /// Orders that were sent and not answered 200: they may be in the log or not.
    pub(crate) open: HashSet<u64>,
    /// Answers by status, the whole time.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Answers of status 503 that carried Retry-After.
    pub(crate) retry_after: u64,
    /// Connections that broke and answers that never came.
    pub(crate) broken: u64,
    /// Deliveries that repeated an earlier one and were answered 200.
    pub(crate) repeated: u64,
    /// 200s in the measured time.
    pub(crate) within: u64,
    /// Latencies of answers in the measured time in microseconds, from when they were due.
    pub(crate) latency: Histogram<u64>,
    /// When the first was sent.
    pub(crate) begin: Instant,
    /// When the last was answered.
    pub(crate) end: Instant,
    measured: Duration,
}

impl Sent {
    fn new(measured: Duration) -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            accepted: Vec::new(),
            open: HashSet::new(),
            statuses: BTreeMap::new(),
            retry_after: 0,
            broken: 0,
            repeated: 0,
            within: 0,
            latency: Histogram::new_with_bounds(1, 120_000_000, 3)?,
            begin: now,
            end: now,
            measured,
        })
    }

    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        self.accepted.extend(other.accepted);
        self.open.extend(other.open);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.retry_after += other.retry_after;
        self.broken += other.broken;
        self.repeated += other.repeated;
        self.within += other.within;
        self.latency.add(other.latency)?;
        self.end = self.end.max(other.end);
        Ok(())
    }

    /// 200s a second in the measured time.
    pub(crate) fn rate(&self) -> f64 {
        self.within as f64 / self.measured.as_secs_f64()
    }

    /// Answers with a status.
    pub(crate) fn answered(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// A quantile of the latency in milliseconds.
    pub(crate) fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// When the next request may go, and which it is.
struct Schedule {
    begin: Instant,
    stop: Instant,
    /// Numbers the orders.
    orders: Arc<AtomicU64>,
    /// Numbers the requests of an open loop.
    slots: AtomicU64,
    due: Arc<Semaphore>,
    pace: Pace,
}

impl Schedule {
    /// Waits until a request is due; says when it was due.
    async fn next(&self) -> Option<Instant> {
        let mut due = Instant::now();
        if let Pace::Open(rate) = self.pace {
            // The pacer gives more than there are slots at the end.
            self.due.acquire().await.ok()?.forget();
            let slot = self.slots.fetch_add(1, Ordering::Relaxed);
            due = self.begin + Duration::from_secs_f64(slot as f64 / rate);
        }
        (due < self.stop).then_some(due)
    }
}

/// Gives out the requests that are due. A thread, because timers of the runtime are a millisecond
/// apart.
fn pacer(schedule: &Schedule, rate: f64, stopped: &AtomicBool) {
    let mut given = 0usize;
    while !stopped.load(Ordering::Relaxed) {
        let now = Instant::now();
        let passed = now.min(schedule.stop).saturating_duration_since(schedule.begin);
        let due = (passed.as_secs_f64() * rate) as usize + 1;
        schedule.due.add_permits(due.saturating_sub(given));
        given = given.max(due);
        if now >= schedule.stop {
            break;
        }
        let next = schedule.begin + Duration::from_secs_f64(given as f64 / rate);
        thread::sleep(next.saturating_duration_since(Instant::now()).max(BEAT));
    }
    // Whoever still waits has nothing to send: each gets a slot behind the end.
    schedule.due.add_permits(Semaphore::MAX_PERMITS / 2);
}

/// Sends the load. `orders` numbers them and goes on where it was.
pub(crate) async fn send(
    load: &Load,
    template: &Arc<Template>,
    company: Company,
    orders: &AtomicU64,
) -> anyhow::Result<Sent> {
    let counter = Arc::new(AtomicU64::new(orders.load(Ordering::Relaxed)));
    let mut connections = Vec::with_capacity(load.connections);
    for at in 0..load.connections {
        let target = load.targets.get(at % load.targets.len()).context("no target")?;
        connections.push(Connection::open(*target).await?);
    }
    let begin = Instant::now();
    let schedule = Arc::new(Schedule {
        begin,
        stop: begin + load.warm + load.measured,
        orders: counter.clone(),
        slots: AtomicU64::new(0),
        due: Arc::new(Semaphore::new(0)),
        pace: load.pace,
    });
    let stopped = Arc::new(AtomicBool::new(false));
    let mut pacing = None;
    if let Pace::Open(rate) = load.pace {
        let (schedule, stopped) = (schedule.clone(), stopped.clone());
        pacing = Some(thread::spawn(move || pacer(&schedule, rate, &stopped)));
    }
    let mut tasks = JoinSet::new();
    for (at, connection) in (0u64..).zip(connections) {
        let worker = Worker {
            salt: at,
            schedule: schedule.clone(),
            template: template.clone(),
            company,
            measured_from: begin + load.warm,
            repeats: load.repeats,
            insist: load.insist,
            sent: Sent::new(load.measured)?,
            recent: Vec::new(),
            drawn: 0,
        };
        tasks.spawn(worker.run(connection));
    }
    let mut sent = Sent::new(load.measured)?;
    sent.begin = begin;
    while let Some(done) = tasks.join_next().await {
        sent.add(done??)?;
    }
    stopped.store(true, Ordering::Relaxed);
    if let Some(pacing) = pacing {
        pacing.join().map_err(|_panic| anyhow::anyhow!("the pacer failed"))?;
    }
    orders.store(counter.load(Ordering::Relaxed), Ordering::Relaxed);
    Ok(sent)
}

/// Sends one delivery again and again until it is answered 200, to a server that may not listen yet.
pub(crate) async fn first_answer(target: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Ok(mut connection) = Connection::open(target).await
            && connection.ask(request).await.is_ok_and(|answer| answer.status == 200)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    anyhow::bail!("no 200 in {PATIENCE:?}")
}

/// One connection's share of the load.
struct Worker {
    salt: u64,
    schedule: Arc<Schedule>,
    template: Arc<Template>,
    company: Company,
    measured_from: Instant,
    repeats: u64,
    insist: bool,
    sent: Sent,
    recent: Vec<u64>,
    drawn: u64,
}

impl Worker {
    async fn run(mut self, mut connection: Connection) -> anyhow::Result<Sent> {
        let mut buffer = self.template.buffer();
        let shape = self.template.shape();
        while let Some(due) = self.schedule.next().await {
            let repeat = self.repeat();
            let fresh = || self.schedule.orders.fetch_add(1, Ordering::Relaxed);
            let number = repeat.unwrap_or_else(fresh);
            self.template.write(Order::new(number, self.company, shape), &mut buffer);
            let accepted = self.deliver(&mut connection, &buffer, due).await?;
            match (accepted, repeat) {
                (true, Some(_)) => self.sent.repeated += 1,
                (true, None) => self.remember(number),
                (false, None) => drop(self.sent.open.insert(number)),
                (false, Some(_)) => {}
            }
        }
        self.sent.end = Instant::now();
        Ok(self.sent)
    }

    /// Sends one delivery, if need be until it is accepted; says whether it was.
    async fn deliver(
        &mut self,
        connection: &mut Connection,
        request: &[u8],
        due: Instant,
    ) -> anyhow::Result<bool> {
        loop {
            let answer = tokio::time::timeout(PATIENCE, connection.ask(request)).await;
            let answer = answer.ok().and_then(Result::ok);
            if answer.is_none() {
                self.sent.broken += 1;
                connection.reopen(self.insist).await?;
            }
            let accepted = answer.is_some_and(|answer| self.record(answer, due));
            if accepted || !self.insist {
                if !accepted && matches!(self.schedule.pace, Pace::Closed) {
                    tokio::time::sleep(PAUSE).await;
                }
                return Ok(accepted);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn record(&mut self, answer: Answer, due: Instant) -> bool {
        *self.sent.statuses.entry(answer.status).or_default() += 1;
        if answer.status == 503 && answer.retry_after {
            self.sent.retry_after += 1;
        }
        let (now, accepted) = (Instant::now(), answer.status == 200);
        // An open loop is judged by when a request was due, a closed one by when it was answered.
        let at = if matches!(self.schedule.pace, Pace::Closed) { now } else { due };
        if accepted && at >= self.measured_from && at < self.schedule.stop {
            self.sent.within += 1;
            let micros = u64::try_from((now - due).as_micros()).unwrap_or(u64::MAX);
            self.sent.latency.saturating_record(micros);
        }
        accepted
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.drawn += 1;
        mix(self.salt << 40 | self.drawn, 5) % below
    }

    /// An order that was accepted already, if it is time for a repeat.
    fn repeat(&mut self) -> Option<u64> {
        if self.repeats == 0 || self.draw(100) >= self.repeats {
            return None;
        }
        let among = u64::try_from(self.recent.len()).ok().filter(|count| *count > 0)?;
        let at = usize::try_from(self.draw(among)).ok()?;
        self.recent.get(at).copied()
    }

    fn remember(&mut self, number: u64) {
        self.sent.accepted.push(number);
        if self.repeats == 0 {
            return;
        }
        if self.recent.len() >= REMEMBERED {
            self.recent.remove(0);
        }
        self.recent.push(number);
    }
}

/// What a server answered.
#[derive(Debug, Clone, Copy)]
struct Answer {
    status: u16,
    retry_after: bool,
}

/// A kept HTTP/1.1 connection.
struct Connection {
    target: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    closing: bool,
}

impl Connection {
    async fn open(target: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target).await?;
        stream.set_nodelay(true)?;
        Ok(Self { target, stream, buffer: Vec::with_capacity(1_024), closing: false })
    }

    /// Connects anew; with `insist` until somebody listens.
    async fn reopen(&mut self, insist: bool) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            match Self::open(self.target).await {
                Ok(fresh) => {
                    *self = fresh;
                    return Ok(());
                }
                Err(error) if !insist || begin.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        if self.closing {
            self.reopen(false).await?;
        }
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            anyhow::ensure!(read > 0, "the connection was closed");
            if let Some((answer, closing)) = parse(&self.buffer) {
                self.closing = closing;
                return Ok(answer);
            }
        }
    }
}

/// Reads an answer once it is whole. Every answer of the servers here has a Content-Length.
fn parse(buffer: &[u8]) -> Option<(Answer, bool)> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(buffer.get(..end)?).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let length: usize = header("content-length")?.parse().ok()?;
    let closing = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let answer = Answer { status, retry_after: header("retry-after").is_some() };
    (buffer.len() >= end + 4 + length).then_some((answer, closing))
}
