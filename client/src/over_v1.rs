//! Appends over v1, which has no ids of transactions: where an answer was lost, what stands at the sequences of the records tells what became of them.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_protocol::v2::{Appended, Durability};
use streamkit_protocol::{ConsumeSegment, Request, SegmentStatus};
use streamkit_record::{SegmentAppend, Sequence, Timestamp};

use crate::asked::Append;
use crate::call::Call;
use crate::consume::Entries;
use crate::error::Error;
use crate::lookup;
use crate::model::{Entry, NewRecord};
use crate::producer::Producer;
use crate::retry::RetryPolicy;
use crate::v2::Patience;

/// A segment by its names.
type Names<'a> = (&'a str, &'a str);

/// Pauses before records are sent again.
const AGAIN: RetryPolicy = RetryPolicy {
    first_pause: Duration::from_millis(20),
    longest_pause: Duration::from_secs(1),
    ..RetryPolicy::DEFAULT
};

/// Appends a transaction that v1 can carry.
pub(crate) async fn append(call: &Call, append: Append) -> Result<Appended, Error> {
    let Append {
        sections,
        conditions,
        fence,
        ..
    } = append;
    let what = match (sections.len(), conditions.is_empty(), fence) {
        (1, true, None) => None,
        (1, true, Some(_)) => Some("append tied to a lease"),
        (1, false, _) => Some("append with conditions"),
        _ => Some("append to several segments"),
    };
    if let Some(what) = what {
        return Err(Error::NotInV1(what));
    }
    let mut stored = Appended {
        position: 0,
        timestamp: Timestamp::default(),
        durability: Durability::Disk,
        is_known: false,
        sections: Vec::new(),
    };
    for section in sections {
        let names = section.path.names();
        let count = section.records.len() as u64;
        let records: Vec<NewRecord> = section.records.into_iter().map(NewRecord::from_log).collect();
        let status = match section.first_sequence {
            SegmentAppend::NEXT => behind_the_head(call, names, &records).await?,
            Sequence(first) => produce(call, names, first, &records).await?,
        };
        stored.timestamp = Timestamp(status.last_timestamp);
        let last = Sequence(status.last_sequence);
        stored
            .sections
            .push((Sequence((last.0 + 1).saturating_sub(count)), last));
    }
    Ok(stored)
}

/// Appends records behind the head, wherever that is. Who else of this client appends so to the segment waits.
pub(crate) async fn behind_the_head(
    call: &Call,
    (space, segment): Names<'_>,
    records: &[NewRecord],
) -> Result<SegmentStatus, Error> {
    let patience = Patience::new(call.timeout());
    let alone = tokio::time::timeout(patience.left(), call.publishing(space, segment)).await;
    let _alone = alone.map_err(|_| patience.over())?;
    let mut head = head(call, (space, segment)).await?;
    let mut times = 0;
    loop {
        match produce(call, (space, segment), head.saturating_add(1), records).await {
            Err(Error::Conflict { head: now, .. }) if !patience.is_over() => head = now,
            done => return done,
        }
        times += 1;
        tokio::time::sleep(pause(times).min(patience.left())).await;
    }
}

/// The first retry is at once.
fn pause(times: u32) -> Duration {
    match times {
        1 => Duration::ZERO,
        times => AGAIN.pause(times - 1),
    }
}

/// The head of a segment; 0 while it is empty.
async fn head(call: &Call, (space, segment): Names<'_>) -> Result<u64, Error> {
    let last = call.ask(|channel| lookup::peek(channel, space, segment)).await?;
    Ok(last.map_or(0, |entry| entry.sequence))
}

/// Produces records, the first at `first`. If an answer is lost, what stands at their sequences tells whether they are stored; if nothing does, they are sent
/// again, with the same sequences, until the client's timeout.
///
/// # Errors
/// [`Error::Conflict`]: other records are at one of the sequences. [`Error::Unknown`]: it could not be found out in time.
pub(crate) async fn produce(
    call: &Call,
    names: Names<'_>,
    first: u64,
    records: &[NewRecord],
) -> Result<SegmentStatus, Error> {
    let patience = Patience::new(call.timeout());
    // Why nobody knows what became of an attempt.
    let mut open: Option<String> = None;
    let (mut rest, mut next, mut times) = (records, first, 0);
    loop {
        let error = match once(call, names, next, rest).await {
            Ok(status) => return Ok(status),
            Err(error) => error,
        };
        let is_lost = error.is_transient() && !error.is_not_stored();
        if is_lost {
            open.get_or_insert_with(|| error.to_string());
        }
        let Some(why) = &open else { return Err(error) };
        let is_in_the_way = matches!(error, Error::Conflict { .. });
        if !is_in_the_way && !error.is_transient() {
            return Err(Error::Unknown(why.clone()));
        }
        match stored(call, names, next, rest).await {
            Ok(Found::All(status)) => return Ok(status),
            Ok(Found::First(count)) => {
                rest = &rest[count..];
                next += count as u64;
            }
            Ok(Found::Others(head)) => return Err(Error::Conflict { head, got: next }),
            Err(error) if error.is_transient() => {}
            Err(_) => return Err(Error::Unknown(why.clone())),
        }
        if patience.is_over() {
            return Err(Error::Unknown(why.clone()));
        }
        times += 1;
        tokio::time::sleep(pause(times).min(patience.left())).await;
    }
}

async fn once(
    call: &Call,
    (space, segment): Names<'_>,
    first: u64,
    records: &[NewRecord],
) -> Result<SegmentStatus, Error> {
    let mut producer = Producer::open(call, space, segment, first).await?;
    for record in records {
        producer.send(record).await?;
    }
    let last = producer.finish().await?;
    last.ok_or_else(|| Error::Invalid("nothing to produce: there were no records".to_owned()))
}

/// What stands where records were sent to.
enum Found {
    /// All of them.
    All(SegmentStatus),
    /// So many of them, and nothing behind: chunks are stored one by one.
    First(usize),
    /// Something else, up to this head.
    Others(u64),
}

async fn stored(call: &Call, (space, segment): Names<'_>, first: u64, records: &[NewRecord]) -> Result<Found, Error> {
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
    for (record, sequence) in records.iter().zip(first..) {
        let Some(entry) = entries.try_next().await? else {
            return Ok(Found::First(usize::try_from(sequence - first).unwrap_or(usize::MAX)));
        };
        if entry.sequence != sequence || entry.payload != record.payload || entry.metadata != record.metadata {
            return Ok(Found::Others(head(call, (space, segment)).await?.max(entry.sequence)));
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
