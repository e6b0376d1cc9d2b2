//! One run as the options say, with everything that it showed.

use super::Bench;
use crate::{
    generator::Pace,
    report::{Goal, Line, number},
    run::Run,
};

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let deployment = bench.deploy_as(bench.scale).await?;
    let mut load = bench.flood(&deployment);
    load.repeats = bench.options.repeats.unwrap_or_default();
    if let Some(rate) = bench.options.rate {
        load.pace = Pace::Open(rate);
    }
    let run = deployment.run(&load).await?;
    show(bench, &run);
    bench.report.run("by hand", &run);
    deployment.end().await
}

/// Everything of a run.
pub(super) fn show(bench: &mut Bench, run: &Run) {
    let mut figure = |what: &str, value: f64, unit: &'static str| {
        bench.report.line(Line::figure("", what, value, unit, Goal::None));
    };
    figure("accepted by the edge", run.sent.rate(), "/s");
    figure("into the ledger under load", run.under_load, "orders/s");
    figure("into the ledger, the best second", run.peak, "orders/s");
    figure("into the ledger, sustained to the last order", run.sustained, "orders/s");
    figure("drain after the last answer", run.drain.as_secs_f64(), "s");
    figure("into the ledger during the drain", run.drain_rate.unwrap_or_default(), "orders/s");
    figure("webhook p50", run.sent.latency_ms(0.5), "ms");
    figure("webhook p99", run.sent.latency_ms(0.99), "ms");
    figure("webhook max", run.sent.latency_ms(1.0), "ms");
    figure("edge receipt to ledger commit p50", run.emit.p50, "ms");
    figure("edge receipt to ledger commit p99", run.emit.p99, "ms");
    figure("edge receipt to ledger commit max", run.emit.max, "ms");
    figure("edge receipt to the ledger's time stamp p99", run.stamped.p99, "ms");
    figure("first request to rest, warehouse included", run.warehouse.as_secs_f64(), "s");
    for (program, micros) in run.cpu_us() {
        figure(&format!("processor time of an order: {}", program.name()), micros, "us");
    }
    let bucket = run.emit_bucket.map_or_else(|| "?".to_owned(), number);
    bench.report.note(format!(
        "answers {:?}, {} with Retry-After, {} broken connections, {} repeats accepted; the \
         program's own histogram says emit p99 <= {bucket} s; {}",
        run.sent.statuses, run.sent.retry_after, run.sent.broken, run.sent.repeated, run.audit
    ));
}
