//! A company of its own for each test, on the real servers of the local stack.
//!
//! Invariant: a world leaves nothing behind, also when its test fails: no stream, no database, no
//! folder, no process. A server that cannot be had is a failure, never a skip.
//!
//! Nothing here sleeps to synchronise: [`eventually`] looks until something holds, and fails at its
//! deadline with what it waited for.

use std::{
    fs,
    panic::{AssertUnwindSafe, resume_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinSet;
use tokio_postgres::NoTls;
use upline::{
    config::Environment,
    metric, stack,
    store::postgres::{
        Postgres,
        import::{DistributorRow, SkuRow, import},
        migrate,
    },
    stream::jetstream::{JetStream, StreamName},
    warehouse::clickhouse::ClickHouse,
};

pub(crate) use self::{
    http::{Client, Delivery, shopify_order},
    program::{Running, Server, refused, said},
};

mod books;
pub(crate) mod closing;
mod http;
mod program;

/// The secrets of the shops.
pub(crate) const SHOPIFY_SECRET: &str = "a secret that Shopify shares";
pub(crate) const WOO_SECRET: &str = "a secret that WooCommerce shares";
pub(crate) const MAGENTO_SECRET: &str = "a secret that Magento shares";
pub(crate) const TOKEN: &str = "a-token-of-the-company";

/// The longest that anything may take; reached only by a test that fails.
const DEADLINE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);

/// The stages in their order, each with the stream that it reads.
pub(crate) const STAGES: [(StreamName, &str); 6] = [
    (StreamName::Ingest, "validate"),
    (StreamName::Orders, "map"),
    (StreamName::Orders, "catalogue"),
    (StreamName::Orders, "customers"),
    (StreamName::Orders, "commission"),
    (StreamName::Commissions, "ledger"),
];

/// Direct commission for everything, and four levels above the referrer of a kit.
pub(crate) const PLAN: &str = r#"
id = "field"
version = 1
effective_from = "2020-01-01T00:00:00Z"
rounding = "half_even"

[[component]]
kind = "direct"
id = "direct"
inactive_referrer = "breakage"
rates = { supplement = "20 %", beauty = "15 %", kit = "10 %" }

[[component]]
kind = "unilevel"
id = "unilevel"
compression = "roll_up"
rates = { kit = ["5 %", "3 %", "2 %", "1 %"] }
"#;

/// Where the plan of a world stands.
const PLAN_FILE: &str = "pipelines/plans/field.toml";

const PIPELINE: &str = r#"
plans = ["plans/field.toml"]
plan = "field"

[limits]
ack_wait_seconds = 2
retry_first_ms = 20
retry_longest_ms = 500
warehouse_linger_ms = 50

[[store]]
name = "acme"
platform = "shopify"
secrets = ["UPLINE_SHOPIFY_SECRET"]

[[store]]
name = "acme"
platform = "woocommerce"
secrets = ["UPLINE_WOO_SECRET"]

[[store]]
name = "acme"
platform = "magento"
secrets = ["UPLINE_MAGENTO_SECRET"]

[[store]]
name = "acme"
platform = "api"
secrets = ["UPLINE_API_TOKEN"]
"#;

/// Looks until something is there.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "in {DEADLINE:?} it never happened that {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The stack of this process, with its lease.
fn stack() -> &'static stack::Running {
    static STACK: OnceLock<stack::Running> = OnceLock::new();
    STACK.get_or_init(|| {
        stack::up(&stack_config(), false, &mut |_| ())
            .unwrap_or_else(|error| panic!("the local stack is not there: {error:?}"))
    })
}

/// Which stack the tests use: the one that the program itself would.
pub(crate) fn stack_config() -> stack::StackConfig {
    let process = Environment::of_process();
    let root = match process.get("UPLINE_STACK_DIR") {
        Some(root) => PathBuf::from(root),
        None => stack::default_root(
            process.get("XDG_CACHE_HOME").map(AsRef::as_ref),
            process.get("HOME").map(AsRef::as_ref),
            rustix::process::geteuid().is_root(),
        ),
    };
    stack::StackConfig { root, exe: PathBuf::from(env!("CARGO_BIN_EXE_upline")) }
}

fn metrics() -> PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| metric::install().unwrap()).clone()
}

/// A deployment of its own: databases, streams, pipeline files.
pub(crate) struct World {
    /// Unique on the servers.
    pub(crate) name: String,
    /// The folder of its files; the pipelines are in `pipelines`.
    pub(crate) folder: PathBuf,
    pub(crate) nats: String,
    pub(crate) database: String,
    pub(crate) clickhouse: String,
    pub(crate) client: Client,
    /// As the owner of the database.
    owner: tokio_postgres::Client,
    pub(crate) log: JetStream,
    pub(crate) warehouse: ClickHouse,
    /// Processes that are still to be ended.
    children: Mutex<Vec<u32>>,
    _owner_connection: JoinSet<()>,
}

/// Runs a test in a world of its own and clears the world away, however the test ends.
pub(crate) fn world(name: &str, test: impl AsyncFnOnce(&World)) {
    let servers = &stack().endpoints;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let result = runtime.block_on(async {
        let world = World::make(name, servers).await;
        let result = AssertUnwindSafe(test(&world)).catch_unwind().await;
        world.clear(servers).await;
        result
    });
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

impl World {
    async fn make(name: &str, servers: &stack::Endpoints) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{name}_{}_{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir_all(folder.join("pipelines/plans")).unwrap();
        fs::write(folder.join(PLAN_FILE), PLAN).unwrap();
        fs::write(folder.join("pipelines/acme.toml"), PIPELINE).unwrap();
        statement(&servers.database_url, &format!("CREATE DATABASE \"{name}\"")).await;
        let (server, _) = servers.database_url.rsplit_once('/').unwrap();
        let database = format!("{server}/{name}");
        migrate(&database).await.unwrap();
        let (owner, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move { drop(connection.await) });
        let clickhouse = format!("{}/{name}", servers.clickhouse_url);
        let world = Self {
            folder,
            nats: servers.nats_url.clone(),
            database,
            client: Client::new(),
            owner,
            log: JetStream::connect(&servers.nats_url, &name).await.unwrap(),
            warehouse: ClickHouse::new(&clickhouse).unwrap(),
            clickhouse,
            children: Mutex::default(),
            _owner_connection: driver,
            name,
        };
        world.found_company().await;
        world
    }

    /// From the next start on this is the plan.
    pub(crate) fn write_plan(&self, text: &str) {
        fs::write(self.folder.join(PLAN_FILE), text).unwrap();
    }

    /// From the next start on two lanes run the stages as one.
    pub(crate) fn fuse(&self) {
        let path = self.folder.join("pipelines/acme.toml");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("[limits]\n", "[limits]\nfused_lanes = 2\n")).unwrap();
    }

    /// Imports a small company: 10001 at the top, under them 10090, under them 11043, under them
    /// ABC123.
    async fn found_company(&self) {
        self.enrol(&[("10001", None), ("10090", Some("10001"))]).await;
        self.enrol(&[("11043", Some("10090")), ("ABC123", Some("11043"))]).await;
        let skus = [("SUPP001", "supplement"), ("BEAUTY02", "beauty"), ("KIT-STARTER-001", "kit")];
        self.map_skus(&skus).await;
    }

    /// Imports distributors with their sponsors.
    pub(crate) async fn enrol(&self, distributors: &[(&str, Option<&str>)]) {
        let rows: Vec<DistributorRow> = (2u64..)
            .zip(distributors)
            .map(|(row, (id, sponsor))| DistributorRow {
                row,
                id: (*id).to_owned(),
                sponsor: sponsor.map(str::to_owned),
                status: None,
                country: None,
                created_at: None,
                changed_at: None,
            })
            .collect();
        let imported = import(&self.store(), &rows).await.unwrap();
        assert_eq!(imported.refused, []);
    }

    /// Imports SKU rows with their commission classes, for every platform.
    pub(crate) async fn map_skus(&self, skus: &[(&str, &str)]) {
        let rows: Vec<SkuRow> = (2u64..)
            .zip(skus)
            .map(|(row, (sku, class))| SkuRow {
                row,
                sku_id: (*sku).to_owned(),
                platform: "any".to_owned(),
                platform_sku: (*sku).to_owned(),
                name: None,
                category: None,
                class: (*class).to_owned(),
                effective_from: None,
                cv: None,
                qv: None,
            })
            .collect();
        let imported = import(&self.store(), &rows).await.unwrap();
        assert_eq!(imported.refused, []);
    }

    /// The books as the service sees them.
    pub(crate) fn store(&self) -> Postgres {
        Postgres::for_stages(&self.database, 2).unwrap()
    }

    async fn clear(self, servers: &stack::Endpoints) {
        for pid in self.children.lock().unwrap().drain(..) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // It may have ended by itself.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
        // Streams and tables that a test never made are not missed.
        self.log.delete_streams().await.ok();
        // A table that a stopped program was just making can be in the way once.
        let mut warehouse = self.warehouse.drop_database().await;
        for _ in 0..10 {
            if warehouse.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
            warehouse = self.warehouse.drop_database().await;
        }
        drop(self.owner);
        let drop_it = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        statement(&servers.database_url, &drop_it).await;
        fs::remove_dir_all(&self.folder).unwrap();
        warehouse.unwrap();
    }
}

/// The count of a metric whose labels are all of these; several that fit are added up.
pub(crate) fn metric_of(page: &str, name: &str, labels: &[(&str, &str)]) -> u64 {
    let fits = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|(key, value)| line.contains(&format!("{key}=\"{value}\"")))
    };
    let value = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    page.lines().filter(fits).map(value).sum()
}

/// An example of the schemas: topic and body.
pub(crate) fn example(path: &str) -> (String, serde_json::Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/examples").join(path);
    let mut case: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    (case["topic"].as_str().unwrap().to_owned(), case["body"].take())
}

/// Runs one statement on a server.
async fn statement(url: &str, text: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let work = async move { client.batch_execute(text).await };
    let (result, _) = tokio::join!(work, connection);
    result.unwrap_or_else(|error| panic!("{text}: {error:?}"));
}
