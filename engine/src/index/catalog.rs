//! The heads of all segments, and the runs of the open extent. One authority for what is readable: whatever is applied
//! here is durable, and is visible to every reader from then on, in log order.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::Run;
use super::runs::{ExtentRuns, OwnedRun, SegmentNumber, SpaceNumber};
use crate::format::FormatError;
use crate::format::transaction::{Kind, Section, TransactionHeader, sections};
use crate::model::{LogPosition, Name, SegmentPath, SegmentStatus, Sequence, StoreStatus, Timestamp};

/// What is known of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: Name,
    pub(crate) space: SpaceNumber,
    /// Newest extent that holds entries of it.
    pub(crate) last_extent: u32,
    pub(crate) first_sequence: Sequence,
    pub(crate) first_timestamp: Timestamp,
    pub(crate) head: Sequence,
    pub(crate) last_timestamp: Timestamp,
}

#[derive(Debug, Default)]
struct Space {
    number: SpaceNumber,
    segments: BTreeMap<Name, SegmentNumber>,
}

/// All segments of a store.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    spaces: BTreeMap<Name, Space>,
    space_names: Vec<Name>,
    segments: Vec<Segment>,
    segment_count: u64,
    entry_count: u64,
    last_timestamp: Timestamp,
    /// Entries of these segments before these positions were deleted.
    deleted: HashMap<SegmentPath, LogPosition>,
    trimmed: bool,
    pub(crate) open: ExtentRuns,
}

impl Catalog {
    /// An empty one whose open extent is `extent`.
    pub(crate) fn starting_at(extent: u64) -> Self {
        Self {
            open: ExtentRuns::new(extent),
            ..Self::default()
        }
    }

    pub(crate) fn find(&self, path: &SegmentPath) -> Option<(SegmentNumber, &Segment)> {
        let number = *self.spaces.get(&path.space)?.segments.get(&path.segment)?;
        Some((number, &self.segments[number as usize]))
    }

    pub(crate) fn head(&self, path: &SegmentPath) -> Sequence {
        self.find(path).map_or(Sequence(0), |(_, segment)| segment.head)
    }

    pub(crate) fn space_number(&self, space: &Name) -> Option<SpaceNumber> {
        self.spaces.get(space).map(|space| space.number)
    }

    pub(crate) fn path(&self, segment: SegmentNumber) -> SegmentPath {
        let segment = &self.segments[segment as usize];
        SegmentPath {
            space: self.space_names[segment.space as usize].clone(),
            segment: segment.name.clone(),
        }
    }

    fn status_of(&self, space: &Name, segment: &Segment) -> SegmentStatus {
        SegmentStatus {
            path: SegmentPath {
                space: space.clone(),
                segment: segment.name.clone(),
            },
            first_sequence: segment.first_sequence,
            first_timestamp: segment.first_timestamp,
            last_sequence: segment.head,
            last_timestamp: segment.last_timestamp,
        }
    }

    pub(crate) fn status(&self, path: &SegmentPath) -> Option<SegmentStatus> {
        self.find(path).map(|(_, segment)| self.status_of(&path.space, segment))
    }

    pub(crate) fn spaces(&self) -> Vec<Name> {
        self.spaces
            .iter()
            .filter(|(_, space)| !space.segments.is_empty())
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(crate) fn page(&self, space: &Name, after: Bound<Name>, limit: usize) -> Vec<SegmentStatus> {
        let Some(entry) = self.spaces.get(space) else {
            return Vec::new();
        };
        let range = entry.segments.range((after, Bound::Unbounded)).take(limit);
        range
            .map(|(_, &number)| self.status_of(space, &self.segments[number as usize]))
            .collect()
    }

    pub(crate) fn totals(&self) -> StoreStatus {
        StoreStatus {
            space_count: self.spaces.values().filter(|space| !space.segments.is_empty()).count() as u64,
            segment_count: self.segment_count,
            entry_count: self.entry_count,
            last_timestamp: self.last_timestamp,
        }
    }

    /// Which of a run's entries may be read: `None` if it was deleted, else the first readable sequence.
    pub(crate) fn visible_from(&self, path: &SegmentPath, at: LogPosition) -> Option<Sequence> {
        if !self.trimmed && self.deleted.is_empty() {
            return Some(Sequence::FIRST);
        }
        if self.deleted.get(path).is_some_and(|&deleted| at < deleted) {
            return None;
        }
        self.find(path).map(|(_, segment)| segment.first_sequence)
    }

    /// Takes a durable transaction in. `at` is where it starts in the log.
    ///
    /// # Errors
    /// A transaction that cannot follow what is there: damage, or a bug that must not spread.
    pub(crate) fn apply(
        &mut self,
        header: &TransactionHeader,
        transaction: &[u8],
        at: LogPosition,
    ) -> Result<(), FormatError> {
        if header.timestamp < self.last_timestamp {
            return Err(FormatError::Invalid("a transaction older than the one before it"));
        }
        for section in sections(header, transaction) {
            let section = section?;
            let path = section.path()?;
            match header.kind {
                Kind::Data => self.append(header, &section, &path, at)?,
                Kind::Trim => self.trim(&path, section.first_sequence, section.trim_timestamp()?)?,
                Kind::Delete => self.delete(&path, at)?,
                Kind::Open => return Err(FormatError::Invalid("an open record that names a segment")),
            }
        }
        self.last_timestamp = header.timestamp;
        Ok(())
    }

    fn append(
        &mut self,
        header: &TransactionHeader,
        section: &Section<'_>,
        path: &SegmentPath,
        at: LogPosition,
    ) -> Result<(), FormatError> {
        if self.head(path).next() != section.first_sequence {
            return Err(FormatError::Invalid("a section that does not continue its segment"));
        }
        let extent = u32::try_from(at.extent).map_err(|_| FormatError::Invalid("an extent number out of range"))?;
        let number = match self.find(path) {
            Some((number, _)) => number,
            None => self.insert(
                path,
                Segment {
                    name: path.segment.clone(),
                    space: 0,
                    last_extent: 0,
                    first_sequence: section.first_sequence,
                    first_timestamp: header.timestamp,
                    head: Sequence(0),
                    last_timestamp: header.timestamp,
                },
            ),
        };
        let segment = &mut self.segments[number as usize];
        let previous_extent = std::mem::replace(&mut segment.last_extent, extent);
        let run = Run {
            first_sequence: section.first_sequence,
            timestamp: header.timestamp,
            trx_byte: at.byte,
            section_offset: section.offset,
            count: section.record_count,
        };
        segment.head = run.last_sequence();
        segment.last_timestamp = header.timestamp;
        self.entry_count = self.entry_count.saturating_add(u64::from(section.record_count));
        // The first run here names the extent before; for later ones the list keeps what the first one said.
        let owned = OwnedRun {
            segment: number,
            space: segment.space,
            run,
        };
        self.open.push(owned, previous_extent);
        Ok(())
    }

    fn trim(&mut self, path: &SegmentPath, first: Sequence, timestamp: Timestamp) -> Result<(), FormatError> {
        let number = self.find(path).map(|(number, _)| number);
        let number = number.ok_or(FormatError::Invalid("a trim of a segment that is not there"))?;
        let segment = &mut self.segments[number as usize];
        if first > segment.head {
            return Err(FormatError::Invalid("a trim beyond the head"));
        }
        if first > segment.first_sequence {
            self.entry_count = self.entry_count.saturating_sub(first.0 - segment.first_sequence.0);
            segment.first_sequence = first;
            segment.first_timestamp = timestamp;
        }
        self.trimmed = true;
        Ok(())
    }

    fn delete(&mut self, path: &SegmentPath, at: LogPosition) -> Result<(), FormatError> {
        let space = self.spaces.get_mut(&path.space);
        let number = space.and_then(|space| space.segments.remove(&path.segment));
        let number = number.ok_or(FormatError::Invalid("a delete of a segment that is not there"))?;
        let segment = &self.segments[number as usize];
        let entries = segment.head.0 - segment.first_sequence.0 + 1;
        self.entry_count = self.entry_count.saturating_sub(entries);
        self.segment_count -= 1;
        self.open.forget(number);
        self.deleted.insert(path.clone(), at);
        Ok(())
    }

    fn insert(&mut self, path: &SegmentPath, mut segment: Segment) -> SegmentNumber {
        let number = SegmentNumber::try_from(self.segments.len()).expect("fewer than 2^32 segments");
        if !self.spaces.contains_key(&path.space) {
            let space = SpaceNumber::try_from(self.space_names.len()).expect("fewer than 2^32 spaces");
            self.space_names.push(path.space.clone());
            self.spaces.insert(
                path.space.clone(),
                Space {
                    number: space,
                    segments: BTreeMap::new(),
                },
            );
        }
        let space = self.spaces.get_mut(&path.space).expect("inserted above");
        segment.space = space.number;
        space.segments.insert(path.segment.clone(), number);
        self.segments.push(segment);
        self.segment_count += 1;
        number
    }

    /// Starts the next extent; returns the runs of the one before.
    pub(crate) fn roll(&mut self, extent: u64) -> ExtentRuns {
        std::mem::replace(&mut self.open, ExtentRuns::new(extent))
    }

    /// The segments in order, each with its space's name and its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, SegmentNumber, &Segment)> {
        self.spaces.iter().flat_map(move |(name, space)| {
            space
                .segments
                .values()
                .map(move |&number| (name, number, &self.segments[number as usize]))
        })
    }

    pub(crate) fn counts(&self) -> (u64, usize) {
        (self.segment_count, self.space_names.len())
    }

    pub(crate) fn deleted(&self) -> impl Iterator<Item = (&SegmentPath, LogPosition)> {
        self.deleted.iter().map(|(path, &at)| (path, at))
    }

    /// Restores one segment from a checkpoint.
    pub(crate) fn restore(&mut self, path: &SegmentPath, segment: Segment) -> SegmentNumber {
        self.entry_count = self
            .entry_count
            .saturating_add(segment.head.0 - segment.first_sequence.0 + 1);
        self.trimmed |= segment.first_sequence > Sequence::FIRST;
        self.last_timestamp = self.last_timestamp.max(segment.last_timestamp);
        self.insert(path, segment)
    }

    /// Restores one deletion from a checkpoint.
    pub(crate) fn restore_deleted(&mut self, path: SegmentPath, at: LogPosition) {
        self.deleted.insert(path, at);
    }

    pub(crate) fn set_last_timestamp(&mut self, timestamp: Timestamp) {
        self.last_timestamp = timestamp;
    }

    pub(crate) fn space_of(&self, number: SegmentNumber) -> SpaceNumber {
        self.segments[number as usize].space
    }
}
