//! The conditions before a group is written: the epoch of this open has begun, and the open extent has room.

use std::sync::atomic::Ordering;

use super::committer::StoreCommitter;
use super::group::{Group, rejection, write};
use crate::disk::blocks::Blocks;
use crate::error::{AppendError, StorageError};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::Encoded;
use crate::log::writer::LogWriter;

/// Makes sure that a group of this size can be written: the epoch of this open has begun, and there is room.
///
/// # Errors
/// [`AppendError::Rejected`]: if anything fails here, the group is not begun.
pub(super) fn make_ready(committer: &StoreCommitter, writer: &mut LogWriter, bytes: usize) -> Result<(), AppendError> {
    let made = writer.folder.latch.check().and_then(|()| {
        if !committer.log.has_begun.load(Ordering::Acquire) {
            open_for_writing(committer, writer)?;
        }
        make_room(committer, writer, bytes)
    });
    // A halted store and a full disk have their own lines in the log.
    let untold = |error: &&StorageError| matches!(error, StorageError::Io { .. }) && !error.is_full();
    let halted = writer.folder.latch.check().is_err();
    writer.note_refusal(made.as_ref().err().filter(untold).filter(|_| !halted));
    made.map_err(rejection)
}

/// The first group of an open: alone, and durable before any other, so that the epoch it starts is never used twice.
fn open_for_writing(committer: &StoreCommitter, writer: &mut LogWriter) -> Result<(), StorageError> {
    if writer.open.is_none() {
        let made = writer.folder.disk.create_dir(&writer.folder.dir);
        made.map_err(|e| StorageError::io("create", &writer.folder.dir, e))?;
    }
    let mut opening = Encoded::open();
    make_room(committer, writer, GROUP_HEADER_BYTES + opening.len())?;
    writer.state.epoch += 1;
    let earliest = writer.state.last_timestamp;
    let group = Group::make(
        &committer.log,
        writer,
        Blocks::default(),
        std::iter::once(&mut opening),
        earliest,
    );
    write(&committer.log, writer, &group)?;
    committer.note_method(writer);
    committer.log.has_begun.store(true, Ordering::Release);
    Ok(())
}

/// Makes room for a group of this size, in a new extent if it has to be.
///
/// # Errors
/// Nothing was written.
pub(crate) fn make_room(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    group_bytes: usize,
) -> Result<(), StorageError> {
    if writer.fits(group_bytes) {
        return Ok(());
    }
    let sealed = writer.tail();
    let first = writer.open.is_none();
    writer.roll(group_bytes)?;
    committer.log.rolled(writer, (!first).then_some(sealed));
    Ok(())
}
