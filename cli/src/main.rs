//! The `streamkit` command line: arguments, dispatch, exit codes. Results go to standard output, everything else to standard
//! error. Each command has a file.
#![forbid(unsafe_code)]

mod acknowledged;
mod address;
mod backup;
mod bench;
mod called;
mod connect;
mod demo;
mod development;
mod doctor;
mod failure;
mod files;
mod floor;
mod format;
mod import;
mod input;
mod inspect;
mod interrupt;
mod lines;
mod lists;
mod log;
mod moment;
mod offline;
mod offset_file;
mod output;
mod produce;
mod read;
mod readiness;
mod record_line;
mod records;
mod remote;
mod remove;
mod repair;
mod repeated;
mod rows;
mod serve;
mod settings;
mod shown;
mod signals;
mod standing;
mod table;
mod token;
mod unknown;
mod variables;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use failure::{Exit, Failure};
use interrupt::{interruptible, stoppable};
use shown::shown_usage;

/// What a load took is given back to the system soon after it, which glibc's allocator does not
/// (docs/decisions/2026-11-27-budgets.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Ordered event streams, durable before they are acknowledged
#[derive(Parser)]
#[command(name = "streamkit", version, after_help = exit_codes())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a server for development, and print how to connect to it
    Dev(serve::Dev),
    /// Start the server
    Serve(serve::Serve),
    /// Import real events, durable, read them back and check them
    Demo(demo::Demo),
    /// Mint a token from the server's key
    Token(token::Token),
    /// Append records from a file or standard input, one a line
    Produce(produce::Produce),
    /// Append the rows of a CSV or NDJSON file; run again, it goes on
    Import(import::Import),
    /// Print entries as JSON lines, up to the head of now
    Consume(read::Consume),
    /// Print the last entry of a segment
    Peek(read::Peek),
    /// Remove the first entries of a segment, for good
    Trim(remove::Trim),
    /// Remove a segment or a space, for good
    Delete(remove::Delete),
    /// List the spaces
    Spaces(lists::Spaces),
    /// List the segments of a space
    Segments(lists::Segments),
    /// Count what a store, a space or a segment holds
    Status(lists::Status),
    /// Check every byte of a data directory that no server is using
    Verify(verify::Verify),
    /// Show the extents, groups, transactions and segments of a data directory
    Inspect(inspect::Inspect),
    /// Copy what is whole of a damaged data directory into a new one
    Repair(repair::Repair),
    /// Copy a data directory, also while its server runs; run again, what is new
    Backup(backup::Backup),
    /// Make a data directory of a backup
    Restore(backup::Restore),
    /// Check a disk: is it safe, how will it be written to, how fast
    Doctor(doctor::Doctor),
    /// Load a server and print throughput and latency
    Bench(bench::Bench),
    #[command(hide = true)]
    BareEcho(floor::BareEcho),
}

fn exit_codes() -> String {
    let lines = Exit::ALL.map(|(exit, meaning)| format!("\n  {:<5}{meaning}", exit as u8));
    format!("Exit codes:{}", lines.concat())
}

fn main() -> ExitCode {
    let command = Arguments::command();
    let (arguments, origins) = match settings::with_file(std::env::args_os().collect(), &command) {
        Ok(read) => read,
        Err(failure) => return failure.report(),
    };
    let parsed = command.clone().try_get_matches_from(arguments);
    let arguments = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&with_next_step(error, &command, &origins)),
    };
    let is_server = matches!(arguments.command, Command::Serve(_) | Command::Dev(_));
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("STREAMKIT_LOG").unwrap_or_else(|_| "warn,streamkit=info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| log::Log)
        // It would panic where standard error is gone.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()))
        .init();
    if is_server {
        if let Err(error) = log::serve() {
            return Failure::from(error).report();
        }
        variables::tell_unknown(&command);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(error).report(),
    };
    let done = runtime.block_on(run(arguments.command));
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

/// Says what is wrong with the arguments, or the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let said = error.render().ansi().to_string();
    match std::io::stderr().is_terminal().then(|| shown_usage(&said)).flatten() {
        // What arguments, variables and files hold may steer the terminal.
        Some(said) => log::say(&said),
        // Nobody may read it; the exit code tells.
        None => drop(error.print()),
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Arguments as u8))
}

/// Says where to get what is missing, and where a bad value comes from.
fn with_next_step(mut error: clap::Error, command: &clap::Command, origins: &settings::Origins) -> clap::Error {
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(origin) = origins.of(argument, command)
    {
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![origin.into()]));
        return error;
    }
    let missing = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing))) => missing.join(" "),
        _ => return error,
    };
    let has = |name: &str| missing.contains(name);
    let called = called::called();
    let next = if has("--jwt-key-file") {
        format!(
            "make a key with `(umask 077; openssl rand -hex 32 >key)` and name that file here or in STREAMKIT_JWT_KEY_FILE; for \
             development, `{called} dev` does without"
        )
    } else if has("--token") || has("--store <UUID>") {
        format!(
            "run `{called} dev` in another terminal and paste the three export lines it prints; for a server that runs \
             already, set STREAMKIT_URL, STREAMKIT_TOKEN (from `{called} token`) and STREAMKIT_STORE"
        )
    } else {
        return error;
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![next.into()]));
    error
}

async fn run(command: Command) -> Result<(), Failure> {
    signals::outlive_file_limits()?;
    streamkit_engine::disk::raise_open_files();
    match command {
        Command::Dev(dev) => dev.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => interruptible(demo.run()).await,
        Command::Token(token) => token.run(),
        Command::Produce(produce) => {
            let doubt = produce::InDoubt::default();
            let done = stoppable(|stop| produce.run(stop, doubt.clone())).await;
            done.map_err(|failure| doubt.told(failure))
        }
        Command::Import(import) => interruptible(import.run()).await.map_err(|failure| {
            failure.hint_if_interrupted("what was acknowledged is stored, run the same command again to go on")
        }),
        Command::Consume(consume) => stoppable(|stop| consume.run(stop)).await,
        Command::Peek(peek) => interruptible(peek.run()).await,
        Command::Trim(trim) => interruptible(trim.run()).await,
        Command::Delete(delete) => interruptible(delete.run()).await,
        Command::Spaces(spaces) => interruptible(spaces.run()).await,
        Command::Segments(segments) => interruptible(segments.run()).await,
        Command::Status(status) => interruptible(status.run()).await,
        Command::Verify(verify) => interruptible(verify.run()).await,
        Command::Backup(backup) => interruptible(backup.run())
            .await
            .map_err(|failure| failure.hint_if_interrupted("run the same command again to go on")),
        Command::Restore(restore) => interruptible(restore.run())
            .await
            .map_err(|failure| failure.hint_if_interrupted("run the same command again to go on")),
        Command::Doctor(doctor) => doctor.run().await,
        Command::Inspect(inspect) => interruptible(inspect.run()).await,
        Command::Repair(repair) => interruptible(repair.run()).await.map_err(|failure| {
            failure.hint_if_interrupted("the new directory is unfinished: run the same command, it begins anew")
        }),
        Command::Bench(bench) => stoppable(|stop| bench.run(stop)).await,
        Command::BareEcho(echo) => Ok(echo.run()?),
    }
}
