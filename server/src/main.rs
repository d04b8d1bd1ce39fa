//! The `streamkit` command line: `cli` holds one file per command.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
