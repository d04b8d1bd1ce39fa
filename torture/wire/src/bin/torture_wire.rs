//! Runs many seeds over real sockets.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use streamkit_torture_wire::bytes::every_byte;
use streamkit_torture_wire::host::Trouble;
use streamkit_torture_wire::run::run;

/// A run that takes longer hangs.
const HANGS: Duration = Duration::from_secs(120);

/// Lets clients and a server of protocol v2 talk through a network that fails, in a way that a seed decides, and checks every
/// promise that was made.
#[derive(Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Cuts one small conversation behind each of its bytes, instead.
    #[arg(long)]
    every_byte: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Options::parse().run().await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

impl Options {
    async fn run(&self) -> Result<u64, Trouble> {
        if self.every_byte {
            return self.every_byte().await;
        }
        let began = Instant::now();
        let (mut failed, mut attempts, mut entries, mut reads, mut bytes, mut done) = (0, 0, 0, 0, 0, 0);
        for seed in self.start..self.start + self.seeds {
            let (counts, broken) = match tokio::time::timeout(HANGS, run(seed)).await {
                Ok(ran) => ran?,
                Err(_) => (Default::default(), vec![format!("it hangs: no end after {HANGS:?}")]),
            };
            done += 1;
            attempts += counts.attempts;
            entries += counts.entries;
            reads += counts.reads;
            bytes += counts.bytes;
            if !broken.is_empty() {
                failed += 1;
                println!("seed {seed} fails; again: --seeds 1 --start {seed}");
                for why in broken.iter().take(5) {
                    println!("  {why}");
                }
                if !self.keep_going {
                    break;
                }
            }
        }
        println!(
            "{done} seeds, {failed} failed, in {:.0} s: {attempts} attempts, {entries} entries, {reads} reads of the log, {} MB",
            began.elapsed().as_secs_f64(),
            bytes / 1_000_000
        );
        Ok(failed)
    }

    async fn every_byte(&self) -> Result<u64, Trouble> {
        let began = Instant::now();
        let (count, failed) = every_byte().await?;
        for failed in &failed {
            println!("seed {} fails: {}", failed.number, failed.fate);
            println!("  {}", failed.why);
        }
        println!(
            "{count} conversations, {} failed, in {:.0} s",
            failed.len(),
            began.elapsed().as_secs_f64()
        );
        Ok(failed.len() as u64)
    }
}
