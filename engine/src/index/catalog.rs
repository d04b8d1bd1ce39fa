//! The heads of all segments, and the runs of the open extent. It is the one authority for what is readable:
//! everything applied here is durable, and visible to every reader from then on, in log order.

mod restore;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Bound;

use super::deleted_now::DeletedNow;
use super::ids::RecentIds;
use super::leases::Leases;
use super::names::{FreeNames, NameAt};
use super::runs::{ExtentRuns, SegmentNumber};
use super::segments::{Begun, Deletions, Segment, Segments, SpaceNumber};
use super::table::Table;
use crate::format::FormatError;
use crate::format::run::Run;
use crate::format::transaction::{Kind, Section, TransactionHeader, sections};
use uuid::Uuid;

use streamkit_record::{FencingToken, LogPosition, Name, SegmentPath, SegmentStatus, Sequence, StoreStatus, Timestamp};

#[derive(Clone, Copy, Debug)]
struct Space {
    number: SpaceNumber,
    /// Number of segments.
    segments: u32,
}

/// All segments of a store.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    spaces: BTreeMap<Name, Space>,
    segments: Segments,
    /// Numbers and names that deleted segments free for later ones, so that memory follows the largest number of
    /// segments at any time.
    free: Free,
    /// The segments by path.
    by_path: Table,
    hashing: RandomState,
    entry_count: u64,
    last_timestamp: Timestamp,
    trimmed: bool,
    /// Whether a segment may continue after a hole, in a damaged log.
    pub(crate) over_holes: bool,
    pub(crate) deleted_now: DeletedNow,
    pub(crate) leases: Leases,
    /// Once somebody needs them.
    pub(crate) ids: Option<RecentIds>,
    pub(crate) open: ExtentRuns,
}

/// Numbers and names that nothing has any more.
#[derive(Debug, Default)]
struct Free {
    segments: Vec<SegmentNumber>,
    spaces: Vec<SpaceNumber>,
    names: FreeNames,
}

fn hash(hashing: &RandomState, space: SpaceNumber, name: &[u8]) -> u64 {
    let mut hasher = hashing.build_hasher();
    hasher.write_u32(space);
    hasher.write(name);
    hasher.finish()
}

fn hash_of_segment(hashing: &RandomState, segments: &Segments, number: SegmentNumber) -> u64 {
    let row = &segments.rows[number];
    hash(hashing, row.space, segments.names.bytes(row.name))
}

impl Catalog {
    /// An empty catalog with the open extent `extent`.
    pub(crate) fn starting_at(extent: u64) -> Self {
        Self {
            open: ExtentRuns::new(extent),
            ..Self::default()
        }
    }

    fn hash(&self, space: SpaceNumber, name: &str) -> u64 {
        hash(&self.hashing, space, name.as_bytes())
    }

    fn is_named(&self, (space, name): (SpaceNumber, NameAt), wanted: (SpaceNumber, &str)) -> bool {
        space == wanted.0 && self.segments.names.bytes(name) == wanted.1.as_bytes()
    }

    fn find_number(&self, space: SpaceNumber, name: &str) -> Option<SegmentNumber> {
        self.by_path.find(self.hash(space, name), |number| {
            let row = &self.segments.rows[number];
            self.is_named((row.space, row.name), (space, name))
        })
    }

    pub(crate) fn find(&self, path: &SegmentPath) -> Option<(SegmentNumber, &Segment)> {
        self.find_named((path.space.as_str(), path.segment.as_str()))
    }

    pub(crate) fn find_named(&self, (space, segment): (&str, &str)) -> Option<(SegmentNumber, &Segment)> {
        let number = self.find_number(self.spaces.get(space)?.number, segment)?;
        Some((number, &self.segments.rows[number]))
    }

    pub(crate) fn head(&self, path: &SegmentPath) -> Sequence {
        self.find(path).map_or(Sequence(0), |(_, segment)| segment.head)
    }

    /// Where the transaction of this id stands, if ids are known and it is one of the latest.
    pub(crate) fn place_of(&self, id: Uuid) -> Option<LogPosition> {
        self.ids.as_ref()?.find(id)
    }

    pub(crate) fn space_number(&self, space: &Name) -> Option<SpaceNumber> {
        self.spaces.get(space).map(|space| space.number)
    }

    pub(crate) fn path(&self, segment: SegmentNumber) -> SegmentPath {
        self.segments.path(segment)
    }

    pub(crate) fn status(&self, path: &SegmentPath) -> Option<SegmentStatus> {
        self.find(path).map(|(_, segment)| status(path.clone(), segment))
    }

    /// The same of a segment by its number, which some run of the open extent has.
    pub(crate) fn status_of(&self, number: SegmentNumber) -> SegmentStatus {
        status(self.path(number), &self.segments.rows[number])
    }

    pub(crate) fn spaces(&self) -> Vec<Name> {
        self.spaces.keys().cloned().collect()
    }

    pub(crate) fn page(&self, space: &Name, after: Bound<Name>, limit: usize) -> Vec<SegmentStatus> {
        let Some(number) = self.space_number(space) else {
            return Vec::new();
        };
        let (from, without) = match &after {
            Bound::Included(name) => (name.as_str(), None),
            Bound::Excluded(name) => (name.as_str(), Some(name.as_str().as_bytes())),
            Bound::Unbounded => ("", None),
        };
        let start = self.segments.find(number, from);
        let rows = self
            .segments
            .order
            .iter_from(start)
            .map(|segment| &self.segments.rows[segment]);
        rows.take_while(|row| row.space == number)
            .skip_while(|row| without == Some(self.segments.names.bytes(row.name)))
            .take(limit)
            .map(|row| {
                let path = SegmentPath {
                    space: space.clone(),
                    segment: self.segments.names.name(row.name),
                };
                status(path, row)
            })
            .collect()
    }

    pub(crate) fn totals(&self) -> StoreStatus {
        StoreStatus {
            space_count: self.spaces.len() as u64,
            segment_count: self.segments.len() as u64,
            entry_count: self.entry_count,
            last_timestamp: self.last_timestamp,
        }
    }

    /// The readable entries of a run: `None` if its segment was deleted, else the first readable sequence.
    pub(crate) fn visible_from(&self, names: (&str, &str), at: LogPosition) -> Option<Sequence> {
        if !self.trimmed && matches!(self.segments.deletions, Deletions::None) {
            return Some(Sequence::FIRST);
        }
        let (_, segment) = self.find_named(names)?;
        (segment.begun.position() <= at).then_some(segment.first_sequence)
    }

    /// Whether a number still stands for the same life of a segment.
    pub(crate) fn is_same_life(&self, path: &SegmentPath, life: (SegmentNumber, Begun)) -> bool {
        let now = self.find(path).map(|(number, segment)| (number, segment.begun));
        now == Some(life)
    }

    /// Applies a durable transaction, which starts at `at` in the log.
    ///
    /// # Errors
    /// A transaction that cannot follow: damage, or a bug that must not spread.
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
            match header.kind {
                Kind::Data => self.append(header, &section, at)?,
                Kind::Trim => self.trim(&section.path()?, section.first_sequence, section.trim_timestamp()?)?,
                Kind::Delete => {
                    let path = section.path()?;
                    self.delete(&path, at)?;
                    self.deleted_now.add(&path, header.timestamp);
                }
                Kind::Lease => self.leases.grant(section.lease()?, self.over_holes)?,
                Kind::Release => {
                    let token = FencingToken(section.first_sequence.0);
                    self.leases.release(&section.path()?.space, token, self.over_holes)?;
                }
                Kind::Open => return Err(FormatError::Invalid("an open record that names a segment")),
            }
        }
        if let (Kind::Data, Some(ids)) = (header.kind, &mut self.ids) {
            ids.add(header.id, at);
        }
        self.last_timestamp = header.timestamp;
        Ok(())
    }

    fn append(
        &mut self,
        header: &TransactionHeader,
        section: &Section<'_>,
        position: LogPosition,
    ) -> Result<(), FormatError> {
        let found = self.find_named(section.names()?);
        let head = found.map_or(Sequence(0), |(_, segment)| segment.head);
        let hole = section.first_sequence.0.saturating_sub(head.next().0);
        if head.next() != section.first_sequence && (hole == 0 || !self.over_holes) {
            return Err(FormatError::Invalid("a section that does not continue its segment"));
        }
        // A hole counts as entries as long as it lies between some: that is what a trim or delete takes off.
        let within = found.map_or(0, |_| hole);
        let extent =
            u32::try_from(position.extent).map_err(|_| FormatError::Invalid("an extent number out of range"))?;
        let run = Run {
            first_sequence: section.first_sequence,
            timestamp: header.timestamp,
            trx_byte: position.byte,
            section_offset: section.offset,
            count: section.record_count,
        };
        let (number, previous_extent) = match found {
            Some((number, _)) => {
                let segment = &mut self.segments.rows[number];
                segment.head = run.last_sequence();
                segment.last_timestamp = header.timestamp;
                (number, std::mem::replace(&mut segment.last_extent, extent))
            }
            None => {
                let path = section.path()?;
                let space = self.intern(&path.space);
                let at = self.segments.find(space, path.segment.as_str());
                let begun = match self.segments.deletions {
                    Deletions::None => Begun::BEFORE_ALL,
                    Deletions::Some | Deletions::Last(..) => Begun {
                        extent,
                        byte: position.byte,
                    },
                };
                let row = Segment {
                    begun,
                    name: self.segments.names.add_to(&mut self.free.names, path.segment.as_str()),
                    space,
                    last_extent: extent,
                    first_sequence: section.first_sequence,
                    first_timestamp: header.timestamp,
                    head: run.last_sequence(),
                    last_timestamp: header.timestamp,
                };
                let number = self.add(&path.space, row);
                self.segments.order.insert(number, at);
                let (segments, hashing) = (&self.segments, &self.hashing);
                let hash_of = |number| hash_of_segment(hashing, segments, number);
                self.by_path.insert(hash_of(number), number, hash_of);
                (number, 0)
            }
        };
        let entries = u64::from(section.record_count).saturating_add(within);
        self.entry_count = self.entry_count.saturating_add(entries);
        // The first run here names the extent before; for later ones the list keeps what the first one said.
        self.open.push(number, &run, previous_extent);
        Ok(())
    }

    fn trim(&mut self, path: &SegmentPath, first: Sequence, timestamp: Timestamp) -> Result<(), FormatError> {
        let number = self.find(path).map(|(number, _)| number);
        let number = number.ok_or(FormatError::Invalid("a trim of a segment that is not there"))?;
        let segment = &mut self.segments.rows[number];
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
        let (number, segment) = self
            .find(path)
            .ok_or(FormatError::Invalid("a delete of a segment that is not there"))?;
        let (space, name) = (segment.space, segment.name);
        let entries = segment.head.0 - segment.first_sequence.0 + 1;
        self.entry_count = self.entry_count.saturating_sub(entries);
        self.by_path.remove(self.hash(space, path.segment.as_str()), number);
        let place = self.segments.find(space, path.segment.as_str());
        self.segments.order.remove(place);
        if let Some(holder) = self.spaces.get_mut(&path.space) {
            holder.segments -= 1;
            if holder.segments == 0 {
                self.spaces.remove(&path.space);
                self.free.spaces.push(space);
            }
        }
        self.open.forget(number);
        self.free.segments.push(number);
        self.free.names.give(name);
        self.segments.deletions = Deletions::Last(path.clone(), at);
        Ok(())
    }

    /// Deletes a segment whose deletion is in a hole of the log, before `at`.
    pub(crate) fn delete_over_hole(&mut self, path: &SegmentPath, at: LogPosition) {
        // One that is not there is deleted already.
        let _ = self.delete(path, at);
    }

    /// The number of a space that is about to hold a segment.
    fn intern(&mut self, space: &Name) -> SpaceNumber {
        if let Some(number) = self.space_number(space) {
            return number;
        }
        let number = match self.free.spaces.pop() {
            Some(number) => {
                self.segments.spaces[number] = space.clone();
                number
            }
            None => self.segments.spaces.push(space.clone()),
        };
        self.spaces.insert(space.clone(), Space { number, segments: 0 });
        number
    }

    /// Adds a segment, except to the order and the table.
    fn add(&mut self, space: &Name, row: Segment) -> SegmentNumber {
        if let Some(space) = self.spaces.get_mut(space) {
            space.segments += 1;
        }
        match self.free.segments.pop() {
            Some(number) => {
                self.segments.rows[number] = row;
                number
            }
            None => self.segments.rows.push(row),
        }
    }

    /// Starts the next extent; returns the runs of the one before.
    pub(crate) fn roll(&mut self, extent: u64) -> ExtentRuns {
        std::mem::replace(&mut self.open, ExtentRuns::new(extent))
    }

    /// All segments.
    pub(crate) fn segments(&self) -> &Segments {
        &self.segments
    }
}

fn status(path: SegmentPath, segment: &Segment) -> SegmentStatus {
    SegmentStatus {
        path,
        first_sequence: segment.first_sequence,
        first_timestamp: segment.first_timestamp,
        last_sequence: segment.head,
        last_timestamp: segment.last_timestamp,
    }
}
