//! P1: what the edge takes, against a bare edge with the same body and connections.
//!
//! The edge is measured twice: with the stages at work behind it, as it is in life, and with the
//! first stage paused in NATS, so that it has the machine to itself like the bare edge has.

use std::{net::SocketAddr, time::Duration};

use super::{Bench, Deployment};
use crate::{
    bare::{Bare, Mode},
    generator::{Load, Pace, Sent, send},
    report::{Goal, Line, median},
    run::settle,
    world::World,
};

/// One round of all that is compared, in requests a second.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    echo: f64,
    single: f64,
    batch: f64,
    alone: f64,
    working: f64,
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    let mut stages = Vec::new();
    for _ in 0..bench.scale.pairs {
        let deployment = bench.deploy().await?;
        let echo = bare(bench, &deployment, Mode::Echo).await?;
        let single = bare(bench, &deployment, Mode::Single).await?;
        let batch = bare(bench, &deployment, Mode::Batch).await?;
        let (alone, drained) = alone(bench, &deployment).await?;
        stages.extend(drained);
        let run = deployment.run(&bench.flood(&deployment)).await?;
        bench.report.run("edge, stages at work", &run);
        rounds.push(Round { echo, single, batch, alone, working: run.sent.rate() });
        deployment.end().await?;
    }
    report(bench, &rounds);
    bench.report.line(Line::figure(
        "",
        "the stages alone, from the streams into the ledger",
        median(stages),
        "orders/s",
        Goal::None,
    ));
    Ok(())
}

fn report(bench: &mut Bench, rounds: &[Round]) {
    let middle = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let mut figure = |what: &str, value: f64| {
        bench.report.line(Line::figure("", what, value, "/s", Goal::None));
    };
    figure("bare echo", middle(|r| r.echo));
    figure("bare edge, each publish for itself", middle(|r| r.single));
    figure("bare edge, group commit", middle(|r| r.batch));
    let wanted = Goal::AtLeast { good: 0.85, great: 0.95 };
    let alone = Line::figure("P1", "edge, stages paused", middle(|r| r.alone), "/s", wanted);
    let ratio = middle(|r| r.alone / r.batch);
    bench.report.line(alone.against(middle(|r| r.batch), "bare edge, group commit", ratio));
    let working = Line::figure("", "edge, stages at work", middle(|r| r.working), "/s", Goal::None);
    let ratio = middle(|r| r.working / r.batch);
    bench.report.line(working.against(middle(|r| r.batch), "bare edge, group commit", ratio));
}

/// The rate of a bare edge.
pub(super) async fn bare(
    bench: &mut Bench,
    deployment: &Deployment,
    mode: Mode,
) -> anyhow::Result<f64> {
    bare_at(bench, deployment, mode, Pace::Closed).await.map(|sent| sent.rate())
}

/// What a bare edge answers at a pace.
pub(super) async fn bare_at(
    bench: &mut Bench,
    deployment: &Deployment,
    mode: Mode,
    pace: Pace,
) -> anyhow::Result<Sent> {
    let world = &deployment.world;
    let bare = Bare::start(world, mode).await?;
    let processes = deployment.processes().with(&[bare.server.pid()]);
    let before = processes.cpu();
    let load = Load { pace, ..bench.flood_at(&bare.server) };
    let sent = send(&load, &deployment.template, world.company, &world.next).await?;
    let used = crate::process::since(&processes.cpu(), &before);
    let answered = sent.answered(200);
    let stored = bare.messages().await?;
    anyhow::ensure!(sent.statuses.len() == 1 && answered > 0, "bare: {:?}", sent.statuses);
    anyhow::ensure!(mode == Mode::Echo || stored >= answered, "bare: {stored} of {answered} kept");
    if matches!(pace, Pace::Closed) {
        let micros = used.into_iter().map(|(p, t)| (p, t.as_secs_f64() * 1e6 / answered as f64));
        bench.report.cpu.push((format!("bare {mode:?}").to_lowercase(), micros.collect()));
    }
    bare.end().await?;
    Ok(sent)
}

/// The edge with the first stage paused, and then the stages without load, in orders a second.
async fn alone(bench: &mut Bench, deployment: &Deployment) -> anyhow::Result<(f64, Option<f64>)> {
    let world = &deployment.world;
    if !pause(world, true).await? {
        bench.report.note("the first stage cannot be paused: the edge alone was not measured");
        return Ok((0.0, None));
    }
    let before = world.ledger_rows().await?;
    let targets: Vec<SocketAddr> = deployment.servers.iter().map(|server| server.http).collect();
    let mut load = bench.flood(deployment);
    (load.targets, load.measured) = (targets, load.measured.div_f64(2.0));
    let sent: Sent = send(&load, &deployment.template, world.company, &world.next).await?;
    pause(world, false).await?;
    let (rate, audit) = settle(world, &deployment.template, &sent, before).await?;
    bench.report.audit.add(audit);
    if !audit.clean() {
        bench.report.note(format!("WRONG BOOKS behind the paused stage: {audit}"));
    }
    Ok((sent.rate(), Some(rate)))
}

/// Pauses the first stage's consumer, or lets it go on; says whether the server did.
async fn pause(world: &World, on: bool) -> anyhow::Result<bool> {
    let client = async_nats::connect(world.nats()).await?;
    let subject = format!("$JS.API.CONSUMER.PAUSE.{}_INGEST.validate", world.name);
    let until = if on { r#"{"pause_until":"2200-01-01T00:00:00Z"}"# } else { "{}" };
    // The consumer is made when the program has begun to listen.
    for _ in 0..100 {
        let answer = client.request(subject.clone(), until.into()).await?;
        let answer: serde_json::Value = serde_json::from_slice(&answer.payload)?;
        if answer.get("error").is_none() {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(false)
}
