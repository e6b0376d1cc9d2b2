//! What one order costs in the steps around the adapters: the signature, commission, the messages
//! between the stages, the ledger. All without I/O, and all microseconds for one order.
//!
//! Each step stands beside something plain that was measured in turn with it: bare hashes,
//! multiplications with rounding and nothing else, a `serde_json::Value` of the same text.
//!
//! `--quick` does few rounds, so that CI notices when the bench no longer runs.
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

mod deep;
mod sample;

use std::{
    fmt::Debug,
    hint::black_box,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use upline::{
    domain::{
        commission::{MappedLine, MappedOrder, RankBook, run},
        digest::Digest,
        id::LineId,
        ledger::{Entry, merkle_root, post, run_leaf},
        plan::Component,
    },
    stage::{
        decode,
        message::{Computed, Mapped, Validated},
    },
};

use crate::sample::{Sample, trace};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders of a block, a full batch of the ledger.
const BLOCK: u64 = 500;

/// How long so many calls take.
type Timed<'a> = &'a mut dyn FnMut(usize) -> Duration;

/// A call to be timed. What goes in is made before the clock runs; what comes out is dropped while it
/// does.
fn timed<T, U>(
    make: impl Fn() -> T,
    mut work: impl FnMut(T) -> U,
) -> impl FnMut(usize) -> Duration {
    move |calls| {
        let inputs: Vec<T> = (0..calls).map(|_| make()).collect();
        let begin = Instant::now();
        for input in inputs {
            black_box(work(black_box(input)));
        }
        begin.elapsed()
    }
}

/// Microseconds of one call of each; they take turns. What counts is the slowest round of the fastest
/// tenth: the work is the same every time, so a slower one has waited for somebody else.
fn micros<const N: usize>(rounds: usize, mut works: [Timed<'_>; N]) -> [f64; N] {
    // As many calls as fill a tenth of a millisecond: the clock does not count, and most rounds end
    // before the system lets another process run.
    let calls = works.each_mut().map(|work| {
        let once = work(1).min(work(1)).as_nanos().max(10);
        usize::try_from(Duration::from_micros(100).as_nanos() / once).unwrap().max(1)
    });
    let mut times = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (work, (calls, times)) in works.iter_mut().zip(calls.iter().zip(&mut times)) {
            times.push(work(*calls).as_nanos() as f64 / 1_000.0 / *calls as f64);
        }
    }
    times.map(|mut times| {
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 10]
    })
}

fn nothing() {}

/// What the edge does with every webhook before it believes it: the claimed value out of its header,
/// the HMAC of the body by a key that is prepared, and the digest by which the body is known after.
fn verify(rounds: usize) {
    println!(
        "{:<38} {:>10} {:>10} {:>6}",
        "signature and digest", "SHA-256 us", "verify us", "ratio"
    );
    let key = Hmac::<Sha256>::new_from_slice(b"the secret of a shop of the bench").unwrap();
    for size in [1_000, 9_000, 48_000] {
        let body: Vec<u8> = include_bytes!("../schemas/examples/shopify/code-discount.json")
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect();
        let header = STANDARD.encode(key.clone().chain_update(&body).finalize().into_bytes());
        let mut bare = timed(nothing, |()| Sha256::digest(black_box(&body)));
        let mut verified = timed(nothing, |()| {
            let mut tag = [0; 33];
            let length = STANDARD.decode_slice(black_box(&header), &mut tag).unwrap();
            key.clone().chain_update(&body).verify_slice(&tag[..length]).unwrap();
            Digest::of(&body)
        });
        let [bare, verified] = micros(rounds, [&mut bare, &mut verified]);
        let name = format!("{size} bytes");
        println!("{name:<38} {bare:>10.2} {verified:>10.2} {:>6.2}", verified / bare);
    }
}

/// The rates of a plan's only component and class.
fn rates(sample: &Sample) -> Vec<Decimal> {
    let [Component::Unilevel(unilevel)] = &sample.plan.components[..] else {
        panic!("the plan is one unilevel")
    };
    let rates = unilevel.rates.values().next().unwrap();
    rates.iter().map(|rate| rate.as_decimal()).collect()
}

/// Each line at each level, rounded and added up: the arithmetic of commission alone.
fn naive(bases: &[Decimal], rates: &[Decimal]) -> Decimal {
    let even = RoundingStrategy::MidpointNearestEven;
    let pairs = bases.iter().flat_map(|base| rates.iter().map(move |rate| base * rate));
    pairs.map(|exact| exact.round_dp_with_strategy(2, even)).sum()
}

fn with_lines(order: &MappedOrder, lines: usize) -> MappedOrder {
    let mut order = order.clone();
    let earning = order.lines[0].clone();
    order.lines = (1..=lines)
        .map(|number| MappedLine {
            id: LineId::parse(&number.to_string()).unwrap(),
            ..earning.clone()
        })
        .collect();
    order
}

/// The whole of `run`, and of that the hash of the order as JSON, which every calculation carries.
fn commission(rounds: usize) {
    println!(
        "\n{:<16} {:>10} {:>10} {:>10} {:>6} {:>14}",
        "levels x lines", "amounts", "naive us", "run us", "ratio", "of it hash us"
    );
    let ranks = RankBook::default();
    for levels in [1, 10, 30] {
        let sample = Sample::new(levels);
        let (tree, plan, rates) = (&sample.company.genealogy, &sample.plan, rates(&sample));
        for lines in [1, 3, 10] {
            let order = with_lines(&sample.mapped(1), lines);
            let bases: Vec<Decimal> =
                order.lines.iter().map(|line| line.base.as_decimal()).collect();
            let computed = run(order.clone(), tree, &ranks, plan).unwrap();
            assert_eq!(computed.paid().as_decimal(), naive(&bases, &rates));
            let mut baseline = timed(nothing, |()| naive(black_box(&bases), &rates));
            let mut ran = timed(|| order.clone(), |order| run(order, tree, &ranks, plan).unwrap());
            let mut hash = timed(nothing, |()| black_box(&order).hash());
            let [baseline, ran, hash] = micros(rounds, [&mut baseline, &mut ran, &mut hash]);
            println!(
                "{:<16} {:>10} {baseline:>10.2} {ran:>10.2} {:>6.1} {hash:>14.2}",
                format!("{levels} x {lines}"),
                computed.lines.len(),
                ran / baseline,
            );
        }
    }
}

/// As the stages encode what they hand on.
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut payload = Vec::with_capacity(4 * 1024);
    serde_json::to_writer(&mut payload, value).unwrap();
    payload
}

fn handed<T>(name: &str, value: &T, rounds: usize)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let bytes = encode(value);
    assert_eq!(&decode::<T>(&bytes).unwrap(), value);
    let loose: Value = serde_json::from_slice(&bytes).unwrap();
    let mut written = timed(nothing, |()| encode(black_box(value)));
    let mut loosely = timed(nothing, |()| encode(black_box(&loose)));
    let mut read = timed(nothing, |()| decode::<T>(black_box(&bytes)).unwrap());
    let mut parsed =
        timed(nothing, |()| serde_json::from_slice::<Value>(black_box(&bytes)).unwrap());
    let [written, loosely, read, parsed] =
        micros(rounds, [&mut written, &mut loosely, &mut read, &mut parsed]);
    println!(
        "{name:<16} {:>6} {loosely:>10.2} {written:>10.2} {:>6.2} {parsed:>10.2} {read:>10.2} {:>6.2}",
        bytes.len(),
        written / loosely,
        read / parsed,
    );
}

/// Each message of the stages for one order, written and read.
fn messages(sample: &Sample, rounds: usize) {
    println!(
        "\n{:<16} {:>6} {:>10} {:>10} {:>6} {:>10} {:>10} {:>6}",
        "between stages",
        "bytes",
        "Value us",
        "encode us",
        "ratio",
        "Value us",
        "decode us",
        "ratio"
    );
    let computed = sample.computed(1);
    handed("Validated", &Validated { event: sample.event(1), trace: trace(1) }, rounds);
    handed("Mapped", &Mapped { order: sample.mapped(1), trace: trace(2) }, rounds);
    handed("Computed", &computed, rounds);
}

/// An order of a block, ready to be sealed.
struct Sealed {
    computed: Computed,
    snapshot: String,
    entries: Vec<Entry>,
}

impl Sealed {
    fn run_leaf(&self) -> Digest {
        let order = &self.computed.run.order;
        run_leaf(&order.key, order.revision, &self.snapshot)
    }

    fn entry_leaves(&self) -> impl Iterator<Item = Digest> {
        let order = &self.computed.run.order;
        self.entries.iter().map(|entry| entry.leaf(&order.key, order.revision, order.placed_at))
    }
}

fn leaves(block: &[Sealed]) -> Vec<Digest> {
    let entries = block.iter().flat_map(Sealed::entry_leaves);
    block.iter().map(Sealed::run_leaf).chain(entries).collect()
}

fn ledger(sample: &Sample, rounds: usize) {
    println!("\n{:<38} {:>10} {:>10} {:>6}", "ledger", "hashes us", "us", "ratio");
    let block: Vec<Sealed> = (0..BLOCK)
        .map(|number| {
            let computed = sample.computed(number);
            let entries = post(&computed.run, &[]);
            assert_eq!(entries.len(), 10);
            let snapshot = serde_json::to_string(&computed.run).unwrap();
            Sealed { computed, snapshot, entries }
        })
        .collect();
    let all = leaves(&block);
    // Beside each as many bare hashes of 64 bytes as there are entries or leaves.
    let row = |name: &str, orders: usize, hashes: usize, ours: Timed<'_>| {
        let bytes = [7u8; 64];
        let hash = |_| _ = black_box(Sha256::digest(black_box(&bytes)));
        let mut bare = timed(nothing, move |()| (0..hashes * orders).for_each(hash));
        let times = micros(rounds, [&mut bare, ours]);
        let [bare, ours] = times.map(|time| time / orders as f64);
        println!("{name:<38} {bare:>10.2} {ours:>10.2} {:>6.2}", ours / bare);
    };
    let one = &block[0];
    let mut posted = timed(nothing, |()| post(black_box(&one.computed.run), &[]));
    row("post, ten entries", 1, 10, &mut posted);
    let mut of_run = timed(nothing, |()| black_box(one).run_leaf());
    row("leaf of the calculation", 1, 1, &mut of_run);
    let mut of_entries = timed(nothing, |()| black_box(one).entry_leaves().collect::<Vec<_>>());
    row("leaves of the entries", 1, 10, &mut of_entries);
    let mut root = timed(nothing, |()| merkle_root(black_box(&all)));
    row("merkle root, of a block of 500", block.len(), 11, &mut root);
    let mut sealed = timed(nothing, |()| merkle_root(&leaves(black_box(&block))));
    row("leaves and root, of a block of 500", block.len(), 11, &mut sealed);
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let rounds = if quick { 3 } else { 1_001 };
    verify(rounds);
    commission(rounds);
    deep::deep(rounds.min(201), quick);
    let sample = Sample::new(10);
    messages(&sample, rounds);
    ledger(&sample, rounds);
}
