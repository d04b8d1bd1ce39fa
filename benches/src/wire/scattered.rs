//! One who follows many segments by name, over one connection: how long until all that is there has come, how long behind a cursor, and what it
//! takes of memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use hdrhistogram::Histogram;
use serde_json::Value;
use streamkit_client::record::{LogCursor, Record, SegmentAppend, Sequence, Wanted};
use streamkit_client::{Append, Client, Follow, Followed, Follows, Protocol, StoreClient};
use tokio::runtime::Runtime;

use super::child;
use crate::figures::{self, Figures};
use crate::payload;
use crate::rows::remove;
use crate::servers::streamkit::{dial, token};
use crate::side_by_side::Plan;
use crate::{Outcome, Usage};

/// Entries that each segment has at first.
const ENTRIES: u64 = 10;

/// Bytes of each.
const BYTES: usize = 256;

/// Segments of a transaction.
const TOGETHER: usize = 100;

/// Entries that are told live.
const LIVE: usize = 1_000;

/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts a server, fills so many segments of it, and follows them.
pub(super) fn measure(runtime: &Runtime, plan: &Plan, segments: usize) -> Outcome<Value> {
    let process = child::start(plan, "scattered")?;
    eprintln!("{segments} segments followed over one connection …");
    let measured = runtime.block_on(follow(&process.place.address(), process.id(), segments));
    let dir = process.place.dir.clone();
    drop(process);
    remove(&dir)?;
    let mut found = measured?.to_json();
    found["segments"] = segments.into();
    Ok(found)
}

async fn follow(address: &str, server: u32, segments: usize) -> Outcome<Figures> {
    let token = token()?;
    let producer = dial(address, &token, Protocol::V2).await?;
    let store = producer.store(payload::store_id(0).0);
    let all: Vec<usize> = (0..segments).collect();
    for together in all.chunks(TOGETHER) {
        append(&store, together, 1, ENTRIES).await?;
    }
    let memory = || -> Outcome<f64> { Ok((Usage::of(server)?.resident_bytes + Usage::now()?.resident_bytes) as f64) };
    let before = memory()?;

    let mut heads = Heads(HashMap::new());
    let client = dial(address, &token, Protocol::V2).await?;
    let began = Instant::now();
    let mut told = begin(&client, segments, LogCursor::default());
    let (_, entries) = heads.caught_up(&mut told).await?;
    let caught_up = began.elapsed();
    if entries != segments as u64 * ENTRIES {
        return Err(format!("{entries} entries came of {segments} segments of {ENTRIES}").into());
    }
    let grown = memory()? - before;

    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let mut cursor = LogCursor::default();
    for live in 0..LIVE.min(segments) {
        // Far from the one before.
        let segment = live * 7_919 % segments;
        let head = heads.0.get(&segment).copied().unwrap_or_default();
        append(&store, &[segment], head + 1, 1).await?;
        let acknowledged = Instant::now();
        cursor = heads.next(&mut told, segment).await?;
        figures::record(&mut latency, acknowledged.elapsed());
    }
    drop((told, client));

    let client = dial(address, &token, Protocol::V2).await?;
    let began = Instant::now();
    let (_, again) = heads.caught_up(&mut begin(&client, segments, cursor.clone())).await?;
    let resumed = began.elapsed();
    if again != 0 {
        return Err(format!("{again} entries came again behind the cursor").into());
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(figures::latency(&latency, 1.0)
        .with("caught_up_ms", milliseconds(caught_up))
        .with("resumed_ms", milliseconds(resumed))
        .with("memory_mib", grown / f64::from(1 << 20))
        .with("cursor_bytes", cursor.bytes().len() as f64))
}

fn begin(client: &Client, segments: usize, behind: LogCursor) -> Follows {
    let parts = (0..segments).map(|segment| Wanted::Segment(payload::path(segment)));
    client
        .store(payload::store_id(0).0)
        .follow(Follow::new(parts.collect(), behind))
}

async fn append(store: &StoreClient, segments: &[usize], first: u64, count: u64) -> Outcome {
    let section = |&segment: &usize| SegmentAppend {
        path: payload::path(segment),
        first_sequence: Sequence(first),
        records: (first..first + count)
            .map(|sequence| Record::new(payload::record(segment, sequence, BYTES)))
            .collect(),
    };
    store
        .append(Append::new(segments.iter().map(section).collect()))
        .await?;
    Ok(())
}

/// The last sequence that came of each segment.
struct Heads(HashMap<usize, u64>);

impl Heads {
    /// Takes what comes until all that was there has; the place then, and how many entries it was.
    async fn caught_up(&mut self, told: &mut Follows) -> Outcome<(LogCursor, u64)> {
        let mut count = 0;
        loop {
            match next(told).await? {
                Followed::Batch(entries, _) => {
                    count += entries.len() as u64;
                    for entry in &entries {
                        self.take(entry.path.segment.as_str(), entry.sequence.0, &entry.payload)?;
                    }
                }
                Followed::CaughtUp(cursor) => return Ok((cursor, count)),
                Followed::At(_) => {}
            }
        }
    }

    /// Takes one entry of a segment; the place behind it.
    async fn next(&mut self, told: &mut Follows, segment: usize) -> Outcome<LogCursor> {
        loop {
            if let Followed::Batch(entries, cursor) = next(told).await? {
                let [entry] = &entries[..] else {
                    return Err(format!("{} entries came, and one was appended", entries.len()).into());
                };
                self.take(entry.path.segment.as_str(), entry.sequence.0, &entry.payload)?;
                return match payload::writer_of(entry.path.segment.as_str()) == Some(segment) {
                    true => Ok(cursor),
                    false => Err("an entry came of another segment".into()),
                };
            }
        }
    }

    fn take(&mut self, segment: &str, sequence: u64, payload: &[u8]) -> Outcome {
        let writer = payload::writer_of(segment).ok_or("a segment that nobody writes")?;
        let head = self.0.entry(writer).or_default();
        if sequence != *head + 1 || !payload::is_record(payload, writer, sequence, BYTES) {
            return Err(format!("{segment}: {sequence} came behind {head}, or other bytes").into());
        }
        *head = sequence;
        Ok(())
    }
}

async fn next(told: &mut Follows) -> Outcome<Followed> {
    let next = tokio::time::timeout(PATIENCE, told.next()).await?;
    Ok(next.ok_or("a follow ended")??)
}
