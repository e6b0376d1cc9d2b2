//! P14: of ten deliveries three are repeats, and in the middle the power goes.

use std::time::{Duration, Instant};

use super::Bench;
use crate::{
    report::{Goal, Line, number},
    run::{Run, admin_of, run},
};

/// Of a hundred deliveries.
const REPEATS: u64 = 30;

/// Deliveries answered a second, from the first request until their orders were in the ledger.
fn throughput(run: &Run, span: Duration) -> f64 {
    let accepted = u64::try_from(run.sent.accepted.len()).unwrap_or_default();
    (accepted + run.sent.repeated) as f64 / span.as_secs_f64().max(1e-9)
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let plain = bench.deploy().await?;
    let mut load = bench.flood(&plain);
    load.insist = true;
    let without = plain.run(&load).await?;
    bench.report.run("no repeats", &without);
    plain.end().await?;

    let mut deployment = bench.deploy().await?;
    let mut load = bench.flood(&deployment);
    (load.repeats, load.insist) = (REPEATS, true);
    let half = (load.warm + load.measured).div_f64(2.0);
    let processes = deployment.processes();
    let admin = admin_of(&deployment.servers);
    let (world, servers) = (&deployment.world, &mut deployment.servers);
    let mut down = None;
    let with = run(world, &processes, &load, &deployment.template, admin, async || {
        tokio::time::sleep(half).await;
        for server in servers {
            let begin = Instant::now();
            server.kill()?;
            *server = world.serve(Some(server.http)).await?;
            down = Some(begin.elapsed());
        }
        Ok(())
    })
    .await?;
    bench.report.audit.add(with.audit);
    let wanted = Goal::AtLeast { good: 0.85, great: 0.95 };
    for (number, what, spans, goal) in [
        ("P14", "to the last order", (without.span, with.span), wanted),
        ("", "to 95 % of the orders", (without.most, with.most), Goal::None),
    ] {
        let (before, after) = (throughput(&without, spans.0), throughput(&with, spans.1));
        let what = format!("deliveries, 30 % repeats and a power cut, {what}");
        let line = Line::figure(number, what, after, "/s", goal);
        bench.report.line(line.against(before, "no repeats", after / before));
    }
    let faults = with.audit.faults() as f64;
    let none = Goal::AtMost { good: 0.0, great: 0.0 };
    let what = "rows wrong or doubled, orders lost";
    bench.report.line(Line::figure("P14", what, faults, "", none));
    bench.report.note(format!(
        "repeats: {} of {} deliveries accepted were repeats, {} broken connections, down for {} s; {}",
        with.sent.repeated,
        with.sent.answered(200),
        with.sent.broken,
        number(down.unwrap_or_default().as_secs_f64()),
        with.audit
    ));
    deployment.end().await
}
