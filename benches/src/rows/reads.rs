//! P5: scanning one long segment on one core, on ours and the peers; and the loop that reads to the end.

use std::path::Path;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};
use streamkit_engine::{EntryReader, SegmentRead, Store as _};
use tokio::runtime::Runtime;

use super::{Bench, remove};
use crate::figures::Figures;
use crate::load::{self, Load, Subject, Until};
use crate::ours::VARIANTS;
use crate::report::Row;
use crate::{Outcome, floor, payload, peers, verify};

const RECORDS: usize = 1000;
const BYTES: usize = 256;

/// Reads to the end: entries a second, and how many.
///
/// # Errors
/// Of the store.
pub async fn read_all(mut reader: Box<dyn EntryReader>) -> Outcome<Figures> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let started = Instant::now();
    while let Some(batch) = reader.next_batch().await? {
        entries += batch.len() as u64;
        bytes += batch.iter().map(|entry| entry.payload.len() as u64).sum::<u64>();
    }
    let seconds = started.elapsed().as_secs_f64();
    let mb_per_s = bytes as f64 / 1e6 / seconds;
    Ok(Figures(vec![
        ("entries_per_s", entries as f64 / seconds),
        ("entries", entries as f64),
        ("mb_per_s", mb_per_s),
    ]))
}

pub(super) fn scan(bench: &Bench) -> Outcome<Vec<Row>> {
    let calls = bench.scaled(1000, 100);
    let until = Until::Calls(calls);
    let load = Load {
        writers: 1,
        records: RECORDS,
        bytes: BYTES,
        in_flight: 8,
        until,
    };
    let dir = bench.fresh("scan")?;
    let ours = VARIANTS[0].open(&dir, 1)?;
    let mut heads = Vec::new();
    load::run(&bench.runtime, &Subject::Ours(ours.clone()), load, &mut heads)?;
    ours.close(&bench.runtime);
    verify::ours(&bench.runtime, &VARIANTS[0], &dir, 1, &heads, BYTES)?;
    let mut filled = Vec::new();
    for kind in peers::KINDS {
        if let Some(open) = kind.open {
            let dir = bench.fresh(kind.name)?;
            let peer = open(&dir)?;
            let mut heads = Vec::new();
            load::run(&bench.runtime, &Subject::Peer(peer), load, &mut heads)?;
            verify::peer(kind, &dir, &heads, BYTES)?;
            filled.push((kind.name, open, dir));
        }
    }
    let content = usize::try_from(calls)? * RECORDS * (BYTES + 8);
    let times = bench.repetitions();
    // A thread of its own, so that the engine's threads, which it starts, stay on its core too.
    let measured = std::thread::scope(|scope| {
        let measure = || -> Outcome<_> {
            let mut one = CpuSet::new();
            one.set(0);
            sched_setaffinity(None, &one)?;
            let before = floor::read_and_checksum(&bench.dir, content)?;
            let ours = scan_ours(&dir, times, heads[0])?;
            let mut theirs = Vec::new();
            for (name, open, dir) in &filled {
                theirs.push((*name, scan_peer(*open, dir, times)?));
            }
            let after = floor::read_and_checksum(&bench.dir, content)?;
            Ok((Figures::floor(&[before, after]), ours, theirs))
        };
        scope.spawn(measure).join().expect("measuring does not panic")
    });
    let (floor, ours, peers) = measured?;
    remove(&dir)?;
    for (_, _, dir) in &filled {
        remove(dir)?;
    }
    Ok(vec![Row {
        id: "P5",
        work: bench.work(format!("scan a segment of {} × {BYTES} B, warm, one core", heads[0])),
        ratio: Some(ours.get("mb_per_s") / floor.get("mb_per_s")),
        floor,
        bar: "≥ 3 M entries/s".into(),
        pass: Some(ours.get("entries_per_s") >= 3e6),
        ours,
        peers,
    }])
}

fn scan_ours(dir: &Path, times: usize, entries: u64) -> Outcome<Figures> {
    let runtime = Runtime::new()?;
    let ours = VARIANTS[0].open(dir, 1)?;
    let mut rates = Vec::new();
    // The first one warms.
    for _ in 0..=times {
        let reader = ours.stores[0].read_segment(SegmentRead::all(payload::path(0)));
        let figures = runtime.block_on(read_all(reader))?;
        if figures.get("entries") as u64 != entries {
            return Err(format!("{entries} entries were written, {} scanned", figures.get("entries")).into());
        }
        rates.push(figures);
    }
    ours.close(&runtime);
    Ok(Figures::median(&rates[1..]))
}

fn scan_peer(open: peers::Open, dir: &Path, times: usize) -> Outcome<Figures> {
    let peer = open(dir)?;
    let mut rates = Vec::new();
    for _ in 0..=times {
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        let started = Instant::now();
        peer.scan(&mut |_, value| {
            entries += 1;
            bytes += value.len() as u64;
            Ok(())
        })?;
        let seconds = started.elapsed().as_secs_f64();
        rates.push(Figures(vec![
            ("entries_per_s", entries as f64 / seconds),
            ("mb_per_s", bytes as f64 / 1e6 / seconds),
        ]));
    }
    Ok(Figures::median(&rates[1..]))
}
