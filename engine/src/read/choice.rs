//! Which entries of a section a read takes: by its filter, and up to its limits. Where all are taken, no record is looked at.

use std::ops::{Range, RangeInclusive};

use crate::format::transaction::Section;
use crate::format::{Cursor, FormatError};
use streamkit_record::{Filter, Sequence};

/// What a read still wants.
#[derive(Clone, Default)]
pub(crate) struct Choice {
    /// Which entries pass.
    pub(super) filter: Filter,
    /// Entries to return at most.
    pub(super) left: u64,
    /// Bytes of them after which there are no more.
    pub(super) bytes: u64,
    /// Entries that pass, and are passed over all the same.
    pub(super) skip: u64,
}

/// Consecutive entries of a section.
pub(crate) struct Chosen {
    first: Sequence,
    count: u64,
    /// Where their records stand in the section's body, if somebody looked.
    bytes: Option<Range<usize>>,
}

impl Chosen {
    pub(super) fn sequences(&self) -> RangeInclusive<Sequence> {
        self.first..=Sequence(self.first.0 + self.count - 1)
    }

    pub(super) fn first(&self) -> Sequence {
        self.first
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Where their records stand in the body.
    pub(super) fn within(&self, section: &Section<'_>) -> Result<Range<usize>, FormatError> {
        if let Some(bytes) = &self.bytes {
            return Ok(bytes.clone());
        }
        let mut records = Records::of(section);
        let ahead = self.first.0 - section.first_sequence.0;
        for _ in 0..ahead {
            records.next()?;
        }
        let start = records.at();
        for _ in 0..self.count {
            records.next()?;
        }
        Ok(start..records.at())
    }
}

/// The records of a section, of which nothing is decoded.
struct Records<'a>(Cursor<'a>);

impl<'a> Records<'a> {
    fn of(section: &Section<'a>) -> Self {
        Self(Cursor::new(section.body))
    }

    fn at(&self) -> usize {
        self.0.at()
    }

    /// The metadata of the next one, and the bytes of its payload.
    fn next(&mut self) -> Result<(&'a [u8], usize), FormatError> {
        let (metadata, payload) = (self.0.u32()? as usize, self.0.u32()? as usize);
        let metadata = self.0.slice(metadata)?;
        self.0.slice(payload)?;
        Ok((metadata, payload))
    }
}

impl Choice {
    pub(crate) fn new(filter: Filter, entries: u64, bytes: u64) -> Self {
        Self {
            filter,
            left: if bytes == 0 { 0 } else { entries },
            bytes,
            skip: 0,
        }
    }

    /// So many entries, whichever they are.
    pub(super) fn any(entries: u64) -> Self {
        Self::new(Filter::default(), entries, u64::MAX)
    }

    /// Whether any entry will do.
    pub(super) fn is_any(&self) -> bool {
        self.filter.metadata.is_empty() && self.skip == 0 && self.bytes == u64::MAX
    }

    /// The same filter behind the first `skip` entries that pass, without limits; and what it has of bytes, which are counted if they are
    /// limited here.
    pub(super) fn without_limits(&self, skip: u64) -> (Self, u64) {
        let bytes = if self.bytes == u64::MAX { u64::MAX } else { u64::MAX - 1 };
        let choice = Self {
            filter: self.filter.clone(),
            left: u64::MAX,
            bytes,
            skip,
        };
        (choice, bytes)
    }

    /// So much was taken otherwise.
    pub(super) fn took(&mut self, entries: u64, bytes: u64) {
        self.left = self.left.saturating_sub(entries);
        self.spend(bytes);
    }

    /// Goes through the `wanted` entries, which a section has, until it took `most`; gives out those that it takes. Returns the
    /// sequence behind the last one that was looked at.
    pub(super) fn each(
        &mut self,
        section: &Section<'_>,
        wanted: RangeInclusive<Sequence>,
        most: u64,
        mut take: impl FnMut(&Chosen) -> Result<(), FormatError>,
    ) -> Result<Sequence, FormatError> {
        let (from, to) = wanted.into_inner();
        let all = to.0 - from.0 + 1;
        let most = most.min(self.left);
        let fits = all <= most && all == u64::from(section.record_count) && section.record_bytes() < self.bytes;
        if self.is_any() || fits && self.filter.metadata.is_empty() && self.skip == 0 {
            let count = all.min(most);
            take(&Chosen {
                first: from,
                count,
                bytes: None,
            })?;
            self.left -= count;
            self.spend(if self.is_any() { 0 } else { section.record_bytes() });
            return Ok(Sequence(from.0 + count));
        }
        let mut records = Records::of(section);
        let mut chosen: Option<Chosen> = None;
        let mut next = from;
        let mut taken = 0;
        for sequence in (section.first_sequence.0..=to.0).map(Sequence) {
            let start = records.at();
            let (metadata, payload) = records.next()?;
            if sequence < from {
                continue;
            }
            next = sequence.next();
            let passes = self.filter.passes_metadata(metadata);
            if !passes || self.skip > 0 {
                self.skip -= u64::from(passes);
                if let Some(chosen) = chosen.take() {
                    take(&chosen)?;
                }
                continue;
            }
            let end = records.at();
            let chosen = chosen.get_or_insert(Chosen {
                first: sequence,
                count: 0,
                bytes: Some(start..end),
            });
            chosen.count += 1;
            chosen.bytes = chosen.bytes.take().map(|bytes| bytes.start..end);
            self.left -= 1;
            self.spend((metadata.len() + payload) as u64);
            taken += 1;
            if taken >= most || self.left == 0 {
                break;
            }
        }
        if let Some(chosen) = chosen {
            take(&chosen)?;
        }
        Ok(next)
    }

    /// So many bytes were taken.
    fn spend(&mut self, bytes: u64) {
        if self.bytes != u64::MAX {
            self.bytes = self.bytes.saturating_sub(bytes);
            if self.bytes == 0 {
                self.left = 0;
            }
        }
    }
}
