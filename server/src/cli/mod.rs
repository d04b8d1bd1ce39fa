//! The command line: arguments, dispatch, exit codes. Results go to standard output, everything else to standard error.

mod bench;
mod connect;
mod demo;
mod development;
mod failure;
mod floor;
mod import;
mod lists;
mod output;
mod produce;
mod read;
mod rows;
mod serve;
mod settings;
mod token;
mod verify;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use failure::Failure;

/// Ordered event streams, durable before they are acknowledged.
///
/// Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 sequence conflict; 4 token refused; 5 no connection or no answer;
/// 6 damage found; 130 interrupted.
#[derive(Parser)]
#[command(name = "streamkit", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a server for development: key and store are made on first use, and printed as lines to paste
    Dev(serve::Dev),
    /// Start the server
    Serve(serve::Serve),
    /// Show the main job on real events: import, durable, read back, checked
    Demo(demo::Demo),
    /// Mint a token from the server's key
    Token(token::Token),
    /// Append records from a file or standard input, one a line
    Produce(produce::Produce),
    /// Append the rows of a CSV or NDJSON file (.gz too); run again after an interruption, it goes on where it stopped
    Import(import::Import),
    /// Print entries as JSON lines, up to the head of now
    Consume(read::Consume),
    /// Print the last entry of a segment
    Peek(read::Peek),
    /// List the spaces
    Spaces(lists::Spaces),
    /// List the segments of a space
    Segments(lists::Segments),
    /// Count what a store, a space or a segment holds
    Status(lists::Status),
    /// Check every checksum and chain of a data directory that no server is using
    Verify(verify::Verify),
    /// Load a server and print throughput and latency
    Bench(bench::Bench),
    #[command(hide = true)]
    BareEcho(floor::BareEcho),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let command = Arguments::command();
    let arguments = match settings::with_file(std::env::args_os().collect(), &command) {
        Ok(arguments) => arguments,
        Err(failure) => return failure.report(),
    };
    let parsed = command.try_get_matches_from(arguments);
    let arguments = match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("STREAMKIT_LOG").unwrap_or_else(|_| "warn,streamkit=info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::from(error).report(),
    };
    let done = runtime.block_on(run(arguments.command));
    // Blocking threads may wait for input that never comes.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(dev) => dev.run().await,
        Command::Serve(serve) => serve.run().await,
        Command::Demo(demo) => interruptible(demo.run()).await,
        Command::Token(token) => token.run(),
        Command::Produce(produce) => interruptible(produce.run()).await,
        Command::Import(import) => interruptible(import.run()).await,
        Command::Consume(consume) => interruptible(consume.run()).await,
        Command::Peek(peek) => interruptible(peek.run()).await,
        Command::Spaces(spaces) => interruptible(spaces.run()).await,
        Command::Segments(segments) => interruptible(segments.run()).await,
        Command::Status(status) => interruptible(status.run()).await,
        Command::Verify(verify) => interruptible(verify.run()).await,
        Command::Bench(bench) => interruptible(bench.run()).await,
        Command::BareEcho(echo) => Ok(echo.run()?),
    }
}

async fn interruptible(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    }
}
