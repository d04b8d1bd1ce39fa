//! P7: a million segments in one store: memory, appends, and opening after a clean close and after a kill.

use std::path::Path;

use streamkit_engine::{Record, Sequence, Store as _, Transaction};

use super::{Bench, remove};
use crate::child::{self, Work};
use crate::figures::Figures;
use crate::load::{self, Load, Subject, Until};
use crate::ours::VARIANTS;
use crate::report::Row;
use crate::{Outcome, floor, payload, verify};

const BYTES: usize = 256;

/// Appends that make the small store.
const FIRST_APPENDS: u64 = 10;

/// Segments of a transaction while filling.
const TOGETHER: usize = 1000;

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    let (segments, entries) = bench.scaled((1_000_000, 10), (50_000, 2));
    let calls = bench.scaled(2000, 200);
    let repetitions = bench.scaled(3, 2);
    let dir = bench.fresh("segments")?;
    let small = bench.fresh("small")?;
    fill(bench, &dir, segments, entries)?;
    // A store of one segment, for the append that P7's is compared with.
    append_to_small(bench, &small)?;
    let (mut clean, mut killed, mut smalls, mut floors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repetitions {
        floors.push(floor::one_at_a_time(&bench.dir, floor::GROUP_BYTES, calls)?);
        let open = |dir: &Path| Outcome::Ok(child::figures(&child::ask(Work::Open, dir, &[calls as u64])?));
        clean.push(open(&dir)?);
        smalls.push(open(&small)?);
        child::ask(Work::Die, &dir, &[])?;
        killed.push(open(&dir)?);
    }
    floors.push(floor::one_at_a_time(&bench.dir, floor::GROUP_BYTES, calls)?);
    let floor = Figures::floor(&floors);
    let (clean, killed, small_one) = (
        Figures::median(&clean),
        Figures::median(&killed),
        Figures::median(&smalls),
    );
    let mut heads = vec![entries; segments];
    heads[0] += repetitions * (2 * calls as u64 + child::APPENDS_BEFORE_DEATH);
    verify::ours(&bench.runtime, &VARIANTS[0], &dir, 1, &heads, BYTES)?;
    let heads = vec![FIRST_APPENDS + repetitions * calls as u64];
    verify::ours(&bench.runtime, &VARIANTS[0], &small, 1, &heads, BYTES)?;
    remove(&dir)?;
    remove(&small)?;
    let name = payload::path(0).segment.as_str().len() as f64;
    let work = |what: &str| bench.work(format!("{segments} segments × {entries}: {what}"));
    let only = |figures: &Figures, name: &'static str| Figures(vec![(name, figures.get(name))]);
    let memory = clean.get("bytes_per_segment");
    let ratio = clean.get("p50_us") / small_one.get("p50_us");
    let row = |work, ours, bar: &str, pass| Row {
        id: "P7",
        work,
        ours,
        bar: bar.into(),
        pass: Some(pass),
        ..Row::default()
    };
    Ok(vec![
        row(
            work("memory after opening"),
            only(&clean, "bytes_per_segment"),
            "≤ 128 B a segment + its name",
            memory <= 128.0 + name,
        ),
        Row {
            floor,
            ratio: Some(ratio),
            ..row(
                work("append"),
                clean.clone().led_by("p50_us"),
                "p50 ≤ 1.2 × that of a small store",
                ratio <= 1.2,
            )
        },
        row(
            work("open after a close"),
            only(&clean, "open_ms"),
            "≤ 1 s",
            clean.get("open_ms") <= 1000.0,
        ),
        row(
            work("open after a kill"),
            only(&killed, "open_ms"),
            "≤ 2 s + replay of an extent",
            killed.get("open_ms") <= 2000.0,
        ),
    ])
}

fn fill(bench: &Bench, dir: &Path, segments: usize, entries: u64) -> Outcome {
    let ours = VARIANTS[0].open(dir, 1)?;
    for entry in 1..=entries {
        for first in (0..segments).step_by(TOGETHER) {
            let parts = (first..(first + TOGETHER).min(segments)).flat_map(|segment| {
                let record = Record::new(payload::record(segment, entry, BYTES));
                Transaction::single(payload::path(segment), Sequence(entry), vec![record]).segments
            });
            let transaction = Transaction {
                id: uuid::Uuid::new_v4(),
                segments: parts.collect(),
                fence: None,
                conditions: Vec::new(),
            };
            bench.runtime.block_on(ours.stores[0].append(transaction))?;
        }
    }
    ours.close(&bench.runtime);
    Ok(())
}

fn append_to_small(bench: &Bench, dir: &Path) -> Outcome {
    let ours = VARIANTS[0].open(dir, 1)?;
    let subject = Subject::Ours(ours.clone());
    load::run(
        &bench.runtime,
        &subject,
        Load::single(1, Until::Calls(FIRST_APPENDS)),
        &mut Vec::new(),
    )?;
    ours.close(&bench.runtime);
    Ok(())
}
