//! The commands, one file each.

mod azure;
mod backup;
mod bench;
mod config;
mod context;
mod copy;
mod demo;
mod dev;
mod doctor;
mod export;
mod health;
mod help;
mod import;
#[cfg(unix)]
mod lease;
mod lists;
mod offline;
mod produce;
mod read;
mod remove;
mod serve;
mod shells;
mod subscribe;
mod token;
mod top;
mod workers;

use clap::{CommandFactory as _, Subcommand};
use streamkit_engine::disk;
use streamkit_server_core::network_threads;

use crate::arguments::log::LogOptions;
use crate::failure::{Failure, exit_codes};
use crate::signals;
use crate::signals::interrupt::{interruptible, stoppable};
use crate::terminal::filter;

/// Ordered event streams, durable before they are acknowledged
#[derive(clap::Parser)]
#[command(name = "streamkit", version, after_help = exit_codes(), disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a server for development, which client commands find
    Dev(dev::Dev),
    /// Start the server
    Serve(Box<serve::Serve>),
    /// Check or show the settings of the server
    Config(config::Config),
    /// Ask a server whether it is well, as a probe does
    Health(health::Health),
    /// Import real events, durable, read them back and check them
    Demo(demo::Demo),
    /// Mint a token from the server's key
    Token(token::Token),
    /// Keep servers and stores under names
    Context(context::Contextual),
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
    /// Print statuses of segments, as commits change them
    Subscribe(subscribe::Subscribe),
    /// List the workers that are there, or be one
    Workers(workers::Workers),
    /// Run a command while a lease is held, and no longer
    #[cfg(unix)]
    Lease(lease::Lease),
    /// Watch a server at work: rates, latencies, busiest segments
    Top(top::Top),
    /// Write entries to a file, which import --entries reads
    Export(export::Export),
    /// Copy a store or spaces of it into another one; run again, what is new
    Copy(Box<copy::Copy>),
    /// Check every byte of a data directory that no server is using
    Verify(offline::Verify),
    /// Show the extents, groups, transactions and segments of a data directory
    Inspect(offline::Inspect),
    /// Copy what is whole of a damaged data directory into a new one
    Repair(offline::Repair),
    /// Copy a data directory, also while its server runs; run again, what is new
    Backup(backup::Backup),
    /// Make a data directory of a backup
    Restore(backup::Restore),
    /// Check a disk: is it safe, how will it be written to, how fast
    Doctor(doctor::Doctor),
    /// Look after an Azure storage account and the stores in it
    Azure(azure::Azure),
    /// Load a server and print throughput and latency
    Bench(bench::Bench),
    /// Print what makes a shell complete these commands
    Completions(shells::Completions),
    /// Write pages for man
    Man(shells::Man),
    /// Print the help of a command, of errors, or how to begin
    Help(help::Help),
    #[command(hide = true)]
    BareEcho(bench::BareEcho),
}

impl Command {
    /// Whether it serves until it is stopped.
    pub(crate) fn is_server(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Dev(_))
    }

    /// Threads for its tasks; `None`: as many as there are processors.
    pub(crate) fn threads(&self) -> Option<usize> {
        match self {
            Self::Serve(serve) => Some(serve.network_threads.map_or_else(network_threads, usize::from)),
            Self::Dev(_) => Some(network_threads()),
            _ => None,
        }
    }

    /// How it logs.
    pub(crate) fn log(&self) -> LogOptions {
        match self {
            Self::Serve(serve) => serve.log.clone(),
            Self::Dev(dev) => dev.log.clone(),
            // It may open stores in this process.
            Self::Copy(_) => LogOptions::of_variables_or(filter::OF_A_USER),
            _ => LogOptions::of_variables(),
        }
    }

    /// Does it.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        signals::outlive_file_limits()?;
        disk::raise_open_files();
        match self {
            Self::Dev(dev) => dev.run().await,
            Self::Serve(serve) => serve.run().await,
            Self::Config(config) => config.run(),
            Self::Health(health) => interruptible(health.run()).await,
            Self::Demo(demo) => interruptible(demo.run()).await,
            Self::Token(token) => token.run(),
            Self::Context(context) => context.run(),
            Self::Produce(produce) => {
                let doubt = produce::InDoubt::default();
                let done = stoppable(|stop| produce.run(stop, doubt.clone())).await;
                done.map_err(|failure| doubt.told(failure))
            }
            Self::Import(import) => interruptible(import.run()).await.map_err(|failure| {
                failure.hint_if_interrupted("what was acknowledged is stored, run the same command again to go on")
            }),
            Self::Consume(consume) => stoppable(|stop| consume.run(stop)).await,
            Self::Peek(peek) => interruptible(peek.run()).await,
            Self::Trim(trim) => interruptible(trim.run()).await,
            Self::Delete(delete) => interruptible(delete.run()).await,
            Self::Spaces(spaces) => interruptible(spaces.run()).await,
            Self::Segments(segments) => interruptible(segments.run()).await,
            Self::Status(status) => interruptible(status.run()).await,
            Self::Subscribe(subscribe) => stoppable(|stop| subscribe.run(stop)).await,
            Self::Workers(workers) => stoppable(|stop| workers.run(stop)).await,
            #[cfg(unix)]
            Self::Lease(lease) => lease.run().await,
            Self::Top(top) => top.run().await,
            Self::Export(export) => interruptible(export.run()).await,
            Self::Copy(copy) => interruptible(copy.run()).await.map_err(|failure| {
                failure.hint_if_interrupted(
                    "what was copied stays: run the same command again, it goes on and adds nothing twice",
                )
            }),
            Self::Verify(verify) => interruptible(verify.run()).await,
            Self::Backup(backup) => interruptible(backup.run())
                .await
                .map_err(|failure| failure.hint_if_interrupted("run the same command again to go on")),
            Self::Restore(restore) => interruptible(restore.run())
                .await
                .map_err(|failure| failure.hint_if_interrupted("run the same command again to go on")),
            Self::Doctor(doctor) => doctor.run().await,
            Self::Inspect(inspect) => interruptible(inspect.run()).await,
            Self::Repair(repair) => interruptible(repair.run()).await.map_err(|failure| {
                failure.hint_if_interrupted("the new directory is unfinished: run the same command, it begins anew")
            }),
            Self::Azure(azure) => interruptible(azure.run()).await,
            Self::Bench(bench) => stoppable(|stop| bench.run(stop)).await,
            Self::Completions(completions) => completions.run(Arguments::command()),
            Self::Man(man) => man.run(Arguments::command()),
            Self::Help(help) => help.run(Arguments::command()),
            Self::BareEcho(echo) => Ok(echo.run()?),
        }
    }
}
