//! Writes a store's log anew: its transactions in order, with their commit times. It bridges missing entries or leaves
//! them out, as [`Keep`] says; docs/decisions/2026-11-25-repair.md has the reasons.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

mod bridge;
mod leases;

use super::SequenceRange;
use super::files::StoreFiles;
use super::findings::Findings;
use super::repair::Keep;
use super::sink::Sink;
use crate::directory::names::FileName;
use crate::disk::blocks::Blocks;
use crate::error::{OpenError, StorageError};
use crate::format::extent_header::LogState;
use crate::format::transaction::{
    Encoded, Kind, RECORD_HEADER_BYTES, Section, TRANSACTION_ID_AT, TransactionHeader, sections, with_sections,
};
use crate::index::checkpoint;
use crate::limits::{BLOCK_BYTES, EXTENT_BYTES_MAX};
use crate::log::recovery::recover;
use crate::log::writer::LogWriter;
use streamkit_record::{FencingToken, LogPosition, SegmentPath, Sequence, Timestamp};
use uuid::Uuid;

/// Bytes of transactions in one group, if they are not of one.
const GROUP_BYTES: usize = 1 << 20;

/// Largest extent of a log that is written anew, as an engine's own are.
const EXTENT_BYTES: u64 = 256 << 20;

/// Most bytes that stand in for entries that are gone, at a place.
const BRIDGE_BYTES_MAX: u64 = EXTENT_BYTES_MAX / 4;

/// The id of what the repair writes itself. With that of the old log's trims and deletes, one of these could be, byte for byte, what
/// stood in the old log under its number, with other transactions before it: a cursor behind that would go on behind this.
const OWN_ID: Uuid = Uuid::max();

/// A segment as it is in the new log.
#[derive(Clone, Copy, Debug, Default)]
struct RewrittenSegment {
    /// First readable sequence.
    first: Sequence,
    head: Sequence,
    /// The commit time of the head.
    last_timestamp: Timestamp,
    /// Its later entries are left out, from this sequence on: a hole came before, and what stands before it is kept.
    left_out: Option<Sequence>,
}

/// What a new log holds.
pub(crate) struct Rewritten {
    /// Readable entries.
    pub(crate) entries: u64,
    /// Transactions with records.
    pub(crate) transactions: u64,
    /// Entries that are whole in the old log, and not to be read in this one.
    pub(crate) left_out: Vec<SequenceRange>,
}

/// A new log of one store.
pub(crate) struct Rewrite<'a> {
    /// The old log's.
    files: &'a StoreFiles,
    dir: PathBuf,
    keep: Keep,
    writer: LogWriter,
    /// The log's state behind the last group written.
    written: LogState,
    segments: HashMap<SegmentPath, RewrittenSegment>,
    /// The transactions of the next group.
    body: Vec<u8>,
    count: u32,
    transactions: u64,
    left_out: BTreeMap<SegmentPath, Vec<(Sequence, Sequence)>>,
    /// Of the newest grant of a lease.
    last_token: FencingToken,
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Rewrite<'a> {
    /// Begins a log in a folder that is empty.
    pub(crate) fn begin(
        files: &'a StoreFiles,
        dir: PathBuf,
        keep: Keep,
        progress: &'a mut dyn FnMut(u64),
    ) -> Result<Self, OpenError> {
        let disk = &files.disk;
        disk.create_dir(&dir).map_err(|e| StorageError::io("create", &dir, e))?;
        let (writer, _) = recover(Arc::clone(disk), dir.clone(), files.store)?.into_writer(EXTENT_BYTES, 0)?;
        Ok(Self {
            files,
            dir,
            keep,
            written: writer.state,
            writer,
            segments: HashMap::new(),
            body: Vec::new(),
            count: 0,
            transactions: 0,
            left_out: BTreeMap::new(),
            last_token: FencingToken::default(),
            progress,
        })
    }

    /// Writes what is left, reads the new log once more, and leaves its index files and its checkpoint. Returns the entries
    /// that can be read in it, the transactions with records, and what is left out although it is whole.
    ///
    /// # Errors
    /// [`OpenError::Storage`] where the disk refuses, or does not give back what was written.
    pub(crate) fn end(mut self) -> Result<Rewritten, OpenError> {
        self.put_last_token()?;
        self.flush()?;
        self.writer.spare.abandon(&self.writer.folder);
        // Only one at a time has its files.
        drop(self.writer);
        let (dir, disk, store) = (self.dir, &self.files.disk, self.files.store);
        let recovered = recover(Arc::clone(disk), dir.clone(), store)?;
        let position = recovered.end.tail;
        if position.byte > 0 {
            let (catalog, state) = (&recovered.catalog, &recovered.state);
            let bytes = checkpoint::encode(
                store,
                position,
                state,
                catalog.segments(),
                &catalog.leases,
                &catalog.open,
            );
            let path = FileName::Checkpoint.in_dir(&dir);
            crate::disk::replace(&**disk, &path, &bytes).map_err(|e| StorageError::io("write", path, e))?;
        }
        let left_out = self.left_out.into_iter().flat_map(|(path, ranges)| {
            let range = move |(first, last)| SequenceRange {
                path: path.clone(),
                first,
                last,
            };
            ranges.into_iter().map(range)
        });
        Ok(Rewritten {
            entries: recovered.catalog.totals().entry_count,
            transactions: self.transactions,
            left_out: left_out.collect(),
        })
    }

    /// Adds a transaction whose number and time are still to be set.
    fn put(&mut self, bytes: &mut [u8], timestamp: Timestamp) -> Result<(), StorageError> {
        if self.count > 0 && self.body.len() + bytes.len() > GROUP_BYTES {
            self.flush()?;
        }
        let state = &mut self.writer.state;
        state.trx_number += 1;
        state.last_timestamp = state.last_timestamp.max(timestamp);
        bytes[16..24].copy_from_slice(&state.trx_number.to_le_bytes());
        bytes[24..32].copy_from_slice(&state.last_timestamp.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        self.body.extend_from_slice(bytes);
        self.count += 1;
        Ok(())
    }

    /// Writes the group.
    fn flush(&mut self) -> Result<(), StorageError> {
        if self.count == 0 {
            return Ok(());
        }
        let mut blocks = Blocks::default();
        let begun = self.writer.start_group(&mut blocks);
        let bytes = begun + self.body.len();
        if !self.writer.fits(bytes) {
            // What an extent's header says of the log is what comes before its groups.
            let after = std::mem::replace(&mut self.writer.state, self.written);
            self.writer.roll(bytes.next_multiple_of(BLOCK_BYTES))?;
            self.writer.state = after;
            self.writer.start_group(&mut blocks);
        }
        blocks.extend_from_slice(&self.body);
        let pending = self.writer.seal(&mut blocks, self.count);
        let written = pending.file.write(pending.offset, &blocks);
        self.writer.confirm(&pending, written)?;
        self.writer.landed(&pending, &blocks);
        self.body.clear();
        self.count = 0;
        self.written = self.writer.state;
        Ok(())
    }

    /// Entries that are whole, and yet left out.
    fn leave_out(&mut self, path: &SegmentPath, first: Sequence, last: Sequence) {
        if let Some(ranges) = self.left_out.get_mut(path) {
            match ranges.last_mut() {
                Some(range) if range.1.next() == first => range.1 = last,
                _ => ranges.push((first, last)),
            }
        } else {
            self.left_out.insert(path.clone(), vec![(first, last)]);
        }
    }

    /// What was trimmed up to `first`, or deleted, is not left out: nobody could read it in the old log either.
    fn forget_left_out(&mut self, path: &SegmentPath, first: Option<Sequence>) {
        let Some(ranges) = self.left_out.get_mut(path) else {
            return;
        };
        ranges.retain_mut(|range| {
            range.0 = range.0.max(first.unwrap_or(Sequence(u64::MAX)));
            range.0 <= range.1
        });
    }

    /// Makes room for a section that does not continue its segment. Returns whether it is to be written, and whether what
    /// comes before it has to be trimmed then.
    fn prepare(
        &mut self,
        section: &Section<'_>,
        path: &SegmentPath,
        timestamp: Timestamp,
    ) -> Result<(bool, bool), StorageError> {
        let mut segment = self.segments.get(path).copied().unwrap_or_default();
        let first = section.first_sequence;
        if first < Sequence::FIRST {
            return Ok((false, false));
        }
        let last = Sequence(first.0 + u64::from(section.record_count) - 1);
        if segment.head.0 > 0 && first <= segment.head {
            self.begin_anew(path, timestamp)?;
            segment = RewrittenSegment::default();
        }
        if segment.head.next() == first && segment.left_out.is_none() {
            self.grow(path, segment, section, timestamp);
            return Ok((true, false));
        }
        let hole = first.0 - segment.head.next().0;
        let bridge = hole.saturating_mul(RECORD_HEADER_BYTES as u64);
        if self.keep == Keep::Oldest || segment.left_out.is_some() || bridge > BRIDGE_BYTES_MAX {
            self.leave_out(path, first, last);
            let left_out = segment.left_out.or(Some(first));
            self.segments
                .insert(path.clone(), RewrittenSegment { left_out, ..segment });
            return Ok((false, false));
        }
        if segment.head.0 > 0 && segment.first <= segment.head {
            self.leave_out(path, segment.first, segment.head);
        }
        self.put_bridge(path, segment.head.next(), hole)?;
        segment.first = first;
        self.grow(path, segment, section, timestamp);
        Ok((true, true))
    }

    fn grow(
        &mut self,
        path: &SegmentPath,
        segment: RewrittenSegment,
        section: &Section<'_>,
        last_timestamp: Timestamp,
    ) {
        let written = RewrittenSegment {
            first: segment.first.max(Sequence::FIRST),
            head: Sequence(section.first_sequence.0 + u64::from(section.record_count) - 1),
            last_timestamp,
            left_out: None,
        };
        self.segments.insert(path.clone(), written);
    }

    /// Adds a transaction that is the repair's own, or that it wrote anew.
    fn put_encoded(&mut self, mut encoded: Encoded, timestamp: Timestamp) -> Result<(), StorageError> {
        let mut bytes = encoded.commit(0, timestamp).to_vec();
        bytes[TRANSACTION_ID_AT..][..16].copy_from_slice(OWN_ID.as_bytes());
        self.put(&mut bytes, timestamp)
    }

    /// A segment begins anew, though nothing deletes it: that was in a hole.
    fn begin_anew(&mut self, path: &SegmentPath, timestamp: Timestamp) -> Result<(), StorageError> {
        self.put_encoded(Encoded::delete(path), timestamp)?;
        self.left_out.remove(path);
        self.segments.insert(path.clone(), RewrittenSegment::default());
        Ok(())
    }

    fn data(&mut self, header: &TransactionHeader, transaction: &[u8]) -> Result<(), StorageError> {
        let (mut kept, mut trims) = (Vec::new(), Vec::new());
        let mut all = true;
        for section in sections(header, transaction).flatten() {
            let Ok(path) = section.path() else { continue };
            let (write, trim) = self.prepare(&section, &path, header.timestamp)?;
            all &= write;
            if write {
                kept.push(section);
            }
            if trim {
                trims.push((path, section.first_sequence));
            }
        }
        if !kept.is_empty() {
            let mut bytes = match all {
                true => transaction.to_vec(),
                false => with_sections(header, transaction, &kept),
            };
            self.put(&mut bytes, header.timestamp)?;
            self.transactions += 1;
        }
        for (path, first) in trims {
            self.put_encoded(Encoded::trim(&path, first, header.timestamp), header.timestamp)?;
        }
        Ok(())
    }

    fn trim(
        &mut self,
        section: &Section<'_>,
        path: &SegmentPath,
        header: &TransactionHeader,
    ) -> Result<(), StorageError> {
        let Some(segment) = self.segments.get(path).copied() else {
            return Ok(());
        };
        if segment.head.0 == 0 {
            return Ok(());
        }
        // Where the entries up to there are gone, or left out, only the last one of what is here stays.
        let beyond = section.first_sequence > segment.head;
        let first = section.first_sequence.min(segment.head);
        let time = match beyond {
            true => segment.last_timestamp,
            false => section.trim_timestamp().unwrap_or(segment.last_timestamp),
        };
        let written = RewrittenSegment {
            first: first.max(segment.first),
            ..segment
        };
        self.segments.insert(path.clone(), written);
        self.put_encoded(Encoded::trim(path, first, time), header.timestamp)
    }
}

impl Sink for Rewrite<'_> {
    fn transaction(
        &mut self,
        _at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
        _findings: &mut Findings,
    ) -> Result<(), StorageError> {
        match header.kind {
            Kind::Open if header.section_count > 0 => Ok(()),
            Kind::Open => {
                self.flush()?;
                self.writer.state.epoch += 1;
                self.put(&mut transaction.to_vec(), header.timestamp)?;
                self.flush()
            }
            Kind::Data => self.data(header, transaction),
            Kind::Lease | Kind::Release => {
                self.note_token(header, transaction);
                Ok(())
            }
            Kind::Trim | Kind::Delete => {
                for section in sections(header, transaction).flatten() {
                    let Ok(path) = section.path() else { continue };
                    self.forget_left_out(&path, (header.kind == Kind::Trim).then_some(section.first_sequence));
                    match header.kind {
                        Kind::Trim => self.trim(&section, &path, header)?,
                        _ if self.segments.remove(&path).is_some_and(|segment| segment.head.0 > 0) => {
                            self.put_encoded(Encoded::delete(&path), header.timestamp)?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    }

    fn lost(&mut self, range: &SequenceRange) -> Result<(), StorageError> {
        match self.segments.get(&range.path) {
            Some(segment) if segment.head.0 > 0 && range.first <= segment.head => {
                let timestamp = self.writer.state.last_timestamp;
                self.begin_anew(&range.path, timestamp)
            }
            _ => Ok(()),
        }
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}
