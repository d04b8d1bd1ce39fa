//! Appends over v1, which has neither transactions of several segments nor conditions.

use streamkit_protocol::SegmentStatus;
use streamkit_protocol::v2::{Appended, Durability};
use streamkit_record::{SegmentAppend, Sequence, Timestamp};

use crate::asked::Append;
use crate::call::Call;
use crate::error::Error;
use crate::found::{Names, head, pause};
use crate::model::NewRecord;
use crate::producer::Producer;
use crate::v2::Patience;

/// Appends a transaction that v1 can carry.
pub(crate) async fn append(call: &Call, append: Append) -> Result<Appended, Error> {
    // What one chunk does not hold would be stored in several, and could be stored in part.
    let append = append.checked()?;
    let sections = append.segments;
    let what = match (sections.len(), append.conditions.is_empty(), append.fence) {
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

/// Produces records, the first at `first`.
pub(crate) async fn produce(
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
