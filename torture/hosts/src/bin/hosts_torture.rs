//! Runs seeds against hosts of a program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use streamkit_torture_hosts::balanced::{BalancedPlan, End, balanced};
use streamkit_torture_hosts::chaos::Longest;
use streamkit_torture_hosts::run::{Counts, Plan, run};

/// Lets hosts that share a store over an emulated storage account be killed, stopped and cut off while everybody is at work at
/// all of them, and checks every promise that was made.
#[derive(Parser)]
struct Options {
    /// Of what.
    #[arg(long, value_enum, default_value_t)]
    of: Of,
    /// How many seeds.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// The program.
    #[arg(long)]
    server: PathBuf,
    /// Hosts.
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// Things that happen in a run.
    #[arg(long, default_value_t = 10)]
    tricks: usize,
    /// Longest time that a process is stopped.
    #[arg(long, default_value_t = 3_000)]
    stop_millis: u64,
    /// Longest time that a way is cut, or a process is away.
    #[arg(long, default_value_t = 1_000)]
    cut_millis: u64,
    /// Attempts of each writer. Without it: until all has happened; of a producer behind the balancer: 40.
    #[arg(long)]
    attempts: Option<u32>,
    /// Crews at each host: three writers each, two readers, three holders of leases.
    #[arg(long, default_value_t = 1)]
    crews: usize,
    /// Producers behind the balancer.
    #[arg(long, default_value_t = 16)]
    producers: usize,
    /// How often each host behind the balancer is killed, and then restarted.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Options of `serve`.
    #[arg(last = true)]
    options: Vec<String>,
}

/// What is tried.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default)]
enum Of {
    /// Everybody at all hosts, and whatever can happen to them.
    #[default]
    Turmoil,
    /// Clients with one address for all hosts, which are killed and restarted in turn. Prints how long producers wait for it.
    Balancer,
}

impl Options {
    /// The hosts behind a balancer are killed in turn, and then restarted in turn.
    fn balanced(&self) -> BalancedPlan {
        let ends = [End::Killed, End::Asked];
        BalancedPlan {
            program: self.server.clone(),
            hosts: self.hosts,
            rounds: ends.into_iter().flat_map(|end| vec![end; self.rounds]).collect(),
            producers: self.producers,
            appends: self.attempts.unwrap_or(40) as usize,
            away: Duration::from_millis(self.cut_millis),
            options: self.options.clone(),
        }
    }
}

/// How far a seed is.
fn tell(counts: &Counts, tricks: usize) {
    let Counts {
        attempts,
        acknowledged,
        reads,
        ..
    } = counts;
    let (done, last) = (counts.tricks.len(), counts.tricks.last());
    eprintln!("  {done} of {tricks} ({last:?}): {attempts} attempts, {acknowledged} acknowledged, {reads} reads");
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.of == Of::Balancer {
        return match balanced(&options.balanced()).await {
            Ok((counts, broken)) => {
                println!("{counts:#?}");
                for why in &broken {
                    println!("BROKEN: {why}");
                }
                match broken.is_empty() {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                }
            }
            Err(why) => {
                println!("{why}");
                ExitCode::FAILURE
            }
        };
    }
    let plan = Plan {
        program: options.server,
        hosts: options.hosts,
        tricks: options.tricks,
        longest: Longest {
            stop: Duration::from_millis(options.stop_millis),
            cut: Duration::from_millis(options.cut_millis),
        },
        attempts: options.attempts,
        crews: options.crews,
        options: options.options,
    };
    let mut failed = 0;
    for seed in options.start..options.start + options.seeds {
        let began = Instant::now();
        match run(seed, &plan, &mut |counts| tell(counts, plan.tricks)).await {
            Ok((counts, broken)) => {
                println!("seed {seed}: {counts:?}, {:.1?}", began.elapsed());
                for why in &broken {
                    println!("  BROKEN: {why}");
                }
                failed += u64::from(!broken.is_empty());
            }
            Err(why) => {
                println!("seed {seed}: {why}");
                failed += 1;
            }
        }
        if failed > 0 && !options.keep_going {
            break;
        }
    }
    println!("{failed} of {} seeds failed", options.seeds);
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
