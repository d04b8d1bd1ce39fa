//! What stands at the sequences of records whose answer was lost: v1 has no ids of transactions that would tell.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_protocol::{ConsumeSegment, Request, SegmentStatus};

use crate::call::Call;
use crate::consume::Entries;
use crate::error::Error;
use crate::lookup;
use crate::model::{Entry, NewRecord};
use crate::retry::RetryPolicy;

/// A segment by its names.
pub(crate) type Names<'a> = (&'a str, &'a str);

/// Pauses before records are sent again.
const AGAIN: RetryPolicy = RetryPolicy {
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_secs(1),
    ..RetryPolicy::DEFAULT
};

/// The pause before a retry. The first is at once.
pub(crate) fn pause(times: u32) -> Duration {
    match times {
        0 | 1 => Duration::ZERO,
        times => AGAIN.pause(times - 1),
    }
}

/// The head of a segment; 0 while it is empty.
pub(crate) async fn head(call: &Call, (space, segment): Names<'_>) -> Result<u64, Error> {
    let last = call.ask(|channel| lookup::peek(channel, space, segment)).await?;
    Ok(last.map_or(0, |entry| entry.sequence))
}

/// What stands where records were sent to.
pub(crate) enum Found {
    /// All of them.
    All(SegmentStatus),
    /// So many of them, and nothing behind: chunks are stored one by one.
    First(usize),
    /// Something else behind so many of them, up to this head.
    Others { ours: usize, head: u64 },
}

/// Compares what stands from a sequence on with so many records.
pub(crate) async fn found<'a>(
    call: &Call,
    (space, segment): Names<'_>,
    first: u64,
    records: impl ExactSizeIterator<Item = &'a NewRecord>,
) -> Result<Found, Error> {
    let read = |from, limit| {
        let read = ConsumeSegment {
            space: space.to_owned(),
            segment: segment.to_owned(),
            min_sequence: from,
            limit,
            ..ConsumeSegment::default()
        };
        Entries::new(call.clone(), Request::ConsumeSegment(read))
    };
    let mut entries = read(first, records.len() as u64);
    let mut last: Option<Entry> = None;
    for (record, count) in records.zip(0..) {
        let Some(entry) = entries.try_next().await? else {
            return Ok(Found::First(count));
        };
        let is_there = entry.sequence == first + count as u64;
        if !is_there || entry.payload != record.payload || entry.metadata != record.metadata {
            let head = head(call, (space, segment)).await?.max(entry.sequence);
            return Ok(Found::Others { ours: count, head });
        }
        last = Some(entry);
    }
    drop(entries);
    let Some(last) = last else {
        return Ok(Found::First(0));
    };
    let begin = read(1, 1).try_next().await?.unwrap_or_else(|| last.clone());
    Ok(Found::All(SegmentStatus {
        space: space.to_owned(),
        segment: segment.to_owned(),
        first_sequence: begin.sequence,
        first_timestamp: begin.timestamp,
        last_sequence: last.sequence,
        last_timestamp: last.timestamp,
        heartbeat: false,
    }))
}
