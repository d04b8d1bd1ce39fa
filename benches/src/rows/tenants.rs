//! P11: many stores with one writer each, against bare writes over as many files.

use super::{Bench, remove};
use crate::figures::Figures;
use crate::load::{self, Load, Subject, Until};
use crate::ours::async_variants;
use crate::report::Row;
use crate::{Outcome, floor, verify};

/// How many bare writes are in flight.
const DEPTH: usize = 32;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let stores = bench.scaled(1000, 100);
    let mut all = Vec::new();
    for variant in async_variants() {
        let dir = bench.fresh(variant.name)?;
        let ours = variant.open(&dir, stores)?;
        let mut heads = Vec::new();
        load::run(
            &bench.runtime,
            &Subject::Ours(ours.clone()),
            Load::single(stores, Until::Calls(3)),
            &mut heads,
        )?;
        all.push((variant, dir, ours, heads, Vec::new()));
    }
    let mut floors = Vec::new();
    for repetition in 0..=bench.repetitions() {
        let floor = floor::at_depth(&bench.dir, stores, DEPTH, floor::BLOCK_BYTES, bench.slice())?;
        floors.push(floor.led_by("per_s"));
        if repetition == bench.repetitions() {
            break;
        }
        all.rotate_left(1);
        for (_, _, ours, heads, figures) in &mut all {
            let load = Load::single(stores, Until::Elapsed(bench.slice()));
            let measured = load::run(&bench.runtime, &Subject::Ours(ours.clone()), load, heads)?;
            figures.push(measured.led_by("per_s"));
        }
    }
    let floor = Figures::floor(&floors);
    let mut rows = Vec::new();
    for (variant, dir, ours, heads, figures) in all {
        ours.close(&bench.runtime);
        verify::ours(&bench.runtime, variant, &dir, stores, &heads, 256)?;
        remove(&dir)?;
        let ours = Figures::median(&figures);
        let ratio = ours.get("per_s") / floor.get("per_s");
        rows.push(Row {
            id: "P11",
            work: bench.work(format!(
                "{stores} stores × 1 writer, one 256 B record; {}",
                variant.name
            )),
            floor: floor.clone(),
            pass: Some(ratio >= 0.7 && ours.get("p99_us") <= 4.0 * floor.get("p99_us")),
            ours,
            ratio: Some(ratio),
            bar: format!("≥ 70 % of 4 KiB writes over {stores} files at depth {DEPTH}; p99 ≤ 4 × theirs"),
            ..Row::default()
        });
    }
    Ok(rows)
}
