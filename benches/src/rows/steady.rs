//! P12: a minute of many writers across many extents: no append waits for anything but its own write.

use std::time::Duration;

use super::{Bench, remove};
use crate::figures::Figures;
use crate::load::{self, Load, Subject, Until};
use crate::ours::async_variants;
use crate::report::Row;
use crate::{Outcome, floor, verify};

const WRITERS: usize = 64;
const BYTES: usize = 1024;
/// So large that a minute fills at least eight, at any rate worth measuring.
const EXTENT_BYTES: u64 = 32 << 20;
const ROLLS: usize = 8;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let seconds = bench.scaled(60, 5);
    let time = Duration::from_secs(seconds);
    let mut rows = Vec::new();
    for variant in async_variants() {
        let dir = bench.fresh(variant.name)?;
        let tune = |config: &mut streamkit_engine::EngineConfig| config.extent_bytes = EXTENT_BYTES;
        let ours = variant.open_with(&dir, 1, tune)?;
        let mut heads = Vec::new();
        let load = |until| Load {
            bytes: BYTES,
            ..Load::single(WRITERS, until)
        };
        let subject = Subject::Ours(ours.clone());
        load::run(&bench.runtime, &subject, load(Until::Calls(20)), &mut heads)?;
        let bare = || floor::at_depth(&bench.dir, 1, 8, 16 << 10, time / 2);
        let before = bare()?;
        let measured = load::run(&bench.runtime, &subject, load(Until::Elapsed(time)), &mut heads)?;
        let floors = [before, bare()?];
        drop(subject);
        ours.close(&bench.runtime);
        let extents = std::fs::read_dir(crate::ours::store_dir(&dir, 0))?
            .filter(|entry| {
                entry
                    .as_ref()
                    .is_ok_and(|entry| entry.path().extension().is_some_and(|kind| kind == "extent"))
            })
            .count();
        verify::ours(&bench.runtime, variant, &dir, 1, &heads, BYTES)?;
        remove(&dir)?;
        let longest_bare = Figures::largest(&floors, "max_us");
        let ratio = measured.get("p99.9_us") / measured.get("p50_us");
        let even = measured.get("max_us") <= longest_bare.max(50_000.0);
        let rolls = extents.saturating_sub(1);
        rows.push(Row {
            id: "P12",
            work: bench.work(format!("{WRITERS} writers × 1 KiB for {seconds} s; {}", variant.name)),
            floor: Figures::floor(&floors).with("max_us", longest_bare),
            ours: measured.with("extent_rolls", rolls as f64),
            ratio: Some(ratio),
            bar: format!("p99.9 ≤ 5 × p50 over ≥ {ROLLS} extents; no pause > 50 ms that the disk does not show"),
            pass: Some(ratio <= 5.0 && even && rolls >= ROLLS),
            ..Row::default()
        });
    }
    Ok(rows)
}
