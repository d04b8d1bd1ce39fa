//! Tries to break the promise of a shared log: `azure/src/simulation/mod.rs` runs a seed, this runs many of them, and looks for the simplest
//! plan with which a seed still fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use streamkit_azure::simulation::{Counts, Plan, run};

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps what panics say, instead of printing it.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = format!("panic: {info}");
        PANIC.with_borrow_mut(|panic| _ = panic.get_or_insert(text));
    }));
}

/// Runs a seed, with its own plan or another. A panic fails it.
///
/// # Errors
/// What is not as it must be.
pub fn guarded(seed: u64, plan: Option<Plan>, trace: bool) -> Result<Counts, String> {
    PANIC.set(None);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, plan, trace)));
    match (PANIC.take(), outcome) {
        (Some(panic), _) => Err(panic),
        (None, Ok(outcome)) => outcome,
        (None, Err(_)) => Err("a panic".to_owned()),
    }
}

/// Another plan and the seed with which it fails, as simple as they can be found from a seed that fails.
pub fn simplest(seed: u64) -> (u64, Plan, String) {
    let mut best = (seed, Plan::of(seed), String::new());
    // Another plan meets other chances: a few seeds stand for it.
    let fails = |plan: &Plan| {
        let tried = (0..40).map(|number| if number == 0 { seed } else { number });
        tried
            .filter_map(|seed| Some((seed, guarded(seed, Some(plan.clone()), false).err()?)))
            .next()
    };
    loop {
        let simpler = best.1.simpler();
        let found = simpler
            .into_iter()
            .find_map(|plan| fails(&plan).map(|(seed, why)| (seed, plan, why)));
        match found {
            Some(found) => best = found,
            None => return best,
        }
    }
}
