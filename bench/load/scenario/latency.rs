//! P4, P5: latency over the rate. An open loop: latency counts from when a webhook was due. Beside each
//! rate with a goal stands what a bare edge takes at it, with the machine to itself.

use super::{Bench, Deployment, edge};
use crate::{
    bare::Mode,
    generator::Pace,
    report::{Goal, Line, OF_SATURATION, Point, number},
};

/// Shares of the own saturation, in percent.
const SHARES: [u32; 5] = [10, 25, 50, 75, 90];
const QUICK: [u32; 2] = [25, 50];

/// What is wanted at a share: webhook, then ledger.
fn goals(share: u32) -> [(&'static str, Goal); 2] {
    let at_most = |good, great| Goal::AtMost { good, great };
    match share {
        25 => [("P4", at_most(8.0, 4.0)), ("P5", at_most(40.0, 15.0))],
        50 => [("P4", at_most(15.0, 7.0)), ("P5", at_most(100.0, 40.0))],
        _ => [("", Goal::None), ("", Goal::None)],
    }
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let saturation = bench.saturation().await?;
    let deployment = bench.deploy().await?;
    // Every statement is prepared, every table has its pages.
    let mut warm = bench.flood(&deployment);
    (warm.measured, warm.pace) = (bench.scale.warm, Pace::Open(saturation * 0.5));
    let run = deployment.run(&warm).await?;
    bench.report.audit.add(run.audit);
    let shares: &[u32] = if bench.quick { &QUICK } else { &SHARES };
    for share in shares {
        let rate = saturation * f64::from(*share) / 100.0;
        let mut load = bench.flood(&deployment);
        load.pace = Pace::Open(rate);
        let run = deployment.run(&load).await?;
        let [(webhook_number, webhook), (emit_number, emit)] = goals(*share);
        let at = format!("at {share} % of saturation, {}/s", number(rate));
        let (p50, p99) = (run.sent.latency_ms(0.5), run.sent.latency_ms(0.99));
        let line =
            |number, what: String, value, goal| Line::figure(number, what, value, "ms", goal);
        let what = format!("webhook p99 {at}");
        bench.report.line(line(webhook_number, what, p99, webhook));
        let what = format!("edge receipt to ledger commit p99 {at}");
        bench.report.line(line(emit_number, what, run.emit.p99, emit));
        let point = Point { rate, webhook: (p50, p99), emit: (run.emit.p50, run.emit.p99) };
        bench.report.curve.push(point);
        bench.report.run(&format!("{share}{OF_SATURATION}"), &run);
        let bucket = run.emit_bucket.map_or_else(|| "?".to_owned(), number);
        bench.report.note(format!(
            "{at}: webhook p50 {} ms, max {} ms; ledger p50 {} ms, max {} ms, by the ledger's time \
             stamp p99 {} ms, by the program's histogram p99 <= {bucket} s",
            number(p50),
            number(run.sent.latency_ms(1.0)),
            number(run.emit.p50),
            number(run.emit.max),
            number(run.stamped.p99),
        ));
        if !matches!(webhook, Goal::None) {
            bare(bench, &deployment, rate, &at).await?;
        }
    }
    deployment.end().await
}

/// The webhook of a bare edge at the same rate: the least that a write to the log takes here.
async fn bare(
    bench: &mut Bench,
    deployment: &Deployment,
    rate: f64,
    at: &str,
) -> anyhow::Result<()> {
    for (mode, name) in [(Mode::Single, "each publish for itself"), (Mode::Batch, "group commit")] {
        let sent = edge::bare_at(bench, deployment, mode, Pace::Open(rate)).await?;
        let what = format!("bare edge, {name}: webhook p99 {at}");
        bench.report.note(format!("{what}: p50 {} ms", number(sent.latency_ms(0.5))));
        bench.report.line(Line::figure("", what, sent.latency_ms(0.99), "ms", Goal::None));
    }
    Ok(())
}
