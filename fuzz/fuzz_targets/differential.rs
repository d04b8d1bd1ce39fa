//! The engine beside the model of the torture, driven by the input: it decides the plan, each call, each failure and each
//! crash.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_engine::Dice;
use streamkit_torture::run::run_with;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = run_with(Dice::fed(bytes), false) {
        panic!("{broken}");
    }
});
