//! Measurements that need a process of their own: nothing is cached in it, and its memory is counted from nothing. The
//! child prints one JSON object of numbers.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use streamkit_engine::{SegmentRead, Sequence, Store as _};
use tokio::runtime::Runtime;

use crate::figures::{self, Figures};
use crate::load::{Load, Subject, Until, run as run_load};
use crate::ours::VARIANTS;
use crate::rows::reads::read_all;
use crate::{Outcome, Usage, payload};

/// What [`Work::Die`] appends.
pub const APPENDS_BEFORE_DEATH: u64 = 100;

/// What to measure in a child; the numbers are the child's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Opens store 0: milliseconds, bytes of memory a segment, and the latency of `[calls]` appends to a segment of its own.
    Open,
    /// Appends to store 0 and ends without closing.
    Die,
    /// Reads single entries at random from `[segments, entries in each, reads]`, as the first thing the process does.
    Point,
    /// Scans `[segment]` so many times `[times]`: entries a second, the first time and the median of the others.
    Scan,
}

impl Work {
    const ALL: [(Self, &str); 4] = [
        (Self::Open, "open"),
        (Self::Die, "die"),
        (Self::Point, "point"),
        (Self::Scan, "scan"),
    ];

    /// The word on the child's command line.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == word).map(|(work, _)| *work)
    }

    fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(work, _)| *work == self)
            .map_or("", |(_, name)| name)
    }
}

/// Has a child measure.
///
/// # Errors
/// What the child says on its standard error.
pub fn ask(work: Work, dir: &Path, numbers: &[u64]) -> Outcome<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["child", work.word()])
        .arg(dir)
        .args(numbers.iter().map(u64::to_string));
    let output = command.output()?;
    if work == Work::Die {
        return Ok(Value::Null);
    }
    if !output.status.success() {
        return Err(format!(
            "the child that was to {}: {}",
            work.word(),
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The numbers of a child's answer.
pub fn figures(answer: &Value) -> Figures {
    const NAMES: [&str; 11] = [
        "p50_us",
        "p99_us",
        "p99.9_us",
        "max_us",
        "per_s",
        "records_per_s",
        "open_ms",
        "bytes_per_segment",
        "entries",
        "entries_per_s",
        "first_entries_per_s",
    ];
    let number = |name: &&'static str| Some((*name, answer[*name].as_f64()?));
    Figures(NAMES.iter().filter_map(number).collect())
}

/// Measures, as the child.
///
/// # Errors
/// Of the engine; missing parameters.
pub fn run(work: Work, dir: &Path, numbers: &[u64]) -> Outcome {
    let runtime = Runtime::new()?;
    let number = |at: usize| numbers.get(at).copied().ok_or("a parameter is missing");
    let figures = match work {
        Work::Open => open(&runtime, dir, number(0)?)?,
        Work::Die => die(&runtime, dir)?,
        Work::Point => point(&runtime, dir, number(0)?, number(1)?, number(2)?)?,
        Work::Scan => scan(&runtime, dir, number(0)?, number(1)?)?,
    };
    println!("{}", figures.to_json());
    Ok(())
}

fn open(runtime: &Runtime, dir: &Path, calls: u64) -> Outcome<Figures> {
    let ours = VARIANTS[0].open(dir, 0)?;
    let before = Usage::now()?;
    let started = Instant::now();
    let store = Arc::new(ours.engine.open_store(payload::store_id(0))?);
    let opened = started.elapsed().as_secs_f64() * 1e3;
    let resident = Usage::now()?.resident_bytes.saturating_sub(before.resident_bytes);
    let status = runtime.block_on(store.status())?;
    let mut ours = ours;
    ours.stores.push(store);
    let subject = Subject::Ours(ours.clone());
    let head = runtime.block_on(ours.stores[0].segment_status(&payload::path(0)))?;
    let mut heads = vec![head.map_or(0, |status| status.last_sequence.0)];
    let appends = run_load(runtime, &subject, Load::single(1, Until::Calls(calls)), &mut heads)?;
    drop(subject);
    ours.close(runtime);
    let segments = status.segment_count.max(1) as f64;
    Ok(appends
        .with("open_ms", opened)
        .with("bytes_per_segment", resident as f64 / segments)
        .with("segments", segments)
        .with("entries", status.entry_count as f64))
}

fn die(runtime: &Runtime, dir: &Path) -> Outcome<Figures> {
    let ours = VARIANTS[0].open(dir, 1)?;
    let head = runtime.block_on(ours.stores[0].segment_status(&payload::path(0)))?;
    let mut heads = vec![head.map_or(0, |status| status.last_sequence.0)];
    run_load(
        runtime,
        &Subject::Ours(ours),
        Load::single(1, Until::Calls(APPENDS_BEFORE_DEATH)),
        &mut heads,
    )?;
    std::process::abort();
}

fn point(runtime: &Runtime, dir: &Path, segments: u64, entries: u64, reads: u64) -> Outcome<Figures> {
    let ours = VARIANTS[0].open(dir, 1)?;
    let mut latency = figures::nanoseconds()?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let started = Instant::now();
    for _ in 0..reads {
        // A linear congruential generator: nothing here needs a better one.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (writer, sequence) = ((random >> 33) % segments, (random >> 13) % entries + 1);
        let path = payload::path(usize::try_from(writer)?);
        let read = SegmentRead {
            from: Sequence(sequence),
            to: Sequence(sequence),
            ..SegmentRead::all(path)
        };
        let began = Instant::now();
        let found = runtime.block_on(async { ours.stores[0].read_segment(read).next_batch().await })?;
        figures::record(&mut latency, began.elapsed());
        let found = found
            .and_then(|batch| batch.into_iter().next())
            .ok_or("an entry is missing")?;
        if !payload::is_record(&found.payload, usize::try_from(writer)?, sequence, found.payload.len()) {
            return Err(format!("{}: another entry than {sequence} was read", found.path).into());
        }
    }
    let figures = figures::latency(&latency, started.elapsed().as_secs_f64());
    ours.close(runtime);
    Ok(figures)
}

fn scan(runtime: &Runtime, dir: &Path, segment: u64, times: u64) -> Outcome<Figures> {
    let ours = VARIANTS[0].open(dir, 1)?;
    let path = payload::path(usize::try_from(segment)?);
    let mut rates = Vec::new();
    for _ in 0..times {
        let reader = ours.stores[0].read_segment(SegmentRead::all(path.clone()));
        rates.push(runtime.block_on(read_all(reader))?.get("entries_per_s"));
    }
    ours.close(runtime);
    let first = rates.first().copied().unwrap_or(f64::NAN);
    Ok(Figures(vec![
        ("entries_per_s", figures::median(rates.split_off(1.min(rates.len())))),
        ("first_entries_per_s", first),
    ]))
}
