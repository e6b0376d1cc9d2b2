//! The process that owns the servers: starts them, restarts them when they die, and stops them on a
//! signal or when nobody needs them any more.
//!
//! Invariants: one supervisor per folder, by its lock. A server keeps its port for as long as the
//! supervisor lives. The lease is held exclusively while an unused stack stops, so nobody can come
//! to rely on servers that are about to go.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, setsid};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::error::chain;
use super::layout::{Layout, log_tail, open_lock, open_log};
use super::server::{self, Ports, Server};
use super::state::{ServerState, State};
use super::{StackError, probe, process};

/// How long a stack that is neither leased nor pinned stays up.
const IDLE: Duration = Duration::from_mins(1);
/// How often children and the lease are looked at, once all servers are ready.
const TICK: Duration = Duration::from_millis(200);
/// The same while a server is not ready.
const TICK_STARTING: Duration = Duration::from_millis(25);
/// The first and the longest pause before a dead server is started again.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A server that ran this long may start again without a pause.
const HEALTHY: Duration = Duration::from_secs(30);
/// How often a server may fail before the stack was ever ready.
const FAILURES_MAX: u32 = 5;
/// How long the servers may take to stop.
const STOP: Duration = Duration::from_secs(20);
/// Others look at the supervisor's lock by taking it for an instant.
const LOCK: Duration = Duration::from_secs(2);

/// Runs the supervisor in the foreground until it is told to stop or nobody needs it. This is the
/// body of the hidden command `stack supervise`; its error stream is its log.
pub fn supervise_main(root: &Path, exe: &Path) -> ExitCode {
    // A new session, so that an interrupt typed at the terminal does not reach the servers. It
    // fails for the leader of a group, that is for a supervisor started by hand.
    setsid().ok();
    let started = Instant::now();
    match Supervisor::new(root, exe, started).and_then(|mut supervisor| supervisor.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(started, &chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn log(started: Instant, text: &str) {
    let elapsed = started.elapsed();
    let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
    // Nothing is left to do if the log cannot be written.
    drop(writeln!(io::stderr(), "[{}+{seconds}.{millis:03}] {text}", std::process::id()));
}

/// One server and what the supervisor knows of it.
#[derive(Debug)]
struct Keeper {
    server: Server,
    ports: Ports,
    child: Option<Child>,
    /// When the child was started, or when it died.
    since: Instant,
    ready: bool,
    was_ready: bool,
    backoff: Duration,
    /// How long after `since` a dead server is started again.
    pause: Duration,
    restarts: u32,
}

impl Keeper {
    fn new(server: Server, ports: Ports) -> Self {
        Self {
            server,
            ports,
            child: None,
            since: Instant::now(),
            ready: false,
            was_ready: false,
            backoff: BACKOFF,
            pause: Duration::ZERO,
            restarts: 0,
        }
    }

    fn died(&mut self) {
        let healthy = self.ready && self.since.elapsed() >= HEALTHY;
        self.backoff = if healthy { BACKOFF } else { self.backoff };
        self.pause = self.backoff;
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
        self.child = None;
        self.ready = false;
        self.since = Instant::now();
        self.restarts = self.restarts.saturating_add(1);
    }

    /// How the child ended, if it did.
    fn exit(&mut self) -> Option<String> {
        self.child.as_mut().and_then(process::exit)
    }

    fn has_ended(&mut self) -> bool {
        self.child.is_none() || self.exit().is_some()
    }
}

#[derive(Debug)]
struct Supervisor {
    layout: Layout,
    exe: PathBuf,
    keepers: Vec<Keeper>,
    started: Instant,
    stop: Arc<AtomicBool>,
    lease: File,
    idle_since: Option<Instant>,
    /// Held for as long as the supervisor lives.
    _lock: File,
}

impl Supervisor {
    fn new(root: &Path, exe: &Path, started: Instant) -> Result<Self, StackError> {
        let layout = Layout::create(root)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(StackError::io("watch signals for", layout.root()))?;
        }
        let path = layout.supervisor_lock();
        let lock = open_lock(&path)?;
        if !process::wait_until(LOCK, || lock.try_lock().is_ok()) {
            return Err(StackError::io("lock", &path)(io::ErrorKind::WouldBlock.into()));
        }
        let orphans = process::end_orphans(&layout);
        if orphans > 0 {
            log(started, &format!("ended {orphans} processes of a supervisor that was killed"));
        }
        let previous = State::load(&layout).unwrap_or_else(|error| {
            log(started, &format!("the ports may change: {}", chain(&error)));
            None
        });
        let keepers = keepers(&layout, previous.as_ref())?;
        let lease = open_lock(&layout.lease())?;
        let exe = exe.to_owned();
        Ok(Self { layout, exe, keepers, started, stop, lease, idle_since: None, _lock: lock })
    }

    fn run(&mut self) -> Result<(), StackError> {
        let result = self.keep();
        self.shut_down();
        result
    }

    /// Keeps the servers running until there is a reason to stop.
    fn keep(&mut self) -> Result<(), StackError> {
        self.save()?;
        let mut was_ready = false;
        while !self.stop.load(Ordering::Relaxed) {
            let mut changed = false;
            for index in 0..self.keepers.len() {
                changed |= self.look_after(index)?;
            }
            if changed {
                self.save()?;
            }
            let ready = self.keepers.iter().all(|keeper| keeper.ready);
            if ready && !was_ready {
                self.log("all servers are ready");
                was_ready = true;
            }
            if !was_ready {
                self.check_failures()?;
            }
            if was_ready && self.is_unused() {
                self.log("nobody uses the stack");
                return Ok(());
            }
            thread::sleep(if ready { TICK } else { TICK_STARTING });
        }
        self.log("told to stop");
        Ok(())
    }

    /// Advances one server by one step; says whether its state changed.
    fn look_after(&mut self, index: usize) -> Result<bool, StackError> {
        let Some(keeper) = self.keepers.get_mut(index) else { return Ok(false) };
        let server = keeper.server;
        if keeper.child.is_none() {
            if keeper.since.elapsed() < keeper.pause {
                return Ok(false);
            }
            self.start(index)?;
            return Ok(true);
        }
        if let Some(exit) = keeper.exit() {
            keeper.died();
            let pause = keeper.pause.as_millis();
            self.log(&format!("{server} died ({exit}); next start in {pause} ms"));
            return Ok(true);
        }
        if keeper.ready || !probe::is_ready(server, keeper.ports.main) {
            return Ok(false);
        }
        keeper.ready = true;
        keeper.was_ready = true;
        let millis = keeper.since.elapsed().as_millis();
        self.log(&format!("{server} is ready after {millis} ms"));
        Ok(true)
    }

    fn start(&mut self, index: usize) -> Result<(), StackError> {
        let mut taken = Vec::new();
        for (other, keeper) in self.keepers.iter().enumerate() {
            if other != index {
                taken.extend([Some(keeper.ports.main), keeper.ports.monitor].into_iter().flatten());
            }
        }
        let Some(keeper) = self.keepers.get_mut(index) else { return Ok(()) };
        let server = keeper.server;
        if !keeper.was_ready {
            // Nobody knows the port yet, and somebody else may have taken it since it was chosen.
            let wish = Some(keeper.ports);
            keeper.ports = server::choose_ports(server, wish, &self.layout, &mut taken)?;
        }
        let mut command = server::prepare(server, &self.layout, &self.exe, keeper.ports)?;
        let path = self.layout.server_log(server);
        let output = open_log(&path)?;
        let errors = output.try_clone().map_err(StackError::io("open", &path))?;
        keeper.since = Instant::now();
        match command.stdout(output).stderr(errors).spawn() {
            Ok(child) => keeper.child = Some(child),
            // The program may be away for a moment, because it is being rebuilt.
            Err(error) if keeper.was_ready => {
                keeper.died();
                self.log(&format!("cannot start {server}: {error}"));
            }
            Err(source) => return Err(StackError::Spawn { server, source }),
        }
        Ok(())
    }

    /// Has nobody held a lease, or pinned the stack, for long enough? If so the lease stays locked.
    fn is_unused(&mut self) -> bool {
        if self.layout.pinned().exists() || self.lease.try_lock().is_err() {
            self.idle_since = None;
            return false;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        // The pin is looked at again because it may have been set before the lease was locked.
        if since.elapsed() >= IDLE && !self.layout.pinned().exists() {
            return true;
        }
        // A lock that cannot be given up would make the next user wait, and end with this process.
        drop(self.lease.unlock());
        false
    }

    fn shut_down(&mut self) {
        for keeper in &mut self.keepers {
            keeper.ready = false;
        }
        self.try_save();
        for keeper in &mut self.keepers {
            let Some(child) = &mut keeper.child else { continue };
            match child.stdin.take() {
                // ClickHouse ends with its input.
                Some(stdin) => drop(stdin),
                None => process::signal(child.id(), keeper.server.stop_signal()),
            }
        }
        let keepers = &mut self.keepers;
        let all_ended = process::wait_until(STOP, || keepers.iter_mut().all(Keeper::has_ended));
        for keeper in &mut self.keepers {
            if !keeper.has_ended() {
                log(self.started, &format!("{} had to be killed", keeper.server));
                if let Some(child) = &mut keeper.child {
                    process::signal(child.id(), Signal::KILL);
                    // Whatever comes of it, there is nothing else to try.
                    drop(child.wait());
                }
            }
            keeper.child = None;
        }
        self.try_save();
        self.log(if all_ended { "all servers have stopped" } else { "stopped, not cleanly" });
    }

    fn state(&self) -> State {
        let servers = self.keepers.iter().map(|keeper| ServerState {
            server: keeper.server,
            version: keeper.server.package().version.to_owned(),
            pid: keeper.child.as_ref().map(Child::id),
            port: keeper.ports.main,
            monitor_port: keeper.ports.monitor,
            ready: keeper.ready,
            restarts: keeper.restarts,
        });
        State { supervisor: std::process::id(), servers: servers.collect() }
    }

    fn save(&self) -> Result<(), StackError> {
        self.state().save(&self.layout)
    }

    /// Saves on the way out, where a failure must not keep the servers from being stopped.
    fn try_save(&self) {
        if let Err(error) = self.save() {
            self.log(&chain(&error));
        }
    }

    /// Gives up if a server ended too often before it had ever answered.
    fn check_failures(&self) -> Result<(), StackError> {
        let hopeless = |keeper: &&Keeper| !keeper.was_ready && keeper.restarts >= FAILURES_MAX;
        let Some(server) = self.keepers.iter().find(hopeless).map(|keeper| keeper.server) else {
            return Ok(());
        };
        let tail = log_tail(&self.layout.server_log(server), 3);
        Err(StackError::ServerFailed { server, tail })
    }

    fn log(&self, text: &str) {
        log(self.started, text);
    }
}

fn keepers(layout: &Layout, previous: Option<&State>) -> Result<Vec<Keeper>, StackError> {
    let mut taken = Vec::new();
    let keeper = |server: Server| {
        let wish = previous
            .and_then(|state| state.server(server))
            .map(|state| Ports { main: state.port, monitor: state.monitor_port });
        let ports = server::choose_ports(server, wish, layout, &mut taken)?;
        Ok(Keeper::new(server, ports))
    };
    Server::ALL.into_iter().map(keeper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_keeps_dying_is_started_less_and_less_often() {
        let mut keeper = Keeper::new(Server::Nats, Ports { main: 1, monitor: None });
        let mut pauses = Vec::new();
        for _ in 0..8 {
            keeper.died();
            pauses.push(keeper.pause);
        }
        assert_eq!(pauses.first(), Some(&BACKOFF));
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&BACKOFF_MAX));
        assert_eq!(keeper.restarts, 8);
    }
}
