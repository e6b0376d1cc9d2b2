//! The scenarios: each measures some of the goals and puts them into the report.

mod close;
mod close_binary;
mod duplicates;
mod edge;
mod end_to_end;
mod growth;
mod hand;
mod latency;
mod memory;
mod overload;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    Options,
    company::Company,
    generator::{Load, Pace},
    order::{Shape, Template},
    process::Processes,
    report::{Report, number},
    run::{Run, admin_of, run},
    world::{Server, Stack, World},
};

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// P1: what the edge takes, against a bare edge.
    Edge,
    /// P2, P3, P7: from the webhook to the rows, against the limits and a peer.
    EndToEnd,
    /// P4, P5: latency over the rate, open loop.
    Latency,
    /// P6: more than it can take.
    Overload,
    /// P14: repeated deliveries and a power cut.
    Duplicates,
    /// P8: larger companies, orders, trees, more stores and processes.
    Growth,
    /// P10: memory.
    Memory,
    /// P16: from the start of the process to the first 200.
    Restart,
    /// A period of a large company, closed by `upline close`.
    Close,
    /// P13: a period of a large binary, closed by `upline close`.
    CloseBinary,
    /// One run as the options say.
    Hand,
}

impl Scenario {
    /// Those that are run if none is named.
    pub(crate) const ALL: [Self; 10] = [
        Self::Edge,
        Self::EndToEnd,
        Self::Latency,
        Self::Overload,
        Self::Duplicates,
        Self::Growth,
        Self::Memory,
        Self::Restart,
        Self::Close,
        Self::CloseBinary,
    ];
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) warm: Duration,
    pub(crate) measured: Duration,
    pub(crate) pairs: usize,
    pub(crate) connections: usize,
    pub(crate) company: Company,
    pub(crate) shape: Shape,
    pub(crate) processes: usize,
    pub(crate) lanes: usize,
    /// The most messages of a batch of a stage; four times as many may be in work.
    pub(crate) batch: usize,
    /// The edge refuses what the pipeline cannot take in time.
    pub(crate) paced: bool,
}

/// What the scenarios share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) quick: bool,
    pub(crate) options: Options,
    pub(crate) stack: Stack,
    pub(crate) scale: Scale,
    pub(crate) report: Report,
    /// Orders a second that the whole way sustains, once it is known.
    saturation: Option<f64>,
    processes: Processes,
    program: PathBuf,
}

/// A deployment with its processes.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) world: World,
    pub(crate) servers: Vec<Server>,
    pub(crate) template: Arc<Template>,
    processes: Processes,
}

impl Bench {
    /// Starts the stack.
    pub(crate) fn new(quick: bool, options: Options) -> anyhow::Result<Self> {
        let built = || PathBuf::from(env!("CARGO_BIN_EXE_upline"));
        let program = options.program.clone().unwrap_or_else(built).canonicalize()?;
        let stack = Stack::up(&program)?;
        let seconds = options.seconds.unwrap_or(if quick { 0.6 } else { 8.0 });
        let default = Shape::default();
        let scale = Scale {
            warm: Duration::from_secs_f64(if quick { 0.2 } else { 2.0 }),
            measured: Duration::from_secs_f64(seconds),
            pairs: options.pairs.unwrap_or(if quick { 1 } else { 5 }),
            connections: options.connections.unwrap_or(if quick { 16 } else { 256 }),
            company: Company::new(
                options.distributors.unwrap_or(if quick { 400 } else { 10_000 }),
                options.depth.unwrap_or(14),
            )?,
            shape: Shape {
                lines: options.lines.unwrap_or(default.lines),
                stores: options.stores.unwrap_or(default.stores),
            },
            processes: options.processes.unwrap_or(1),
            lanes: options.lanes.unwrap_or(2),
            batch: 500,
            paced: false,
        };
        Ok(Self {
            processes: Processes::of_stack(&stack.config)?,
            report: Report::default(),
            saturation: None,
            quick,
            options,
            stack,
            scale,
            program,
        })
    }

    /// Plays scenarios and writes the results; says whether all books are right.
    pub(crate) async fn play(&mut self, scenarios: &[Scenario]) -> anyhow::Result<bool> {
        let begin = Instant::now();
        println!("measured: {}", self.program.display());
        for scenario in scenarios {
            println!("\n== {scenario:?}, after {} s", begin.elapsed().as_secs());
            match scenario {
                Scenario::Edge => edge::play(self).await?,
                Scenario::EndToEnd => end_to_end::play(self).await?,
                Scenario::Latency => latency::play(self).await?,
                Scenario::Overload => overload::play(self).await?,
                Scenario::Duplicates => duplicates::play(self).await?,
                Scenario::Growth => growth::play(self).await?,
                Scenario::Memory => memory::play(self).await?,
                Scenario::Restart => memory::restart(self).await?,
                Scenario::Close => close::play(self).await?,
                Scenario::CloseBinary => close_binary::play(self).await?,
                Scenario::Hand => hand::play(self).await?,
            }
        }
        self.report.print();
        let folder = self.options.out.clone().unwrap_or_else(|| {
            let (target, source) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_MANIFEST_DIR"));
            let whole = !self.quick && scenarios == Scenario::ALL;
            if whole {
                Path::new(source).join("bench/results")
            } else {
                Path::new(target).join("bench-results")
            }
        });
        self.report.write(&folder, &self.about(begin.elapsed()))?;
        println!("written to {}", folder.join("latest.md").display());
        Ok(self.report.audit.clean())
    }

    /// What the figures were measured with.
    fn about(&self, took: Duration) -> String {
        let scale = self.scale;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let template = Template::new(scale.shape).map_or(0, |template| template.body_len());
        format!(
            "{cores} cores, shared by the program, NATS, Postgres, ClickHouse and the generator. \
             Everything synced to disk. The stages run as one in {} lanes (`fused_lanes`) where \
             nothing else is said. {} distributors, orders of {template} bytes with {} lines \
             and ten ledger rows, {} stores, {} connections, {} s measured after {} s of warm-up, \
             medians of {} pairs. The whole bench took {} s.{}",
            scale.lanes,
            number(f64::from(scale.company.size())),
            scale.shape.lines,
            scale.shape.stores,
            scale.connections,
            scale.measured.as_secs_f64(),
            scale.warm.as_secs_f64(),
            scale.pairs,
            took.as_secs(),
            if self.quick { " A quick run: the figures say nothing." } else { "" }
        )
    }

    /// A deployment of this size.
    pub(crate) async fn deploy(&self) -> anyhow::Result<Deployment> {
        self.deploy_as(self.scale).await
    }

    /// A deployment of another size.
    pub(crate) async fn deploy_as(&self, scale: Scale) -> anyhow::Result<Deployment> {
        // What was in work when the process was killed comes again after this: too long for CI.
        let wait = if self.quick { "ack_wait_seconds = 2\n" } else { "" };
        let pace = if scale.paced { "" } else { "target_wait_ms = 0\n" };
        let Scale { lanes, batch, .. } = scale;
        let in_flight = 4 * batch;
        let limits = format!(
            "[limits]\nfused_lanes = {lanes}\nbatch = {batch}\nin_flight = {in_flight}\n{pace}{wait}"
        );
        let world = World::make(&self.stack, scale.company, scale.shape, &limits).await?;
        let mut servers = Vec::with_capacity(scale.processes);
        for _ in 0..scale.processes {
            servers.push(world.serve(None).await?);
        }
        let template = Arc::new(Template::new(scale.shape)?);
        Ok(Deployment { world, servers, template, processes: self.processes.clone() })
    }

    /// The load of this size, as fast as it is answered.
    pub(crate) fn flood(&self, deployment: &Deployment) -> Load {
        Load {
            targets: deployment.servers.iter().map(|server| server.http).collect(),
            connections: self.scale.connections,
            pace: Pace::Closed,
            warm: self.scale.warm,
            measured: self.scale.measured,
            repeats: 0,
            insist: false,
        }
    }

    /// The load of this size, against another server.
    pub(crate) fn flood_at(&self, server: &Server) -> Load {
        Load {
            targets: vec![server.http],
            connections: self.scale.connections,
            pace: Pace::Closed,
            warm: self.scale.warm.min(Duration::from_secs(1)),
            measured: self.scale.measured.div_f64(2.0),
            repeats: 0,
            insist: false,
        }
    }

    /// What the whole way sustains: known from before, or measured now.
    pub(crate) async fn saturation(&mut self) -> anyhow::Result<f64> {
        if let Some(known) = self.saturation {
            return Ok(known);
        }
        let deployment = self.deploy().await?;
        let run = deployment.run(&self.flood(&deployment)).await?;
        self.report.run("saturation", &run);
        deployment.end().await?;
        self.saturated_at(run.sustained);
        Ok(run.sustained)
    }

    /// Remembers what the whole way sustains.
    pub(crate) fn saturated_at(&mut self, rate: f64) {
        self.saturation = Some(rate.max(20.0));
    }
}

impl Deployment {
    /// The processes to be watched.
    pub(crate) fn processes(&self) -> Processes {
        let pids: Vec<u32> = self.servers.iter().map(Server::pid).collect();
        self.processes.with(&pids)
    }

    /// One run.
    pub(crate) async fn run(&self, load: &Load) -> anyhow::Result<Run> {
        let admin = admin_of(&self.servers);
        run(&self.world, &self.processes(), load, &self.template, admin, async || Ok(())).await
    }

    /// Stops the processes and takes everything away.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        for server in &mut self.servers {
            server.stop()?;
        }
        self.world.clear().await
    }
}
