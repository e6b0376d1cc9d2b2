//! The program: inside this process, as a process of its own, and what its commands say.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::{
    process::{Child, Command},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use upline::{
    app::{App, Endpoints, Exit},
    clock::Clock,
    config::{Config, Environment},
};

use super::{MAGENTO_SECRET, SHOPIFY_SECRET, TOKEN, WOO_SECRET, World, eventually, metrics};

/// What a command that succeeded said.
pub(crate) fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Why a command failed.
pub(crate) fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

impl World {
    /// The variables of the deployment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let pipelines = self.folder.join("pipelines").display().to_string();
        let text = str::to_owned;
        vec![
            ("UPLINE_HTTP_ADDR", text("127.0.0.1:0")),
            ("UPLINE_ADMIN_ADDR", text("127.0.0.1:0")),
            ("UPLINE_NATS_URL", self.nats.clone()),
            ("UPLINE_DATABASE_URL", self.database.clone()),
            ("UPLINE_CLICKHOUSE_URL", self.clickhouse.clone()),
            ("UPLINE_PIPELINES", pipelines),
            ("UPLINE_STREAM_PREFIX", self.name.clone()),
            ("UPLINE_STREAM_MAX_MIB", text("256")),
            ("UPLINE_SHOPIFY_SECRET", text(SHOPIFY_SECRET)),
            ("UPLINE_WOO_SECRET", text(WOO_SECRET)),
            ("UPLINE_MAGENTO_SECRET", text(MAGENTO_SECRET)),
            ("UPLINE_API_TOKEN", text(TOKEN)),
        ]
    }

    /// Starts the program inside this process.
    pub(crate) async fn start(&self) -> Running {
        self.start_with(&[]).await
    }

    /// Starts the program inside this process with some variables changed.
    pub(crate) async fn start_with(&self, changed: &[(&'static str, String)]) -> Running {
        let mut environment = Environment::default();
        for (name, value) in self.variables().iter().chain(changed) {
            environment = environment.with(name, value);
        }
        let config = Config::load(&environment).unwrap();
        let services = config.services.clone();
        let endpoints = Endpoints {
            nats: services.nats.unwrap(),
            database: services.database.unwrap(),
            clickhouse: services.clickhouse.unwrap(),
        };
        let app = App::build(config, &endpoints, Clock::system(), metrics()).await.unwrap();
        let (http, admin) = (app.http_address(), app.admin_address());
        let stop = CancellationToken::new();
        let mut task = JoinSet::new();
        task.spawn(app.run(stop.clone()));
        Running { http, admin, stop, task }
    }

    /// The real program with the variables of the deployment.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_upline"));
        command.args(arguments).env_clear().envs(self.variables()).current_dir(&self.folder);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs the real program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        self.program(arguments).output().await.unwrap()
    }

    /// Starts `upline serve` as a process and waits until it takes orders.
    pub(crate) async fn serve(&self) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("serve-{number}.log"));
        let log = fs::File::create(&path).unwrap();
        let mut child = self
            .program(&["serve"])
            .env("UPLINE_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.children.lock().unwrap().extend(child.id());
        let (http, admin) = eventually("the program takes orders", async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the program ended ({status}): {}", fs::read_to_string(&path).unwrap());
            }
            addresses(&path)
        })
        .await;
        Server { http, admin, child }
    }

    /// Forgets a process that has ended.
    pub(crate) fn ended(&self, pid: u32) {
        self.children.lock().unwrap().retain(|known| *known != pid);
    }
}

/// Where the program says that it listens.
fn addresses(log: &Path) -> Option<(SocketAddr, SocketAddr)> {
    let text = fs::read_to_string(log).unwrap();
    let line = text.lines().find(|line| line.contains("upline takes orders"))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line["fields"][name].as_str()?.parse().ok();
    Some((address("webhooks")?, address("admin")?))
}

/// The program inside this process. Dropped, it stops as if the power went.
pub(crate) struct Running {
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    stop: CancellationToken,
    task: JoinSet<Result<Exit, upline::app::BuildError>>,
}

impl Running {
    /// Stops it as SIGTERM would.
    pub(crate) async fn stop(mut self) -> Exit {
        self.stop.cancel();
        self.task.join_next().await.unwrap().unwrap().unwrap()
    }
}

/// The program as a process of its own.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) child: Child,
}
