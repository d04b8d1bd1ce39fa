//! Peek: a segment's last entry, or the empty entry if there is none.

use streamkit_engine::Store;
use streamkit_protocol::limits::MESSAGE_BYTES_MAX;
use streamkit_protocol::{Entry, Peek};

use super::{Failure, does_not_fit, encode_entry, path};
use crate::session::{Batch, Outgoing};

pub(super) async fn run(request: Peek, store: &dyn Store, out: &Outgoing) -> Result<(), Failure> {
    let small = async { last(&request, store, out.batch()).await.ok() };
    if out.send_if_small(small).await? {
        return Ok(());
    }
    let mut turn = out.turn().await?;
    let batch = last(&request, store, out.batch()).await?;
    out.send(batch, &mut turn, 0).await
}

async fn last(request: &Peek, store: &dyn Store, mut batch: Batch) -> Result<Batch, Failure> {
    let mut message = Vec::new();
    match store.peek(&path(&request.space, &request.segment)?).await? {
        Some(entry) => {
            encode_entry(&entry, &mut message);
            if message.len() > MESSAGE_BYTES_MAX {
                return Err(does_not_fit(&entry));
            }
        }
        None => {
            let empty = Entry {
                space: request.space.clone(),
                segment: request.segment.clone(),
                ..Entry::default()
            };
            message = empty.encode();
        }
    }
    batch.push(&message);
    Ok(batch)
}
