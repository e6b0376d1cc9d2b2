//! What one order costs in the pure stages, by platform and size of the body.
//!
//! For each body: `parse` is the platform's adapter (bytes to facts), `validate` the whole stage with
//! the digest of the body, `map` the join into an empty order book and the mapping. The baseline is
//! parsing the same bytes into a `serde_json::Value`, which does no work at all with them.
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

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;
use upline::{
    domain::{
        catalog::{Scope, SkuEntry},
        digest::Digest,
        id::{CommissionClass, Platform, Sku, StoreId},
        order::{OrderEvent, OrderState},
        plan::Plan,
    },
    stage::{
        Message, Stage, Verdict,
        map::{Company, Terms, map},
        message::Headers,
        platform::{Parsed, RawEvent, StorePolicy, parse},
        validate::{OnUnfooted, Store, Validate},
    },
};

const PLAN: &str = include_str!("../pipelines/plans/sample.toml");
const SHOPIFY: &str = include_str!("../schemas/examples/shopify/code-discount.json");
const WOOCOMMERCE: &str = include_str!("../schemas/examples/woocommerce/coupon-and-fees.json");
const MAGENTO: &str = include_str!("../schemas/examples/magento/configurable.json");

/// A body with its platform and topic.
struct Case {
    name: String,
    platform: Platform,
    topic: String,
    body: Vec<u8>,
}

fn case(name: &str, platform: Platform, example: &str, lines: usize) -> Case {
    let example: Value = serde_json::from_str(example).unwrap();
    let mut body = example["body"].clone();
    let order = if platform == Platform::Magento { &mut body["data"] } else { &mut body };
    let list = if platform == Platform::Magento { "items" } else { "line_items" };
    let id = if platform == Platform::Magento { "item_id" } else { "id" };
    let first = order[list][0].clone();
    let rows = order[list].as_array_mut().unwrap();
    for number in 0..lines {
        let mut row = first.clone();
        row[id] = (1_000_000 + number).into();
        rows.push(row);
    }
    let body = serde_json::to_vec(&body).unwrap();
    Case {
        name: name.to_owned(),
        platform,
        topic: example["topic"].as_str().unwrap().to_owned(),
        body,
    }
}

/// The median time of one call.
fn median(rounds: usize, mut work: impl FnMut()) -> Duration {
    // As many calls a round as fill a millisecond, so that the clock does not count.
    let begin = Instant::now();
    work();
    let once = begin.elapsed().max(Duration::from_nanos(100));
    let calls =
        u32::try_from(Duration::from_millis(1).as_nanos() / once.as_nanos()).unwrap().max(1);
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..calls {
                work();
            }
            begin.elapsed() / calls
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn company(events: &[OrderEvent]) -> Company {
    let mut company = Company::default();
    company.plans.add(Plan::parse(PLAN).unwrap());
    for event in events {
        let state = OrderState::of(event.clone());
        for line in state.effective() {
            let sku = line.line.sku.clone().or_else(|| line.line.variant.clone()).unwrap();
            let entry = SkuEntry {
                seq: 1,
                sku_id: sku.clone(),
                class: CommissionClass::parse("wellness").unwrap(),
                effective_from: Timestamp::UNIX_EPOCH,
                cv: None,
                qv: None,
            };
            company.catalog.add(Scope::Any, Sku::parse(sku.as_str()).unwrap(), entry);
        }
    }
    company
}

fn measure(case: &Case, rounds: usize) {
    let store = StoreId::parse("acme").unwrap();
    let policy = StorePolicy::default();
    let raw = || RawEvent {
        platform: case.platform,
        store: &store,
        topic: &case.topic,
        delivery: "bench",
        received_at: Timestamp::UNIX_EPOCH,
        digest: Digest::ZERO,
        body: &case.body,
    };
    let Parsed::Facts(events) = parse(&raw(), &policy).unwrap() else {
        panic!("{} has no facts", case.name)
    };
    let baseline = median(rounds, || {
        black_box(serde_json::from_slice::<Value>(black_box(&case.body)).unwrap());
    });
    let parsing = median(rounds, || {
        black_box(parse(black_box(&raw()), &policy).unwrap());
    });
    let known = Store { policy: policy.clone(), on_unfooted: OnUnfooted::Accept };
    let stage = Validate::new(HashMap::from([((case.platform, store.clone()), known)]));
    let subject = format!("ingest.{}.acme", case.platform);
    let headers = Headers::default().with(Headers::TOPIC, &case.topic);
    let validating = median(rounds, || {
        let message = Message { subject: &subject, headers: &headers, payload: &case.body };
        assert!(matches!(black_box(stage.apply(message)), Verdict::Emit(_)));
    });
    let company = company(&events);
    let terms = Terms::of_plan("sample");
    let mapping = median(rounds, || {
        let event = events[0].clone();
        let key = event.key.clone();
        let joined = OrderState::default().join(OrderState::of(event));
        black_box(map(&key, 1, &joined, None, &company, &terms));
    });
    let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
    println!(
        "{:<22} {:>8} {:>10.1} {:>10.1} {:>6.2} {:>12.1} {:>10.1}",
        case.name,
        case.body.len(),
        micros(baseline),
        micros(parsing),
        micros(parsing) / micros(baseline),
        micros(validating),
        micros(mapping),
    );
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick" || argument == "--test");
    let rounds = if quick { 3 } else { 201 };
    println!(
        "{:<22} {:>8} {:>10} {:>10} {:>6} {:>12} {:>10}",
        "one order", "bytes", "Value us", "parse us", "ratio", "validate us", "map us"
    );
    for (lines, size) in [(0, "small"), (200, "200 lines more")] {
        for (platform, example) in [
            (Platform::Shopify, SHOPIFY),
            (Platform::WooCommerce, WOOCOMMERCE),
            (Platform::Magento, MAGENTO),
        ] {
            let name = format!("{platform} {size}");
            measure(&case(&name, platform, example, lines), rounds);
        }
    }
}
