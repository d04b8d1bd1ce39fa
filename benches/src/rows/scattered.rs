//! P9: one of many segments that were written interleaved, one record each in turn.

use super::{Bench, remove};
use crate::child::{self, Work};
use crate::figures::Figures;
use crate::load::{self, Load, Subject, Until};
use crate::ours::VARIANTS;
use crate::report::Row;
use crate::{Outcome, floor, verify};

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let (segments, entries) = bench.scaled((1000, 1000), (200, 200));
    let dir = bench.fresh("scattered")?;
    let ours = VARIANTS[0].open(&dir, 1)?;
    let mut heads = Vec::new();
    let load = Load::single(segments, Until::Calls(entries));
    load::run(&bench.runtime, &Subject::Ours(ours.clone()), load, &mut heads)?;
    ours.close(&bench.runtime);
    verify::ours(&bench.runtime, &VARIANTS[0], &dir, 1, &heads, 256)?;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for repetition in 0..bench.repetitions() as u64 {
        let segment = repetition * 37 % segments as u64;
        floor::forget_pages(&dir)?;
        cold.push(child::figures(&child::ask(Work::Scan, &dir, &[segment, 1])?).get("first_entries_per_s"));
        warm.push(child::figures(&child::ask(Work::Scan, &dir, &[segment, 20])?));
    }
    remove(&dir)?;
    let ours = Figures(vec![
        ("entries_per_s", Figures::median(&warm).get("entries_per_s")),
        ("cold_entries_per_s", crate::figures::median(cold)),
    ]);
    Ok(vec![Row {
        id: "P9",
        work: bench.work(format!(
            "scan one of {segments} segments × {entries}, written interleaved, warm"
        )),
        pass: Some(ours.get("entries_per_s") >= 1e6),
        ours,
        bar: "≥ 1 M entries/s".into(),
        ..Row::default()
    }])
}
