//! `upline`: see `upline --help`.

fn main() -> std::process::ExitCode {
    upline::cli::main()
}
