//! What the close of a binary costs: positions a second and bytes for each, by the number of positions,
//! by the shape of the tree and by the rules of the plan.
//!
//! The baseline is what no close can do without: a bare sum from the last position to the first over
//! the same arrays, in the same run. One position in ten has volume, one in ten is not active, one in
//! fifty has the same owner as the one before; what is measured is the second period, so there is
//! carry. Shapes: `even`, filled level by level; `random`, everybody below a random earlier position;
//! `line`, half of everybody (at most 500,000) in one outer leg and the others at random below it.
//!
//! Bytes are what the allocator was asked for. Times are medians of one core; `--quick` is small, so
//! that CI notices when the bench no longer runs, and `--large` adds ten million.
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
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use upline::domain::{
    close::{
        binary::{Closed, Input, LegVolumes, Legs, Rules, Standing, close, standings},
        matrix::Climb,
    },
    money::{Currency, Rounding},
    placement::{BinaryColumns, BinaryTree, MatrixTree, Owner, Position, Side, Spans},
    plan::pairs::{Binary, Matrix},
    volume::Volume,
};

/// The system's allocator, which counts the bytes that are in use and the most that were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let before = IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        MOST.fetch_max(before.saturating_add(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let before = IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        MOST.fetch_max(before.saturating_add(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let before = IN_USE.fetch_add(size, Ordering::Relaxed);
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // A list that grows may stand twice for a moment.
        MOST.fetch_max(before.saturating_add(size), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the ones that the system's allocator asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ten percent of the weaker leg, carried forward.
const PLAIN: &str = r#"
    id = "binary"
    tree = "main"
    volume = "cv"
    owner_cap = "none"
    unqualified = "breakage"
    pays = { kind = "percentage", rate = "10 %", matching = { conversion = "1", ratio = "one_to_one", base = "weaker", lot = "none", share = "100 %", consumes = "matched" } }
    carry = { policy = "forward", cap = "none", expires_after = "none" }
    cap = { semantics = "none" }
    qualification = { own_active = true, enrolled_each_side = false }
"#;

/// Tiers, both kinds of cap, carry that expires and has a cap.
const ALL_RULES: &str = r#"
    id = "binary"
    tree = "main"
    volume = "cv"
    owner_cap = "900"
    unqualified = "hold"
    pays = { kind = "tiers", span = "slices", tiers = [{ from = "0", rate = "8 %" }, { from = "1000", rate = "10 %" }, { from = "10000", rate = "12 %" }], matching = { conversion = "0.85", ratio = "one_third_two_thirds", base = "both", lot = "10", share = "60 %", consumes = "payable" } }
    carry = { policy = "forward", cap = "50000", expires_after = "6" }
    cap = { semantics = "volume_cap", limit = "500" }
    qualification = { own_active = true, enrolled_each_side = true }
"#;

const MATRIX: &str = r#"
    id = "matrix"
    tree = "main"
    volume = "cv"
    width = 3
    height = 7
    conversion = "0.40"
    rates = ["5 %", "5 %", "5 %", "4 %", "3 %", "2 %", "1 %"]
    spillover = "breadth_first"
    compression = "roll_up"
    unlocks = { by = "activity" }
    line = "period"
"#;

/// A small generator of numbers, so that every run has the same company.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(sides.max(1))).unwrap()
    }
}

fn index(number: u32) -> usize {
    Position(number).index()
}

/// Who owns a position: now and then the owner of the one before.
fn owner(position: u32) -> Owner {
    Owner(if position % 50 == 49 { position - 1 } else { position })
}

fn grown(shape: &str, people: u32) -> BinaryTree {
    let mut dice = Dice(u64::from(people));
    let mut tree = BinaryTree::with_capacity(index(people));
    let top = tree.place_top(Owner(0)).unwrap();
    let line = (people / 2).min(500_000);
    for number in 1..people {
        let side = if number % 2 == 1 { Side::Left } else { Side::Right };
        let (under, side) = match shape {
            "even" => (Position((number - 1) / 2), side),
            "line" if number <= line => (top, Side::Left),
            _ => (
                Position(dice.roll(number)),
                if dice.roll(2) == 0 { Side::Left } else { Side::Right },
            ),
        };
        tree.place_below(owner(number), under, side).unwrap();
    }
    tree
}

fn volumes(people: u32, seed: u64) -> Vec<Volume> {
    let mut dice = Dice(seed);
    let some = |_| match dice.roll(10) {
        0 => Volume::from_parts(i64::from(dice.roll(2_000_000))),
        _ => Volume::ZERO,
    };
    (0..people).map(some).collect()
}

/// The sum that is the least that a close has to do.
fn bare(slots: &[u32], volumes: &[i64], legs: &mut Vec<i64>) -> i64 {
    legs.clear();
    legs.resize(slots.len() * 2, 0);
    let mut total = 0;
    for (position, (slot, own)) in slots.iter().zip(volumes).enumerate().rev() {
        let below: i64 =
            legs.get(position * 2..position * 2 + 2).map_or(0, |pair| pair.iter().sum());
        total = own + below;
        if let Some(leg) = legs.get_mut(index(*slot)) {
            *leg = total;
        }
    }
    total
}

fn median(rounds: usize, mut work: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..rounds).map(|_| work()).collect();
    times.sort_unstable();
    *times.get(times.len() / 2).unwrap()
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    black_box(work());
    begin.elapsed()
}

struct Report {
    people: u32,
    shape: &'static str,
    bare: Duration,
}

impl Report {
    fn row(&self, what: &str, time: Duration, bytes: Option<f64>) {
        let people = f64::from(self.people);
        let million = people / time.as_secs_f64() / 1e6;
        let ratio = time.as_secs_f64() / self.bare.as_secs_f64();
        let bytes = bytes.map_or_else(String::new, |bytes| format!("{bytes:.1}"));
        println!(
            "{:>10}  {:<7} {what:<34} {:>10.2} {million:>12.1} {ratio:>7.2} {bytes:>8}",
            self.people,
            self.shape,
            time.as_secs_f64() * 1e3,
        );
    }
}

/// The close of the second period, after one that left carry.
fn measure_close(
    report: &Report,
    what: &str,
    plan: &str,
    tree: BinaryColumns<'_>,
    standing: &[Standing],
    rounds: usize,
) {
    let plan: Binary = toml::from_str(plan).unwrap();
    plan.check().unwrap();
    let rules = Rules::new(plan, Rounding::HalfEven, Currency::parse("EUR").unwrap());
    let (first, second) = (volumes(report.people, 1), volumes(report.people, 2));
    let recent = rules.expires_after().map(|_| first.as_slice());
    let input = |volume| Input { tree, volume, recent, standing };
    let mut opening: Vec<Legs> = Vec::new();
    close(
        &rules,
        &Input { recent: recent.map(|_| second.as_slice()), ..input(&first) },
        &mut opening,
    )
    .unwrap();
    let mut bytes = 0.0;
    let mut last: Option<Closed> = None;
    let time = median(rounds, || {
        last = None;
        let mut carry = opening.clone();
        let before = IN_USE.load(Ordering::Relaxed);
        MOST.store(before, Ordering::Relaxed);
        let begin = Instant::now();
        last = Some(close(&rules, &input(&second), &mut carry).unwrap());
        let time = begin.elapsed();
        bytes = (MOST.load(Ordering::Relaxed) - before) as f64;
        time
    });
    let closed = last.unwrap();
    let totals = closed.totals;
    assert_eq!(totals.pool, totals.paid + totals.breakage + totals.capped);
    let out = totals.paired + totals.expired + totals.flushed + totals.carried;
    assert_eq!(totals.opening + totals.arrived, out);
    report.row(what, time, Some(bytes / f64::from(report.people)));
    let lines = closed.lines.len() as f64 / f64::from(report.people);
    println!("{:>20} lines for {:.1} % of the positions, {} paid", "", lines * 100.0, totals.paid);
}

fn measure(people: u32, shape: &'static str, rounds: usize) {
    let begin = Instant::now();
    let before = IN_USE.load(Ordering::Relaxed);
    let tree = grown(shape, people);
    let built = begin.elapsed();
    let resident = (IN_USE.load(Ordering::Relaxed) - before) as f64 / f64::from(people);
    let columns = tree.columns();
    let first = volumes(people, 1);
    let parts: Vec<i64> = first.iter().map(|volume| volume.parts()).collect();
    let mut legs = Vec::new();
    let time = median(rounds, || timed(|| bare(columns.slots, &parts, &mut legs)));
    let report = Report { people, shape, bare: time };
    let deep = columns.upline(Position(people / 2 - 1)).count();
    println!("{people:>10}  {shape:<7} position {} is {deep} deep", people / 2 - 1);
    report.row("bare sum, buffer reused", time, None);
    let fresh = median(rounds, || timed(|| bare(columns.slots, &parts, &mut Vec::new())));
    report.row("bare sum, buffer fresh", fresh, None);
    report.row("place all of them", built, Some(resident));
    report.row("legs", median(rounds, || timed(|| LegVolumes::of(columns, &first))), None);
    let active: Vec<bool> = (0..people).map(|owner| owner % 10 != 3).collect();
    let plain: Vec<Standing> = columns
        .owners
        .iter()
        .map(|owner| if owner % 10 == 3 { Standing::NONE } else { Standing::FULL })
        .collect();
    measure_close(&report, "close, 10 % of the weaker leg", PLAIN, columns, &plain, rounds);
    // Everybody is enrolled by who is directly above.
    let mut sponsors = vec![u32::MAX; index(people)];
    for (position, owner) in (0..people).map(Position).zip(columns.owners) {
        let above = columns.parent(position).and_then(|(above, _)| columns.owner(above));
        *sponsors.get_mut(index(*owner)).unwrap() = above.map_or(u32::MAX, |above| above.0);
    }
    let mut standing = Vec::new();
    let time = median(rounds.min(3), || {
        timed(|| standing = standings(columns, &Spans::of(columns), &sponsors, &active))
    });
    report.row("who has an enrolment in each leg", time, None);
    measure_close(&report, "close, every rule", ALL_RULES, columns, &plain, rounds);
    measure_close(
        &report,
        "close, every rule, by enrolment",
        ALL_RULES,
        columns,
        &standing,
        rounds,
    );
}

fn measure_matrix(people: u32, rounds: usize) {
    let plan: Matrix = toml::from_str(MATRIX).unwrap();
    plan.check().unwrap();
    let before = IN_USE.load(Ordering::Relaxed);
    let mut tree = MatrixTree::new(plan.width, plan.height, plan.spillover).unwrap();
    let mut dice = Dice(3);
    let built = timed(|| {
        tree.place_top(Owner(0)).unwrap();
        for number in 1..people {
            tree.place_below(Owner(number), Position(dice.roll(number))).unwrap();
        }
    });
    let resident = (IN_USE.load(Ordering::Relaxed) - before) as f64 / f64::from(people);
    let reach: Vec<u8> = (0..people).map(|owner| if owner % 10 == 3 { 0 } else { 7 }).collect();
    let volume = volumes(people, 1);
    let parts: Vec<i64> = volume.iter().map(|volume| volume.parts()).collect();
    let parents: Vec<u32> = tree.parents().collect();
    let mut sums = Vec::new();
    let time = median(rounds, || timed(|| bare(&parents, &parts, &mut sums)));
    let report = Report { people, shape: "3 x 7", bare: time };
    report.row("bare sum, buffer reused", time, None);
    report.row("place all of them, spilled", built, Some(resident));
    let time = median(rounds, || {
        timed(|| {
            let euro = Currency::parse("EUR").unwrap();
            let climb = Climb::new(&plan, Rounding::HalfEven, euro, tree.parents(), &reach);
            climb.unwrap().period(&volume).unwrap()
        })
    });
    report.row("matrix, lines of the period", time, None);
}

fn main() {
    let given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    let quick = given("--quick") || given("--test");
    let sizes: &[u32] = match (quick, given("--large")) {
        (true, _) => &[10_000],
        (false, false) => &[10_000, 100_000, 1_000_000],
        (false, true) => &[10_000, 100_000, 1_000_000, 10_000_000],
    };
    println!(
        "{:>10}  {:<7} {:<34} {:>10} {:>12} {:>7} {:>8}",
        "positions", "shape", "what", "ms", "million/s", "ratio", "bytes"
    );
    for people in sizes {
        let rounds = if quick { 3 } else { 9 };
        for shape in ["even", "random", "line"] {
            measure(*people, shape, rounds);
        }
        measure_matrix(*people, rounds);
    }
}
