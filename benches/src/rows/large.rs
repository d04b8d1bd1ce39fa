//! P6 and P10: a log of ten million entries, one in a hundred of them in a space of its own; one entry read at random in a
//! new process, and that space consumed.

use std::path::Path;
use std::sync::Arc;

use streamkit_engine::{LocalStore, Record, SegmentPath, Sequence, Store as _, Transaction};

use super::{Bench, reads, remove};
use crate::child::{self, Work};
use crate::figures::Figures;
use crate::ours::VARIANTS;
use crate::report::Row;
use crate::{Outcome, floor, payload, verify};

/// Records of a transaction, all of one segment.
const RECORDS: u64 = 10;
const BYTES: usize = 256;
/// Tasks that fill, each with segments of its own.
const FILLERS: u64 = 64;
/// Segments of a filler in the large space.
const SEGMENTS_EACH: u64 = 16;
/// One transaction of so many goes to the small space.
const RARE: u64 = 100;

fn rare(filler: u64) -> Outcome<SegmentPath> {
    Ok(SegmentPath::new("rare", &format!("order-{filler:07}"))?)
}

pub(super) fn rows(bench: &Bench) -> Outcome<Vec<Row>> {
    // Whole rounds, so that all segments are equally long: each round of a filler is one transaction to each of its
    // segments, ninety-nine times over all, and one to the small space.
    let rounds = bench
        .scaled(10_000_000_u64, 500_000)
        .div_ceil(FILLERS * RECORDS * RARE)
        .next_multiple_of(SEGMENTS_EACH);
    let entries = rounds * RARE * RECORDS * FILLERS;
    let dir = bench.fresh("large")?;
    fill(bench, &dir, rounds)?;
    let per_segment = rounds * (RARE - 1) / SEGMENTS_EACH * RECORDS;
    let segments = FILLERS * SEGMENTS_EACH;
    let (mut points, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..bench.repetitions() {
        floors.push(floor::random_reads(&dir, 2000)?);
        let point = child::ask(Work::Point, &dir, &[segments, per_segment, 2000])?;
        points.push(child::figures(&point));
    }
    floors.push(floor::random_reads(&dir, 2000)?);
    let (floor, point) = (Figures::floor(&floors), Figures::median(&points));
    let consumed = consume(bench, &dir, rounds * RECORDS * FILLERS, entries)?;
    remove(&dir)?;
    Ok(vec![
        Row {
            id: "P6",
            work: bench.work(format!(
                "one entry at random of {entries}, new process, warm page cache"
            )),
            ratio: Some(point.get("p50_us") / floor.get("p50_us")),
            floor,
            bar: "p50 ≤ 20 µs".into(),
            pass: Some(point.get("p50_us") <= 20.0),
            ours: point,
            ..Row::default()
        },
        Row {
            id: "P10",
            work: bench.work(format!(
                "consume a space that is 1 % of {entries} entries, in transactions of {RECORDS}"
            )),
            pass: Some(consumed.get("entries_per_s") >= 5e5),
            ours: consumed,
            bar: "≥ 500 000 of its entries/s".into(),
            ..Row::default()
        },
    ])
}

fn fill(bench: &Bench, dir: &Path, rounds: u64) -> Outcome {
    let ours = VARIANTS[0].open(dir, 1)?;
    let fillers: Vec<_> = (0..FILLERS)
        .map(|filler| {
            bench
                .runtime
                .spawn(filler_of(Arc::clone(&ours.stores[0]), filler, rounds))
        })
        .collect();
    for filler in fillers {
        bench.runtime.block_on(filler)??;
    }
    ours.close(&bench.runtime);
    Ok(())
}

async fn filler_of(store: Arc<LocalStore>, filler: u64, rounds: u64) -> Outcome {
    let mut rare_head = 0;
    let mut heads = [0; SEGMENTS_EACH as usize];
    let mut turn = 0;
    for _ in 0..rounds {
        for step in 0..RARE {
            let (path, writer, head) = if step == RARE - 1 {
                (rare(filler)?, filler, &mut rare_head)
            } else {
                let segment = turn % SEGMENTS_EACH;
                turn += 1;
                let writer = filler * SEGMENTS_EACH + segment;
                (
                    payload::path(usize::try_from(writer)?),
                    writer,
                    &mut heads[usize::try_from(segment)?],
                )
            };
            let writer = usize::try_from(writer)?;
            let records =
                (*head + 1..=*head + RECORDS).map(|sequence| Record::new(payload::record(writer, sequence, BYTES)));
            store
                .append(Transaction::single(path, Sequence(*head + 1), records.collect()))
                .await?;
            *head += RECORDS;
        }
    }
    Ok(())
}

/// Checks that the log holds all that was filled in, then consumes the small space and checks each of its entries once.
fn consume(bench: &Bench, dir: &Path, expected: u64, all: u64) -> Outcome<Figures> {
    let ours = VARIANTS[0].open(dir, 1)?;
    let store = &ours.stores[0];
    let status = bench.runtime.block_on(store.status())?;
    if status.entry_count != all {
        return Err(format!("{all} entries were acknowledged, the store has {}", status.entry_count).into());
    }
    let mut repetitions = Vec::new();
    for _ in 0..=bench.repetitions() {
        let figures = bench
            .runtime
            .block_on(reads::read_all(verify::read_space(store, "rare")?))?;
        if figures.get("entries") as u64 != expected {
            return Err(format!(
                "{expected} entries are in the small space, {} were read",
                figures.get("entries")
            )
            .into());
        }
        repetitions.push(figures);
    }
    bench.runtime.block_on(async {
        let mut reader = verify::read_space(store, "rare")?;
        while let Some(batch) = reader.next_batch().await? {
            for entry in batch {
                let writer =
                    payload::writer_of(entry.path.segment.as_str()).ok_or("a segment that was never written")?;
                if !payload::is_record(&entry.payload, writer, entry.sequence.0, BYTES) {
                    return Err(format!("{} holds other bytes at {}", entry.path, entry.sequence).into());
                }
            }
        }
        Outcome::Ok(())
    })?;
    ours.close(&bench.runtime);
    Ok(Figures::median(&repetitions[1..]))
}
