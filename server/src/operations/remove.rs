//! Trim and delete: what removes entries for good. Additions to what Go servers answer. Both run to their end once begun:
//! what the store removes, the peer is told if it listens.

use streamkit_engine::{AppendError, Rejection, Sequence, Store};
use streamkit_protocol::{Delete, Trim};

use super::produce::refused;
use super::{Failure, path, segment_status};
use crate::session::Channel;

pub(super) async fn trim(request: Trim, store: &dyn Store, channel: &mut Channel) -> Result<(), Failure> {
    let path = path(&request.space, &request.segment)?;
    let trimmed = store.trim(&path, Sequence(request.first_sequence)).await;
    let status = trimmed.map_err(|error| refused("a trim", &error))?;
    tracing::info!(%path, first = %status.first_sequence, "entries were trimmed");
    let mut batch = channel.batch();
    batch.push(&segment_status(&status).encode());
    channel.acknowledge(batch).await
}

pub(super) async fn delete(request: Delete, store: &dyn Store) -> Result<(), Failure> {
    let path = path(&request.space, &request.segment)?;
    store.delete(&path).await.map_err(|error| match error {
        AppendError::Rejected(Rejection::NoSuchSequence(path)) => Failure::Told(format!("{path}: no such segment")),
        other => refused("a deletion", &other),
    })?;
    tracing::info!(%path, "a segment was deleted");
    Ok(())
}
