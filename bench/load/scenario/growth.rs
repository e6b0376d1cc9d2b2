//! P8 and beside it: does it stay as fast when the company grows, when orders have more lines, the
//! tree is deeper, there are more shops, more processes, or fewer messages in work?

use std::time::{Duration, Instant};

use super::{Bench, Scale};
use crate::{
    company::Company,
    generator::{Load, Pace},
    report::{Goal, Line},
};

/// One kind of growth: what it is called and its sizes.
struct Axis {
    name: &'static str,
    sizes: Vec<u32>,
    /// Against which size the others are compared.
    base: u32,
}

fn axes(bench: &Bench) -> Vec<Axis> {
    let axis = |name, sizes: &[u32], base| Axis { name, sizes: sizes.to_vec(), base };
    if bench.quick {
        return vec![
            axis("distributors", &[21_000], 21_000),
            axis("processes", &[2], 2),
            axis("lines", &[20], 20),
        ];
    }
    let mut people = vec![10_000, 1_000, 100_000, 1_000_000];
    if bench.options.ten_million {
        people.push(10_000_000);
    }
    vec![
        axis("distributors", &people, 10_000),
        axis("lines", &[3, 20, 100], 3),
        axis("depth", &[14, 1_000], 14),
        axis("stores", &[4, 1, 64], 4),
        axis("processes", &[1, 2, 4], 1),
        axis("messages of a batch", &[500, 100, 20], 500),
    ]
}

fn scaled(scale: Scale, axis: &str, size: u32) -> anyhow::Result<Scale> {
    let mut scale = scale;
    match axis {
        "distributors" => scale.company = Company::new(size, 14)?,
        "lines" => scale.shape.lines = u64::from(size),
        "depth" => scale.company = Company::new(scale.company.size(), size)?,
        "stores" => scale.shape.stores = u64::from(size),
        "messages of a batch" => scale.batch = usize::try_from(size)?,
        _ => scale.processes = usize::try_from(size)?,
    }
    Ok(scale)
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    for axis in axes(bench) {
        let mut base = None;
        for size in &axis.sizes {
            let scale = scaled(bench.scale, axis.name, *size)?;
            let deployment = bench.deploy_as(scale).await?;
            let begin = Instant::now();
            // Webhooks are taken before the company is read: a few orders, until they are paid.
            let load = Load { pace: Pace::Open(20.0), insist: true, ..bench.flood(&deployment) };
            let (warm, measured) = (Duration::ZERO, Duration::from_millis(250));
            deployment.run(&Load { warm, measured, ..load }).await?;
            let ready = begin.elapsed();
            let run = deployment.run(&bench.flood(&deployment)).await?;
            let label = format!("{size} {}", axis.name);
            bench.report.run(&label, &run);
            let (number, goal) = if axis.name == "distributors" && *size == 10_000_000 {
                ("P8", Goal::AtLeast { good: 0.95, great: 0.99 })
            } else {
                ("", Goal::None)
            };
            let what = format!("webhook to rows in Postgres, {label}");
            let line = Line::figure(number, what, run.sustained, "orders/s", goal);
            let first = *base.get_or_insert(run.sustained);
            let line = if *size == axis.base {
                line
            } else {
                line.against(first, "the first of these", run.sustained / first)
            };
            bench.report.line(line);
            if axis.name == "distributors" {
                bench.report.note(format!(
                    "{label}: the company was written in {:.1} s; the first orders after the start \
                     were in the ledger after {:.1} s",
                    deployment.world.founded.as_secs_f64(),
                    ready.as_secs_f64()
                ));
            }
            deployment.end().await?;
        }
    }
    Ok(())
}
