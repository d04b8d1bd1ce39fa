//! The engine beside the model of the torture, driven by the input: it decides the plan, each call, each failure and each
//! crash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_engine::Dice;
use streamkit_torture::plan::Plan;
use streamkit_torture::run::run_with;

/// A short one: of twenty runs a second, coverage learns more than of two that are ten times as long.
fn short(dice: &mut Dice) -> Plan {
    let plan = Plan::roll(dice);
    Plan {
        stores: 1,
        lives: 2,
        steps: plan.steps.min(60),
        ..plan
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = run_with(Dice::fed(bytes), short, false) {
        panic!("{broken}");
    }
});
