//! Runs the hand-overs between threads in many orders. shuttle runs one thread at a time and decides at each lock,
//! atomic, notification and look at the clock which is next. It reports a thread that nobody will ever wake as a
//! deadlock. The tests of a part are in a module `schedules` at the end of its file, or here if that file is long;
//! here too are the tests of the whole engine.
//!
//! `cargo test -p streamkit-engine --lib --features schedules schedules`; with `STREAMKIT_SCHEDULES=N`, N times as many.

mod engine;
mod spare;
mod stores;
pub(crate) mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// Steps after which a life has gone in circles.
const STEPS_MAX: usize = 200_000;

/// Lives `life` in so many orders, half of them random and half with few, but rare, changes of who goes first. Always the
/// same ones: a check that fails fails again.
pub(crate) fn explore(orders: usize, life: impl Fn() + Send + Sync + 'static) {
    let times = std::env::var("STREAMKIT_SCHEDULES").map_or(1, |times| times.parse().expect("a number"));
    let half = orders * times / 2;
    let lived = Lived::default();
    let begun = Arc::clone(&lived.0);
    let life = Arc::new(move || {
        begun.fetch_add(1, Ordering::Relaxed);
        time::begin();
        life();
    });
    run(RandomScheduler::new_from_seed(1, half), &life);
    // "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010: most bugs take no more than this
    // many changes.
    const CHANGES: usize = 3;
    run(PctScheduler::new_from_seed(1, CHANGES, half), &life);
}

/// How many lives were begun; says so if the last one failed.
#[derive(Default)]
struct Lived(Arc<AtomicUsize>);

impl Drop for Lived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it took {} orders", self.0.load(Ordering::Relaxed));
        }
    }
}

fn run(scheduler: impl Scheduler + 'static, life: &Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = 512 << 10;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.failure_persistence = FailurePersistence::Print;
    // Every atomic is a hint here, whose truth stands under a lock: sequential consistency is enough to check them.
    config.silence_warnings = true;
    let life = Arc::clone(life);
    Runner::new(scheduler, config).run(move || life());
}

/// Panics without a word on the terminal.
pub(crate) fn panic_silently() -> ! {
    std::panic::resume_unwind(Box::new("a planned panic"))
}
