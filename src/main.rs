//! `upline`: see `upline --help`.

/// Orders are many small values that live for a moment: a fifth of the processor's time went into the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    upline::cli::main()
}
