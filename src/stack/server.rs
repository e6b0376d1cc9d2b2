//! The three servers: how each is configured, started and stopped.
//!
//! Invariant: what a server acknowledges is on disk. NATS syncs every write, Postgres commits
//! synchronously, and all three listen on the loopback only.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};
use serde::{Deserialize, Serialize};

use super::StackError;
use super::layout::{Layout, tail};

/// Ports are taken from here on: below the range from which the system serves outgoing
/// connections, so that a restarted server finds its port free.
const FIRST_PORT: u16 = 20_000;
const PORT_COUNT: u16 = 10_000;

/// The role that owns the Postgres cluster.
const POSTGRES_ROLE: &str = "upline";

/// Settings of Postgres: durable, and as large as tests in parallel need.
const POSTGRES_SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    // A socket's path has a short limit on its length, and nobody needs one.
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "max_connections=200",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "min_wal_size=256MB",
    "checkpoint_timeout=15min",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// One of the servers of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Server {
    /// NATS with `JetStream`: the stream of orders.
    Nats,
    /// Postgres: the ledger.
    Postgres,
    /// `ClickHouse`: the warehouse.
    ClickHouse,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Server {
    /// All of them, the slowest to start first.
    pub(super) const ALL: [Self; 3] = [Self::ClickHouse, Self::Nats, Self::Postgres];

    /// The name, in lower case; also that of the data folder and the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Postgres => "postgres",
            Self::ClickHouse => "clickhouse",
        }
    }

    /// The signal on which the server finishes what it has acknowledged and ends, without waiting
    /// for its clients to leave.
    pub(super) fn stop_signal(self) -> Signal {
        match self {
            Self::Nats | Self::ClickHouse => Signal::TERM,
            Self::Postgres => Signal::INT,
        }
    }
}

/// The ports of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) main: u16,
    /// NATS only.
    pub(super) monitor: Option<u16>,
}

/// Makes the server's data folder and configuration, and the command that runs it.
///
/// `exe` is this program, which is also `ClickHouse`.
pub(super) fn prepare(
    server: Server,
    layout: &Layout,
    exe: &Path,
    ports: Ports,
) -> Result<Command, StackError> {
    let data = layout.data(server);
    let package = server.package().folder(layout);
    let mut command = match server {
        Server::Nats => {
            let config = layout.nats_config();
            fs::write(&config, nats_config(&data, ports))
                .map_err(StackError::io("write", &config))?;
            let mut command = Command::new(package.join("bin").join("nats-server"));
            command.arg("-c").arg(config).env("GOMEMLIMIT", "512MiB");
            command
        }
        Server::Postgres => {
            init_postgres(layout)?;
            let mut command = postgres_program("postgres", layout)?;
            command.arg("-D").arg(&data).arg("-p").arg(ports.main.to_string());
            for setting in POSTGRES_SETTINGS {
                command.args(["-c", setting]);
            }
            command
        }
        Server::ClickHouse => {
            let mut command = Command::new(exe);
            command.args(["stack", "clickhouse-server", "--lib"]);
            command.arg(package.join("libchdb.so")).arg("--path").arg(&data);
            command.arg("--port").arg(ports.main.to_string());
            command
        }
    };
    fs::create_dir_all(&data).map_err(StackError::io("create", &data))?;
    // By this folder the processes of a supervisor that was killed are recognised.
    command.current_dir(data);
    command.stdin(if server == Server::ClickHouse { Stdio::piped() } else { Stdio::null() });
    Ok(command)
}

/// The configuration file of NATS.
fn nats_config(data: &Path, ports: Ports) -> String {
    let store = data.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let port = ports.main;
    let http =
        ports.monitor.map(|monitor| format!("http: \"127.0.0.1:{monitor}\"\n")).unwrap_or_default();
    format!(
        "server_name: upline-local\n\
         listen: \"127.0.0.1:{port}\"\n\
         {http}\
         max_payload: 16MB\n\
         jetstream {{\n  \
           store_dir: \"{store}\"\n  \
           # The default acknowledges up to two minutes before it syncs.\n  \
           sync_interval: always\n  \
           max_memory_store: 1GB\n  \
           max_file_store: 256GB\n\
         }}\n"
    )
}

/// Makes the cluster of Postgres unless it is there.
fn init_postgres(layout: &Layout) -> Result<(), StackError> {
    let data = layout.data(Server::Postgres);
    if data.is_dir() {
        return Ok(());
    }
    let partial = layout.partial_data(Server::Postgres);
    // Left by an initialisation that was interrupted.
    if partial.is_dir() {
        fs::remove_dir_all(&partial).map_err(StackError::io("remove", &partial))?;
    }
    fs::create_dir(&partial).map_err(StackError::io("create", &partial))?;
    if let Some(owner) = postgres_user(layout)? {
        chown(&partial, Some(owner.uid), Some(owner.gid))
            .map_err(StackError::io("change the owner of", &partial))?;
    }
    let mut initdb = postgres_program("initdb", layout)?;
    initdb.args(["--auth=trust", "--encoding=UTF8", "--username", POSTGRES_ROLE]);
    // The same order of text on every machine, whatever its locales.
    initdb.args(["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    initdb.arg("-D").arg(&partial).current_dir(&partial).stdin(Stdio::null());
    let output =
        initdb.output().map_err(|source| StackError::Spawn { server: Server::Postgres, source })?;
    if !output.status.success() {
        let output_tail = tail(&output.stderr, 6);
        return Err(StackError::InitDb { status: output.status, output: output_tail });
    }
    let access = partial.join("pg_hba.conf");
    fs::write(&access, "host all all 127.0.0.1/32 trust\n")
        .map_err(StackError::io("write", &access))?;
    fs::rename(&partial, &data).map_err(StackError::io("create", &data))
}

/// A program of the Postgres package, to be run as the owner of the data, in a clean environment.
fn postgres_program(name: &str, layout: &Layout) -> Result<Command, StackError> {
    let package = Server::Postgres.package().folder(layout);
    let program = package.join("bin").join(name);
    let mut command = Command::new(program);
    // Variables such as PGPORT or LC_ALL would change what is started.
    command.env_clear().env("LD_LIBRARY_PATH", package.join("shared"));
    // `initdb` runs programs of the system.
    command.env("PATH", OsString::from("/usr/local/bin:/usr/bin:/bin"));
    if let Some(user) = postgres_user(layout)? {
        command.uid(user.uid).gid(user.gid);
    }
    Ok(command)
}

/// A user and group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

/// Whom to run Postgres as; None for the user of this process.
fn postgres_user(layout: &Layout) -> Result<Option<User>, StackError> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    // Data made by an ordinary user stays that user's.
    if let Ok(found) = fs::metadata(layout.data(Server::Postgres))
        && found.uid() != 0
    {
        return Ok(Some(User { uid: found.uid(), gid: found.gid() }));
    }
    let passwd = Path::new("/etc/passwd");
    let users = fs::read_to_string(passwd).map_err(StackError::io("read", passwd))?;
    find_user(&users, "nobody").map(Some).ok_or(StackError::NoUnprivilegedUser)
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let matches = fields.next() == Some(name);
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (matches && uid != 0).then_some(User { uid, gid })
    })
}

/// Chooses the ports of a server: the ones that it had, if they are free.
///
/// `taken` are ports that are promised to others but not yet in use.
pub(super) fn choose_ports(
    server: Server,
    previous: Option<Ports>,
    layout: &Layout,
    taken: &mut Vec<u16>,
) -> Result<Ports, StackError> {
    let wants_monitor = server == Server::Nats;
    let mut choose = |wish: Option<u16>| {
        let port = wish
            .filter(|port| !taken.contains(port) && is_free(*port))
            .or_else(|| candidates(layout).find(|port| !taken.contains(port) && is_free(*port)))
            .ok_or(StackError::NoFreePort { server })?;
        taken.push(port);
        Ok(port)
    };
    let main = choose(previous.map(|ports| ports.main))?;
    let monitor =
        if wants_monitor { Some(choose(previous.and_then(|ports| ports.monitor))?) } else { None };
    Ok(Ports { main, monitor })
}

/// All ports that may be used, starting at a place that differs from one stack to the next.
fn candidates(layout: &Layout) -> impl Iterator<Item = u16> {
    let hash = layout
        .root()
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0_u16, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u16::from(byte)));
    let range = FIRST_PORT..FIRST_PORT.saturating_add(PORT_COUNT);
    let skipped = usize::from(hash.checked_rem(PORT_COUNT).unwrap_or(0));
    range.cycle().skip(skipped).take(usize::from(PORT_COUNT))
}

pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::Scratch;

    #[test]
    fn nats_syncs_every_write_and_listens_on_the_loopback_only() {
        let ports = Ports { main: 20_001, monitor: Some(20_002) };
        let config = nats_config(Path::new("/a \"quoted\"/folder"), ports);
        for line in [
            "listen: \"127.0.0.1:20001\"",
            "http: \"127.0.0.1:20002\"",
            "  sync_interval: always",
            "max_payload: 16MB",
            "  store_dir: \"/a \\\"quoted\\\"/folder\"",
        ] {
            assert!(config.lines().any(|found| found == line), "{line} is not in:\n{config}");
        }
    }

    #[test]
    fn postgres_commits_durably() {
        for setting in ["fsync=on", "synchronous_commit=on", "listen_addresses=127.0.0.1"] {
            assert!(POSTGRES_SETTINGS.contains(&setting));
        }
    }

    #[test]
    fn a_user_is_found_by_name_unless_it_is_root() {
        let passwd = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nfake:x:0:0:::\n";
        assert_eq!(find_user(passwd, "nobody"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(find_user(passwd, "fake"), None);
        assert_eq!(find_user(passwd, "nob"), None);
    }

    #[test]
    fn ports_are_kept_if_free_and_never_promised_twice() {
        let scratch = Scratch::new("ports");
        let layout = Layout::create(scratch.path()).unwrap();
        let choose = |server, previous, taken: &mut Vec<u16>| {
            choose_ports(server, previous, &layout, taken).unwrap()
        };
        let mut taken = Vec::new();
        let nats = choose(Server::Nats, None, &mut taken);
        let postgres = choose(Server::Postgres, None, &mut taken);
        assert_eq!(taken.len(), 3);
        assert!(nats.monitor.is_some() && postgres.monitor.is_none());
        assert_eq!(choose(Server::Nats, Some(nats), &mut Vec::new()), nats);

        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, nats.main)).unwrap();
        assert_ne!(choose(Server::Nats, Some(nats), &mut Vec::new()).main, nats.main);
        drop(held);
    }
}
