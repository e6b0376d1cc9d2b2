//! P6: half as much again as it can take. Nothing may be lost or doubled, and who cannot be served
//! in time must be told so.

use std::time::Duration;

use super::{Bench, Scale};
use crate::{
    generator::Pace,
    report::{Goal, Line, number},
};

/// More than the requests that can be under way: the edge takes 1,024 connections.
const CONNECTIONS: usize = 768;
/// What an order may take into the ledger unless shops are refused, in milliseconds.
const LONGEST: f64 = 2_000.0;

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let saturation = bench.saturation().await?;
    let deployment = bench.deploy_as(Scale { paced: true, ..bench.scale }).await?;
    let mut load = bench.flood(&deployment);
    let whole = if bench.quick { 2 } else { 30 };
    (load.measured, load.pace) = (Duration::from_secs(whole), Pace::Open(saturation * 1.5));
    load.connections = if bench.quick { load.connections } else { CONNECTIONS };
    let run = deployment.run(&load).await?;
    bench.report.run("overload", &run);
    let faults = run.audit.faults() as f64;
    let none = Goal::AtMost { good: 0.0, great: 0.0 };
    let what = format!("rows wrong or doubled, orders lost at {}/s", number(saturation * 1.5));
    bench.report.line(Line::figure("P6", what, faults, "", none));
    let refused = run.sent.answered(503);
    let told = (refused - run.sent.retry_after) as f64;
    bench.report.line(Line::figure("P6", "503 without Retry-After", told, "", none));
    let what = format!("ledger p99 of what was accepted ({refused} refused with 503)");
    let longest = Goal::AtMost { good: LONGEST, great: LONGEST };
    bench.report.line(Line::figure("P6", what, run.emit.p99, "ms", longest));
    let ratio = run.drain_rate.map_or(1.0, |rate| rate / run.peak.max(1.0));
    let what = "drain after the load, against the best second of the load";
    let drain = run.drain_rate.unwrap_or(run.peak);
    let wanted = Goal::AtLeast { good: 0.80, great: 0.95 };
    let line = Line::figure("P6", what, drain, "orders/s", wanted);
    bench.report.line(line.against(run.peak, "best second", ratio));
    bench.report.note(format!(
        "overload: answers {:?}, {} broken connections, webhook p99 {} ms from when it was due, \
         drained in {} s; {}",
        run.sent.statuses,
        run.sent.broken,
        number(run.sent.latency_ms(0.99)),
        number(run.drain.as_secs_f64()),
        run.audit
    ));
    deployment.end().await
}
