//! The catalogue of metrics: every name, help text, label and bucket stands here and nowhere else.
//!
//! Labels are bounded: platform, store (from the pipeline files), stage, outcome, reason. Never an
//! order, a distributor or anything else from a body.
#![expect(clippy::disallowed_macros, reason = "the one place that may use them")]

use std::time::Duration;

use jiff::Timestamp;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{
    clock::{seconds, seconds_between},
    ingest::Reason,
    stage::{DeferReason, SkipReason},
    stream::Fate,
};

const WEBHOOK_SECONDS: &str = "upline_webhook_seconds";
const WEBHOOKS: &str = "upline_webhooks_total";
const WEBHOOK_BYTES: &str = "upline_webhook_bytes_total";
const REFUSED: &str = "upline_refused_total";
const EXPECTED_WAIT: &str = "upline_expected_wait_seconds";
const ADMISSION_PACE: &str = "upline_admission_pace";
const CONNECTIONS: &str = "upline_connections";
const SOURCE_LAG: &str = "upline_source_lag_seconds";
const SOURCE_SEEN: &str = "upline_source_last_seen_timestamp_seconds";
const MESSAGES: &str = "upline_stage_messages_total";
const SKIPPED: &str = "upline_stage_skipped_total";
const DEFERRED: &str = "upline_stage_deferred_total";
const DEAD_LETTERS: &str = "upline_dead_letters_total";
const RETRIES: &str = "upline_stage_retries_total";
const FAILURES: &str = "upline_stage_failures_total";
const STAGE_SECONDS: &str = "upline_stage_seconds";
const BATCH_MESSAGES: &str = "upline_stage_batch_messages";
const EMIT_SECONDS: &str = "upline_commission_emit_seconds";
const DUPLICATES: &str = "upline_duplicates_total";
const LAG: &str = "upline_consumer_lag_messages";
const LOG_WRITES: &str = "upline_log_writes_total";
const LOG_WRITTEN: &str = "upline_log_written_messages_total";
const STREAM_BYTES: &str = "upline_stream_bytes";
const ENTRIES: &str = "upline_ledger_entries_total";
const BLOCKS: &str = "upline_ledger_blocks_total";
const WAREHOUSE_LAG: &str = "upline_warehouse_lag_seconds";
const DISTRIBUTORS: &str = "upline_distributors";
const GENEALOGY: &str = "upline_genealogy_version";
const CATALOG: &str = "upline_catalog_version";
const RATES: &str = "upline_rates_version";
const UNFOOTED: &str = "upline_unfooted_accepted_total";
const REFUND_FETCHES: &str = "upline_refund_fetches_total";
const PARKED: &str = "upline_orders_parked";

/// Latency buckets in seconds; the limits of the SLAs (0.12, 0.3, 0.5, 2) are among them.
const LATENCY: [f64; 16] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.12, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0];
const WORK: [f64; 12] =
    [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];
const LONG: [f64; 12] =
    [0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 14400.0, 43200.0, 86400.0];
const SIZES: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Installs the recorder of the process; the handle renders `/metrics`.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let exact = |name: &str| Matcher::Full(name.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(exact(WEBHOOK_SECONDS), &LATENCY)?
        .set_buckets_for_metric(exact(EMIT_SECONDS), &LATENCY)?
        .set_buckets_for_metric(exact(STAGE_SECONDS), &WORK)?
        .set_buckets_for_metric(exact(BATCH_MESSAGES), &SIZES)?
        .set_buckets_for_metric(exact(SOURCE_LAG), &LONG)?
        .set_buckets_for_metric(exact(WAREHOUSE_LAG), &LONG)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_histograms();
    describe_counters();
    describe_gauges();
}

fn describe_histograms() {
    for (name, unit, help) in [
        (
            WEBHOOK_SECONDS,
            Unit::Seconds,
            "From the head of a request to its answer. SLA 0.3, great 0.12.",
        ),
        (EMIT_SECONDS, Unit::Seconds, "From edge receipt to ledger commit. SLA 2, great 0.5."),
        (
            STAGE_SECONDS,
            Unit::Seconds,
            "A batch in a stage: part judge is the pure stage, deliver its sink.",
        ),
        (BATCH_MESSAGES, Unit::Count, "Messages in a batch."),
        (SOURCE_LAG, Unit::Seconds, "From the platform's event to its arrival at the edge."),
        (WAREHOUSE_LAG, Unit::Seconds, "From ledger commit to the row in ClickHouse."),
    ] {
        describe_histogram!(name, unit, help);
    }
}

fn describe_counters() {
    for (name, help) in [
        (WEBHOOKS, "Requests at the edge by platform and outcome."),
        (WEBHOOK_BYTES, "Bytes of accepted bodies."),
        (
            REFUSED,
            "Deliveries answered 503 for load, by the store that they name and reason: in_flight, bytes (the store's share at the edge), backlog (the pipeline behind it).",
        ),
        (
            MESSAGES,
            "Messages settled for good, each under exactly one outcome: delivered, skipped, deferred, dead_lettered.",
        ),
        (SKIPPED, "Messages without effect, by reason."),
        (DEFERRED, "Messages that wait, by reason."),
        (DEAD_LETTERS, "Messages kept as dead letters, by reason code."),
        (RETRIES, "Messages handed back to come again."),
        (FAILURES, "Times a stage met an unavailable service."),
        (DUPLICATES, "Duplicates recognised, by the place that recognised them."),
        (LOG_WRITES, "Durable writes to the log by stream and form: one message, or a batch."),
        (
            LOG_WRITTEN,
            "Messages written to the log by stream and form: by the writes, how many share one.",
        ),
        (ENTRIES, "Ledger entries posted, by kind."),
        (BLOCKS, "Ledger blocks sealed."),
        (
            UNFOOTED,
            "States of orders that earn although their rows do not add up to their header (on_unfooted = accept).",
        ),
        (
            REFUND_FETCHES,
            "Orders whose refunds a shop was to be asked for, by store and outcome: fetched, known, missing, failed (comes again), given_up (a dead letter).",
        ),
    ] {
        describe_counter!(name, Unit::Count, help);
    }
}

fn describe_gauges() {
    for (name, help) in [
        (CONNECTIONS, "Open connections at the edge."),
        (
            EXPECTED_WAIT,
            "Seconds that a delivery of now waits for its turn at the ledger: the backlog by the rate at which it is settled. NaN while nothing is settled.",
        ),
        (
            ADMISSION_PACE,
            "Deliveries a second that this process admits from senders that come again; +Inf while it admits everybody.",
        ),
        (SOURCE_SEEN, "When a store last sent a verified delivery, in seconds since 1970."),
        (LAG, "Messages that a stage's consumer has not settled."),
        (STREAM_BYTES, "Bytes that a stream holds; a full store refuses deliveries."),
        (DISTRIBUTORS, "Distributors in memory."),
        (GENEALOGY, "Sequence number of the last genealogy event in memory."),
        (CATALOG, "Sequence number of the last SKU mapping in memory."),
        (RATES, "Sequence number of the last exchange rate loaded."),
        (PARKED, "Orders that wait for a SKU or a distributor."),
    ] {
        describe_gauge!(name, Unit::Count, help);
    }
}

/// Lets every series exist from the start, at zero: a rate over a series that appears with its first
/// event misses that event. Stores count as heard of at the start, so that one that never delivers
/// is noticed too.
pub fn start<'a>(
    stages: &[&'static str],
    stores: impl IntoIterator<Item = (&'static str, &'a str)>,
    now: Timestamp,
) {
    for stage in stages.iter().copied() {
        for outcome in ["delivered", "skipped", "deferred", "dead_lettered"] {
            counter!(MESSAGES, "stage" => stage, "outcome" => outcome).increment(0);
        }
        counter!(RETRIES, "stage" => stage).increment(0);
        counter!(FAILURES, "stage" => stage).increment(0);
        counter!(DUPLICATES, "place" => stage).increment(0);
    }
    counter!(DUPLICATES, "place" => "log").increment(0);
    counter!(BLOCKS).increment(0);
    for kind in ["earned", "reversed"] {
        counter!(ENTRIES, "kind" => kind).increment(0);
    }
    for (platform, store) in stores {
        source_seen(platform, store, now);
        for reason in Reason::ALL {
            let label = store.to_owned();
            counter!(REFUSED, "platform" => platform, "store" => label, "reason" => reason.as_str())
                .increment(0);
        }
        unfooted_accepted(platform, store, 0);
        for outcome in crate::ingest::Outcome::ALL {
            counter!(WEBHOOKS, "platform" => platform, "outcome" => outcome.as_str()).increment(0);
        }
    }
}

/// A request at the edge.
pub fn webhook(platform: &'static str, outcome: &'static str, elapsed_seconds: f64) {
    histogram!(WEBHOOK_SECONDS, "platform" => platform, "outcome" => outcome)
        .record(elapsed_seconds);
    counter!(WEBHOOKS, "platform" => platform, "outcome" => outcome).increment(1);
}

/// An accepted body.
pub fn webhook_bytes(platform: &'static str, bytes: u64) {
    counter!(WEBHOOK_BYTES, "platform" => platform).increment(bytes);
}

/// A delivery was refused for load.
pub fn refused(platform: &'static str, store: &str, reason: Reason) {
    let label = store.to_owned();
    counter!(REFUSED, "platform" => platform, "store" => label, "reason" => reason.as_str())
        .increment(1);
}

/// How long a delivery of now will wait for the ledger, if anybody can say.
pub fn expected_wait(wait: Option<Duration>) {
    gauge!(EXPECTED_WAIT).set(wait.map_or(f64::NAN, seconds));
}

/// How many deliveries a second come in at most; `None`: all.
pub fn admission_pace(pace: Option<u64>) {
    let count = |pace: u64| gauge_value(usize::try_from(pace).unwrap_or(usize::MAX));
    gauge!(ADMISSION_PACE).set(pace.map_or(f64::INFINITY, count));
}

/// Open connections.
pub fn connections(open: usize) {
    gauge!(CONNECTIONS).set(gauge_value(open));
}

/// How old an event was when it arrived.
pub fn source_lag(platform: &'static str, lag_seconds: f64) {
    histogram!(SOURCE_LAG, "platform" => platform).record(lag_seconds);
}

/// A store was heard of.
pub fn source_seen(platform: &'static str, store: &str, at: Timestamp) {
    let label = store.to_owned();
    gauge!(SOURCE_SEEN, "platform" => platform, "store" => label)
        .set(gauge_value(usize::try_from(at.as_second()).unwrap_or(0)));
}

/// A message settled for good.
pub fn message(stage: &'static str, fate: &Fate) {
    let outcome = match fate {
        Fate::Delivered => "delivered",
        Fate::Skipped(reason) => {
            counter!(SKIPPED, "stage" => stage, "reason" => reason.as_str()).increment(1);
            if *reason == SkipReason::NothingNew || *reason == SkipReason::AlreadyPosted {
                duplicate(stage);
            }
            "skipped"
        }
        Fate::Parked(reason) => {
            deferred(stage, *reason);
            "deferred"
        }
        Fate::Rejected(rejection) => {
            let code = rejection.code.as_str();
            counter!(DEAD_LETTERS, "stage" => stage, "code" => code).increment(1);
            "dead_lettered"
        }
    };
    counter!(MESSAGES, "stage" => stage, "outcome" => outcome).increment(1);
}

/// A message that waits.
pub fn deferred(stage: &'static str, reason: DeferReason) {
    counter!(DEFERRED, "stage" => stage, "reason" => reason.as_str()).increment(1);
}

/// A message handed back to come again.
pub fn message_retry(stage: &'static str) {
    counter!(RETRIES, "stage" => stage).increment(1);
}

/// A stage met an unavailable service.
pub fn stage_failure(stage: &'static str) {
    counter!(FAILURES, "stage" => stage).increment(1);
}

/// A batch went through a stage.
pub fn stage_batch(stage: &'static str, messages: usize, judge: Duration, deliver: Duration) {
    histogram!(STAGE_SECONDS, "stage" => stage, "part" => "judge").record(seconds(judge));
    histogram!(STAGE_SECONDS, "stage" => stage, "part" => "deliver").record(seconds(deliver));
    histogram!(BATCH_MESSAGES, "stage" => stage).record(gauge_value(messages));
}

/// Commission of an order is in the ledger.
pub fn commission_emitted(received_at: Timestamp, posted_at: Timestamp) {
    histogram!(EMIT_SECONDS).record(seconds_between(received_at, posted_at));
}

/// A duplicate was recognised: at the edge (`log`) or by a stage.
pub fn duplicate(place: &'static str) {
    counter!(DUPLICATES, "place" => place).increment(1);
}

/// So many messages went to a stream of the log in so many durable writes.
pub fn log_written(stream: &'static str, form: &'static str, writes: usize, messages: usize) {
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    counter!(LOG_WRITES, "stream" => stream, "form" => form).increment(count(writes));
    counter!(LOG_WRITTEN, "stream" => stream, "form" => form).increment(count(messages));
}

/// How far a stage is behind.
pub fn consumer_lag(stage: &'static str, messages: u64) {
    gauge!(LAG, "stage" => stage).set(gauge_value(usize::try_from(messages).unwrap_or(usize::MAX)));
}

/// How much a stream holds.
pub fn stream_bytes(stream: &'static str, bytes: u64) {
    gauge!(STREAM_BYTES, "stream" => stream)
        .set(gauge_value(usize::try_from(bytes).unwrap_or(usize::MAX)));
}

/// Entries were posted.
pub fn ledger_entries(kind: &'static str, entries: u64) {
    counter!(ENTRIES, "kind" => kind).increment(entries);
}

/// A block was sealed.
pub fn ledger_block() {
    counter!(BLOCKS).increment(1);
}

/// So many messages of a stage were delivered.
pub fn delivered(stage: &'static str, messages: usize) {
    let messages = u64::try_from(messages).unwrap_or(u64::MAX);
    counter!(MESSAGES, "stage" => stage, "outcome" => "delivered").increment(messages);
}

/// A posted revision is in the warehouse.
pub fn warehoused(posted_at: Timestamp, now: Timestamp) {
    histogram!(WAREHOUSE_LAG).record(seconds_between(posted_at, now));
}

/// States of orders were let through that do not foot.
pub fn unfooted_accepted(platform: &'static str, store: &str, states: u64) {
    let label = store.to_owned();
    counter!(UNFOOTED, "platform" => platform, "store" => label).increment(states);
}

/// How asking a shop for the refunds of an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundFetch {
    /// The shop answered, and what was new is on its way.
    Fetched,
    /// All of them were known with their lines, so the shop was not asked.
    Known,
    /// The shop answered and does not have them any more.
    Missing,
    /// There was no answer; it is tried again.
    Failed,
    /// It became a dead letter.
    GivenUp,
}

impl RefundFetch {
    const ALL: [Self; 5] = [Self::Fetched, Self::Known, Self::Missing, Self::Failed, Self::GivenUp];

    fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Known => "known",
            Self::Missing => "missing",
            Self::Failed => "failed",
            Self::GivenUp => "given_up",
        }
    }
}

/// Lets the series of a store that is asked for refunds exist from the start.
pub fn refund_fetch_start(store: &str) {
    for fetch in RefundFetch::ALL {
        let label = store.to_owned();
        counter!(REFUND_FETCHES, "store" => label, "outcome" => fetch.as_str()).increment(0);
    }
}

/// A shop was asked for the refunds of an order, or did not have to be.
pub fn refund_fetch(store: &str, fetch: RefundFetch) {
    let label = store.to_owned();
    counter!(REFUND_FETCHES, "store" => label, "outcome" => fetch.as_str()).increment(1);
}

/// What is loaded of the company.
pub fn company(distributors: usize, genealogy: u64, catalog: u64, rates: u64) {
    let count = |n: u64| gauge_value(usize::try_from(n).unwrap_or(usize::MAX));
    gauge!(DISTRIBUTORS).set(gauge_value(distributors));
    gauge!(GENEALOGY).set(count(genealogy));
    gauge!(CATALOG).set(count(catalog));
    gauge!(RATES).set(count(rates));
}

/// Orders that wait.
pub fn parked(orders: u64) {
    gauge!(PARKED).set(gauge_value(usize::try_from(orders).unwrap_or(usize::MAX)));
}

/// Prometheus values are floats; a count above 2^53 would lose its last digit, which no dashboard
/// shows. Money is never a metric.
#[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "see above")]
fn gauge_value(count: usize) -> f64 {
    count as f64
}
