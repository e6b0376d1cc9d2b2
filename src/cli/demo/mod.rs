//! `upline demo`: the whole way on this machine, on real servers, reconciled to the cent.
//!
//! A sample company is imported, the pipeline is started as `upline serve` starts it, and signed
//! webhooks of four shops are sent over HTTP: duplicates, stale states, forgeries, cancellations,
//! an article that nobody has mapped yet. What must come of it is computed beside the pipeline, by
//! other and simpler code ([`oracle`]), and compared with Postgres and ClickHouse.

mod company;
mod oracle;
mod payload;
mod reconcile;
mod report;
mod rng;
mod send;
mod traffic;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{
    reconcile::Books,
    traffic::{Expected, Secrets, Traffic},
};
use super::{block_on, import, output, serve, services};
use crate::{
    app::{App, Endpoints, Exit},
    clock::Clock,
    config::{Config, Environment},
    metric,
    store::postgres::Postgres,
    stream::jetstream::JetStream,
    telemetry,
    warehouse::clickhouse::ClickHouse,
};

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How many orders the shops take.
    #[arg(long, default_value_t = 3_000)]
    orders: usize,
    /// Webhooks a second.
    #[arg(long, default_value_t = 300)]
    rate: u32,
    /// What happens is drawn from this number: the same number, the same webhooks.
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
    /// Leave everything running until Ctrl-C and print where it is.
    #[arg(long)]
    keep: bool,
}

const PIPELINE: &str = include_str!("../../../pipelines/sample.toml");
const PLAN: &str = include_str!("../../../pipelines/plans/sample.toml");

/// When the last webhooks were sent, in the story.
const BASE: &str = "2026-10-01T12:00:00Z";
/// How long the pipeline may take to come to rest after the last webhook.
const REST: Duration = Duration::from_mins(1);

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<ExitCode> {
    let quiet = environment.get("UPLINE_LOG").unwrap_or("error").to_owned();
    telemetry::install(&environment.clone().with("UPLINE_LOG", &quiet))?;
    let name = format!("demo_{}", std::process::id());
    output::line("1. the local stack");
    // Always the local stack: a demonstration must not write into a database that somebody uses.
    let local = ["UPLINE_NATS_URL", "UPLINE_DATABASE_URL", "UPLINE_CLICKHOUSE_URL"]
        .iter()
        .fold(environment.clone(), |environment, name| environment.with(name, ""));
    let connected = services::connect(&local, &name)?;
    let stage = Stage { name, endpoints: connected.endpoints.clone(), folder: scratch()? };
    let result = block_on(async {
        let result = stage.play(arguments, &local).await;
        let cleared = stage.clear().await;
        result.and_then(|code| cleared.map(|()| code))
    })?;
    std::fs::remove_dir_all(&stage.folder).context("cannot remove the demo's folder")?;
    result
}

/// A folder for the pipeline files of the sample company.
fn scratch() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("upline-demo-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("plans"))?;
    std::fs::write(folder.join("sample.toml"), PIPELINE)?;
    std::fs::write(folder.join("plans/sample.toml"), PLAN)?;
    Ok(folder)
}

/// Everything that the demonstration made and has to take away again.
struct Stage {
    name: String,
    endpoints: Endpoints,
    folder: PathBuf,
}

/// What the demonstration looks at.
struct Running {
    log: JetStream,
    store: Arc<Postgres>,
    warehouse: ClickHouse,
}

impl Stage {
    async fn play(
        &self,
        arguments: &Arguments,
        environment: &Environment,
    ) -> anyhow::Result<ExitCode> {
        let stop = serve::stop_signal()?;
        services::migrate_all(&self.endpoints).await?;
        let running = Running {
            log: JetStream::connect(self.endpoints.nats.expose_secret(), &self.name).await?,
            store: Arc::new(Postgres::new(self.endpoints.database.expose_secret(), 2)?),
            warehouse: ClickHouse::new(self.endpoints.clickhouse.expose_secret())?,
        };
        let secrets = Secrets::sample(arguments.seed);
        let base: jiff::Timestamp = BASE.parse()?;
        let traffic = traffic::plan(arguments.seed, arguments.orders, &secrets, base);

        output::line("2. the sample company");
        company(&running.store, arguments.seed, base).await?;

        output::line("3. the pipeline");
        let app = self.start(arguments, environment, &secrets).await?;
        let (webhooks, admin) = (app.http_address(), app.admin_address());
        output::line(&format!(
            "   webhooks at http://{webhooks}, metrics at http://{admin}/metrics"
        ));
        let app_stop = CancellationToken::new();
        let mut pipeline = JoinSet::new();
        pipeline.spawn(app.run(app_stop.clone()));

        let work = self.show(arguments, &running, traffic, webhooks);
        let code = tokio::select! {
            code = work => code?,
            () = stop.cancelled() => anyhow::bail!("stopped"),
            Some(ended) = pipeline.join_next() => anyhow::bail!("the pipeline ended: {ended:?}"),
        };
        if arguments.keep {
            self.print_addresses(webhooks, admin, &secrets);
            stop.cancelled().await;
        }
        app_stop.cancel();
        let exit = pipeline.join_next().await.context("the pipeline is gone")???;
        anyhow::ensure!(exit == Exit::Drained, "the pipeline did not drain: {exit:?}");
        Ok(code)
    }

    /// Builds the pipeline from the sample files, as `serve` would.
    async fn start(
        &self,
        arguments: &Arguments,
        environment: &Environment,
        secrets: &Secrets,
    ) -> anyhow::Result<App> {
        let mut environment = environment.clone().with("UPLINE_STREAM_PREFIX", &self.name);
        for (name, value) in secrets.variables() {
            environment = environment.with(name, value);
        }
        let default = |environment: Environment, name: &str, value: &str| {
            if environment.get(name).is_some() {
                environment
            } else {
                environment.with(name, value)
            }
        };
        environment = default(environment, "UPLINE_STREAM_MAX_MIB", "1024");
        // Without --keep nobody needs to know the ports.
        if !arguments.keep {
            environment = default(environment, "UPLINE_HTTP_ADDR", "127.0.0.1:0");
            environment = default(environment, "UPLINE_ADMIN_ADDR", "127.0.0.1:0");
        }
        let config = Config::load_from(&environment, Path::new(&self.folder))?;
        let app = App::build(config, &self.endpoints, Clock::system(), metric::install()?).await?;
        Ok(app)
    }

    /// Sends, waits and reports.
    async fn show(
        &self,
        arguments: &Arguments,
        running: &Running,
        traffic: Traffic,
        webhooks: std::net::SocketAddr,
    ) -> anyhow::Result<ExitCode> {
        let Traffic { shots, expected } = traffic;
        output::line(&format!(
            "4. {} webhooks of {} orders, {} a second",
            shots.len(),
            expected.orders.len(),
            arguments.rate
        ));
        let mut progress = output::Progress::new();
        let sent = send::send(webhooks, shots, arguments.rate, &mut progress).await?;
        let rest = Instant::now();
        self.settle(running, &expected, Phase::BeforeLateSku).await?;
        let books = Books::read(running).await?;
        let before = reconcile::totals(&expected.totals_before, &books);
        output::line(&format!(
            "   {} orders are parked: nobody mapped their article",
            books.parked
        ));
        let late = company::sku_csv(&[company::late_sku()]);
        let (rows, refused) = import::skus(late.as_bytes())?;
        import::write(&running.store, rows, refused).await?;
        self.settle(running, &expected, Phase::All).await?;
        output::line(&format!("   at rest after {:.1} s", rest.elapsed().as_secs_f64()));
        let books = Books::read(running).await?;
        output::line("");
        report::print(running, &expected, &sent, &books, &before).await
    }

    /// Waits until no stage has anything left to do and the books hold every order.
    async fn settle(
        &self,
        running: &Running,
        expected: &Expected,
        phase: Phase,
    ) -> anyhow::Result<()> {
        let wanted = match phase {
            Phase::BeforeLateSku => expected.orders.len().saturating_sub(expected.parked()),
            Phase::All => expected.orders.len(),
        };
        let deadline = Instant::now().checked_add(REST).context("the clock")?;
        loop {
            let open = crate::app::open_messages(&running.log).await?;
            let posted = running.store.posted_orders().await?;
            let (fed, sealed) = running.store.warehouse_mark().await?;
            if open == 0 && fed == sealed && posted >= u64::try_from(wanted)? {
                return Ok(());
            }
            if Instant::now() > deadline {
                output::error(&format!(
                    "after {} s there are still {open} messages open; {posted} of {wanted} orders \
                     are posted",
                    REST.as_secs()
                ));
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn print_addresses(
        &self,
        webhooks: std::net::SocketAddr,
        admin: std::net::SocketAddr,
        secrets: &Secrets,
    ) {
        output::line("\nIt goes on until Ctrl-C:");
        for (name, value) in [
            ("webhooks", format!("http://{webhooks}/webhooks/...")),
            (
                "API",
                format!("http://{webhooks}/v1/orders  (Authorization: Bearer {})", secrets.api),
            ),
            ("metrics", format!("http://{admin}/metrics")),
            ("Postgres", self.endpoints.database.expose_secret().to_owned()),
            ("ClickHouse", self.endpoints.clickhouse.expose_secret().to_owned()),
            ("NATS", format!("{}  (prefix {})", self.endpoints.nats.expose_secret(), self.name)),
        ] {
            output::line(&format!("  {name:<11}{value}"));
        }
    }

    /// Takes away the streams and databases.
    async fn clear(&self) -> anyhow::Result<()> {
        let log = JetStream::connect(self.endpoints.nats.expose_secret(), &self.name).await?;
        // Each for itself: what was never made must not keep the rest.
        let streams = log.delete_streams().await;
        let warehouse =
            ClickHouse::new(self.endpoints.clickhouse.expose_secret())?.drop_database().await;
        if let Err(error) = streams.and(warehouse) {
            output::error(&format!("something of the demonstration is left: {}", error.chain()));
        }
        let database = self.endpoints.database.expose_secret();
        let (server, _) = database.rsplit_once('/').context("the database URL has no database")?;
        services::drop_database(&format!("{server}/postgres"), &self.name).await
    }
}

/// Which part of the story has to be at rest.
#[derive(Debug, Clone, Copy)]
enum Phase {
    BeforeLateSku,
    All,
}

/// Imports distributors and articles, by the code of `upline import`.
async fn company(store: &Postgres, seed: u64, base: jiff::Timestamp) -> anyhow::Result<()> {
    let people = company::distributors(seed, base);
    let file = company::distributors_csv(&people);
    let (rows, refused) = import::distributors(file.as_bytes())?;
    let people = import::write(store, rows, refused).await?;
    let file = company::sku_csv(&company::sku_rows());
    let (rows, refused) = import::skus(file.as_bytes())?;
    let articles = import::write(store, rows, refused).await?;
    output::line(&format!("   {} distributors, {} articles", people.written, articles.written));
    let refused = people.refused.iter().chain(&articles.refused).next();
    anyhow::ensure!(refused.is_none(), "a row of the sample company was refused: {refused:?}");
    Ok(())
}
