//! Processes of the stack, found through `/proc`.
//!
//! Invariant: no process is signalled for its number alone. It must run in one of the stack's data
//! folders, from one of its programs, or be its supervisor by command line.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::layout::Layout;
use super::server::Server;

/// How often a wait looks again.
const POLL: Duration = Duration::from_millis(20);
/// How long an orphan may take to end by itself, after a polite signal.
const GRACE: Duration = Duration::from_secs(10);

/// Is the process a supervisor of this stack?
pub(super) fn is_supervisor(pid: u32, layout: &Layout) -> bool {
    let arguments = command_line(pid);
    let has = |wanted: &[u8]| arguments.iter().any(|argument| argument == wanted);
    has(b"supervise") && has(layout.root().as_os_str().as_bytes())
}

/// How a child ended, in words, if it did.
pub(super) fn exit(child: &mut Child) -> Option<String> {
    match child.try_wait() {
        Ok(status) => status.map(|status| status.to_string()),
        // A child that cannot be waited for is not there any more.
        Err(error) => Some(error.to_string()),
    }
}

/// Ends all servers of this stack that no supervisor owns, and says how many there were.
///
/// The caller holds the supervisor's lock, so every server is an orphan.
pub(super) fn end_orphans(layout: &Layout) -> usize {
    let first = Server::ALL.map(|server| (server, orphans(layout, server)));
    for (server, pids) in &first {
        for &pid in pids {
            signal(pid, server.stop_signal());
        }
    }
    let any_left = || Server::ALL.iter().any(|&server| !orphans(layout, server).is_empty());
    if !wait_until(GRACE, || !any_left()) {
        for server in Server::ALL {
            for pid in orphans(layout, server) {
                signal(pid, Signal::KILL);
            }
        }
        wait_until(GRACE, || !any_left());
    }
    first.iter().map(|(_, pids)| pids.len()).sum()
}

fn orphans(layout: &Layout, server: Server) -> Vec<u32> {
    let programs = layout.packages();
    let folders = [layout.data(server), layout.partial_data(server)];
    let is_ours = |pid: &u32| {
        let at = |link: &str| fs::read_link(proc_file(*pid, link)).unwrap_or_default();
        if !folders.contains(&at("cwd")) {
            return false;
        }
        // ClickHouse runs from this program, which may have been rebuilt or moved since.
        at("exe").starts_with(&programs)
            || command_line(*pid).iter().any(|argument| argument == b"clickhouse-server")
    };
    all_pids().into_iter().filter(is_ours).collect()
}

/// Sends a signal; a process that is gone has had it.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        // The only other failure is that the process belongs to somebody else, which shows as an
        // orphan that stays.
        kill_process(pid, signal).ok();
    }
}

/// Looks again and again until the condition holds or the time is up; says whether it holds.
pub(super) fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= timeout {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// The memory of a process and its children in bytes, shared pages counted once.
pub(super) fn memory(pid: u32) -> u64 {
    let children = all_pids().into_iter().filter(|&child| parent(child) == Some(pid));
    children.chain([pid]).map(own_memory).fold(0, u64::saturating_add)
}

fn own_memory(pid: u32) -> u64 {
    field(pid, "smaps_rollup", "Pss:")
        .or_else(|| field(pid, "status", "VmRSS:"))
        .unwrap_or(0)
        .saturating_mul(1024)
}

fn parent(pid: u32) -> Option<u32> {
    field(pid, "status", "PPid:").and_then(|parent| u32::try_from(parent).ok())
}

fn field(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(proc_file(pid, file)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The disk space of a folder in bytes; what cannot be read counts as nothing.
pub(super) fn folder_size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes: u64 = 0;
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            // The unit of `st_blocks` is 512 bytes whatever the file system.
            bytes = bytes.saturating_add(found.blocks().saturating_mul(512));
            if found.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    bytes
}

fn all_pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let names = entries.unwrap_or_default().into_iter().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn command_line(pid: u32) -> Vec<Vec<u8>> {
    let bytes = fs::read(proc_file(pid, "cmdline")).unwrap_or_default();
    bytes.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
}

fn proc_file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::Scratch;

    #[test]
    fn a_process_that_only_sits_in_the_data_folder_is_no_orphan() {
        let scratch = Scratch::new("orphan");
        let layout = Layout::create(scratch.path()).unwrap();
        let data = layout.data(Server::Nats);
        fs::create_dir_all(&data).unwrap();
        let mut bystander = std::process::Command::new("sleep");
        let mut bystander = bystander.arg("60").current_dir(&data).spawn().unwrap();
        assert_eq!(end_orphans(&layout), 0);
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn this_process_has_memory_and_no_process_zero_has() {
        assert!(memory(std::process::id()) > 0);
        assert_eq!(own_memory(0), 0);
    }

    #[test]
    fn a_folder_is_as_large_as_the_files_below_it() {
        let scratch = Scratch::new("size");
        fs::create_dir(scratch.path().join("a")).unwrap();
        fs::write(scratch.path().join("a/b"), vec![1; 100_000]).unwrap();
        assert!(folder_size(scratch.path()) >= 100_000);
    }
}
