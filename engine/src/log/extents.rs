//! The extents of one store, as readers find them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::handles::{ExtentHandles, ExtentId};
use super::recent::Recent;
use crate::disk::DiskFile;
use crate::error::{StorageError, corrupt};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader};
use crate::format::index::SegmentRow;
use crate::format::log_start::LogStart;
use crate::index::runs::ExtentRuns;
use crate::index::sealed::IndexFile;
use crate::index::segments::Segments;
use crate::runtime::sync::RwLock;
use streamkit_record::{Sequence, StoreId, Timestamp};

/// How a sealed extent's runs are found.
#[derive(Clone)]
pub(crate) enum ExtentIndex {
    /// In memory: its index file is not written yet.
    Memory {
        runs: Arc<ExtentRuns>,
        /// As they were when it was sealed: numbers of segments that were deleted since mean others now.
        segments: Arc<Segments>,
    },
    /// In its index file.
    File(Arc<IndexFile>),
}

/// A sealed extent whose index file is not written yet.
#[derive(Clone)]
pub(crate) struct Frozen {
    pub(crate) runs: Arc<ExtentRuns>,
    /// The segments when it was sealed: their numbers are those of the runs.
    pub(crate) segments: Arc<Segments>,
    /// Where its groups end.
    pub(crate) end: u32,
    /// Chain of its last group.
    pub(crate) chain: u32,
}

/// What one extent holds of a segment.
#[derive(Clone, Copy)]
pub(crate) struct SegmentPart {
    pub(crate) extent: u64,
    /// The newest extent before this one that holds the segment, or 0.
    pub(crate) previous_extent: u64,
    /// The segment's first sequence here.
    pub(crate) first_sequence: Sequence,
    /// Its row in the index file, if it was found there. Index files never change, so it need not be looked up again.
    pub(crate) row: Option<SegmentRow>,
}

/// A store's extents.
pub(crate) struct Extents {
    handles: Arc<ExtentHandles>,
    dir: PathBuf,
    store: StoreId,
    frozen: RwLock<BTreeMap<u64, Frozen>>,
    /// Where in the log each extent ends, counted in bytes, from the first.
    ends: RwLock<Vec<u64>>,
    /// What was committed last, while somebody waits for it.
    pub(crate) recent: Recent,
}

impl Extents {
    pub(crate) fn new(handles: Arc<ExtentHandles>, dir: PathBuf, store: StoreId) -> Self {
        Self {
            recent: Recent::new(Arc::clone(&handles.recent)),
            handles,
            dir,
            store,
            frozen: RwLock::default(),
            ends: RwLock::default(),
        }
    }

    /// The log has one more extent.
    pub(crate) fn added(&self, capacity: u64) {
        let mut ends = self.ends.write().unwrap_or_else(PoisonError::into_inner);
        let end = ends.last().unwrap_or(&0) + capacity;
        ends.push(end);
    }

    /// Bytes that all of them take.
    pub(crate) fn bytes(&self) -> u64 {
        let ends = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        ends.last().copied().unwrap_or(0)
    }

    /// Bytes of an extent's file.
    pub(crate) fn capacity(&self, extent: u64) -> u64 {
        let ends = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = LogStart::WHOLE.before(extent) else {
            return 0;
        };
        let before = at.checked_sub(1).and_then(|before| ends.get(before));
        let end = ends.get(at).copied().unwrap_or(0);
        end.saturating_sub(before.copied().unwrap_or(0))
    }

    /// The extent that stands at `part` of `whole` of the bytes behind the extent `low`, up to the end of `high`.
    pub(crate) fn at_part(&self, low: u64, high: u64, part: u64, whole: u64) -> u64 {
        let ends = self.ends.read().unwrap_or_else(PoisonError::into_inner);
        let end = |extent: u64| match LogStart::WHOLE.before(extent) {
            None => 0,
            Some(before) => ends.get(before).or(ends.last()).copied().unwrap_or(0),
        };
        let bytes = u128::from(end(high) - end(low)) * u128::from(part) / u128::from(whole.max(1));
        let at = end(low) + bytes as u64;
        ends.partition_point(|&end| end <= at) as u64 + LogStart::WHOLE.extent()
    }

    fn id(&self, extent: u64) -> ExtentId<'_> {
        ExtentId {
            store: self.store,
            extent,
            dir: &self.dir,
        }
    }

    /// An extent's file.
    pub(crate) fn file(&self, extent: u64) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.handles.file(self.id(extent))
    }

    /// An extent's file and header.
    pub(crate) fn header(&self, extent: u64) -> Result<(Arc<dyn DiskFile>, ExtentHeader), StorageError> {
        let file = self.file(extent)?;
        let mut block = vec![0; EXTENT_HEADER_BYTES];
        let read = file.read_at(0, &mut block);
        let read = read.map_err(|e| StorageError::io("read", file.path(), e))?;
        let header = ExtentHeader::decode(&block[..read])
            .map_err(|found| corrupt(self.store, extent, 0, format!("the extent's header: {found}")))?;
        Ok((file, header))
    }

    /// A sealed extent's index.
    pub(crate) fn index(&self, extent: u64) -> Result<ExtentIndex, StorageError> {
        {
            let frozen = self.frozen.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(frozen) = frozen.get(&extent) {
                let (runs, segments) = (Arc::clone(&frozen.runs), Arc::clone(&frozen.segments));
                return Ok(ExtentIndex::Memory { runs, segments });
            }
        }
        self.handles.index(self.id(extent)).map(ExtentIndex::File)
    }

    /// When the last transaction before an extent was committed: nothing in it is older.
    pub(crate) fn started(&self, extent: u64) -> Result<Timestamp, StorageError> {
        self.handles.started(self.id(extent))
    }

    /// The first extent, up to `last`, that can hold anything committed at `time` or later.
    pub(crate) fn first_since(&self, time: Timestamp, last: u64) -> Result<u64, StorageError> {
        let (mut low, mut high) = (LogStart::WHOLE.extent(), last.max(LogStart::WHOLE.extent()));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.started(middle + 1)? < time {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Keeps a sealed extent's runs in memory until [`Extents::indexed`].
    pub(crate) fn freeze(&self, frozen: Frozen) {
        let mut all = self.frozen.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(frozen.runs.extent, frozen);
    }

    /// The sealed extents whose index files are to be written, oldest first.
    pub(crate) fn frozen(&self) -> Vec<Frozen> {
        let all = self.frozen.read().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    /// The index file is written: the runs in memory may go.
    pub(crate) fn indexed(&self, extent: u64) {
        let mut all = self.frozen.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&extent);
    }

    /// Whether the disk can tell that a read would wait.
    pub(crate) fn can_read_without_waiting(&self) -> bool {
        self.handles.can_read_without_waiting()
    }

    /// Closes the files that were open for reading.
    pub(crate) fn close(&self) {
        self.recent.clear();
        self.handles.forget(self.store);
    }
}
