//! Runs many seeds of hosts that share a log.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use streamkit_azure::simulation::Counts;
use streamkit_torture_azure::{guarded, keep_panics, simplest};

/// Lets hosts share a log over a storage that loses, delays and doubles calls, in a way that a seed decides, and checks every promise that was made.
#[derive(Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 5_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Tells what happens in each run.
    #[arg(long)]
    trace: bool,
    /// Looks for the simplest plan with which a failing seed still fails, and tells what happens in it.
    #[arg(long)]
    simplest: bool,
    /// Threads; as many as there are processors unless said.
    #[arg(long)]
    threads: Option<usize>,
}

/// What came of all seeds.
#[derive(Default)]
struct Total {
    done: u64,
    counts: Counts,
    failed: Vec<u64>,
}

impl Options {
    fn all(&self) -> Total {
        let threads = self
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new(Total::default());
        std::thread::scope(|scope| {
            for _ in 0..threads.unwrap_or(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds {
                            break;
                        }
                        let seed = self.start + number;
                        let outcome = guarded(seed, None, self.trace);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.done += 1;
                        match outcome {
                            Ok(counts) => total.counts.add(&counts),
                            Err(broken) => {
                                eprintln!("seed {seed} fails: {broken}");
                                total.failed.push(seed);
                                stop.store(!self.keep_going, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        total.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    keep_panics();
    let since = Instant::now();
    let total = options.all();
    println!("{:?}", total.counts);
    for seed in &total.failed {
        println!(
            "replay: cargo run --profile quick -p streamkit-torture-azure --bin azure_torture -- --start {seed} --seeds 1 --threads 1 --trace"
        );
    }
    if let Some(seed) = total.failed.first().filter(|_| options.simplest) {
        let (seed, plan, why) = simplest(*seed);
        println!("simplest: seed {seed} with {plan:?}: {why}");
        _ = guarded(seed, Some(plan), true);
    }
    let rate = total.done as f64 / since.elapsed().as_secs_f64();
    println!(
        "{} of {} seeds failed; {rate:.1} seeds/s",
        total.failed.len(),
        total.done
    );
    match total.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
