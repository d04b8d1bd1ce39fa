//! One segment: what the target has of it is compared entry by entry, the rest is appended at its sequences, and read back.

use std::fmt;

use serde::Serialize;
use streamkit_client::{Entry, Error, NewRecord, StoreClient};
use twox_hash::XxHash64;

use crate::failure::Failure;
use crate::import::pieces::Pieces;

/// A segment of the source.
pub(super) struct Segment {
    pub(super) space: String,
    pub(super) segment: String,
    pub(super) first: u64,
    pub(super) last: u64,
    /// First and last sequence in the target.
    pub(super) there: Option<(u64, u64)>,
}

/// What became of it.
pub(super) struct Copied {
    pub(super) copied: u64,
    pub(super) difference: Option<Difference>,
}

/// Why source and target are not the same.
#[derive(Serialize, Debug)]
pub(super) struct Difference {
    pub(super) space: String,
    pub(super) segment: String,
    pub(super) what: String,
    #[serde(skip)]
    pub(super) is_conflict: bool,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}: {}", self.space, self.segment, self.what)
    }
}

impl Segment {
    /// Entries that the source has.
    pub(super) fn entries(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    /// Copies what is missing. `there` is told of entries that are known to be in the target.
    ///
    /// # Errors
    /// A call failed: what is there stays, and another run goes on. That entries differ is no failure.
    pub(super) async fn copy(
        self,
        from: &StoreClient,
        to: &StoreClient,
        there: &impl Fn(u64),
    ) -> Result<Copied, Failure> {
        let path = (self.space.as_str(), self.segment.as_str());
        let during = |what: &str, error: Error| Failure::from(error).during(format!("{}/{}, {what}", path.0, path.1));
        let reading = |error| during("the source", error);
        let writing = |error| during("the target", error);
        let (target_first, head) = self.there.unwrap_or((1, 0));
        if self.first > head + 1 {
            let what = format!(
                "it begins at sequence {}, what was before is trimmed, and the next in the target is {}",
                self.first,
                head + 1
            );
            return Ok(self.differs(0, what, false));
        }
        // What the target has trimmed cannot be compared, and was the same when it was copied.
        let begin = self.first.max(target_first);
        there(begin.min(self.last + 1) - self.first);
        let mut source = Pieces::new(from, path, begin, self.last);
        let mut target = Pieces::new(to, path, begin, head.min(self.last));
        while let Some(other) = target.next().await.map_err(writing)? {
            let entry = source.next().await.map_err(reading)?;
            if entry.is_none_or(|entry| !is_same(&entry, &other)) {
                let what = format!("the target has another entry at sequence {}", other.sequence);
                return Ok(self.differs(0, what, true));
            }
            there(1);
        }
        if head > self.last {
            let what = format!(
                "the target goes on to sequence {head}, the source ends at {}",
                self.last
            );
            return Ok(self.differs(0, what, true));
        }
        let copied = self.last - head.min(self.last);
        if copied == 0 {
            return Ok(Copied {
                copied,
                difference: None,
            });
        }
        let mut sums = (Sum::default(), Sum::default());
        let mut producer = to.produce(path.0, path.1, head + 1).await.map_err(writing)?;
        let mut told = head;
        let mut tell = |acknowledged: u64| {
            there(acknowledged.saturating_sub(told));
            told = told.max(acknowledged);
        };
        while let Some(entry) = source.next().await.map_err(reading)? {
            sums.0.add(&entry);
            let record = NewRecord {
                payload: entry.payload,
                metadata: entry.metadata,
            };
            match producer.send(&record).await {
                Ok(_) => tell(producer.acknowledged()),
                Err(Error::Conflict { head: now, .. }) => return Ok(self.was_second(head, now)),
                Err(error) => return Err(writing(error)),
            }
        }
        match producer.finish().await {
            Ok(_) => tell(self.last),
            Err(Error::Conflict { head: now, .. }) => return Ok(self.was_second(head, now)),
            Err(error) => return Err(writing(error)),
        }
        let mut stored = Pieces::new(to, path, head + 1, self.last);
        while let Some(entry) = stored.next().await.map_err(writing)? {
            sums.1.add(&entry);
        }
        if sums.0 != sums.1 {
            let what = format!(
                "from sequence {} on, the source has {}, the target {}",
                head + 1,
                sums.0,
                sums.1
            );
            return Ok(self.differs(copied, what, false));
        }
        Ok(Copied {
            copied,
            difference: None,
        })
    }

    /// Somebody else appended to it meanwhile.
    fn was_second(&self, head: u64, now: u64) -> Copied {
        let what = format!("another producer appends to it in the target: its head was {head}, and is {now}");
        self.differs(0, what, true)
    }

    fn differs(&self, copied: u64, what: String, is_conflict: bool) -> Copied {
        let difference = Difference {
            space: self.space.clone(),
            segment: self.segment.clone(),
            what,
            is_conflict,
        };
        Copied {
            copied,
            difference: Some(difference),
        }
    }
}

fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.sequence, &one.payload, &one.metadata) == (other.sequence, &other.payload, &other.metadata)
}

/// Entries, counted, and a checksum over their sequences, payloads and metadata.
#[derive(Default, PartialEq, Eq)]
struct Sum {
    entries: u64,
    checksum: u64,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        let mut add = |bytes: &[u8]| {
            let sum = XxHash64::oneshot(self.checksum, &(bytes.len() as u64).to_le_bytes());
            self.checksum = XxHash64::oneshot(sum, bytes);
        };
        add(&entry.sequence.to_le_bytes());
        add(&entry.payload);
        for (key, value) in &entry.metadata {
            add(key.as_bytes());
            add(value.as_bytes());
        }
        add(&(entry.metadata.len() as u64).to_le_bytes());
        self.entries += 1;
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = crate::output::counted(self.entries, "entry");
        write!(out, "{entries} with the checksum {:016x}", self.checksum)
    }
}
