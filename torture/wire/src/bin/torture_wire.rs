//! Runs many seeds over real sockets.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use streamkit_torture_wire::bytes::every_byte;
use streamkit_torture_wire::host::Trouble;
use streamkit_torture_wire::killed::killed;
use streamkit_torture_wire::run::{Counts, run};
use streamkit_torture_wire::starved::starved;
use streamkit_torture_wire::unanswered::unanswered;
use streamkit_torture_wire::witness::Broken;

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
    /// What a seed decides.
    #[arg(long, value_enum, default_value_t)]
    of: Of,
    /// The server that is killed; the one beside this program, if none is given.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Cuts one small conversation behind each of its bytes, instead.
    #[arg(long)]
    every_byte: bool,
}

#[derive(Clone, Copy, ValueEnum, Default)]
enum Of {
    /// What becomes of each connection.
    #[default]
    Networks,
    /// When a server process is killed; it is started again.
    Kills,
    /// Behind which byte calls are answered no longer.
    Silence,
    /// How peers starve beside ordinary ones.
    Starving,
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
        let (mut failed, mut done) = (0, 0);
        let mut all = Counts::default();
        for seed in self.start..self.start + self.seeds {
            let (counts, broken) = match tokio::time::timeout(HANGS, self.one(seed)).await {
                Ok(ran) => ran?,
                Err(_) => (Default::default(), vec![format!("it hangs: no end after {HANGS:?}")]),
            };
            done += 1;
            all.add(&counts);
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
            "{done} seeds, {failed} failed, in {:.0} s: {all}",
            began.elapsed().as_secs_f64()
        );
        Ok(failed)
    }

    async fn one(&self, seed: u64) -> Result<(Counts, Vec<Broken>), Trouble> {
        match self.of {
            Of::Networks => run(seed).await,
            Of::Kills => killed(seed, &self.server()?).await,
            Of::Silence => unanswered(seed).await,
            Of::Starving => starved(seed).await,
        }
    }

    fn server(&self) -> Result<PathBuf, Trouble> {
        match &self.server {
            Some(server) => Ok(server.clone()),
            None => Ok(std::env::current_exe()?.with_file_name("streamkit")),
        }
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
