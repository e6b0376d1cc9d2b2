//! What one order costs in the steps around the adapters: the signature, commission, the messages
//! between the stages, the ledger. All without I/O, and all microseconds for one order.
//!
//! Each step stands beside the least that its work can be made of: bare hashes of the same bytes,
//! multiplications with rounding and nothing else, a `serde_json::Value` of the same text.
//!
//! Medians over many rounds; `--quick` does a few, so that CI notices when a bench no longer runs.
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
        commission::{MappedLine, MappedOrder, run},
        digest::Digest,
        id::LineId,
        ledger::{Entry, merkle_root, post, run_leaf},
        plan::Component,
    },
    stage::{
        decode,
        message::{Computed, Mapped, Posted, Validated},
    },
};

use crate::sample::{Sample, trace};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Orders of a block, a full batch of the ledger.
const BLOCK: u64 = 500;

/// The median of a call, in microseconds. What goes into the calls is made before the clock runs; what
/// comes out is dropped while it does.
fn median<T, U>(rounds: usize, make: impl Fn() -> T, mut work: impl FnMut(T) -> U) -> f64 {
    let input = make();
    let begin = Instant::now();
    black_box(work(input));
    let once = begin.elapsed().max(Duration::from_nanos(100));
    // As many calls a round as fill a millisecond, so that the clock does not count.
    let calls =
        usize::try_from(Duration::from_millis(1).as_nanos() / once.as_nanos()).unwrap().max(1);
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let inputs: Vec<T> = (0..calls).map(|_| make()).collect();
            let begin = Instant::now();
            for input in inputs {
                black_box(work(black_box(input)));
            }
            begin.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2].as_nanos() as f64 / 1_000.0 / calls as f64
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
        let bare = median(rounds, nothing, |()| Sha256::digest(black_box(&body)));
        let verified = median(rounds, nothing, |()| {
            let mut tag = [0; 33];
            let length = STANDARD.decode_slice(black_box(&header), &mut tag).unwrap();
            key.clone().chain_update(&body).verify_slice(&tag[..length]).unwrap();
            Digest::of(&body)
        });
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

fn commission(rounds: usize) {
    println!(
        "\n{:<16} {:>10} {:>10} {:>10} {:>6} {:>14}",
        "commission", "amounts", "naive us", "run us", "ratio", "order's hash"
    );
    for levels in [1, 10, 30] {
        let sample = Sample::new(levels);
        let (tree, plan, rates) = (&sample.company.genealogy, &sample.plan, rates(&sample));
        for lines in [1, 3, 10] {
            let order = with_lines(&sample.mapped(1), lines);
            let bases: Vec<Decimal> =
                order.lines.iter().map(|line| line.base.as_decimal()).collect();
            let computed = run(order.clone(), tree, plan).unwrap();
            assert_eq!(computed.paid().as_decimal(), naive(&bases, &rates));
            let baseline = median(rounds, nothing, |()| naive(black_box(&bases), &rates));
            let ran = median(rounds, || order.clone(), |order| run(order, tree, plan).unwrap());
            let hash = median(rounds, nothing, |()| black_box(&order).hash());
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
    let written = median(rounds, nothing, |()| encode(black_box(value)));
    let loosely = median(rounds, nothing, |()| encode(black_box(&loose)));
    let read = median(rounds, nothing, |()| decode::<T>(black_box(&bytes)).unwrap());
    let parsed =
        median(rounds, nothing, |()| serde_json::from_slice::<Value>(black_box(&bytes)).unwrap());
    println!(
        "{name:<16} {:>6} {loosely:>10.2} {written:>10.2} {:>6.2} {parsed:>10.2} {read:>10.2} {:>6.2}",
        bytes.len(),
        written / loosely,
        read / parsed,
    );
}

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
    let entries = post(&computed.run, &[]);
    handed("Validated", &Validated { event: sample.event(1), trace: trace(1) }, rounds);
    handed("Mapped", &Mapped { order: sample.mapped(1), trace: trace(2) }, rounds);
    handed("Computed", &computed, rounds);
    handed("Posted", &Posted::of(&computed.run, entries, trace(4)), rounds);
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
    let orders = block.len() as f64;
    let all = leaves(&block);
    // As many bare hashes of 64 bytes as an order has entries, and as its block has leaves for it.
    let hashes = |count: usize| {
        let bytes = [7u8; 64];
        let hash = |_| _ = black_box(Sha256::digest(black_box(&bytes)));
        median(rounds, nothing, move |()| (0..count).for_each(hash))
    };
    let row = |name: &str, count: usize, ours: f64| {
        let bare = hashes(count);
        println!("{name:<38} {bare:>10.2} {ours:>10.2} {:>6.2}", ours / bare);
    };
    let one = &block[0];
    let posted = median(rounds, nothing, |()| post(black_box(&one.computed.run), &[]));
    row("post, ten entries", 10, posted);
    row("leaf of the calculation", 1, median(rounds, nothing, |()| black_box(one).run_leaf()));
    let entries = median(rounds, nothing, |()| black_box(one).entry_leaves().collect::<Vec<_>>());
    row("leaves of the entries", 10, entries);
    let blocks = rounds.min(31);
    let root = median(blocks, nothing, |()| merkle_root(black_box(&all)));
    row("merkle root, of a block of 500", 11, root / orders);
    let sealed = median(blocks, nothing, |()| merkle_root(&leaves(black_box(&block))));
    row("leaves and root, of a block of 500", 11, sealed / orders);
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let rounds = if quick { 3 } else { 201 };
    verify(rounds);
    commission(rounds);
    let sample = Sample::new(10);
    messages(&sample, rounds);
    ledger(&sample, rounds);
}
