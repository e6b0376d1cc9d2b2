//! What the genealogy costs in memory: bytes for each distributor, look-ups, walks, the next event.
//!
//! The baseline is the tree as one would write it down: hash maps of ids, sponsors and dated moves,
//! cloned as a whole for the next version. Both hold the same distributors, enrolled in the order of
//! their numbers under a random earlier one; one in ten has a later status and one in a hundred has
//! moved. The deep leg is half of everybody in one line.
//!
//! Bytes are what the allocator was asked for. Times are medians; `--quick` is small, so that CI
//! notices when the bench no longer runs, and `--large` adds ten million (the baseline needs 4 GB).
#![expect(
    unsafe_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a bench that meets the unexpected stops, its figures are for reading, and counting what \
              is allocated takes an allocator"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashMap,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use upline::domain::{
    digest::Digest,
    genealogy::{DistributorStatus, EventLine, Genealogy},
    id::DistributorId,
};

/// The system's allocator, which counts the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A small generator of numbers, so that every run has the same tree.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides.max(1)
    }
}

fn id(number: u64) -> String {
    format!("D{number:07}")
}

fn parsed(number: u64) -> DistributorId {
    DistributorId::parse(&id(number)).unwrap()
}

/// What happens, before it is chained.
enum What {
    Enrolled(Option<u64>),
    Moved(u64),
    Status(DistributorStatus),
}

/// Everything that happens to `people`, in order.
fn history(people: u64, mut happens: impl FnMut(u64, &What)) {
    let mut dice = Dice(people);
    let line = people / 2;
    for number in 0..people {
        let sponsor = if number < line { number.checked_sub(1) } else { Some(dice.roll(number)) };
        happens(number, &What::Enrolled(sponsor));
    }
    for _ in 0..people / 10 {
        happens(dice.roll(people), &What::Status(DistributorStatus::Inactive));
    }
    for _ in 0..people / 100 {
        let (who, sponsor) = (dice.roll(people / 2), dice.roll(line));
        happens(line.saturating_add(who), &What::Moved(sponsor));
    }
}

fn apply(tree: &mut Genealogy, who: &str, what: &What) {
    let version = tree.version();
    let sponsor = match what {
        What::Enrolled(sponsor) => sponsor.map(id),
        What::Moved(sponsor) => Some(id(*sponsor)),
        What::Status(_) => None,
    };
    let mut line = EventLine {
        seq: version.seq.saturating_add(1),
        distributor: who,
        sponsor: sponsor.as_deref(),
        kind: match what {
            What::Enrolled(_) => "enrolled",
            What::Moved(_) => "sponsored",
            What::Status(status) => status.as_str(),
        },
        effective_at: Timestamp::UNIX_EPOCH,
        recorded_at: Timestamp::UNIX_EPOCH,
        hash: Digest::ZERO,
    };
    line.hash = line.chained(&version.hash);
    tree.apply_line(&line).unwrap();
}

/// The baseline: one map for each question.
#[derive(Clone, Default)]
struct Naive {
    ids: Vec<DistributorId>,
    index: HashMap<DistributorId, u32>,
    folded: HashMap<Box<str>, u32>,
    first: Vec<Option<u32>>,
    enrolled: Vec<u64>,
    moves: HashMap<u32, Vec<(u64, Timestamp, u32)>>,
    statuses: HashMap<u32, Vec<(u64, Timestamp, DistributorStatus)>>,
    seq: u64,
}

impl Naive {
    fn intern(&mut self, id: DistributorId) -> u32 {
        if let Some(known) = self.index.get(&id) {
            return *known;
        }
        let number = u32::try_from(self.ids.len()).unwrap();
        self.folded.insert(id.as_str().to_ascii_lowercase().into(), number);
        self.index.insert(id.clone(), number);
        self.ids.push(id);
        self.first.push(None);
        self.enrolled.push(0);
        number
    }

    fn apply(&mut self, who: DistributorId, what: &What) {
        self.seq = self.seq.saturating_add(1);
        let member = self.intern(who);
        let (seq, at) = (self.seq, Timestamp::UNIX_EPOCH);
        match what {
            What::Enrolled(sponsor) => {
                let sponsor = sponsor.map(|sponsor| self.intern(parsed(sponsor)));
                let slot = usize::try_from(member).unwrap();
                *self.first.get_mut(slot).unwrap() = sponsor;
                *self.enrolled.get_mut(slot).unwrap() = seq;
            }
            What::Moved(sponsor) => {
                let sponsor = self.intern(parsed(*sponsor));
                self.moves.entry(member).or_default().push((seq, at, sponsor));
            }
            What::Status(status) => {
                self.statuses.entry(member).or_default().push((seq, at, *status));
            }
        }
    }

    fn sponsor(&self, member: u32, at: Timestamp) -> Option<u32> {
        let moves = self.moves.get(&member).map(Vec::as_slice).unwrap_or_default();
        let known = moves.iter().filter(|(seq, from, _)| *seq <= self.seq && *from <= at);
        match known.max_by_key(|(seq, from, _)| (*from, *seq)) {
            Some((_, _, sponsor)) => Some(*sponsor),
            None => *self.first.get(usize::try_from(member).unwrap()).unwrap(),
        }
    }

    fn walk(&self, start: u32, at: Timestamp, steps: usize) -> usize {
        let upline = std::iter::successors(self.sponsor(start, at), |m| self.sponsor(*m, at));
        upline.take(steps).filter(|member| *member != u32::MAX).count()
    }
}

/// The median time of one of `calls` calls.
fn median(rounds: usize, calls: u32, mut work: impl FnMut(u64)) -> Duration {
    let mut dice = Dice(7);
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..calls {
                work(dice.roll(u64::from(u32::MAX >> 1)));
            }
            begin.elapsed() / calls
        })
        .collect();
    times.sort_unstable();
    *times.get(times.len() / 2).unwrap()
}

fn row(people: u64, what: &str, naive: f64, ours: f64, unit: &str) {
    println!("{people:>10}  {what:<34} {naive:>14.2} {ours:>12.2} {unit:<3} {:>9.2}", naive / ours);
}

fn nanos(time: Duration) -> f64 {
    time.as_nanos() as f64
}

/// Builds something; says how many bytes it holds and how long an event took.
fn built<T>(people: u64, build: impl FnOnce() -> T) -> (T, f64, f64) {
    let before = IN_USE.load(Ordering::Relaxed);
    let begin = Instant::now();
    let value = build();
    let time = nanos(begin.elapsed()) / people as f64;
    let bytes = IN_USE.load(Ordering::Relaxed).saturating_sub(before);
    (value, bytes as f64 / people as f64, time)
}

fn measure(people: u64, rounds: usize) {
    let (naive, naive_bytes, naive_time) = built(people, || {
        let mut naive = Naive::default();
        history(people, |who, what| naive.apply(parsed(who), what));
        naive
    });
    let (tree, bytes, time) = built(people, || {
        let mut tree = Genealogy::default();
        history(people, |who, what| apply(&mut tree, &id(who), what));
        tree
    });
    row(people, "resident, a distributor", naive_bytes, bytes, "B");
    row(people, "build, a distributor (ours hashes)", naive_time, time, "ns");

    let ids: Vec<DistributorId> = (0..4_096).map(|n| parsed(Dice(n).roll(people))).collect();
    let pick = |n: u64| ids.get(usize::try_from(n % 4_096).unwrap()).unwrap();
    let (at, seq) = (Timestamp::UNIX_EPOCH, tree.version().seq);
    row(
        people,
        "find",
        nanos(median(rounds, 4_096, |n| _ = black_box(naive.index.get(pick(n))))),
        nanos(median(rounds, 4_096, |n| _ = black_box(tree.find(pick(n))))),
        "ns",
    );
    let codes: Vec<String> = ids.iter().map(|id| id.as_str().to_ascii_lowercase()).collect();
    let code = |n: u64| codes.get(usize::try_from(n % 4_096).unwrap()).unwrap().as_str();
    row(
        people,
        "find a code in lower case",
        nanos(median(rounds, 4_096, |n| _ = black_box(naive.folded.get(code(n))))),
        nanos(median(rounds, 4_096, |n| _ = black_box(tree.find_code(code(n), seq)))),
        "ns",
    );
    let members: Vec<_> = ids.iter().map(|id| tree.find(id).unwrap()).collect();
    let numbers: Vec<u32> = ids.iter().map(|id| *naive.index.get(id).unwrap()).collect();
    let number = |n: u64| *numbers.get(usize::try_from(n % 4_096).unwrap()).unwrap();
    let member = |n: u64| *members.get(usize::try_from(n % 4_096).unwrap()).unwrap();
    let as_of = tree.as_of(at, seq);
    row(
        people,
        "walk of 10 levels",
        nanos(median(rounds, 1_024, |n| _ = black_box(naive.walk(number(n), at, 10)))),
        nanos(median(rounds, 1_024, |n| _ = black_box(as_of.upline(member(n)).take(10).count()))),
        "ns",
    );
    let bottom = people / 2 - 1;
    let (low, deep) = (tree.find(&parsed(bottom)).unwrap(), u32::try_from(bottom).unwrap());
    let length = as_of.upline(low).count();
    assert_eq!(length, naive.walk(deep, at, usize::MAX));
    row(
        people,
        "one level of the deep leg",
        nanos(median(rounds.min(5), 1, |_| _ = black_box(naive.walk(deep, at, usize::MAX))))
            / length as f64,
        nanos(median(rounds.min(5), 1, |_| _ = black_box(as_of.upline(low).count())))
            / length as f64,
        "ns",
    );
    next_event(people, rounds, tree, naive);
}

/// The next version beside the current one, which somebody still reads.
fn next_event(people: u64, rounds: usize, tree: Genealogy, naive: Naive) {
    let mut shared = Arc::new(tree);
    let mut fresh = people;
    let ours = median(rounds.max(11), 1, |n| {
        let mut next = (*shared).clone();
        apply(&mut next, &id(fresh), &What::Enrolled(Some(n % people)));
        fresh = fresh.saturating_add(1);
        shared = Arc::new(next);
    });
    let mut held = Arc::new(naive);
    let theirs = median(3, 1, |n| {
        let mut next = (*held).clone();
        next.apply(parsed(fresh), &What::Enrolled(Some(n % people)));
        fresh = fresh.saturating_add(1);
        held = Arc::new(next);
    });
    row(people, "an event on a shared snapshot", nanos(theirs) / 1e3, nanos(ours) / 1e3, "us");
}

fn main() {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let quick = given("--quick") || given("--test");
    let sizes: &[u64] = match (quick, given("--large")) {
        (true, _) => &[10_000],
        (false, false) => &[10_000, 100_000, 1_000_000],
        (false, true) => &[10_000, 100_000, 1_000_000, 10_000_000],
    };
    println!(
        "{:>10}  {:<34} {:>14} {:>12} {:<3} {:>9}",
        "people", "what", "hash maps", "blocks", "", "ratio"
    );
    for people in sizes {
        measure(*people, if quick { 3 } else { 31 });
    }
}
