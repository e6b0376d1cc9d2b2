//! A deployment of its own on the real servers: database, streams, pipeline files, processes.
//!
//! Nothing is left behind but the servers themselves: [`World::clear`] takes it all away, and a
//! world that is dropped without ends its processes at least.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use upline::{
    config::Environment,
    stack::{self, StackConfig},
    store::postgres::migrate,
    stream::jetstream::JetStream,
    warehouse::clickhouse::ClickHouse,
};

use crate::{
    company::{self, Company},
    order::{SECRET, Shape, store_name},
    process::{self, own, resident},
};

/// How long the program may take to start, with the largest company.
const START: Duration = Duration::from_mins(5);

/// The local stack with its lease.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Where it is.
    pub(crate) config: StackConfig,
    running: stack::Running,
}

impl Stack {
    /// Starts the stack or joins it.
    pub(crate) fn up(program: &Path) -> anyhow::Result<Self> {
        let process = Environment::of_process();
        let root = process.get("UPLINE_STACK_DIR").map_or_else(
            || {
                stack::default_root(
                    process.get("XDG_CACHE_HOME").map(AsRef::as_ref),
                    process.get("HOME").map(AsRef::as_ref),
                    rustix::process::geteuid().is_root(),
                )
            },
            PathBuf::from,
        );
        let config = StackConfig { root, exe: program.to_owned() };
        let running = stack::up(&config, false, &mut |_| ())?;
        Ok(Self { config, running })
    }

    /// The URL of a database on the stack's Postgres.
    pub(crate) fn database(&self, name: &str) -> anyhow::Result<String> {
        let url = &self.running.endpoints.database_url;
        let (server, _) = url.rsplit_once('/').context("the database URL has no database")?;
        Ok(format!("{server}/{name}"))
    }

    /// Takes away what benches left behind whose process is gone; `mine` too what this one did.
    ///
    /// Each thing for itself: what was never made must not keep the rest.
    pub(crate) async fn sweep(&self, mine: bool) -> anyhow::Result<()> {
        let mut drivers = JoinSet::new();
        let client = connect(&self.database("postgres")?, &mut drivers).await?;
        let names = "SELECT datname::text FROM pg_database WHERE starts_with(datname, 'bench_')";
        for row in client.query(names, &[]).await? {
            let name: String = row.get(0);
            let maker = name.split('_').nth(1).and_then(|pid| pid.parse().ok());
            let Some(maker) = maker else { continue };
            let lives = Path::new("/proc").join(u32::to_string(&maker)).exists();
            if lives && !(mine && maker == std::process::id()) {
                continue;
            }
            let log = JetStream::connect(&self.running.endpoints.nats_url, &name).await?;
            log.delete_streams().await.ok();
            let warehouse = format!("{}/{name}", self.running.endpoints.clickhouse_url);
            ClickHouse::new(&warehouse)?.drop_database().await.ok();
            client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
            fs::remove_dir_all(std::env::temp_dir().join(&name)).ok();
        }
        Ok(())
    }
}

/// Connects to Postgres; the connection is driven by the set.
pub(crate) async fn connect(url: &str, driver: &mut JoinSet<()>) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    driver.spawn(async move { drop(connection.await) });
    Ok(client)
}

/// A process under test.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where webhooks are taken.
    pub(crate) http: SocketAddr,
    /// Where metrics are; bare servers have none.
    pub(crate) admin: Option<SocketAddr>,
    child: Child,
}

impl Server {
    /// Waits until a process that was started says where it listens.
    pub(crate) async fn wait(
        mut child: Child,
        log: &Path,
        find: impl Fn(&str) -> Option<(SocketAddr, Option<SocketAddr>)>,
    ) -> anyhow::Result<Self> {
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(log)?;
            if let Some((http, admin)) = find(&text) {
                return Ok(Self { http, admin, child });
            }
            if let Some(status) = child.try_wait()? {
                bail!("the process under test ended ({status}): {text}");
            }
            if begin.elapsed() > START {
                child.kill()?;
                bail!("the process under test does not start: {text}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as an operator would.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        process::signal(self.pid(), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the process under test ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A deployment.
#[derive(Debug)]
pub(crate) struct World {
    /// Unique on the servers.
    pub(crate) name: String,
    /// For its files.
    pub(crate) folder: PathBuf,
    /// Who is enrolled.
    pub(crate) company: Company,
    /// As the owner of the database.
    pub(crate) client: Client,
    /// The streams.
    pub(crate) log: JetStream,
    /// The URL of the database.
    pub(crate) database: String,
    /// The URL of ClickHouse, with the database.
    pub(crate) clickhouse: String,
    /// How long it took to import the company.
    pub(crate) founded: Duration,
    /// The number of the next order.
    pub(crate) next: AtomicU64,
    program: PathBuf,
    nats: String,
    administration: String,
    warehouse: ClickHouse,
    drivers: JoinSet<()>,
}

impl World {
    /// Makes databases, files and the company. `limits` is a table of the pipeline file.
    pub(crate) async fn make(
        stack: &Stack,
        company: Company,
        shape: Shape,
        limits: &str,
    ) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("bench_{}_{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(folder.join("pipelines/plans"))?;
        fs::write(folder.join("pipelines/plans/bench.toml"), company::plan())?;
        fs::write(folder.join("pipelines/bench.toml"), pipeline(shape, limits))?;
        let mut drivers = JoinSet::new();
        let administration = stack.database("postgres")?;
        connect(&administration, &mut drivers)
            .await?
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await?;
        let database = stack.database(&name)?;
        migrate(&database).await?;
        let client = connect(&database, &mut drivers).await?;
        let clickhouse = format!("{}/{name}", stack.running.endpoints.clickhouse_url);
        let nats = stack.running.endpoints.nats_url.clone();
        let mut world = Self {
            log: JetStream::connect(&nats, &name).await?,
            warehouse: ClickHouse::new(&clickhouse)?,
            program: stack.config.exe.clone(),
            next: AtomicU64::new(0),
            founded: Duration::ZERO,
            name,
            folder,
            company,
            client,
            database,
            clickhouse,
            nats,
            administration,
            drivers,
        };
        let begin = Instant::now();
        let mut owner = connect(&world.database, &mut world.drivers).await?;
        company.found(&mut owner, &world.folder, async |command| world.run(command)).await?;
        world.founded = begin.elapsed();
        Ok(world)
    }

    /// The URL of NATS.
    pub(crate) fn nats(&self) -> &str {
        &self.nats
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let pipelines = self.folder.join("pipelines");
        command.args(arguments).env_clear().current_dir(&self.folder).stdin(Stdio::null());
        command
            .env("UPLINE_HTTP_ADDR", "127.0.0.1:0")
            .env("UPLINE_ADMIN_ADDR", "127.0.0.1:0")
            .env("UPLINE_NATS_URL", &self.nats)
            .env("UPLINE_DATABASE_URL", &self.database)
            .env("UPLINE_CLICKHOUSE_URL", &self.clickhouse)
            .env("UPLINE_PIPELINES", pipelines)
            .env("UPLINE_STREAM_PREFIX", &self.name)
            .env("UPLINE_BENCH_SECRET", SECRET)
            .env("UPLINE_LOG_FORMAT", "json");
        command
    }

    /// Runs a command of the program to its end.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let output = self.command(arguments).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "upline {arguments:?} failed: {errors}");
        Ok(())
    }

    /// Runs a command of the program to its end, watched.
    pub(crate) fn ran(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let path = self.folder.join("ran.out");
        let begin = Instant::now();
        let out = fs::File::create(&path)?;
        let mut child = self.command(arguments).stdout(out).stderr(Stdio::inherit()).spawn()?;
        let (mut cpu, mut memory) = (Duration::ZERO, 0);
        let status = loop {
            cpu = cpu.max(own(child.id()));
            memory = memory.max(resident(child.id()));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            thread::sleep(Duration::from_millis(20));
        };
        let took = begin.elapsed();
        ensure!(status.success(), "upline {arguments:?} failed");
        Ok(Ran { output: fs::read_to_string(path)?, took, cpu, memory })
    }

    /// Starts `upline serve` and waits until it takes orders; without an address on a free port.
    pub(crate) async fn serve(&self, at: Option<SocketAddr>) -> anyhow::Result<Server> {
        let (child, log) = self.spawn(at)?;
        Server::wait(child, &log, |text| {
            let line = text.lines().find(|line| line.contains("upline takes orders"))?;
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let address = |name: &str| line.get("fields")?.get(name)?.as_str()?.parse().ok();
            Some((address("webhooks")?, Some(address("admin")?)))
        })
        .await
    }

    /// Starts `upline serve`; its log is in the file.
    pub(crate) fn spawn(&self, at: Option<SocketAddr>) -> anyhow::Result<(Child, PathBuf)> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("serve-{number}.log"));
        let log = fs::File::create(&path)?;
        let mut command = self.command(&["serve"]);
        if let Some(at) = at {
            command.env("UPLINE_HTTP_ADDR", at.to_string());
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn()?;
        Ok((child, path))
    }

    /// How many ledger rows there are: their numbers have no gaps.
    pub(crate) async fn ledger_rows(&self) -> anyhow::Result<u64> {
        let row = self.client.query_opt(LAST, &[]).await?;
        Ok(u64::try_from(row.map_or(0, |row| row.get::<_, i64>(0)))?)
    }

    /// Takes everything away.
    pub(crate) async fn clear(self) -> anyhow::Result<()> {
        let streams = self.log.delete_streams().await;
        let warehouse = self.warehouse.drop_database().await;
        drop(self.client);
        let mut drivers = JoinSet::new();
        connect(&self.administration, &mut drivers)
            .await?
            .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await?;
        fs::remove_dir_all(&self.folder)?;
        streams?;
        warehouse?;
        Ok(())
    }
}

/// A command of the program that ran to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// What it wrote.
    pub(crate) output: String,
    /// How long it took.
    pub(crate) took: Duration,
    /// Its processor time, to a few hundredths of a second.
    pub(crate) cpu: Duration,
    /// The most memory that it had, in bytes.
    pub(crate) memory: u64,
}

/// The number of the last ledger row.
pub(crate) const LAST: &str =
    "SELECT last_seq FROM upline.ledger_block ORDER BY number DESC LIMIT 1";

fn pipeline(shape: Shape, limits: &str) -> String {
    let mut text = format!("plans = [\"plans/bench.toml\"]\nplan = \"bench\"\n{limits}");
    for store in 0..shape.stores {
        text.push_str(&format!(
            "\n[[store]]\nname = \"{}\"\nplatform = \"shopify\"\n\
             secrets = [\"UPLINE_BENCH_SECRET\"]\n\
             attribution = [{{ from = \"note_attribute\", name = \"ref\" }}]\n",
            store_name(store)
        ));
    }
    text
}
