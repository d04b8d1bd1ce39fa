//! Trim and delete: what removes entries for good. Additions to what Go servers answer. Both run to their end once begun:
//! what the store removes, the peer is told if it listens.

use streamkit_engine::{Sequence, Store};
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
    let deleted = store.delete(&path).await;
    deleted.map_err(|error| refused("a deletion", &error))?;
    tracing::info!(%path, "a segment was deleted");
    Ok(())
}
