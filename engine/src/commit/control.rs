//! Trims, deletes and changes of leases: each is a group of its own.

use super::committer::StoreCommitter;
use super::group::{Group, write};
use super::leases::commit_lease;
use super::queue::{Request, answer};
use super::ready::make_ready;
use crate::disk::blocks::Blocks;
use crate::error::{AppendError, Rejection};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::transaction::Encoded;
use crate::log::opened::StoreLog;
use crate::log::writer::LogWriter;
use streamkit_record::{SegmentPath, Sequence};

pub(super) fn commit_control(committer: &StoreCommitter, writer: &mut LogWriter, request: Request) {
    match request {
        Request::Append(_) => unreachable!("appends are committed by commit_appends"),
        Request::Trim { path, first, reply, .. } => {
            let outcome = trim(committer, writer, &path, first);
            let status = outcome.and_then(|()| {
                committer
                    .log
                    .catalog()
                    .status(&path)
                    .ok_or_else(|| Rejection::NoSuchSequence(path.clone()).into())
            });
            answer(reply, status);
        }
        Request::Delete { path, reply, .. } => {
            let outcome = deletion_of(&committer.log, &path).map_err(AppendError::from);
            answer(
                reply,
                outcome.and_then(|encoded| commit_alone(committer, writer, encoded)),
            );
        }
        Request::Lease { request, reply, .. } => answer(reply, commit_lease(committer, writer, request)),
    }
}

fn trim(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    path: &SegmentPath,
    first: Sequence,
) -> Result<(), AppendError> {
    match trim_of(&committer.log, path, first)? {
        Some(encoded) => commit_alone(committer, writer, encoded),
        None => Ok(()),
    }
}

/// The transaction that trims a segment; `None`: nothing below `first` is readable already.
pub(crate) fn trim_of(log: &StoreLog, path: &SegmentPath, first: Sequence) -> Result<Option<Encoded>, Rejection> {
    let status = log
        .catalog()
        .status(path)
        .filter(|status| first <= status.last_sequence);
    let status = status.ok_or_else(|| Rejection::NoSuchSequence(path.clone()))?;
    if first <= status.first_sequence {
        return Ok(None);
    }
    let run = log.locate(path, first).map_err(Rejection::Storage)?;
    let (_, run) = run.ok_or_else(|| Rejection::NoSuchSequence(path.clone()))?;
    Ok(Some(Encoded::trim(path, first, run.timestamp)))
}

/// The transaction that deletes a segment.
pub(crate) fn deletion_of(log: &StoreLog, path: &SegmentPath) -> Result<Encoded, Rejection> {
    match log.catalog().find(path).is_some() {
        true => Ok(Encoded::delete(path)),
        false => Err(Rejection::NoSuchSequence(path.clone())),
    }
}

pub(super) fn commit_alone(
    committer: &StoreCommitter,
    writer: &mut LogWriter,
    mut encoded: Encoded,
) -> Result<(), AppendError> {
    make_ready(committer, writer, GROUP_HEADER_BYTES + encoded.len())?;
    let earliest = writer.state.last_timestamp;
    let group = Group::make(
        &committer.log,
        writer,
        Blocks::default(),
        std::iter::once(&mut encoded),
        earliest,
    );
    write(&committer.log, writer, &group).map_err(AppendError::Indeterminate)
}
