//! Writes the files beside the log that shorten the next open: the index file of each sealed extent, and now and then
//! a checkpoint. The log can do without either.

use std::sync::{Arc, PoisonError};

use super::extents::Frozen;
use super::opened::StoreLog;
use super::recovery::{index_segments, write_index};
use super::writer::LogWriter;
use crate::directory::names::FileName;
use crate::disk::{Disk, replace};
use crate::error::StorageError;
use crate::index::checkpoint;
use crate::index::runs::ExtentRuns;
use crate::runtime::sync::Mutex;
use crate::runtime::sync::atomic::{AtomicU64, Ordering};
use streamkit_record::LogPosition;

/// Bytes a segment takes in a checkpoint, about: 40 and its name.
const CHECKPOINT_SEGMENT_BYTES: u64 = 80;

/// What is noted of checkpoints and index files.
pub(crate) struct Checkpointing {
    /// Bytes of extents sealed since the last checkpoint was due.
    grown: AtomicU64,
    /// Locked while index files are written.
    indexing: Mutex<()>,
    /// Where the newest checkpoint written by this open stands. Locked while one is written: they share a file.
    checkpointed: Mutex<LogPosition>,
}

impl Checkpointing {
    /// Goes on behind the checkpoint that an open began with.
    pub(crate) fn behind(checkpointed: LogPosition) -> Self {
        Self {
            grown: AtomicU64::new(0),
            indexing: Mutex::default(),
            checkpointed: Mutex::new(checkpointed),
        }
    }
}

impl StoreLog {
    /// Follows the writer to its next extent. `sealed` is where the one before ends.
    pub(crate) fn rolled(self: &Arc<Self>, writer: &LogWriter, sealed: Option<LogPosition>) {
        if let Some(open) = &writer.open {
            self.extents.added(open.header.capacity);
        }
        let open = writer.tail().extent;
        // Taken here, between two groups: a checkpoint must not tell of anything later. What is made of it is made beside the
        // commits.
        let (segments, leases) = {
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
            (segments, catalog.leases.clone())
        };
        let Some(sealed) = sealed else { return };
        let (log, state) = (Arc::downgrade(self), writer.state);
        let disk = Arc::clone(&writer.folder.disk);
        let position = writer.tail();
        let is_due = self.checkpoint_due(u64::from(sealed.byte));
        self.in_background(move || {
            let Some(log) = log.upgrade() else { return };
            if let Err(error) = log.write_indexes(&*disk, open) {
                return tracing::warn!(%error, "could not write an index file; it is tried again after the next extent");
            }
            if is_due {
                let bytes = checkpoint::encode(log.id, position, &state, &segments, &leases, &ExtentRuns::new(open));
                if let Err(error) = log.write_checkpoint(&*disk, position, &bytes) {
                    tracing::warn!(%error, "could not write a checkpoint");
                }
            }
        });
    }

    /// Writes the index files of extents before `open` that are not there yet, oldest first: those of before may have
    /// failed.
    pub(crate) fn write_indexes(&self, disk: &dyn Disk, open: u64) -> Result<(), StorageError> {
        let _one_at_a_time = self
            .checkpointing
            .indexing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
        let grown = self.checkpointing.grown.fetch_add(sealed_bytes, Ordering::Relaxed) + sealed_bytes;
        let due = grown >= segments * CHECKPOINT_SEGMENT_BYTES;
        if due {
            self.checkpointing.grown.store(0, Ordering::Relaxed);
        }
        due
    }

    /// Replaces the checkpoint by one that stands at `position`, unless a newer one is there already.
    pub(crate) fn write_checkpoint(
        &self,
        disk: &dyn Disk,
        position: LogPosition,
        bytes: &[u8],
    ) -> Result<(), StorageError> {
        let mut checkpointed = self
            .checkpointing
            .checkpointed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if position < *checkpointed {
            return Ok(());
        }
        let path = FileName::Checkpoint.in_dir(&self.dir);
        replace(disk, &path, bytes).map_err(|e| StorageError::io("write", path, e))?;
        *checkpointed = position;
        Ok(())
    }

    /// Writes a checkpoint of the log as it stands, unless that is where the last one stands. It tells the next open how far
    /// the log was durable, too.
    pub(crate) fn leave_checkpoint(&self) {
        let writer = self.writer();
        if writer.open.is_none() || writer.folder.latch.check().is_err() {
            return;
        }
        let position = writer.tail();
        if position
            == *self
                .checkpointing
                .checkpointed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        {
            return;
        }
        let bytes = {
            let catalog = self.catalog();
            let (segments, leases) = (catalog.segments(), &catalog.leases);
            checkpoint::encode(self.id, position, &writer.state, segments, leases, &catalog.open)
        };
        if let Err(error) = self.write_checkpoint(&*writer.folder.disk, position, &bytes) {
            tracing::warn!(%error, "could not write a checkpoint; the next open replays what came after the last one");
        }
    }
}
