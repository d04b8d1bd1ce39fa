//! Several reads as one, in the order of the log. A read that goes on behind an entry, as v1 names places, begins with the millisecond
//! of that entry, and what comes up to it is left out.

use std::collections::VecDeque;

use streamkit_protocol::SpaceOffset;
use streamkit_record::Entry;

use super::read::Reading;
use crate::error::Error;

/// Reads whose entries come in one order.
pub(super) struct Merged {
    parts: Vec<Part>,
}

/// One of them.
pub(super) struct Part {
    reading: Reading,
    entries: VecDeque<Entry>,
    skip: Skip,
    is_over: bool,
}

impl Part {
    /// A read, strictly behind an entry.
    pub(super) fn new(reading: Reading, behind: Option<SpaceOffset>) -> Self {
        Self {
            reading,
            entries: VecDeque::new(),
            skip: Skip {
                behind,
                held: Vec::new(),
            },
            is_over: false,
        }
    }

    /// Reads on until there is an entry, or the end.
    async fn fill(&mut self) -> Result<(), Error> {
        while self.entries.is_empty() && !self.is_over {
            match self.reading.next().await? {
                Some(batch) => batch
                    .into_iter()
                    .for_each(|entry| self.skip.take(entry, &mut self.entries)),
                None => {
                    self.is_over = true;
                    self.entries.extend(self.skip.held.drain(..));
                }
            }
        }
        Ok(())
    }
}

impl Merged {
    pub(super) fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// The next entry; `None` at the end of all.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        for part in &mut self.parts {
            part.fill().await?;
        }
        let number = |part: &&mut Part| part.entries.front().map_or(u64::MAX, |entry| entry.trx.number);
        let first = self.parts.iter_mut().min_by_key(number);
        Ok(first.and_then(|part| part.entries.pop_front()))
    }
}

/// Leaves out what comes up to an entry.
struct Skip {
    behind: Option<SpaceOffset>,
    /// Entries of its millisecond: left out once it comes, and taken if it does not, for it was removed.
    held: Vec<Entry>,
}

impl Skip {
    fn take(&mut self, entry: Entry, out: &mut VecDeque<Entry>) {
        let Some(behind) = &self.behind else {
            out.push_back(entry);
            return;
        };
        if entry.timestamp.0 > behind.timestamp {
            out.extend(self.held.drain(..));
            out.push_back(entry);
            self.behind = None;
        } else if entry.path.segment.as_str() == behind.segment && entry.sequence.0 == behind.sequence {
            self.held.clear();
            self.behind = None;
        } else if entry.timestamp.0 == behind.timestamp {
            self.held.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use streamkit_record::{Metadata, SegmentPath, Sequence, Timestamp, Trx};
    use uuid::Uuid;

    use super::*;

    fn entry(sequence: u64, timestamp: i64) -> Entry {
        Entry {
            path: SegmentPath::new("s", "a").unwrap(),
            sequence: Sequence(sequence),
            timestamp: Timestamp(timestamp),
            trx: Trx {
                id: Uuid::nil(),
                node: Uuid::nil(),
                number: sequence,
            },
            payload: Bytes::new(),
            metadata: Metadata::default(),
        }
    }

    /// What comes of entries, each a sequence and a time, behind this sequence of time 5.
    fn behind(sequence: u64, entries: &[(u64, i64)]) -> Vec<u64> {
        let behind = Some(SpaceOffset {
            space: "s".into(),
            timestamp: 5,
            segment: "a".into(),
            sequence,
        });
        let mut skip = Skip {
            behind,
            held: Vec::new(),
        };
        let mut out = VecDeque::new();
        entries
            .iter()
            .for_each(|&(n, time)| skip.take(entry(n, time), &mut out));
        out.extend(skip.held);
        out.iter().map(|entry| entry.sequence.0).collect()
    }

    #[test]
    fn a_read_goes_on_behind_an_entry_and_behind_its_place_if_it_is_gone() {
        assert_eq!(behind(2, &[(1, 5), (2, 5), (3, 5), (4, 6)]), [3, 4]);
        assert_eq!(behind(2, &[(2, 5)]), Vec::<u64>::new());
        assert_eq!(behind(9, &[(3, 5), (4, 6)]), [3, 4]);
        assert_eq!(behind(9, &[(3, 5)]), [3]);
    }
}
