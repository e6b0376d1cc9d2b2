//! What the supervisor tells the others: which servers run, where, and whether they are ready.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::server::Server;
use super::{StackError, process};

/// One server, as last seen by the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServerState {
    pub(super) server: Server,
    /// The version of the package that it runs from.
    pub(super) version: String,
    /// None while it is down.
    pub(super) pid: Option<u32>,
    pub(super) port: u16,
    /// Where NATS serves its monitoring pages.
    pub(super) monitor_port: Option<u16>,
    /// It has answered since it was last started.
    pub(super) ready: bool,
    /// How often it died and was started again.
    pub(super) restarts: u32,
}

/// The contents of `state.json`.
///
/// The file outlives the supervisor, so that the next one can reuse the ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The supervisor's process.
    pub(super) supervisor: u32,
    pub(super) servers: Vec<ServerState>,
}

impl State {
    /// Reads the file; None if there is none.
    pub(super) fn load(layout: &Layout) -> Result<Option<Self>, StackError> {
        let path = layout.state();
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(StackError::io("read", &path))?,
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| StackError::State { path, source })
    }

    /// Replaces the file at once: a reader sees the old state or the new one.
    pub(super) fn save(&self, layout: &Layout) -> Result<(), StackError> {
        let path = layout.state();
        let partial = path.with_extension("json.partial");
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|source| StackError::State { path: path.clone(), source })?;
        write_durably(&partial, &bytes).map_err(StackError::io("write", &partial))?;
        fs::rename(&partial, &path).map_err(StackError::io("replace", &path))
    }

    /// Is this the state of a supervisor that lives, and not what a dead one left?
    pub(super) fn is_live(&self, layout: &Layout) -> bool {
        process::is_supervisor(self.supervisor, layout)
    }

    /// Have all servers answered?
    pub(super) fn is_ready(&self) -> bool {
        Server::ALL.iter().all(|&kind| self.server(kind).is_some_and(|server| server.ready))
    }

    /// Do all servers run from the packages that this build pins?
    pub(super) fn is_current(&self) -> bool {
        Server::ALL.iter().all(|&kind| {
            self.server(kind).is_some_and(|server| server.version == kind.package().version)
        })
    }

    pub(super) fn server(&self, kind: Server) -> Option<&ServerState> {
        self.servers.iter().find(|server| server.server == kind)
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::Scratch;

    fn state() -> State {
        let server = |server: Server, port| ServerState {
            server,
            version: server.package().version.to_owned(),
            pid: Some(7),
            port,
            monitor_port: None,
            ready: true,
            restarts: 1,
        };
        State {
            supervisor: u32::MAX,
            servers: Server::ALL.iter().copied().zip(20_000..).map(|(k, p)| server(k, p)).collect(),
        }
    }

    #[test]
    fn state_survives_a_round_trip() {
        let scratch = Scratch::new("state");
        let layout = Layout::create(scratch.path()).unwrap();
        assert_eq!(State::load(&layout).unwrap(), None);
        state().save(&layout).unwrap();
        assert_eq!(State::load(&layout).unwrap(), Some(state()));
    }

    #[test]
    fn a_state_whose_supervisor_is_gone_is_not_live() {
        let scratch = Scratch::new("live");
        let layout = Layout::create(scratch.path()).unwrap();
        assert!(!state().is_live(&layout));
        // A process that reused the number of the supervisor.
        assert!(!State { supervisor: std::process::id(), ..state() }.is_live(&layout));
    }

    #[test]
    fn one_server_that_is_down_makes_the_stack_unready() {
        let mut state = state();
        assert!(state.is_ready() && state.is_current());
        state.servers[1].ready = false;
        assert!(!state.is_ready());
        state.servers.pop();
        assert!(!state.is_current());
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let scratch = Scratch::new("broken");
        let layout = Layout::create(scratch.path()).unwrap();
        fs::write(layout.state(), "{").unwrap();
        assert!(matches!(State::load(&layout), Err(StackError::State { .. })));
    }
}
