//! Peek: a segment's last entry, or that there is none.

use streamkit_engine::{SegmentPath, Store};

use super::boundary::{Answers, Batch};
use super::failure::Failure;
use super::outgoing::Outgoing;

pub(super) async fn run<A: Answers>(path: SegmentPath, store: &dyn Store, out: &Outgoing<A>) -> Result<(), Failure> {
    let small = async || last(&path, store, out.batch()).await.ok();
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let mut turn = out.turn().await?;
    let batch = last(&path, store, out.batch()).await?;
    out.send(batch, &mut turn, 0).await
}

async fn last<B: Batch>(path: &SegmentPath, store: &dyn Store, mut batch: B) -> Result<B, Failure> {
    match store.peek(path).await? {
        Some(entry) => batch.entry(&entry).map_err(|_| Failure::does_not_fit(&entry))?,
        None => batch.no_entry(path),
    }
    Ok(batch)
}
