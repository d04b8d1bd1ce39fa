//! What a store's readers and its committer share, and the lookups that both need.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, Weak};

use tokio::sync::watch;

use crate::by_hand::ByHand;
use crate::clock::Clock;
use crate::commit::Committing;
use crate::commit::queue::{Queue, Request};
use crate::descriptors::{Descriptors, GROWING};
use crate::disk::Disk;
use crate::disk::latch::Latch;
use crate::error::{Rejection, StorageError};
use crate::folder::Folder;
use crate::format::checkpoint;
use crate::format::transaction::{Section, entries};
use crate::index::Run;
use crate::index::catalog::Catalog;
use crate::index::runs::{ExtentRuns, SegmentNumber};
use crate::log::extents::{ExtentIndex, Extents, Frozen, Part};
use crate::log::recovery::{index_segments, write_index};
use crate::log::window::{Located, Window};
use crate::log::writer::{LogWriter, Wish};
use crate::model::{
    Committed, Entry, LogPosition, SegmentPath, SegmentStatus, Sequence, StoreId, Timestamp, Transaction, Trx,
};
use crate::openers::Openers;
use crate::read::listed::ANOTHER_SECTION;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Condvar, Mutex, RwLock, RwLockReadGuard};
use crate::workers::Workers;

/// What an engine and every handle to one of its stores keep alive. Fields are dropped in their order: the threads finish
/// what is queued and end before another process may take the folder.
pub(crate) struct Threads {
    pub(crate) commit: Committing,
    pub(crate) read: Workers,
    pub(crate) background: Workers,
    /// Threads that open stores: one may take long, and neither another's commit nor its preparation may wait for that.
    pub(crate) opening: Openers,
    pub(crate) folder: Arc<Folder>,
    /// There are none of these threads: whoever waits for them does their work.
    pub(crate) by_hand: Option<ByHand>,
}

/// One open store.
pub(crate) struct Shared {
    pub(crate) id: StoreId,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    /// Held by every background job of this store.
    pub(crate) busy: Arc<()>,
    /// Weak, because jobs hold a store, and must not keep the threads alive that they run on.
    pub(crate) threads: Weak<Threads>,
    /// A store may be the last to write there.
    pub(crate) _folder: Arc<Folder>,
    pub(crate) catalog: RwLock<Catalog>,
    pub(crate) extents: Extents,
    pub(crate) descriptors: Arc<Descriptors>,
    pub(crate) queue: Mutex<Queue>,
    /// Told when nobody works on the queue any more.
    pub(crate) idle: Condvar,
    pub(crate) writer: Mutex<LogWriter>,
    pub(crate) latch: Arc<Latch>,
    /// Whether this open's own epoch has begun.
    pub(crate) opened: AtomicBool,
    /// Its open extent is not one that the I/O thread could write beside others: commit threads do.
    pub(crate) by_threads: AtomicBool,
    /// The clock was behind the last commit when it was looked at last.
    pub(crate) is_clock_behind: AtomicBool,
    pub(crate) tail: watch::Sender<LogPosition>,
    /// Bytes of extents sealed since the last checkpoint was due.
    pub(crate) grown_since_checkpoint: AtomicU64,
    /// Locked while index files are written.
    pub(crate) indexing: Mutex<()>,
    /// Where the newest checkpoint written by this open stands. Locked while one is written: they share a file.
    pub(crate) checkpointed: Mutex<LogPosition>,
}

/// Bytes a segment takes in a checkpoint, about: 40 and its name.
const CHECKPOINT_SEGMENT_BYTES: u64 = 80;

impl Shared {
    pub(crate) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an extent holds of a segment.
    fn part_in(&self, extent: u64, number: SegmentNumber, path: &SegmentPath) -> Result<Option<Part>, StorageError> {
        let in_memory = |(previous_extent, first_sequence)| Part {
            extent,
            previous_extent,
            first_sequence,
            row: None,
        };
        {
            let catalog = self.catalog();
            if catalog.open.extent == extent {
                return Ok(catalog.open.first(number).map(in_memory));
            }
        }
        match self.extents.index(extent)? {
            ExtentIndex::Memory { runs, .. } => Ok(runs.first(number).map(in_memory)),
            ExtentIndex::File(index) => Ok(index.segment(path)?.map(|row| Part {
                extent,
                previous_extent: row.previous_extent,
                first_sequence: row.first_sequence,
                row: Some(row),
            })),
        }
    }

    /// Up to `max` of the segment's runs in an extent, from the one that holds `from`, or the next.
    pub(crate) fn runs_in(
        &self,
        part: &Part,
        number: SegmentNumber,
        path: &SegmentPath,
        from: Sequence,
        max: u32,
    ) -> Result<Vec<Run>, StorageError> {
        {
            let catalog = self.catalog();
            if catalog.open.extent == part.extent {
                return Ok(catalog.open.segment(number, from, max as usize));
            }
        }
        match self.extents.index(part.extent)? {
            ExtentIndex::Memory { runs, .. } => Ok(runs.segment(number, from, max as usize)),
            ExtentIndex::File(index) => match part.row {
                Some(row) => index.runs_of(&row, from, max),
                // It was sealed since the part was looked up.
                None => index.segment_runs(path, from, max),
            },
        }
    }

    /// The parts of a segment that hold its entries of `wanted`, newest first. `newest` is the last extent that holds any.
    pub(crate) fn parts_of(
        &self,
        number: SegmentNumber,
        path: &SegmentPath,
        newest: u64,
        wanted: RangeInclusive<Sequence>,
    ) -> Result<Vec<Part>, StorageError> {
        let mut found = Vec::new();
        let mut next = self.part_near(number, path, newest, *wanted.end())?;
        while let Some(part) = next {
            if part.first_sequence <= *wanted.end() {
                found.push(part);
            }
            let previous = part.previous_extent;
            if part.first_sequence <= *wanted.start() || previous == 0 || previous >= part.extent {
                break;
            }
            next = self.part_in(previous, number, path)?;
        }
        Ok(found)
    }

    /// A part from which the one with `sequence` is not far back, or that one itself. A segment that stands in most extents
    /// is found by a few guesses, however many there are; for one that does not, this is its newest part.
    fn part_near(
        &self,
        number: SegmentNumber,
        path: &SegmentPath,
        newest: u64,
        sequence: Sequence,
    ) -> Result<Option<Part>, StorageError> {
        const GUESSES_MAX: usize = 16;
        let found = self
            .catalog()
            .find(path)
            .map(|(_, segment)| (segment.head, segment.begun));
        let (head, begun) = found.unwrap_or_default();
        if newest == 0 {
            return Ok(None);
        }
        // Up to where the log holds an earlier life of the segment, nothing is to be asked by its name.
        let mut low = (u64::from(begun.extent), 0, None);
        let mut high = (newest, head.0.saturating_add(1), None);
        let mut step = false;
        for _ in 0..GUESSES_MAX {
            if high.0 <= low.0 + 1 || sequence >= head {
                break;
            }
            let guess = self.extents.at_part(low.0, high.0, sequence.0 - low.1, high.1 - low.1);
            // A guess that fell short is mostly right: then the next part shows it.
            let guess = if step { low.0 + 1 } else { guess };
            let Some(part) = self.part_in(guess.clamp(low.0 + 1, high.0 - 1), number, path)? else {
                break;
            };
            let end = if part.first_sequence > sequence {
                &mut high
            } else {
                &mut low
            };
            step = !step && part.first_sequence <= sequence;
            *end = (part.extent, part.first_sequence.0, Some(part));
        }
        match (low.2, high.2) {
            (Some(part), Some(_)) if high.0 == low.0 + 1 => Ok(Some(part)),
            (_, Some(part)) => Ok(Some(part)),
            _ => self.part_in(newest, number, path),
        }
    }

    /// Where an entry is, trimmed or not.
    pub(crate) fn locate(&self, path: &SegmentPath, sequence: Sequence) -> Result<Option<(u64, Run)>, StorageError> {
        let (life, newest) = {
            let catalog = self.catalog();
            match catalog.find(path) {
                Some((number, segment)) if sequence <= segment.head => {
                    ((number, segment.begun), u64::from(segment.last_extent))
                }
                _ => return Ok(None),
            }
        };
        let number = life.0;
        let Some(&part) = self.parts_of(number, path, newest, sequence..=sequence)?.last() else {
            return Ok(None);
        };
        let runs = self.runs_in(&part, number, path, sequence, 1)?;
        // Deleted meanwhile: then the number, and the name, may stand for another.
        if !self.catalog().is_same_life(path, life) {
            return Ok(None);
        }
        Ok(runs
            .first()
            .filter(|run| run.first_sequence <= sequence)
            .map(|&run| (part.extent, run)))
    }

    /// Decodes a run's entries that are in `wanted`.
    pub(crate) fn entries_of(
        &self,
        window: &Window,
        located: &Located,
        run: &Run,
        path: &SegmentPath,
        wanted: RangeInclusive<Sequence>,
        out: &mut Vec<Entry>,
    ) -> Result<(), StorageError> {
        let damage = |error| window.damage(run.trx_byte, error);
        let section = Section::decode(located.bytes(), run.section_offset as usize).map_err(damage)?;
        let names = (section.space, section.segment);
        let expected = (path.space.as_str().as_bytes(), path.segment.as_str().as_bytes());
        let agrees = section.first_sequence == run.first_sequence
            && section.record_count == run.count
            && located.header.timestamp == run.timestamp;
        if names != expected || !agrees {
            return Err(damage(ANOTHER_SECTION));
        }
        entries(
            &located.buffer,
            located.start,
            &located.header,
            &section,
            path,
            wanted,
            out,
        )
        .map_err(damage)
    }

    /// What a transaction's producer is told.
    pub(crate) fn committed(&self, trx: Trx, timestamp: Timestamp, transaction: &Transaction) -> Committed {
        let catalog = self.catalog();
        let segments = transaction.segments.iter().map(|part| {
            let last_sequence = Sequence(part.first_sequence.0 + part.records.len() as u64 - 1);
            // Trimmed or deleted in the meantime: then only what this transaction did is known.
            let status = catalog.status(&part.path);
            let (first_sequence, first_timestamp) = status.map_or((part.first_sequence, timestamp), |s| {
                (s.first_sequence, s.first_timestamp)
            });
            let path = part.path.clone();
            SegmentStatus {
                path,
                first_sequence,
                first_timestamp,
                last_sequence,
                last_timestamp: timestamp,
            }
        });
        Committed {
            trx,
            timestamp,
            segments: segments.collect(),
        }
    }

    /// The first commit of this very transaction, if there was one: same id, same records, at those sequences.
    pub(crate) fn committed_before(&self, transaction: &Transaction) -> Result<Option<Committed>, StorageError> {
        let mut found: Option<(Trx, Timestamp)> = None;
        // Kept from part to part: a transaction of many segments is read once.
        let mut window: Option<Window> = None;
        for part in &transaction.segments {
            let Some((extent, run)) = self.locate(&part.path, part.first_sequence)? else {
                return Ok(None);
            };
            let window = window.get_or_insert_with(|| Window::new(self.id, extent));
            window.turn_to(extent);
            let located = window.transaction(&self.extents, run.trx_byte, || 0)?;
            let matches = located.header.id == transaction.id
                && run.first_sequence == part.first_sequence
                && run.count as usize == part.records.len();
            if !matches {
                return Ok(None);
            }
            let mut entries = Vec::with_capacity(part.records.len());
            let all = run.first_sequence..=run.last_sequence();
            self.entries_of(window, &located, &run, &part.path, all, &mut entries)?;
            let same = entries
                .iter()
                .zip(&part.records)
                .all(|(entry, record)| entry.payload == record.payload && entry.metadata == record.metadata);
            let trx = located.header.trx();
            if !same || found.is_some_and(|(first, _)| first != trx) {
                return Ok(None);
            }
            found = Some((trx, located.header.timestamp));
        }
        Ok(found.map(|(trx, timestamp)| self.committed(trx, timestamp, transaction)))
    }

    /// Notes whose the writes to the open extent are.
    pub(crate) fn note_method(&self, writer: &LogWriter) {
        let Some(open) = &writer.open else { return };
        let by_threads = !open.file.is_queueable();
        if by_threads && !self.by_threads.swap(by_threads, Ordering::Relaxed) {
            tracing::debug!(store = %self.id, "no direct writes here: the store commits with threads");
        } else {
            self.by_threads.store(by_threads, Ordering::Relaxed);
        }
    }

    /// Follows the writer to its next extent. `sealed` is where the one before ends.
    pub(crate) fn rolled(self: &Arc<Self>, writer: &LogWriter, sealed: Option<LogPosition>) {
        self.note_method(writer);
        if let Some(open) = &writer.open {
            self.extents.added(open.header.capacity);
        }
        let open = writer.tail().extent;
        // Taken here, between two groups: a checkpoint must not tell of anything later. What is made of it is made beside the
        // commits.
        let segments = {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            let frozen = Arc::new(catalog.roll(open));
            let segments = Arc::new(catalog.segments().clone());
            if let Some(sealed) = sealed {
                // Before anybody can see the next extent, the sealed one's runs are where readers will look.
                self.extents.freeze(Frozen {
                    runs: frozen,
                    segments: Arc::clone(&segments),
                    end: sealed.byte,
                    chain: writer.state.chain,
                });
            }
            segments
        };
        let Some(sealed) = sealed else { return };
        let (shared, state) = (Arc::downgrade(self), writer.state);
        let disk = Arc::clone(&writer.place.disk);
        let position = writer.tail();
        let is_due = self.checkpoint_due(u64::from(sealed.byte));
        self.in_background(move || {
            let Some(shared) = shared.upgrade() else { return };
            if let Err(error) = shared.write_indexes(&*disk, open) {
                return tracing::warn!(%error, "could not write an index file; it is tried again after the next extent");
            }
            if is_due {
                let bytes = checkpoint::encode(shared.id, position, &state, &segments, &ExtentRuns::new(open));
                if let Err(error) = shared.write_checkpoint(&*disk, position, &bytes) {
                    tracing::warn!(%error, "could not write a checkpoint");
                }
            }
        });
    }

    /// Writes the index files of extents before `open` that are not there yet, oldest first: those of before may have
    /// failed.
    fn write_indexes(&self, disk: &dyn Disk, open: u64) -> Result<(), StorageError> {
        let _one_at_a_time = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frozen = self.extents.frozen();
        frozen.retain(|frozen| frozen.runs.extent < open);
        for frozen in frozen {
            let Frozen {
                runs,
                segments,
                end,
                chain,
            } = frozen;
            let segments = index_segments(|segment| segments.path(segment), &runs);
            write_index(disk, &self.dir, self.id, runs.extent, end, chain, segments)?;
            self.extents.indexed(runs.extent);
        }
        Ok(())
    }

    /// Writing a checkpoint costs about [`CHECKPOINT_SEGMENT_BYTES`] a segment: it is due once the log has grown by as
    /// much, so that checkpoints never cost more than the log itself, and a replay never reads more than that and an extent.
    fn checkpoint_due(&self, sealed_bytes: u64) -> bool {
        let segments = self.catalog().segments().len() as u64;
        let grown = self.grown_since_checkpoint.fetch_add(sealed_bytes, Ordering::Relaxed) + sealed_bytes;
        let due = grown >= segments * CHECKPOINT_SEGMENT_BYTES;
        if due {
            self.grown_since_checkpoint.store(0, Ordering::Relaxed);
        }
        due
    }

    /// Replaces the checkpoint by one that stands at `position`, unless a newer one is there already.
    pub(crate) fn write_checkpoint(
        &self,
        disk: &dyn crate::disk::Disk,
        position: LogPosition,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let mut checkpointed = self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner);
        if position < *checkpointed {
            return Ok(());
        }
        let path = crate::log::names::FileName::Checkpoint.in_dir(&self.dir);
        crate::disk::replace(disk, &path, bytes).map_err(|e| StorageError::io("write", path, e))?;
        *checkpointed = position;
        Ok(())
    }

    /// Accepts no more writes, and refuses those that are queued: nobody works on them any more.
    pub(crate) fn give_up(&self, cause: &str) {
        self.latch.halt(cause);
        let left = {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let left = std::mem::take(&mut queue.requests);
            queue.end();
            left
        };
        self.idle.notify_all();
        for request in left {
            if let Err(halted) = self.latch.check() {
                request.refuse(Rejection::Storage(halted));
            }
        }
    }

    /// Keeps durable transactions in memory for those who follow the durable tail; to be called before they are published.
    pub(crate) fn keep_recent(&self, at: LogPosition, transactions: &[u8]) {
        if self.tail.receiver_count() == 0 {
            self.extents.recent.clear();
        } else {
            self.extents.recent.keep(at, transactions);
        }
    }

    /// Takes what is queued behind `waiting`; `false` if there is nothing at all, and then nobody works on the queue any more.
    pub(crate) fn take_queued(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let some = queue.take(waiting);
        if !some {
            queue.end();
            self.idle.notify_all();
        }
        some
    }

    /// As [`Shared::take_queued`], but whoever works on the queue still does.
    pub(crate) fn take_some(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.take(waiting)
    }

    /// Gives requests back to the queue's front, for whoever goes on with it; `false` if there is nothing to go on with.
    pub(crate) fn put_back(&self, waiting: &mut VecDeque<Request>) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.put_back(waiting)
    }

    /// Runs a job on the threads that may wait for reads; here, if they are ending.
    pub(crate) fn on_read_threads(&self, job: impl FnOnce() + Send + 'static) {
        match self.threads.upgrade() {
            Some(threads) => threads.read.spawn(job),
            None => job(),
        }
    }

    /// Runs a job that the log can do without: the next open makes up for it.
    fn in_background(&self, job: impl FnOnce() + Send + 'static) {
        let busy = Arc::clone(&self.busy);
        if let Some(threads) = self.threads.upgrade() {
            threads.background.spawn(move || {
                job();
                drop(busy);
            });
        }
    }

    /// Has the next extent filled as far as it is due. Where that would take descriptors from others, none is begun before the roll.
    pub(crate) fn prepare_ahead(self: &Arc<Self>, writer: &mut LogWriter) {
        if let Some(Wish { claim, place }) = writer.wish()
            && (!claim.begins || self.descriptors.has_room(GROWING))
        {
            self.in_background(move || claim.fulfil(&place));
        }
    }
}
