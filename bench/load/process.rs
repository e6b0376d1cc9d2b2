//! What the processes use: processor time and memory, from `/proc`.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, bail};
use upline::stack::{self, Server, StackConfig, Status};

/// `/proc` counts processor time in hundredths of a second on every Linux that the stack runs on.
const TICK: Duration = Duration::from_millis(10);

/// A program of the system under test; several processes may make it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Program {
    /// The program itself, or what stands in for it (a bare server, the peer).
    Upline,
    /// NATS.
    Nats,
    /// Postgres with all its backends.
    Postgres,
    /// ClickHouse.
    ClickHouse,
    /// The load generator: this process.
    Generator,
}

impl Program {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Upline => "upline",
            Self::Nats => "nats",
            Self::Postgres => "postgres",
            Self::ClickHouse => "clickhouse",
            Self::Generator => "generator",
        }
    }
}

/// A value for each program.
pub(crate) type ByProgram<T> = BTreeMap<Program, T>;

/// The processes that are watched.
#[derive(Debug, Clone)]
pub(crate) struct Processes {
    servers: Vec<(Program, u32)>,
    /// The processes under test.
    pub(crate) ours: Vec<u32>,
}

impl Processes {
    /// The servers of the stack; the program's own processes are added to `ours`.
    pub(crate) fn of_stack(config: &StackConfig) -> anyhow::Result<Self> {
        let Status::Running { servers, .. } = stack::status(config)? else {
            bail!("the local stack does not run");
        };
        let servers = servers
            .into_iter()
            .filter_map(|status| {
                let program = match status.server {
                    Server::Nats => Program::Nats,
                    Server::Postgres => Program::Postgres,
                    Server::ClickHouse => Program::ClickHouse,
                };
                Some((program, status.pid?))
            })
            .collect();
        Ok(Self { servers, ours: Vec::new() })
    }

    /// The same servers with other processes under test.
    pub(crate) fn with(&self, ours: &[u32]) -> Self {
        Self { servers: self.servers.clone(), ours: ours.to_vec() }
    }

    fn all(&self) -> impl Iterator<Item = (Program, u32)> {
        let ours = self.ours.iter().map(|pid| (Program::Upline, *pid));
        let me = [(Program::Generator, std::process::id())];
        self.servers.iter().copied().chain(ours).chain(me)
    }

    /// Processor time since the processes began. A process that is gone counts as nothing: take
    /// its time before it is ended.
    pub(crate) fn cpu(&self) -> ByProgram<Duration> {
        let mut used = ByProgram::new();
        for (program, pid) in self.all() {
            let time = if program == Program::Postgres { family(pid) } else { own(pid) };
            *used.entry(program).or_default() += time;
        }
        used
    }

    /// Resident memory in bytes; pages that the processes of a program share count once.
    pub(crate) fn memory(&self) -> ByProgram<u64> {
        let mut used = ByProgram::new();
        for (program, pid) in self.all() {
            let bytes = if program == Program::Postgres {
                children(pid).chain([pid]).map(resident).sum()
            } else {
                resident(pid)
            };
            *used.entry(program).or_default() += bytes;
        }
        used
    }
}

/// The difference of two readings.
pub(crate) fn since(
    after: &ByProgram<Duration>,
    before: &ByProgram<Duration>,
) -> ByProgram<Duration> {
    let zero = Duration::ZERO;
    after
        .iter()
        .map(|(program, time)| {
            (*program, time.saturating_sub(*before.get(program).unwrap_or(&zero)))
        })
        .collect()
}

/// utime, stime, cutime, cstime.
fn times(pid: u32) -> Option<[u32; 4]> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold blanks.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse().ok());
    Some([fields.next()??, fields.next()??, fields.next()??, fields.next()??])
}

/// Of a process alone.
pub(crate) fn own(pid: u32) -> Duration {
    let [user, system, _, _] = times(pid).unwrap_or_default();
    TICK * user.saturating_add(system)
}

/// Of a process, of its children that live and of those that have ended.
fn family(pid: u32) -> Duration {
    let all = |pid| TICK * times(pid).unwrap_or_default().iter().sum::<u32>();
    children(pid).map(all).sum::<Duration>() + all(pid)
}

fn children(of: u32) -> impl Iterator<Item = u32> {
    let path = format!("/proc/{of}/task/{of}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    let pids: Vec<u32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    pids.into_iter()
}

/// The proportional set of a process in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let read = |file: &str, field: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = read("smaps_rollup", "Pss:").or_else(|| read("status", "VmRSS:"));
    kib.unwrap_or(0).saturating_mul(1024)
}

/// Sends a signal to a child of ours.
pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.context("no process")?, signal)?;
    Ok(())
}
