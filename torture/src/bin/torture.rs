//! Runs many seeds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use streamkit_torture::coverage::{Coverage, ROWS};
use streamkit_torture::exhaustive::{Tried, exhaust};
use streamkit_torture::run::{Counts, run};

/// Seeds that reach each row of the recovery's decision table, or the torture has lost its way there: 46 of 46 runs did.
const SEEDS_FOR_ALL_ROWS: u64 = 50_000;

/// Seeds that reach all rows but the rarest, a torn write behind the end of a sealed extent: one run of five misses that one.
const SEEDS_FOR_MOST_ROWS: u64 = 20_000;

/// Lets engines on simulated disks crash, each in a way that its seed decides, and checks that nothing acknowledged is lost.
#[derive(Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 20_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 1)]
    start: u64,
    /// Tries small histories in every way there is, instead of large ones in one way each. A seed takes seconds.
    #[arg(long)]
    exhaustive: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Tells what happens in each run.
    #[arg(long)]
    trace: bool,
    /// Threads; as many as there are processors unless said.
    #[arg(long)]
    threads: Option<usize>,
}

thread_local! {
    static PANIC: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// What came of all seeds.
#[derive(Default)]
struct Total {
    done: u64,
    counts: Counts,
    tried: Tried,
    failed: Vec<u64>,
}

impl Options {
    fn one(&self, seed: u64) -> Result<(Counts, Tried), String> {
        if self.exhaustive {
            Ok((Counts::default(), exhaust(seed)?))
        } else {
            Ok((run(seed, self.trace)?, Tried::default()))
        }
    }

    /// A panic anywhere in a run fails it, also one that the engine survives.
    fn guarded(&self, seed: u64) -> Result<(Counts, Tried), String> {
        PANIC.set(None);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.one(seed)));
        if let Some(panic) = PANIC.take() {
            return Err(panic);
        }
        outcome.unwrap_or_else(|_| Err("a panic".to_owned()))
    }

    fn all(&self) -> Total {
        let threads = self
            .threads
            .or_else(|| std::thread::available_parallelism().ok().map(Into::into));
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new(Total::default());
        let style = ProgressStyle::with_template("{pos}/{len} seeds {wide_bar} {per_sec} {eta}");
        let bar = ProgressBar::new(self.seeds).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        std::thread::scope(|scope| {
            for _ in 0..threads.unwrap_or(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds {
                            break;
                        }
                        let seed = self.start + number;
                        let outcome = self.guarded(seed);
                        bar.inc(1);
                        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                        total.done += 1;
                        match outcome {
                            Ok((counts, tried)) => {
                                total.counts.add(&counts);
                                total.tried.add(&tried);
                            }
                            Err(broken) => {
                                bar.suspend(|| eprintln!("seed {seed} fails: {broken}"));
                                total.failed.push(seed);
                                stop.store(!self.keep_going, Ordering::Relaxed);
                            }
                        }
                    }
                });
            }
        });
        bar.finish_and_clear();
        total.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    std::panic::set_hook(Box::new(|info| {
        let text = format!("panic: {info}");
        PANIC.with_borrow_mut(|panic| _ = panic.get_or_insert(text));
    }));
    let coverage = Coverage::listen();
    let since = Instant::now();
    let total = options.all();
    let decisions = coverage.decisions();
    for (decision, times) in &decisions {
        println!("recovery decided {times:>9} times: {decision}");
    }
    if options.exhaustive {
        println!("{:?}", total.tried);
    } else {
        println!("{:?}", total.counts);
    }
    let how = if options.exhaustive { " --exhaustive" } else { "" };
    for seed in &total.failed {
        println!(
            "replay: cargo run --release -p streamkit-torture --bin torture -- --start {seed} --seeds 1 --threads 1 --trace{how}"
        );
    }
    let rate = total.done as f64 / since.elapsed().as_secs_f64();
    println!(
        "{} of {} seeds failed; {rate:.1} seeds/s",
        total.failed.len(),
        total.done
    );
    let wanted = match total.done {
        _ if options.exhaustive => 0,
        SEEDS_FOR_ALL_ROWS.. => ROWS,
        SEEDS_FOR_MOST_ROWS.. => ROWS - 1,
        _ => 0,
    };
    let narrow = decisions.len() < wanted;
    if narrow {
        println!(
            "only {} of the {ROWS} rows of the decision table were reached",
            decisions.len()
        );
    }
    if total.failed.is_empty() && !narrow {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
