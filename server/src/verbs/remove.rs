//! Trim and delete: what removes entries for good. Both run to their end once begun: what the store removes, the peer is told if
//! it listens.

use streamkit_engine::{AppendError, Rejection, SegmentPath, Sequence, Store};

use super::boundary::{Answers, Batch as _};
use super::failure::Failure;
use super::outgoing::Outgoing;

pub(super) async fn trim<A: Answers>(
    path: SegmentPath,
    first: Sequence,
    store: &dyn Store,
    out: &Outgoing<A>,
) -> Result<(), Failure> {
    let trimmed = store.trim(&path, first).await;
    let status = trimmed.map_err(|error| Failure::of_write("a trim", error))?;
    tracing::info!(%path, first = %status.first_sequence, "entries were trimmed");
    let mut batch = out.batch();
    batch.trimmed(&status);
    out.acknowledge(batch).await
}

pub(super) async fn delete(path: SegmentPath, store: &dyn Store) -> Result<(), Failure> {
    store.delete(&path).await.map_err(|error| match error {
        AppendError::Rejected(Rejection::NoSuchSequence(path)) => Failure::NoSuchSegment(path),
        other => Failure::of_write("a deletion", other),
    })?;
    tracing::info!(%path, "a segment was deleted");
    Ok(())
}
