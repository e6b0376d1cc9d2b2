//! How fast deliveries may come in while the pipeline behind the edge is behind.
//!
//! The expected wait is the backlog by the rate at which it is settled (Little's law: what is true
//! whether the stages are busy or not, as long as there is enough to count). Above the target this
//! process lets in what is settled, a little less the longer the wait; tokens for that go to the stores
//! that ask, in equal shares, and what one leaves goes to the others (max-min fairness).
//!
//! A pipeline that stands still is an outage, not overload: nothing can be said about the wait, and
//! shops that never come again must not lose what the log can keep. The backlog may then grow up to its
//! second limit; see [`super::AdmissionConfig`].

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{AdmissionConfig, Comeback, Outlook, Reading, Reason, Refusal, Slot, is_recent};

/// A backlog of fewer messages is no backlog: a burst looks like that, and rates cannot be told.
const BACKLOG_MIN: u64 = 100;

/// How many readings the rate is taken from where most of them saw something settled.
const SHORT: usize = 8;

/// How many are kept, and taken where most saw nothing: stages settle in batches, a slow one perhaps
/// one in a second, and then a few readings say little.
const LONG: usize = 32;

/// After how many readings that saw nothing settled the pipeline stands still. Before that nobody
/// knows, and what was decided last holds.
const STILL: usize = 20;

/// So many readings that saw nothing settled are a silence.
const SILENCE: usize = 4;

/// How many readings there must be.
const WINDOW_MIN: usize = 2;

/// The slowest pace, in deliveries a second: enough to see a recovery by. A reading with less than this, or
/// than a twentieth of what the pipeline could, saw nothing settled.
const FLOOR: u64 = 20;

/// The rate last known fades towards a lower one within about this time.
const MEMORY_MILLIS: u64 = 60_000;

/// How old the last reading may be.
const STALE: Duration = Duration::from_secs(10);

/// Tokens for one delivery. So a rate per second, times microseconds, is tokens.
const DELIVERY: u64 = 1_000_000;

/// What a store may save up at least, in tokens.
const BURST: u64 = 4 * DELIVERY;

/// For how long tokens may be saved up, in microseconds of the pace.
const SAVE_MICROS: u64 = 250_000;

/// How often tokens are given out at most.
const GIVE_EVERY: Duration = Duration::from_millis(1);

/// One reading of a time in which there was a backlog.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    micros: u64,
    settled: i64,
    arrived: u64,
    /// Of those, the ones that this process let in.
    own: u64,
}

impl Sample {
    fn add(self, other: &Self) -> Self {
        Self {
            micros: self.micros.saturating_add(other.micros),
            settled: self.settled.saturating_add(other.settled),
            arrived: self.arrived.saturating_add(other.arrived),
            own: self.own.saturating_add(other.own),
        }
    }
}

/// Several samples as one.
fn total<'a>(samples: impl Iterator<Item = &'a Sample>) -> Sample {
    samples.fold(Sample::default(), Sample::add)
}

fn total_rate<'a>(samples: impl Iterator<Item = &'a Sample>) -> u64 {
    let total = total(samples);
    rate_of(total.settled, total.micros)
}

/// What the pipeline does with its backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// There is none.
    Idle,
    /// It settles so many in a second.
    Moves(u64),
    /// It settles nothing worth the name.
    Still,
    /// There were too few readings to tell.
    Unknown,
}

/// What a store may still bring.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: u64,
    asked: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pace {
    target: Duration,
    outage: Duration,
    backlog_max: u64,
    window: VecDeque<Sample>,
    /// When the last reading came, and its backlog.
    last: Option<(Instant, u64)>,
    /// What the pipeline settled in a second when it last worked; 0 if it is not known.
    capacity: u64,
    wait: Option<Duration>,
    /// Deliveries a second; `None`: there is no reason to count.
    granted: Option<u64>,
    /// The backlog is at its second limit: nobody comes in without a token.
    full: bool,
    buckets: Vec<Bucket>,
    given: Option<Instant>,
    /// Tokens that nobody had room for.
    left: u64,
    /// How many were let in since the last reading.
    own: u64,
}

impl Pace {
    pub(super) fn new(config: &AdmissionConfig, stores: usize) -> Self {
        Self {
            target: config.target_wait,
            outage: config.outage_wait,
            backlog_max: config.backlog_max,
            window: VecDeque::with_capacity(LONG),
            last: None,
            capacity: 0,
            wait: None,
            granted: None,
            full: false,
            buckets: vec![Bucket { tokens: BURST, asked: None }; stores],
            given: None,
            left: 0,
            own: 0,
        }
    }

    pub(super) fn observe(&mut self, now: Instant, reading: Reading) -> Outlook {
        let own = std::mem::take(&mut self.own);
        let last = self.last.replace((now, reading.backlog));
        let busy = reading.backlog >= BACKLOG_MIN;
        if let Some((then, before)) = last {
            let micros = micros(now.saturating_duration_since(then));
            if !busy || before < BACKLOG_MIN {
                self.window.clear();
            } else if let Some(settled) = reading.settled {
                self.note(Sample { micros, settled, arrived: reading.arrived, own });
            }
        }
        let flow = if busy { self.flow() } else { Flow::Idle };
        if let Flow::Moves(rate) = flow {
            self.remember(rate);
        }
        match flow {
            Flow::Idle => self.wait = Some(Duration::ZERO),
            Flow::Moves(rate) => self.wait = Some(time_for(reading.backlog, rate)),
            Flow::Still => self.wait = None,
            Flow::Unknown if self.granted.is_none() => {
                self.wait = (self.capacity > 0).then(|| time_for(reading.backlog, self.capacity));
            }
            Flow::Unknown => {}
        }
        let limit = self.second_limit();
        self.full = reading.backlog >= limit;
        let pace =
            if self.target.is_zero() { None } else { self.decide(reading.backlog, limit, flow) };
        if pace.is_some() && self.granted.is_none() {
            self.start(now);
        }
        self.granted = pace;
        Outlook { wait: self.wait, pace }
    }

    fn note(&mut self, sample: Sample) {
        // Work that goes on after a silence is a new beginning: an average over both would say for
        // seconds that the pipeline is slow. What was settled first is half of the silence.
        let goes_on = self.window.back().is_some_and(|last| self.moves(last));
        if goes_on && self.moves(&sample) && self.was_silent() {
            self.window.clear();
        }
        if self.window.len() == LONG {
            self.window.pop_front();
        }
        self.window.push_back(sample);
    }

    /// Whether more was settled than a pipeline that stands still seems to by the error of counting.
    fn moves(&self, sample: &Sample) -> bool {
        rate_of(sample.settled, sample.micros) >= FLOOR.max(self.capacity / 20)
    }

    /// Whether the readings before the last one saw nothing settled for a while.
    fn was_silent(&self) -> bool {
        let before = || self.window.iter().rev().skip(1).take(SILENCE);
        before().count() == SILENCE && !before().any(|sample| self.moves(sample))
    }

    /// What the readings say.
    fn flow(&self) -> Flow {
        let short = self.window.len().min(SHORT);
        let recent = || self.window.iter().rev().take(short);
        let moving = recent().filter(|sample| self.moves(sample)).count();
        let rate = if moving.saturating_mul(2) >= short {
            total_rate(recent())
        } else {
            total_rate(self.window.iter())
        };
        let broken = self.was_silent() && self.window.back().is_some_and(|last| self.moves(last));
        if self.window.len() < WINDOW_MIN || broken {
            // A batch of a slow pipeline, or the first of a new beginning: the next reading tells.
            Flow::Unknown
        } else if moving > 0 && rate > 0 {
            Flow::Moves(rate)
        } else if self.window.len() >= STILL
            && !self.window.iter().rev().take(STILL).any(|sample| self.moves(sample))
        {
            Flow::Still
        } else {
            Flow::Unknown
        }
    }

    fn remember(&mut self, rate: u64) {
        let millis = self.window.back().map_or(0, |sample| sample.micros / 1000).min(MEMORY_MILLIS);
        let fading = self.capacity.saturating_sub(rate).saturating_mul(millis) / MEMORY_MILLIS;
        self.capacity = self.capacity.saturating_sub(fading).max(rate);
    }

    /// The backlog from which on nobody comes in without a token.
    fn second_limit(&self) -> u64 {
        let by_time = match self.capacity {
            0 => u64::MAX,
            capacity => capacity.saturating_mul(micros(self.outage)) / DELIVERY,
        };
        by_time.min(self.backlog_max).max(BACKLOG_MIN)
    }

    /// The pace for this backlog and its second limit.
    fn decide(&self, backlog: u64, limit: u64, flow: Flow) -> Option<u64> {
        let rate = match flow {
            Flow::Idle => return None,
            // A backlog has just begun: what the pipeline could do before is the best guess.
            Flow::Unknown if self.granted.is_none() && self.capacity > 0 => self.capacity,
            Flow::Unknown => return self.granted.or_else(|| self.full.then_some(FLOOR)),
            Flow::Still => return (backlog >= limit / 2).then_some(FLOOR),
            Flow::Moves(rate) => rate,
        };
        let wait = micros(time_for(backlog, rate));
        let target = micros(self.target);
        // Once begun it goes on until half of the target, or it would flap.
        let bound = if self.granted.is_some() { target / 2 } else { target };
        if wait <= bound && !self.full {
            return None;
        }
        // What is let in leaves a wait of three quarters of the target. Less than half of what is
        // settled is not needed: the backlog falls fast enough.
        let aim = target.saturating_mul(3) / 4;
        let aimed = rate.saturating_mul(aim).checked_div(wait).unwrap_or(rate);
        let all = aimed.clamp(rate / 2, rate.saturating_add(rate / 2));
        Some((all.saturating_mul(self.part()) / 1000).max(FLOOR))
    }

    /// The part of all deliveries that came in here, in thousandths: several processes share the pace.
    fn part(&self) -> u64 {
        let Sample { own, arrived, .. } = total(self.window.iter());
        own.saturating_mul(1000).checked_div(arrived).unwrap_or(1000).clamp(50, 1000)
    }

    fn start(&mut self, now: Instant) {
        for bucket in &mut self.buckets {
            bucket.tokens = BURST;
        }
        (self.left, self.given) = (0, Some(now));
    }

    /// Whether a delivery of this store would be let in; notes that the store asks.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        store: Slot,
        comeback: Comeback,
    ) -> Result<(), Refusal> {
        if let Some(bucket) = self.buckets.get_mut(store.0) {
            bucket.asked = Some(now);
        }
        let watched =
            self.last.is_some_and(|(then, _)| now.saturating_duration_since(then) <= STALE);
        let Some(pace) = self.granted.filter(|_| watched) else { return Ok(()) };
        self.give_out(now, pace);
        let tokens = self.buckets.get(store.0).map_or(0, |bucket| bucket.tokens);
        let on_credit = comeback == Comeback::Unsure && !self.full;
        if tokens >= DELIVERY || on_credit {
            Ok(())
        } else {
            Err(Refusal { reason: Reason::Backlog, wait: self.wait })
        }
    }

    /// Lets a delivery in, for a token if the store has one.
    pub(super) fn take(
        &mut self,
        now: Instant,
        store: Slot,
        comeback: Comeback,
    ) -> Result<(), Refusal> {
        self.admits(now, store, comeback)?;
        self.own = self.own.saturating_add(1);
        // What comes in on credit takes no token from anybody, nor a part of one from its own store.
        if let Some(bucket) = self.buckets.get_mut(store.0)
            && self.granted.is_some()
            && let Some(less) = bucket.tokens.checked_sub(DELIVERY)
        {
            bucket.tokens = less;
        }
        Ok(())
    }

    /// Gives the tokens since the last time to the stores that ask, in equal shares; what a store has
    /// no room for goes to the others.
    fn give_out(&mut self, now: Instant, pace: u64) {
        let since = self.given.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        if since < GIVE_EVERY && self.given.is_some() {
            return;
        }
        self.given = Some(now);
        let asking = |bucket: &&mut Bucket| is_recent(bucket.asked, now);
        let mut open: Vec<&mut Bucket> = self.buckets.iter_mut().filter(asking).collect();
        let saved = pace.saturating_mul(SAVE_MICROS);
        let room = saved.checked_div(count(open.len())).unwrap_or(0).max(BURST);
        let mut rest = self.left.saturating_add(pace.saturating_mul(micros(since).min(DELIVERY)));
        loop {
            open.retain(|bucket| bucket.tokens < room);
            let each = rest.checked_div(count(open.len())).unwrap_or(0);
            if each == 0 {
                break;
            }
            for bucket in &mut open {
                let part = each.min(room.saturating_sub(bucket.tokens));
                bucket.tokens = bucket.tokens.saturating_add(part);
                rest = rest.saturating_sub(part);
            }
        }
        self.left = rest.min(saved);
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// So many within so many microseconds, as a rate per second.
fn rate_of(settled: i64, micros: u64) -> u64 {
    let settled = u64::try_from(settled).unwrap_or(0);
    settled.saturating_mul(DELIVERY).checked_div(micros).unwrap_or(0)
}

/// How long so many messages take at a rate per second.
fn time_for(messages: u64, rate: u64) -> Duration {
    Duration::from_micros(messages.saturating_mul(DELIVERY).checked_div(rate).unwrap_or(u64::MAX))
}
