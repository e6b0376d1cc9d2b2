//! P2, P3, P7: from the webhook to the rows in Postgres, against the limits and against a peer.

use super::{Bench, Deployment, Scale, edge};
use crate::{
    bare::{Mode, bulk},
    company::LEVELS,
    generator::send,
    peer,
    process::since,
    report::{Goal, Line, median},
    run::Run,
};

/// One round of all that is compared, in orders a second.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    bare: f64,
    ours: f64,
    under_load: f64,
    peer: Option<f64>,
    cpu: f64,
    chain: f64,
    chain_cpu: f64,
    unnest: f64,
    copy: f64,
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = match peer::install() {
        Ok(folder) => Some(folder),
        Err(reason) => {
            bench.report.note(format!("THE PEER WAS NOT MEASURED: {reason}"));
            None
        }
    };
    let mut rounds: Vec<Round> = Vec::new();
    for _ in 0..bench.scale.pairs {
        let deployment = bench.deploy().await?;
        let bare = edge::bare(bench, &deployment, Mode::Batch).await?;
        let run = deployment.run(&bench.flood(&deployment)).await?;
        bench.report.run("end to end", &run);
        let peer = match &folder {
            Some(folder) => Some(against(bench, &deployment, folder).await?),
            None => None,
        };
        let bulk = bulk(&deployment.world.client, bench.scale.measured.div_f64(8.0)).await?;
        rounds.push(Round {
            bare,
            ours: run.sustained,
            under_load: run.under_load,
            peer,
            cpu: system(&run),
            chain: 0.0,
            chain_cpu: 0.0,
            unnest: bulk.unnest / LEVELS as f64,
            copy: bulk.copy / LEVELS as f64,
        });
        deployment.end().await?;
        let deployment = bench.deploy_as(Scale { lanes: 0, ..bench.scale }).await?;
        let run = deployment.run(&bench.flood(&deployment)).await?;
        bench.report.run("through the log", &run);
        deployment.end().await?;
        if let Some(round) = rounds.last_mut() {
            (round.chain, round.chain_cpu) = (run.sustained, system(&run));
        }
    }
    report(bench, &rounds);
    bench.saturated_at(median(rounds.iter().map(|round| round.ours)));
    Ok(())
}

/// Processor time of an order over all processes but the generator.
fn system(run: &Run) -> f64 {
    let generator = crate::process::Program::Generator;
    run.cpu_us().into_iter().filter(|(program, _)| *program != generator).map(|(_, t)| t).sum()
}

/// The peer with the same connections.
async fn against(
    bench: &mut Bench,
    deployment: &Deployment,
    folder: &std::path::Path,
) -> anyhow::Result<f64> {
    let world = &deployment.world;
    let mut server = peer::start(world, folder).await?;
    let processes = deployment.processes().with(&[server.pid()]);
    let before = processes.cpu();
    let load = bench.flood_at(&server);
    let sent = send(&load, &deployment.template, world.company, &world.next).await?;
    let used = since(&processes.cpu(), &before);
    server.kill()?;
    let accepted = sent.answered(200).max(1) as f64;
    let micros = used.into_iter().map(|(p, t)| (p, t.as_secs_f64() * 1e6 / accepted));
    bench.report.cpu.push(("peer".to_owned(), micros.collect()));
    anyhow::ensure!(
        peer::right(world, deployment.template.shape(), &sent).await?,
        "the peer's books are wrong"
    );
    Ok(sent.rate())
}

fn report(bench: &mut Bench, rounds: &[Round]) {
    let middle = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick));
    let ours = middle(|r| r.ours);
    let line = |number, what: &str, goal| Line::figure(number, what, ours, "orders/s", goal);
    let wanted = Goal::AtLeast { good: 0.35, great: 0.55 };
    let whole = line("P2", "webhook to rows in Postgres, to the last order", wanted);
    let ratio = middle(|r| r.ours / r.bare);
    bench.report.line(whole.against(middle(|r| r.bare), "bare edge, group commit", ratio));
    bench.report.line(Line::figure(
        "",
        "rows in Postgres while the load goes on",
        middle(|r| r.under_load),
        "orders/s",
        Goal::None,
    ));
    if rounds.iter().all(|round| round.peer.is_some()) {
        let wanted = Goal::AtLeast { good: 2.0, great: 4.0 };
        let ratio = middle(|r| r.ours / r.peer.unwrap_or(f64::INFINITY));
        let peer = middle(|r| r.peer.unwrap_or_default());
        let line = line("P3", "the same against Fastify straight to Postgres", wanted);
        bench.report.line(line.against(peer, "Fastify", ratio));
    }
    for (what, name, limit) in [
        ("the same against Postgres alone", "UNNEST of 1,000 rows", middle(|r| r.unnest)),
        ("the same against Postgres alone", "COPY of 10,000 rows", middle(|r| r.copy)),
    ] {
        bench.report.line(line("", what, Goal::None).against(limit, name, ours / limit));
    }
    bench.report.line(Line::figure(
        "P7",
        "processor time of an order, all processes",
        middle(|r| r.cpu),
        "us",
        Goal::AtMost { good: 180.0, great: 110.0 },
    ));
    for (what, value, unit) in [
        ("every stage through the log: to the last order", middle(|r| r.chain), "orders/s"),
        ("every stage through the log: processor time of an order", middle(|r| r.chain_cpu), "us"),
    ] {
        bench.report.line(Line::figure("", what, value, unit, Goal::None));
    }
}
