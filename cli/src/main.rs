//! The `streamkit` command line: results go to standard output, everything else to standard error.
//!
//! ```text
//! main ─▶ commands/: a file each ─▶ serving/  a server of one's own    arguments/  how values are written
//!                                   connect/  somebody's server        output/     how results look
//!                                   import/   rows, once each          input/      what is read to be stored
//!                    telemetry/: log, traces and metrics on their way out
//!                    failure.rs: exit codes     terminal/: what a person sees     signals/: what ends a command
//! ```
#![forbid(unsafe_code)]

mod arguments;
mod called;
mod commands;
mod connect;
mod failure;
mod files;
mod import;
mod input;
mod output;
mod serving;
mod signals;
mod telemetry;
mod terminal;
mod usage;

use std::process::ExitCode;

use arguments::{given, settings, variables};
use clap::{CommandFactory as _, FromArgMatches as _};
use commands::Arguments;
use failure::Failure;
use terminal::log;
use usage::{usage, with_next_step};

/// What a load took is given back to the system soon after it, which glibc's allocator does not
/// (docs/decisions/2026-11-27-budgets.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = Arguments::command();
    let (arguments, origins) = match settings::with_file(std::env::args_os().collect(), &command) {
        Ok(read) => read,
        Err(failure) => return failure.report(),
    };
    let parsed = command.clone().try_get_matches_from(arguments);
    let parsed = parsed.inspect(given::remember);
    let arguments = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&with_next_step(error, &command, &origins)),
    };
    let is_server = arguments.command.is_server();
    // First: what is logged from here on comes behind the address.
    if is_server && let Err(error) = log::serve() {
        return Failure::from(error).report();
    }
    let telemetry = telemetry::start(&arguments.command.log(), is_server);
    if is_server {
        for told in variables::unknown_told(&command) {
            tracing::warn!("{told}");
        }
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = arguments.command.threads() {
        runtime.worker_threads(threads);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(error).report(),
    };
    let done = runtime.block_on(arguments.command.run());
    // Whoever asked a second time to stop waits for no collector.
    if !done.as_ref().is_err_and(Failure::is_interrupted) {
        telemetry.finish();
    }
    // Blocking threads may wait for input that never comes.
    runtime.shutdown_background();
    match done {
        Ok(()) => {
            log::flush();
            ExitCode::SUCCESS
        }
        Err(failure) => failure.report(),
    }
}
