//! `ClickHouse` as a process of its own, made of this program and the library that is `ClickHouse`.
//!
//! Invariant: the process ends when its standard input ends. So it dies with its supervisor, even
//! if that is killed, and never outlives it as an orphan.

use std::ffi::{CStr, CString, NulError, c_char, c_int, c_void};
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::ptr;

use libloading::Library;

use super::error::chain;

/// `chdb_result *chdb_query_cmdline(int argc, char **argv)`
type QueryCmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
/// `const char *chdb_result_error(chdb_result *result)`
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Opens the HTTP port, then reads standard input until it ends, which keeps the server alive.
const QUERY: &str =
    "--query=SYSTEM START LISTEN HTTP; SELECT * FROM file('/dev/stdin','LineAsString')";

#[derive(Debug, thiserror::Error)]
enum ClickHouseError {
    #[error("a path holds a zero byte")]
    Argument(#[from] NulError),
    #[error("cannot load the clickhouse library")]
    Load(#[from] libloading::Error),
    #[error("too many arguments")]
    Arguments(#[from] std::num::TryFromIntError),
    #[error("clickhouse: {0}")]
    Server(String),
}

/// Runs `ClickHouse` over HTTP on `127.0.0.1:port` with its data under `path`, until standard
/// input ends. This is the body of the hidden command `stack clickhouse-server`.
pub fn clickhouse_main(lib: &Path, path: &Path, port: u16) -> ExitCode {
    match arguments(path, port).map_err(Into::into).and_then(|args| serve(lib, args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if the log cannot be written.
            drop(writeln!(std::io::stderr(), "{}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

fn arguments(path: &Path, port: u16) -> Result<Vec<CString>, NulError> {
    let mut folder = b"--path=".to_vec();
    folder.extend_from_slice(path.as_os_str().as_bytes());
    Ok(vec![
        CString::new("clickhouse")?,
        CString::new(folder)?,
        CString::new("--listen_host=127.0.0.1")?,
        CString::new(format!("--http_port={port}"))?,
        // Also the default format of every answer over HTTP.
        CString::new("--output-format=TabSeparated")?,
        CString::new(QUERY)?,
    ])
}

/// How much nicer `ClickHouse` is than the other servers: it merges in the background with all the
/// threads that it can get, and nobody waits for it as for a webhook or the ledger.
const NICER: i32 = 15;

#[expect(unsafe_code, reason = "the library that is ClickHouse has a C interface only")]
fn serve(lib: &Path, arguments: Vec<CString>) -> Result<(), ClickHouseError> {
    if let Err(error) = rustix::process::setpriority_process(None, NICER) {
        // The threads of the library inherit it; without it they only take more of a busy machine.
        drop(writeln!(std::io::stderr(), "the priority stays as it is: {error}"));
    }
    let count = c_int::try_from(arguments.len())?;
    let mut argv: Vec<*mut c_char> = arguments.into_iter().map(CString::into_raw).collect();
    argv.push(ptr::null_mut());
    // SAFETY: the file is the pinned package, verified by checksum when it was provisioned, and
    // its initialisers run before any other thread exists. The two symbols have the signatures of
    // `chdb.h` of that version. `argv` holds `count` strings that are never freed, each ended by a
    // zero, and a null pointer after them, as for `main`. The library is never unloaded, since its
    // threads may outlive the call. The error's text belongs to the result, which is never freed.
    let error = unsafe {
        let library = ManuallyDrop::new(Library::new(lib)?);
        let run = library.get::<QueryCmdline>(b"chdb_query_cmdline\0")?;
        let error_of = library.get::<ResultError>(b"chdb_result_error\0")?;
        let result = run(count, argv.as_mut_ptr());
        let error = if result.is_null() { ptr::null() } else { error_of(result) };
        (!error.is_null()).then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
    };
    error.map_or(Ok(()), |text| Err(ClickHouseError::Server(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_listens_on_the_loopback_only() {
        let arguments = arguments(Path::new("/d"), 20_001).unwrap();
        let text: Vec<_> = arguments.iter().map(|arg| arg.to_str().unwrap()).collect();
        assert!(text.contains(&"--path=/d"));
        assert!(text.contains(&"--http_port=20001"));
        assert!(text.contains(&"--listen_host=127.0.0.1"));
    }

    #[test]
    fn a_missing_library_is_a_failure_and_not_a_panic() {
        let code = clickhouse_main(Path::new("/nonexistent.so"), Path::new("/d"), 1);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }
}
