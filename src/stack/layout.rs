//! Where everything is in the stack's folder.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{self, Path, PathBuf};

use rustix::process::geteuid;

use super::StackError;
use super::server::Server;

/// A server's log is set aside at the next start once it is longer than this, in bytes.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The folder of one stack, absolute and free of symbolic links.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Creates the folder if need be. If root does, then all users may enter it, because Postgres
    /// has to run as somebody else.
    pub(super) fn create(root: &Path) -> Result<Self, StackError> {
        let root = &path::absolute(root).map_err(StackError::io("find", root))?;
        check_traversable(root)?;
        make_dir(root)?;
        let layout = Self::open(root)?;
        for folder in [layout.packages(), layout.logs(), layout.root.join("data")] {
            make_dir(&folder)?;
        }
        Ok(layout)
    }

    /// Takes the folder as it is.
    pub(super) fn open(root: &Path) -> Result<Self, StackError> {
        let root = fs::canonicalize(root).map_err(StackError::io("find", root))?;
        Ok(Self { root })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    pub(super) fn data(&self, kind: Server) -> PathBuf {
        self.root.join("data").join(kind.name())
    }

    /// Where the data folder is made, before it is renamed.
    pub(super) fn partial_data(&self, server: Server) -> PathBuf {
        self.data(server).with_extension("partial")
    }

    pub(super) fn nats_config(&self) -> PathBuf {
        self.root.join("nats.conf")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Held in shared mode by every user of the stack.
    pub(super) fn lease(&self) -> PathBuf {
        self.root.join("lease")
    }

    /// Held in exclusive mode while the stack is provisioned, started or stopped.
    pub(super) fn up_lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    /// Held in exclusive mode by the supervisor for as long as it lives.
    pub(super) fn supervisor_lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }

    /// Present if the stack stays up without leases.
    pub(super) fn pinned(&self) -> PathBuf {
        self.root.join("pinned")
    }

    fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(super) fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }

    pub(super) fn server_log(&self, kind: Server) -> PathBuf {
        self.logs().join(format!("{kind}.log"))
    }
}

/// The XDG specification says that a relative path is to be ignored.
fn absolute(value: Option<&OsStr>) -> Option<&Path> {
    value.map(Path::new).filter(|path| path.is_absolute())
}

fn make_dir(path: &Path) -> Result<(), StackError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    match fs::create_dir(path) {
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(source) => Err(StackError::io("create", path)(source)),
        Ok(()) if geteuid().is_root() => set_mode(path, 0o755),
        Ok(()) => Ok(()),
    }
}

/// Makes sure that another user, whom Postgres runs as if this is root, can enter the folder.
fn check_traversable(root: &Path) -> Result<(), StackError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    // What is not there yet will be created such that it can be entered.
    for folder in root.ancestors().filter(|folder| folder.exists()) {
        let found = fs::metadata(folder).map_err(StackError::io("read", folder))?;
        if found.mode() & 0o001 == 0 {
            return Err(StackError::NotTraversable { path: folder.to_owned() });
        }
    }
    Ok(())
}

/// Sets permissions regardless of the umask.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), StackError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(StackError::io("set the permissions of", path))
}

/// Opens a file that exists for its lock.
pub(super) fn open_lock(path: &Path) -> Result<File, StackError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(StackError::io("open", path))
}

/// Opens a log to append to. Only at the start of its writer is it set aside for being long, so
/// that nobody goes on writing to the old one.
pub(super) fn open_log(path: &Path) -> Result<File, StackError> {
    if fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))
            .map_err(StackError::io("set aside", path))?;
    }
    OpenOptions::new().create(true).append(true).open(path).map_err(StackError::io("open", path))
}

/// The last lines of a log, as one line; empty if there is none.
pub(super) fn log_tail(path: &Path, lines: usize) -> String {
    const BYTES: u64 = 16 * 1024;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| tail(&bytes, lines)).unwrap_or_default()
}

/// The last `lines` lines of a program's output, as one line.
pub(super) fn tail(output: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(output);
    let kept: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(lines).collect();
    kept.into_iter().rev().collect::<Vec<_>>().join(" | ")
}

/// Chooses the folder of the stack when the user did not.
///
/// `$XDG_CACHE_HOME/upline`, else `~/.cache/upline`. For root, and for a user without a home, it
/// is `/var/cache/upline`: Postgres then runs as another user, who could not enter root's home.
pub fn default_root(
    xdg_cache_home: Option<&OsStr>,
    home: Option<&OsStr>,
    is_root: bool,
) -> PathBuf {
    if is_root {
        return PathBuf::from("/var/cache/upline");
    }
    if let Some(cache) = absolute(xdg_cache_home) {
        return cache.join("upline");
    }
    match absolute(home) {
        Some(home) => home.join(".cache").join("upline"),
        None => PathBuf::from("/var/cache/upline"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_users_cache_but_for_root_a_shared_one() {
        let (xdg, home) = (Some(OsStr::new("/x")), Some(OsStr::new("/h")));
        assert_eq!(default_root(xdg, home, false), Path::new("/x/upline"));
        assert_eq!(default_root(None, home, false), Path::new("/h/.cache/upline"));
        assert_eq!(default_root(xdg, home, true), Path::new("/var/cache/upline"));
    }

    #[test]
    fn a_relative_or_empty_folder_is_ignored() {
        let home = Some(OsStr::new("/h"));
        for bad in ["", "relative"] {
            let chosen = default_root(Some(OsStr::new(bad)), home, false);
            assert_eq!(chosen, Path::new("/h/.cache/upline"));
        }
        assert_eq!(default_root(None, None, false), Path::new("/var/cache/upline"));
    }

    #[test]
    fn tail_keeps_the_end_in_order() {
        assert_eq!(tail(b"a\nb\n\n c \n", 2), "b | c");
    }
}
