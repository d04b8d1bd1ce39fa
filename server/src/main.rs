//! The `streamkit` command line: `cli` holds one file per command.
#![forbid(unsafe_code)]

mod cli;

/// What a load took is given back to the system soon after it, which glibc's allocator does not
/// (docs/decisions/2026-11-27-budgets.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
