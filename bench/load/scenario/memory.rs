//! P10: memory, and P16: from the start of the process to the first 200, with a large company.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use super::{Bench, Scale};
use crate::{
    company::Company,
    generator::first_answer,
    order::Order,
    process::resident,
    report::{Goal, Line, median},
    world::Server,
};

const MIB: f64 = 1_048_576.0;
/// Restarts, of which the median counts.
const RESTARTS: usize = 3;

fn sizes(bench: &Bench) -> (u32, u32) {
    if bench.quick { (400, 21_000) } else { (1_000, 1_000_000) }
}

fn of_size(bench: &Bench, size: u32) -> anyhow::Result<Scale> {
    Ok(Scale { company: Company::new(size, 14)?, processes: 1, ..bench.scale })
}

/// Memory of the processes under test, in bytes.
fn used(servers: &[Server]) -> f64 {
    servers.iter().map(|server| resident(server.pid())).sum::<u64>() as f64
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    let (small, large) = sizes(bench);
    let mut idle = Vec::new();
    for size in [small, large] {
        let deployment = bench.deploy_as(of_size(bench, size)?).await?;
        // The keeper of the company has looked a few times.
        tokio::time::sleep(Duration::from_secs(if bench.quick { 1 } else { 3 })).await;
        let before = used(&deployment.servers);
        let run = deployment.run(&bench.flood(&deployment)).await?;
        let label = format!("{size} distributors, memory");
        bench.report.run(&label, &run);
        let goal = |wanted: bool| {
            if wanted && size == 1_000_000 {
                Goal::AtMost { good: 200.0, great: 120.0 }
            } else {
                Goal::None
            }
        };
        for (what, bytes, wanted) in
            [("idle", before, true), ("after the load", used(&deployment.servers), false)]
        {
            let what = format!("memory of the process with {size} distributors, {what}");
            let number = if wanted { "P10" } else { "" };
            bench.report.line(Line::figure(number, what, bytes / MIB, "MiB", goal(wanted)));
        }
        idle.push(before);
        deployment.end().await?;
    }
    if let [low, high] = idle.as_slice() {
        let each = (high - low) / f64::from(large - small);
        let wanted = Goal::AtMost { good: 64.0, great: 40.0 };
        let what = "memory of a distributor, history included";
        bench.report.line(Line::figure("P10", what, each, "B", wanted));
    }
    Ok(())
}

pub(super) async fn restart(bench: &mut Bench) -> anyhow::Result<()> {
    let (_, large) = sizes(bench);
    let mut deployment = bench.deploy_as(of_size(bench, large)?).await?;
    for server in &mut deployment.servers {
        server.stop()?;
    }
    let (world, template) = (&deployment.world, &deployment.template);
    let mut times = Vec::new();
    let mut buffer = template.buffer();
    for number in 0..if bench.quick { 1 } else { RESTARTS } {
        let order = Order::new(u64::try_from(number)?, world.company, template.shape());
        template.write(order, &mut buffer);
        let at = free()?;
        let begin = Instant::now();
        let (mut child, _) = world.spawn(Some(at))?;
        let answered = first_answer(at, &buffer).await;
        times.push(begin.elapsed().as_secs_f64());
        child.kill()?;
        child.wait()?;
        answered?;
    }
    deployment.servers.clear();
    bench.report.line(Line::figure(
        "P16",
        format!("start of the process to the first 200, {large} distributors"),
        median(times),
        "s",
        Goal::AtMost { good: 3.0, great: 1.0 },
    ));
    deployment.end().await
}

/// An address that nobody listens on.
fn free() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?)
}
